import gzip
import hashlib
import io
import os
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from figure_scenes import pictures

from mmma.media import litert, mediapipe
from mmma.media.litert import (
    LitertExtractor,
    body_square,
    describe,
    find_anchors,
    find_boxes,
    hand_square,
    look_at,
    open_networks,
    palm_square,
    put_back,
    refine,
    steady,
)
from mmma.media.pose import JOINTS, PoseOptions, build_extractor

NONE = -100.0  # a logit


class Net:
    """A network that gives what ``see`` finds in a picture (side, side, 3)."""

    def __init__(self, side, see):
        self.side, self._see, self.seen = side, see, []

    def get_input_details(self):
        return [{'index': 0, 'shape': np.array([1, self.side, self.side, 3])}]

    def set_tensor(self, index, pictures):
        assert pictures.dtype == np.float32
        self.seen.append(pictures[0])

    def invoke(self):
        found = self._see(self.seen[-1])
        self._out = [np.asarray(own, np.float32)[None] for own in found]

    def get_output_details(self):
        return [{'index': number} for number in range(len(self._out))]

    def get_tensor(self, index):
        return self._out[index]


@pytest.mark.parametrize(
    ('side', 'strides', 'count', 'rows'),
    [
        (224, litert._BODY, 2254,
         {1: [1 / 56] * 2, 2: [3 / 56, 1 / 56], 1568: [1 / 28] * 2, 1960: [1 / 14] * 2,
          1966: [3 / 14, 1 / 14], 2253: [13 / 14] * 2}),
        (192, litert._PALM, 2016,
         {48: [1 / 48, 3 / 48], 1152: [1 / 24] * 2, 1158: [3 / 24, 1 / 24]}),
    ],
)  # fmt: skip
def test_anchors(side, strides, count, rows):
    anchors = find_anchors(side, strides)
    assert anchors.shape == (count, 2)
    for row, middle in rows.items():
        assert anchors[row] == pytest.approx(middle)


def turned(points, angle, about=(0, 0)):
    way = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return (np.asarray(points, float) - about) @ way + about


def test_the_square_of_a_body():
    square = body_square(np.array([[100.0, 200], [100, 160]]))  # 40 px up: 100 px wide
    corners = put_back(np.array([[0, 0], [1, 0], [0, 1], [0.5, 0.5]]), square)
    expected = [[50, 150], [150, 150], [50, 250], [100, 200]]
    assert corners == pytest.approx(np.array(expected))
    lying = body_square(np.array([[100.0, 200], [140, 200]]))  # the head to the right
    assert put_back(np.array([[0.5, 0], [0, 0]]), lying) == pytest.approx(
        np.array([[150, 200], [150, 150]])
    )


def test_squares_of_hands():
    box = np.zeros((9, 2))
    box[:2], box[2], box[4] = [[80, 90], [120, 110]], [100, 110], [100, 90]
    square = palm_square(box)  # 2.6 times the longer side, half the height further up
    assert np.linalg.norm(square[1]) == pytest.approx(104)
    assert put_back(np.array([0.5, 0.5]), square) == pytest.approx([100, 90])
    points = np.full((21, 2), 1000.0)  # fingertips do not count
    points[litert._ROOTS] = [100, 200]
    points[[5, 9, 13]] = [[90, 160], [100, 160], [110, 160]]
    points[[1, 17]] = [[80, 190], [120, 180]]
    square = hand_square(points)  # 40 px each way
    assert np.linalg.norm(square[1]) == pytest.approx(80)
    assert put_back(np.array([0.5, 0.5]), square) == pytest.approx([100, 176])
    for angle in (0.3, 2, -1.5):
        for found, given in ((hand_square, points), (body_square, points[:6:5])):
            plain = put_back(np.eye(2), found(given))
            again = put_back(np.eye(2), found(turned(given, angle)))
            assert again == pytest.approx(turned(plain, angle))


