import dataclasses
import pickle

import numpy as np
import pytest

from mmma.layout.skeletons import SkeletonStore, SkeletonWriter


@pytest.fixture
def store(tmp_path, two_joints):
    """Two clips: one person for 3 frames, two persons for 2 frames."""
    rng = np.random.default_rng(0)
    with SkeletonWriter(tmp_path, 'rec', two_joints, max_persons=2) as writer:
        for name, persons, frames in (('one', 1, 3), ('two', 2, 2)):
            points = rng.integers(0, 900, (persons, frames, 2, 2)) / 16
            scores = rng.integers(1, 101, (persons, frames, 2)) / 100
            writer.append(name, points, scores, 29.97, 640, 480)
    return SkeletonStore(tmp_path, 'rec')


def test_what_was_written_comes_back(store):
    rng = np.random.default_rng(0)
    for name, persons, frames in (('one', 1, 3), ('two', 2, 2)):
        points, scores = store.get(name)
        expected = rng.integers(0, 900, (persons, frames, 2, 2)) / 16
        np.testing.assert_array_equal(points, expected)
        expected = rng.integers(1, 101, (persons, frames, 2)) / 100
        np.testing.assert_allclose(scores, expected, rtol=1e-6)
        assert points.dtype == scores.dtype == np.float32


def test_facts_of_a_clip(store):
    assert store.names == ['one', 'two']
    assert (len(store), 'two' in store, 'three' in store) == (2, True, False)
    assert (store.frames('two'), store.fps('two'), store.size('two')) == (
        *(2, 29.97),
        (640, 480),
    )


def test_joints_are_taken_by_name_and_lacking_ones_score_0(store):
    points, scores = store.get('one')
    picked, picked_scores = store.get('one', ['right_eye', 'nose', 'left_eye'])
    np.testing.assert_array_equal(picked[:, :, [2, 0]], points)
    np.testing.assert_array_equal(picked_scores[:, :, [2, 0]], scores)
    assert not picked[:, :, 1].any()
    assert not picked_scores[:, :, 1].any()


@pytest.mark.parametrize('frames', [slice(1, 2), slice(1, 9), slice(0, 2)])
def test_some_frames_of_a_clip(store, frames):
    for some, whole in zip(
        store.get('two', frames=frames), store.get('two'), strict=True
    ):
        np.testing.assert_array_equal(some, whole[:, frames])


def test_unknown_joint(store):
    with pytest.raises(ValueError, match=r"joint 'left_eyes'.*Did you mean 'left_eye'"):
        store.get('one', ['left_eyes'])


def test_unknown_clip(store):
    with pytest.raises(ValueError, match=r"no skeleton of 'ona'.*Did you mean 'one'"):
        store.get('ona')


def test_pickling_does_not_carry_the_array(store):
    store.get('one')
    copy = pickle.loads(pickle.dumps(store))
    assert copy._array is None
    np.testing.assert_array_equal(copy.get('one')[0], store.get('one')[0])


def test_the_array_is_mapped_not_read(store):
    assert isinstance(store._open(), np.memmap)


def test_same_input_same_bytes(tmp_path, write_skeletons):
    for run in ('first', 'second'):
        write_skeletons(tmp_path / run, 'det', {'a': 4, 'b': 1})
    files = sorted((tmp_path / 'first' / 'skeletons').iterdir())
    assert [file.name for file in files] == ['det.npy', 'det_index.csv', 'layout.json']
    for file in files:
        other = tmp_path / 'second' / 'skeletons' / file.name
        assert file.read_bytes() == other.read_bytes()


def test_a_failed_run_keeps_the_old_files_and_leaves_nothing(
    tmp_path, two_joints, write_skeletons
):
    write_skeletons(tmp_path, 'rec', {'a': 4})
    before = {f: f.read_bytes() for f in (tmp_path / 'skeletons').iterdir()}
    with (
        pytest.raises(ValueError, match='3 joints'),
        SkeletonWriter(tmp_path, 'rec', two_joints) as writer,
    ):
        writer.append('b', np.ones((1, 2, 3, 2)), np.ones((1, 2, 3)), 30, 64, 48)
    assert {f: f.read_bytes() for f in (tmp_path / 'skeletons').iterdir()} == before


