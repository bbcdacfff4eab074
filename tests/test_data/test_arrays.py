"""Stores of skeletons and features."""

import contextlib
import dataclasses
import pickle
from dataclasses import replace

import numpy as np
import pytest

from mmma.data.arrays import (
    FeatureRow,
    FeaturesInfo,
    FeatureStore,
    FeatureWriter,
    SkeletonRow,
    SkeletonStore,
    SkeletonWriter,
    encode_joints,
    read_index,
)


def test_encoding_rounds_to_a_sixteenth_and_scales_scores():
    points = np.array([[[[1.0, 2.04]]]])  # (M, T, V, 2)
    encoded = encode_joints(points, np.array([[[0.5]]]), score_scale=1000)
    assert encoded.dtype == np.int16
    assert encoded.tolist() == [[[[16, 33, 500]]]]


def test_encoding_puts_time_first():
    points, scores = np.zeros((2, 5, 3, 2)), np.ones((2, 5, 3))
    points[1, 4, 2] = 3
    encoded = encode_joints(points, scores, 10)
    assert encoded.shape == (5, 2, 3, 3)
    assert encoded[4, 1, 2].tolist() == [48, 48, 10]


def test_what_a_missing_joint_has_is_not_kept():
    points = np.array([[[[np.nan, 1e9]]]])
    assert encode_joints(points, np.zeros((1, 1, 1)), 10).tolist() == [[[[0, 0, 0]]]]


@pytest.mark.parametrize(
    ('point', 'score', 'message'),
    [
        (np.nan, 1, 'must be finite and within 2048 pixels'),
        (2500, 1, 'within 2048 pixels'),
        (1, 1.5, r'scores must be in \[0, 1\]'),
        (1, np.nan, r'scores must be in \[0, 1\]'),
    ],
)
def test_values_that_cannot_be_stored(point, score, message):
    with pytest.raises(ValueError, match=message):
        encode_joints(np.full((1, 1, 1, 2), point), np.full((1, 1, 1), score), 10)


@pytest.mark.parametrize('shape', [(1, 1, 2, 2), (1, 1, 1, 3), (1, 1, 2)])
def test_shapes_that_do_not_fit(shape):
    with pytest.raises(ValueError, match=r'need \(M, T, V, 2\) and \(M, T, V\)'):
        encode_joints(np.zeros(shape), np.zeros((1, 1, 1)), 10)


HEADER = 'name,start,frames,fps,width,height,persons'


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', 'i.csv:1: the header must be name,start'),
        ('name,start\n', 'i.csv:1: the header must be name,start'),
        (f'{HEADER}\na,0,3,30,9,9\n', 'i.csv:2: bad row'),
        (f'{HEADER}\na,0,x,30,9,9,1\n', 'i.csv:2: bad row .*invalid literal'),
        (f'{HEADER}\na,0,3,30,9,9,1\na,3,3,30,9,9,1\n', "i.csv:3: 'a' is there twice"),
    ],
)
def test_bad_indices(tmp_path, text, message):
    (tmp_path / 'i.csv').write_text(text)
    with pytest.raises(ValueError, match=message):
        read_index(tmp_path / 'i.csv', SkeletonRow)


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


INFO = FeaturesInfo(stride_sec=2 / 15, dim=4, fps=15.0, weights_sha256='abcdef')


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('{', r'features\.json: Expecting'),
        ('[]', r'features\.json'),
        ('{"dim": 4}', "features.json: .*'stride_sec'"),
        ('{"stride": 1, "dim": 4}', "unknown key 'stride'.*'stride_sec'"),
        ('{"stride_sec": 0, "dim": 4}', 'stride_sec 0: must be a number above 0'),
        ('{"stride_sec": NaN, "dim": 4}', 'stride_sec nan: must be'),
        ('{"stride_sec": 1, "dim": 4.5}', 'dim 4.5: must be a whole number'),
        ('{"stride_sec": 1, "dim": 4, "offset_sec": "a"}', "offset_sec 'a': must be a"),
        ('{"stride_sec": 1, "dim": 4, "fps": -1}', 'fps -1: must be a number above 0'),
        ('{"stride_sec": 1, "dim": 4, "dtype": "int8"}', "unknown dtype 'int8'"),
    ],
)
def test_bad_info(tmp_path, content, message):
    (tmp_path / 'features.json').write_text(content)
    with pytest.raises(ValueError, match=message):
        FeaturesInfo.read(tmp_path)