def test_what_is_seen_of_a_square():
    picture = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    net = Net(4, lambda seen: [seen])
    upright = np.array([[4, 0], [0, 4], [2, 3]])
    seen = look_at(net, picture, upright)[0]
    assert seen == pytest.approx(picture[3:7, 2:6] / 255)
    aside = np.array([[0, 4], [-4, 0], [5, 3]])  # a quarter to the right
    seen = look_at(net, picture, aside, 2)[0]
    expected = np.rot90(picture[3:7, 2:6])
    assert seen == pytest.approx(expected / 127.5 - 1, abs=1e-6)
    beyond = np.array([[4, 0], [0, 4], [6, 0]])
    assert look_at(net, picture, beyond)[0][:, 3] == pytest.approx(picture[:4, 7] / 255)
    assert not look_at(net, picture, beyond, empty=True)[0][:, 2:].any()
    far = np.array([[1e9, 0], [0, 1e9], [-5e8, -5e8]])
    assert look_at(net, picture, far)[0].shape == (4, 4, 3)


def boxes_at(found, side, strides, numbers):
    """A detector's answer: a box of 32 and ``numbers / 2 - 2`` points at each place."""
    anchors = find_anchors(side, strides)
    raw, logits = np.zeros((len(anchors), numbers)), np.full((len(anchors), 1), NONE)
    for place, logit, *points in found:
        row = np.argmin(
            np.linalg.norm(anchors - place, axis=1) + 9 * (logits[:, 0] > 0)
        )
        ends = [place, *points, *[place] * (numbers // 2 - 2 - len(points))]
        offsets = (np.array(ends) - anchors[row]) * side
        raw[row] = [*offsets[0], 32, 32, *offsets[1:].ravel()]
        logits[row] = logit
    return raw, logits


def test_boxes_that_overlap_are_averaged():
    found = [((0.25, 0.25), 3), ((0.27, 0.25), 0.1), ((0.75, 0.5), 1), ((0.5, 1), -1)]
    net = Net(224, lambda seen: boxes_at(found, 224, litert._BODY, 12))
    boxes = find_boxes(net, np.zeros((224, 448, 3), np.uint8), litert._BODY)
    assert boxes.shape == (
        2,
        6,
        2,
    )  # twice the network's side; 112 px above it are black
    high, low = (1 / (1 + np.exp(-logit)) for logit in (3, 0.1))
    x = (high * 112 + low * 120.96) / (high + low)
    assert boxes[0, :3] == pytest.approx(
        np.array([[x - 32, -32], [x + 32, 32], [x, 0]])
    )
    assert boxes[1, 2] == pytest.approx([336, 112])
    net = Net(224, lambda seen: boxes_at([], 224, litert._BODY, 12))
    nothing = find_boxes(net, np.zeros((9, 9, 3), np.uint8), litert._BODY)
    assert nothing.shape == (0, 6, 2)


def test_points_are_drawn_to_warm_cells():
    heat = np.full((8, 8, 4), NONE)
    heat[2, 3:5, 0] = 1  # between two cells
    heat[2, 3, 1] = -0.1  # too cold
    heat[7, 7, 2] = 5  # too far away
    heat[0, 0, 3] = 5
    points = np.array([[0.4, 0.4], [0.4, 0.4], [0.2, 0.2], [-0.2, 0.1]])
    moved = refine(points, heat)
    assert moved[0] == pytest.approx([3.5 / 8, 2 / 8])
    assert (moved[1:] == points[1:]).all()


def test_the_one_euro_filter():
    def share(cutoff):
        return 1 / (1 + (1 / (2 * np.pi * cutoff)) * 30.0003)

    rng, known, last, kept, speed = np.random.default_rng(1), (), None, None, 0.0
    for _ in range(5):
        ends = np.array([[0, 0], [30.0, 40]]) + rng.normal(size=2)  # 100 px of side
        known, x = steady(ends, *known), ends[1, 0]
        last = x if last is None else last
        speed += share(1.0) * ((x - last) / 100 * 30.0003 - speed)
        kept = x if kept is None else kept + share(0.01 + 10 * abs(speed)) * (x - kept)
        last = x
        assert known[1][1, 0] == pytest.approx(kept, rel=1e-5)


def bright(seen, channel):
    """Middle of what is bright in a channel, as shares of the picture; or None."""
    places = np.argwhere(seen[..., channel] > 0.5)
    return places.mean(axis=0)[::-1] / len(seen) if len(places) else None


def see_people(seen):
    place = bright(seen, 0)
    found = [] if place is None else [(place, 3, place, place - np.array([0, 0.125]))]
    return boxes_at(found, 224, litert._BODY, 12)


def see_body(seen):
    place = bright(seen, 0)
    marks = np.full((39, 5), NONE)
    present = place is not None
    if present:
        marks[:, :2] = place * 256
        marks[34, 1] -= 102.4  # the side of the next square: 2.5 * 0.4 of this one
        marks[:33, 3] = 100
    heat = np.full((64, 64, 39), NONE)
    return marks.ravel(), [present], [], heat, []


def see_palms(seen):
    place = bright(seen, 1)
    found = (
        [] if place is None else [(place, 3, place + np.array([0, 0.1]), place, place)]
    )
    return boxes_at(found, 192, litert._PALM, 18)


def see_hand(seen):
    place = bright(seen, 1)
    marks = np.zeros((21, 3))
    if place is not None:
        marks[:, :2] = place * 224
        marks[0, 1], marks[1, 1] = marks[0, 1] + 56, marks[1, 1] - 56
    return marks.ravel(), [place is not None], [0.1], []


def scene(body, hand=None):
    """(360, 240, 3) with 9 x 9 px of red and of green."""
    picture = np.zeros((360, 240, 3), np.uint8)
    for channel, place in enumerate((body, hand)):
        if place is not None:
            x, y = place
            picture[y - 4 : y + 5, x - 4 : x + 5, channel] = 255
    return picture


@pytest.fixture
def nets():
    sees = (224, see_people), (256, see_body), (192, see_palms), (224, see_hand)
    return [Net(*own) for own in sees]


def test_a_body_is_followed_until_it_is_lost_and_then_found_anew(nets):
    places = [(100, 200), (104, 198), (108, 200), None, None, (200, 90), (203, 90)]
    extractor = LitertExtractor(nets)
    frames = [scene(place) for place in places]
    first = extractor.extract(frames, 25)
    keypoints, scores = first
    assert keypoints.shape == (1, 7, 65, 2)
    for place, points, sure in zip(places, keypoints[0], scores[0], strict=True):
        assert sure.any() == (place is not None)
        if place:
            assert points[JOINTS['nose']] == pytest.approx(place, abs=1.5)
            assert sure[JOINTS['left_big_toe']] == 1
            assert not sure[JOINTS['left_small_toe']]
    # Looked for in the first frame, in the second without anybody, and after it.
    assert [len(net.seen) for net in nets[:2]] == [3, 6]
    assert nets[0].seen[0].min() == -1
    assert nets[1].seen[0].min() == 0
    again = extractor.extract(frames, 25)  # nothing is remembered
    assert all((a == b).all() for a, b in zip(first, again, strict=True))


def test_hands_are_followed_and_not_found_twice(nets):
    places = [(60, 100), (62, 100), (64, 101), None, (150, 300)]
    frames = [scene(None, place) for place in places]
    keypoints, scores = LitertExtractor(nets).extract(frames, 25)
    root = JOINTS['left_hand_root']  # by its look, as there is no body
    for place, points, sure in zip(places, keypoints[0], scores[0], strict=True):
        assert sure[root] == pytest.approx(0.9 if place else 0)
        assert (sure > 0).sum() == (21 if place else 0)
        if place:
            assert points[root + 2] == pytest.approx(place, abs=1.5)
    # A second hand is looked for in each; the one that is followed is not seen twice.
    assert [len(net.seen) for net in nets[2:]] == [5, 5]
    assert nets[2].seen[0].min() == 0


def archive(path, members):
    """An npm archive of contents by name; a text of another kind is a link to it."""
    with tarfile.open(path, 'w:gz') as file:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                content = b''
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return path


WANTED = {'far': hashlib.sha256(b'far').hexdigest(),
          'near': hashlib.sha256(b'near').hexdigest()}  # fmt: skip


@pytest.fixture
def members(monkeypatch):
    table = {'package/far.tflite': [0, 3], 'package/all.data': [2, 6]}
    monkeypatch.setitem(litert._TABLE, 'members', table)
    monkeypatch.setitem(sys.modules, 'ai_edge_litert', None)
    return {'package/far.tflite': b'far', 'package/all.data': b'..near..'}


def opened(path):
    open_networks([path], WANTED, 'npm pack')


def test_networks_of_npm_archives(tmp_path, members):
    archive(tmp_path / 'a.tgz', members)
    with pytest.raises(ValueError, match='pip install ai-edge-litert'):
        opened(tmp_path)
    archive(tmp_path / 'a.tgz', members | {'package/all.data': b'..nearest'})
    with pytest.raises(ValueError, match='ai-edge-litert'):  # the bytes of the table
        opened(tmp_path / 'a.tgz')
    archive(tmp_path / 'a.tgz', members | {'package/all.data': b'..neat..'})
    told = f'no near with SHA-256 {WANTED["near"][:16]}...: npm pack by --models'
    with pytest.raises(FileNotFoundError, match=told):
        opened(tmp_path)


def test_an_archive_is_never_unpacked(tmp_path, members):
    (tmp_path / 'far').write_bytes(b'far')
    hostile = {'package/far.tflite': str(tmp_path / 'far'), '../near': b'near',
               str(tmp_path / 'x'): b'near', 'package/all.data': b'..near'}  # fmt: skip
    file = archive(tmp_path / 'in.tgz', hostile)
    with pytest.raises(FileNotFoundError, match='no far with SHA-256'):
        opened(file)
    assert {path.name for path in tmp_path.iterdir()} == {'far', 'in.tgz'}


def test_damaged_archives(tmp_path, members, monkeypatch):
    whole = archive(tmp_path / 'a.tgz', members).read_bytes()
    monkeypatch.setattr(litert, '_MOST_BYTES', 20_000)
    bad = {
        'cut short': whole[:-9],
        'not gzip': b'x' * 99,
        'no tar': gzip.compress(b'x' * 999),
        'of more than 20,000 bytes': gzip.compress(bytes(10**6)),
    }
    for name, content in bad.items():
        (tmp_path / 'a.tgz').write_bytes(content)
        with pytest.raises(ValueError, match=r'a\.tgz: a damaged archive \(') as error:
            opened(tmp_path)
        assert name in str(error.value) or name.startswith('no')


def test_what_is_recorded_and_what_is_not_an_option(tmp_path, monkeypatch):
    monkeypatch.setenv('MMMA_HOME', str(tmp_path))
    monkeypatch.setattr(litert, 'open_networks', lambda *_: [])
    monkeypatch.setattr(litert, 'version', lambda name: '9.9')
    litert._load.cache_clear()
    for backend, body in (
        ('litert', 'heavy=59e42d71'),
        ('litert-lite', 'lite=f17bfbec'),
    ):
        assert describe(PoseOptions(backend)) == (
            f'litert pose_detection=a63c614b pose_landmark_{body} palm_detection_full='
            '2f25e740 hand_landmark_full=8c026882 ai-edge-litert=9.9'
        )
    for wrong in ({'persons': 2}, {'smooth': True}):
        with pytest.raises(ValueError, match='litert has no --persons'):
            describe(PoseOptions('litert', **wrong))
    litert._load.cache_clear()


def test_missing_archives_are_told_with_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv('MMMA_HOME', str(tmp_path))
    litert._load.cache_clear()
    with pytest.raises(
        FileNotFoundError, match=r'npm pack @mediapipe/pose@0\.5'
    ) as error:
        describe(PoseOptions('litert'))
    assert f': mkdir -p {tmp_path / "litert"}; cd' in str(error.value)


ARCHIVES = Path(os.environ.get('MMMA_TEST_POSES', '/nowhere'))


@pytest.mark.parametrize('size', ['lite', 'full', 'heavy'])
def test_the_networks_themselves(size):
    if not ARCHIVES.is_dir():
        pytest.skip(
            f'{ARCHIVES} has no archives of {litert.PACKAGES} (MMMA_TEST_POSES)'
        )
    pytest.importorskip('ai_edge_litert')
    options = PoseOptions(f'litert-{size}'.replace('-heavy', ''), models=ARCHIVES)
    frames = pictures('lab', 'nodding', 2.7)[13::27]
    extractor = build_extractor(options)
    first, again = (extractor.extract(frames, 30) for _ in range(2))
    assert (first[0] == again[0]).all()
    keypoints, scores = first
    assert scores[0, :, JOINTS['nose']].min() > 0.9
    nose, hip = (keypoints[0, :, JOINTS[name], 1] for name in ('nose', 'left_hip'))
    assert (nose < hip).all()
    if size == 'full' and pytest.importorskip('mediapipe'):
        theirs, sure = mediapipe.build(PoseOptions('mediapipe')).extract(frames, 30)
        assert ((scores > 0) == (sure > 0)).all()
        far = np.linalg.norm(keypoints - theirs, axis=-1)[sure > 0.9]
        assert np.median(far) < 0.01 * np.ptp(theirs[sure > 0.9][:, 1])