def test_an_empty_run(tmp_path, two_joints):
    with (
        pytest.raises(ValueError, match='no skeleton to write'),
        SkeletonWriter(tmp_path, 'rec', two_joints),
    ):
        pass
    assert not list((tmp_path / 'skeletons').iterdir())


@pytest.mark.parametrize(
    ('name', 'shape', 'message'),
    [
        ('a', (1, 2, 2), "skeleton of 'a' is there twice"),
        ('b', (1, 0, 2), '0 frames of 1 persons; need at least 1 frame'),
        ('b', (2, 2, 2), r'2 frames of 2 persons; .* 1 to 1 persons \(max_persons\)'),
        ('b', (1, 2, 3), '3 joints, the layout has 2'),
    ],
)
def test_clips_that_do_not_fit(tmp_path, two_joints, name, shape, message):
    writer = SkeletonWriter(tmp_path, 'rec', two_joints)
    writer.append('a', np.ones((1, 2, 2, 2)), np.ones((1, 2, 2)), 30, 64, 48)
    with pytest.raises(ValueError, match=message):
        writer.append(name, np.ones((*shape, 2)), np.ones(shape), 30, 64, 48)
    writer.discard()


def test_bad_values_name_the_clip(tmp_path, two_joints):
    writer = SkeletonWriter(tmp_path, 'rec', two_joints)
    with pytest.raises(
        ValueError, match=r"skeleton of 'a': scores must be in \[0, 1\]"
    ):
        writer.append('a', np.ones((1, 1, 2, 2)), np.full((1, 1, 2), 2), 30, 64, 48)
    writer.discard()


def test_both_tasks_share_one_layout(tmp_path, two_joints, write_skeletons):
    write_skeletons(tmp_path, 'rec', {'a': 4})
    other = dataclasses.replace(two_joints, extractor='another')
    with pytest.raises(ValueError, match=r'rec\.npy is in another joint layout'):
        SkeletonWriter(tmp_path, 'det', other)
    SkeletonWriter(tmp_path, 'rec', other).discard()


def test_no_skeletons(tmp_path):
    with pytest.raises(FileNotFoundError, match="no skeletons for task 'det'"):
        SkeletonStore(tmp_path, 'det')


@pytest.mark.parametrize('opens', [SkeletonStore, SkeletonWriter])
def test_unknown_task(tmp_path, two_joints, opens):
    layout = [two_joints] if opens is SkeletonWriter else []
    with pytest.raises(ValueError, match="unknown task 'pose'"):
        opens(tmp_path, 'pose', *layout)


def save(path, array):
    np.save(path / 'rec.npy', array)


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (lambda p: save(p, np.zeros((4, 1, 2, 3))), 'float64 .* asks for int16'),
        (lambda p: save(p, np.zeros((4, 1, 9, 3), np.int16)), r'persons, 2, 3\)'),
        (
            lambda p: save(p, np.zeros((5, 1, 2, 3), np.int16)),
            '5 frames, but its index',
        ),
        (lambda p: (p / 'rec.npy').write_bytes(b'x'), 'not a skeleton array, or cut'),
        (
            lambda p: (p / 'rec.npy').write_bytes((p / 'rec.npy').read_bytes()[:-9]),
            'not a skeleton array, or cut off',
        ),
        (
            lambda p: (p / 'rec_index.csv').write_text(
                'name,start,frames,fps,width,height,persons\na,1,3,30,9,9,1\n'
            ),
            'does not fit; expected start 0 and 1 to 1 persons',
        ),
    ],
)
def test_files_that_do_not_fit_together(tmp_path, write_skeletons, damage, message):
    write_skeletons(tmp_path, 'rec', {'a': 4})
    damage(tmp_path / 'skeletons')
    with pytest.raises(ValueError, match=message):
        SkeletonStore(tmp_path, 'rec')