def test_no_info(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'features\.json: no such file'):
        FeaturesInfo.read(tmp_path)


def test_an_index(tmp_path):
    path = tmp_path / 'det_index.csv'
    path.write_text('name,start,steps\na,0,3\n"b,c",3,2\nd,5,')
    rows = read_index(path, FeatureRow, partial=True)
    assert rows == {'a': FeatureRow('a', 0, 3), 'b,c': FeatureRow('b,c', 3, 2)}


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', ':1: the header must be name,start,steps'),
        ('name,start\n', ':1: the header must be'),
        ('name,start,steps\na,x,2\n', ":2: bad row .'a', 'x', '2'.: invalid"),
        ('name,start,steps\na,0\n', ':2: bad row'),
        ('name,start,steps\na,0,2\na,2,2\n', ":3: 'a' must be there once"),
        ('name,start,steps\na,0,2\nb,3,2\n', ":3: 'b' must .* start at 2 .* not .* 3"),
        ('name,start,steps\na,0,0\n', 'have 1 step or more'),
    ],
)
def test_bad_indices_of_feature_files(tmp_path, text, message):
    path = tmp_path / 'det_index.csv'
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_index(path, FeatureRow)


def test_differences():
    same = dict(stride_sec=0.13333333, dim=4, weights_sha256='abc', backbone=None)
    assert INFO.differences(same) == []
    other = dict(stride_sec=0.1, fps=30.0, weights_sha256='bc')
    assert INFO.differences(other) == [
        f'stride_sec is {2 / 15!r}, wanted 0.1',
        'fps is 15.0, wanted 30.0',
        "weights_sha256 is 'abcdef', wanted 'bc'",
    ]
    with pytest.raises(ValueError, match="unknown feature option 'rate'"):
        INFO.differences({'rate': 3})


INFO_FEATURES = FeaturesInfo(stride_sec=0.5, dim=3, backbone='tiny')
RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(4, 3)), RNG.normal(size=(2, 3))


def write(root, *named, name='tiny', info=INFO_FEATURES, task='det'):
    with FeatureWriter(root, name, info, task) as writer:
        for key, features in named:
            writer.append(key, features)


def files(root):
    return sorted(p.name for p in (root / 'features/tiny').rglob('*') if p.is_file())


@pytest.mark.parametrize('dtype', ['float16', 'float32'])
def test_what_is_written_is_read(tmp_path, dtype):
    write(tmp_path, ('a', A), ('b', B), info=replace(INFO_FEATURES, dtype=dtype))
    store = FeatureStore(tmp_path, 'tiny')
    assert store.names == ['a', 'b']
    assert (len(store), 'a' in store, 'c' in store) == (2, True, False)
    assert store.steps('b') == 2
    np.testing.assert_array_equal(store.get('a'), A.astype(dtype).astype('float32'))
    np.testing.assert_array_equal(store.get('b', 1), B[1:].astype(dtype))
    assert store.get('a', 1, 9).shape == (3, 3)
    assert files(tmp_path) == ['det.npy', 'det_index.csv', 'features.json']
    assert np.load(tmp_path / 'features/tiny/det.npy').dtype == dtype
    with pytest.raises(FileNotFoundError, match='or use one of: tiny'):
        FeatureStore(tmp_path, 'tyni')


def test_the_map_is_not_pickled(tmp_path):
    write(tmp_path, ('a', RNG.normal(size=(4000, 3))))
    store = FeatureStore(tmp_path, 'tiny')
    copied = pickle.dumps(store)
    assert len(copied) < 2000
    np.testing.assert_array_equal(pickle.loads(copied).get('a'), store.get('a'))


def test_both_tasks(tmp_path):
    write(tmp_path, ('a', A))
    write(tmp_path, ('clip', B), task='rec')
    assert FeatureStore(tmp_path, 'tiny', 'rec').names == ['clip']
    with pytest.raises(ValueError, match=r"has det features.*backbone is 'tiny', wan"):
        write(
            tmp_path,
            ('a', A),
            task='rec',
            info=replace(INFO_FEATURES, backbone='large'),
        )


def interrupt(root, damage, info=INFO_FEATURES):
    """Write a and b, die, and damage the files that are left."""
    stopped = contextlib.suppress(KeyboardInterrupt)
    with stopped, FeatureWriter(root, 'tiny', info) as writer:
        writer.append('a', A)
        writer.append('b', B)
        raise KeyboardInterrupt
    damage(root / 'features/tiny/.det.part')


