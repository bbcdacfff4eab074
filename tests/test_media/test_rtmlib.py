import importlib.metadata
import importlib.util
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from mmma.media import rtmlib as rtmlib_backend
from mmma.media.pose import JOINTS, PoseOptions
from mmma.media.rtmlib import (
    PersonPlaces,
    RtmlibExtractor,
    box_overlap,
    build,
    describe,
    joint_box,
)


def person(x, size=10, score=1.0):
    return np.array([[x, 0], [x + size, size]], float), np.full(2, score)


def assign(places, *people):
    keypoints, scores = zip(*people, strict=True)
    return places.assign(np.stack(keypoints), np.stack(scores))


def test_the_largest_is_first_and_everybody_keeps_the_place():
    places = PersonPlaces(2, fps=10)
    assert assign(places, person(0), person(50, 20)) == [1, 0]
    assert assign(places, person(52, 20), person(1)) == [0, 1]
    assert assign(places, person(2), person(90, 40)) == [1, None]


@pytest.mark.parametrize(('frames', 'place'), [(5, None), (12, 0)])
def test_a_place_is_free_after_a_second(frames, place):
    places = PersonPlaces(1, fps=10)
    assign(places, person(0))
    for _ in range(frames):
        places.assign(np.zeros((0, 2, 2)), np.zeros((0, 2)))
    assert assign(places, person(80)) == [place]


def test_boxes_leave_doubtful_joints_out():
    keypoints = np.array([[0, 0], [4, 2], [99, 99]])
    assert joint_box(keypoints, np.array([1, 0.5, 0.1])).tolist() == [0, 0, 4, 2]
    assert joint_box(keypoints, np.zeros(3)).tolist() == [0, 0, 99, 99]


def test_overlap():
    boxes = np.array([[0, 0, 2, 2], [5, 5, 5, 5]])
    others = np.array([[1, 0, 3, 2], [5, 5, 5, 5]])
    assert box_overlap(boxes, others) == pytest.approx(np.array([[1 / 3, 0], [0, 0]]))


@pytest.fixture
def models(tmp_path):
    for name in rtmlib_backend.FILES:
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def frame(value=0):
    image = np.zeros((20, 30, 3), np.uint8)
    image[..., 0] = value  # red
    return image


class Pose:
    """Joint i of the person of box b lies at (left of b + i, i)."""

    def __init__(self):
        self.reds = []

    def __call__(self, image, bboxes):
        self.reds.append(int(image[0, 0, 0]))
        steps = np.arange(133)
        points = [np.stack([box[0] + steps, steps], axis=-1) for box in bboxes]
        return np.array(points), np.full((len(bboxes), 133), 1.25)


def test_joints_are_picked_and_everybody_keeps_a_place():
    boxes = [[[0, 0, 9, 9], [500, 0, 509, 9]], [], [[501, 0, 510, 9], [1, 0, 10, 9]]]
    left, reds, pose = iter(boxes), [], Pose()

    def detector(image):
        reds.append(int(image[0, 0, 2]))
        return next(left)

    extractor = RtmlibExtractor(detector, pose, persons=3)
    keypoints, scores = extractor.extract([frame(7)] * 3, fps=30)
    assert keypoints.shape == (2, 3, 65, 2)  # the third place was never needed
    assert scores[:, 0].min() == scores.max() == 1  # simcc may exceed 1
    assert not scores[:, 1].any()
    assert keypoints[:, 2, 0, 0].tolist() == [1, 501]
    picked = {'nose': 0, 'right_heel': 22, 'left_hand_root': 91, 'right_hand_root': 112}
    for name, place in picked.items():
        assert keypoints[0, 0, JOINTS[name], 1] == place
    assert reds == [7, 7, 7]  # last channel: BGR
    assert pose.reds == [7, 7]  # first channel: RGB


def test_nobody_is_one_empty_place():
    extractor = RtmlibExtractor(lambda image: [], Pose(), persons=3)
    keypoints, scores = extractor.extract([frame()] * 2, fps=30)
    assert keypoints.shape == (1, 2, 65, 2)
    assert not scores.any()


@pytest.mark.parametrize('given', [True, False])
def test_missing_models_are_named(tmp_path, given):
    options = PoseOptions('rtmlib', models=tmp_path if given else None)
    with pytest.raises(FileNotFoundError, match=r'two local files\. det\.onnx: a YOLO'):
        describe(options)


def test_smoothing_is_of_mediapipe(models):
    with pytest.raises(ValueError, match='--smooth is an option of mediapipe'):
        describe(PoseOptions('rtmlib', models=models, smooth=True))


def test_rtmlib_is_missing(models, monkeypatch):
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(ValueError, match='rtmlib is not installed: pip install rtmlib'):
        describe(PoseOptions('rtmlib', models=models))


def test_what_is_recorded(models, monkeypatch):
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: object())
    monkeypatch.setattr(importlib.metadata, 'version', lambda name: '0.0.16')
    found = describe(PoseOptions('rtmlib', models=models, persons=2, device='cuda'))
    assert found == 'rtmlib 0.0.16 det=80d8ec6e pose=5f9cd970 persons=2'


def onnxruntime(shape):
    session = SimpleNamespace(get_inputs=lambda: [SimpleNamespace(shape=shape)])
    return SimpleNamespace(InferenceSession=lambda path, providers: session)


def test_models_are_loaded_with_their_own_size(models, monkeypatch, capsys):
    made = {}

    def tool(name):
        def make(path, model_input_size, backend, device):
            print('load')
            made[name] = model_input_size, backend, device

        return make

    fake = SimpleNamespace(YOLOX=tool('det'), RTMPose=tool('pose'))
    monkeypatch.setitem(sys.modules, 'rtmlib', fake)
    monkeypatch.setitem(sys.modules, 'onnxruntime', onnxruntime(['N', 3, 384, 288]))
    build(PoseOptions('rtmlib', models=models, device='cuda:1'))
    assert made['det'] == ((384, 288), 'onnxruntime', 'cuda:1')  # height, width
    assert made['pose'] == ((288, 384), 'onnxruntime', 'cuda:1')  # width, height
    assert capsys.readouterr().out == ''


def test_a_model_of_no_fixed_size(models, monkeypatch):
    monkeypatch.setitem(sys.modules, 'rtmlib', SimpleNamespace(YOLOX=0, RTMPose=0))
    monkeypatch.setitem(sys.modules, 'onnxruntime', onnxruntime(['N', 3, 'h', 'w']))
    with pytest.raises(ValueError, match=r'need \(N, 3, height, width\)'):
        build(PoseOptions('rtmlib', models=models))