def cut(name, count):
    def damage(folder):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[:-count])

    return damage


@pytest.mark.parametrize(
    ('damage', 'kept'),
    [
        (lambda folder: None, ['a', 'b']),
        (cut('index.csv', 2), ['a']),
        (cut('array', 1), ['a']),
        (lambda folder: (folder / 'index.csv').unlink(), []),
    ],
)
def test_an_interrupted_writer_goes_on(tmp_path, damage, kept):
    interrupt(tmp_path, damage)
    with pytest.raises(FileNotFoundError, match=r"no features 'tiny' for task 'det'"):
        FeatureStore(tmp_path, 'tiny')
    with FeatureWriter(tmp_path, 'tiny', INFO_FEATURES) as writer:
        assert writer.names == kept
        for name, features in (('a', A), ('b', B), ('c', A)):
            if name not in writer:
                writer.append(name, features)
    whole = tmp_path / 'whole'
    write(whole, ('a', A), ('b', B), ('c', A))
    for name in ('det.npy', 'det_index.csv', 'features.json'):
        pair = [root / 'features/tiny' / name for root in (tmp_path, whole)]
        assert pair[0].read_bytes() == pair[1].read_bytes()
    assert files(tmp_path) == ['det.npy', 'det_index.csv', 'features.json']


def test_other_features_start_anew(tmp_path):
    interrupt(tmp_path, lambda folder: None)
    with FeatureWriter(
        tmp_path, 'tiny', replace(INFO_FEATURES, stride_sec=1.0)
    ) as writer:
        assert writer.names == []
        writer.append('b', B)
    assert FeatureStore(tmp_path, 'tiny').get('b').shape == (2, 3)


def test_a_second_writer_replaces(tmp_path):
    write(tmp_path, ('a', A))
    write(tmp_path, ('b', B), info=replace(INFO_FEATURES, stride_sec=1.0))
    store = FeatureStore(tmp_path, 'tiny')
    assert (store.names, store.info.stride_sec) == (['b'], 1.0)


@pytest.mark.parametrize(
    ('features', 'message'),
    [
        (np.zeros((2, 4)), r"of 'b' have shape \(2, 4\): need \(T, 3\)"),
        (np.zeros((0, 3)), 'T from 1'),
        (np.full((1, 3), np.nan), "of 'b' are not all finite as float16"),
        (np.full((1, 3), 1e6), 'not all finite as float16: .*float32'),
    ],
)
def test_bad_features(tmp_path, features, message):
    with pytest.raises(ValueError, match=message):
        write(tmp_path, ('a', A), ('b', features))


def test_a_name_twice(tmp_path):
    with pytest.raises(ValueError, match="features of 'a' are there twice"):
        write(tmp_path, ('a', A), ('a', A))


def test_nothing_to_write(tmp_path):
    with pytest.raises(ValueError, match='no features to write'):
        write(tmp_path)
    assert files(tmp_path) == []


@pytest.mark.parametrize('name', ['', '../x', 'a/b', '.x'])
def test_bad_names(tmp_path, name):
    with pytest.raises(ValueError, match='use a plain folder name'):
        FeatureWriter(tmp_path, name, INFO_FEATURES)


def test_require(tmp_path):
    write(tmp_path, ('a', A))
    store = FeatureStore(tmp_path, 'tiny')
    assert store.require(stride_sec=0.5, dim=3) is store
    with pytest.raises(ValueError, match=r'json: dim is 3, wanted 4\. These features'):
        store.require(dim=4)


def test_an_unknown_video(tmp_path):
    write(tmp_path, ('video1', A))
    with pytest.raises(ValueError, match=r"no features of 'vidoe1'.*'video1'"):
        FeatureStore(tmp_path, 'tiny').get('vidoe1')


def test_an_array_that_does_not_fit(tmp_path):
    write(tmp_path, ('a', A))
    np.save(tmp_path / 'features/tiny/det.npy', np.zeros((4, 3), np.float32))
    with pytest.raises(ValueError, match=r'float32 \(4, 3\), but .* float16 \(4, 3\)'):
        FeatureStore(tmp_path, 'tiny')
    (tmp_path / 'features/tiny/det.npy').write_bytes(b'x')
    with pytest.raises(ValueError, match='not a feature array, or cut off'):
        FeatureStore(tmp_path, 'tiny')
