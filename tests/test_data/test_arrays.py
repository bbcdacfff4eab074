"""Stores of skeletons and features."""

import contextlib
import dataclasses
import os
import pickle

import numpy as np
import pytest
from kill_points import kill_points

from mmma.data import arrays
from mmma.data.arrays import (
    FeaturesInfo,
    FeatureStore,
    FeatureWriter,
    SkeletonStore,
    SkeletonWriter,
)


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


def test_skeletons_come_back(store):
    rng = np.random.default_rng(0)
    for name, persons, frames in (('one', 1, 3), ('two', 2, 2)):
        points, scores = store.get(name)
        expected = rng.integers(0, 900, (persons, frames, 2, 2)) / 16
        np.testing.assert_array_equal(points, expected)
        expected = rng.integers(1, 101, (persons, frames, 2)) / 100
        np.testing.assert_allclose(scores, expected, rtol=1e-6)
        assert points.dtype == scores.dtype == np.float32
    assert store.names == ['one', 'two']
    assert (len(store), 'two' in store, 'three' in store) == (2, True, False)
    assert (store.frames('two'), store.fps('two')) == (2, 29.97)
    assert store.size('two') == (640, 480)


def write_two(root, layout, *names):
    with SkeletonWriter(root, 'rec', layout, 1) as writer:
        for name in names:
            points = np.full((1, 2, 2, 2), {'a': 10, 'b': 20}[name])
            writer.append(name, points, np.ones((1, 2, 2)), 30, 64, 64)


def test_killed_anywhere_a_store_is_the_old_the_new_or_refused(tmp_path, two_joints):
    found, root = set(), tmp_path / 'root'
    write_two(root, two_joints, 'a', 'b')
    for _ in kill_points(lambda: write_two(root, two_joints, 'b', 'a')):
        try:
            store = SkeletonStore(root, 'rec')
        except FileNotFoundError:
            found.add('refused')
        else:
            found.add(','.join(store.names))
            assert store.get('a')[0].max() == 10
            assert store.get('b')[0].max() == 20
        write_two(root, two_joints, 'b', 'a')
        names = ['layout.json', 'rec.npy', 'rec_index.csv']
        assert sorted(os.listdir(root / 'skeletons')) == names
        write_two(root, two_joints, 'a', 'b')
    assert found == {'a,b', 'refused', 'b,a'}


def test_a_store_that_is_replaced_while_it_is_opened(tmp_path, two_joints, monkeypatch):
    write_two(tmp_path, two_joints, 'a', 'b')
    read = arrays._read_index

    def replaced(*args):
        found = read(*args)
        monkeypatch.setattr(arrays, '_read_index', read)
        write_two(tmp_path, two_joints, 'b', 'a')
        return found

    monkeypatch.setattr(arrays, '_read_index', replaced)
    with pytest.raises(ValueError, match='just written anew: open it again'):
        SkeletonStore(tmp_path, 'rec')


def test_one_of_two_that_write_a_store_works(tmp_path, two_joints):
    with SkeletonWriter(tmp_path, 'rec', two_joints, 1) as writer:
        if not (child := os.fork()):
            with contextlib.suppress(ValueError):
                write_two(tmp_path, two_joints, 'a')
                os._exit(1)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        writer.append('b', np.ones((1, 2, 2, 2)), np.ones((1, 2, 2)), 30, 64, 64)
    assert SkeletonStore(tmp_path, 'rec').names == ['b']


def test_names_of_macos_are_those_of_tables(tmp_path, two_joints):
    with SkeletonWriter(tmp_path, 'rec', two_joints, 1) as writer:
        writer.append('e\u0301', np.ones((1, 2, 2, 2)), np.ones((1, 2, 2)), 30, 64, 64)
    assert '\u00e9' in SkeletonStore(tmp_path, 'rec')


def test_joints_are_taken_by_name_and_lacking_ones_score_0(store):
    points, scores = store.get('one')
    picked, picked_scores = store.get('one', ['right_eye', 'nose', 'left_eye'])
    np.testing.assert_array_equal(picked[:, :, [2, 0]], points)
    np.testing.assert_array_equal(picked_scores[:, :, [2, 0]], scores)
    assert not picked[:, :, 1].any()
    assert not picked_scores[:, :, 1].any()
    with pytest.raises(ValueError, match=r"joint 'left_eyes'.*Did you mean 'left_eye'"):
        store.get('one', ['left_eyes'])
    with pytest.raises(ValueError, match=r"no skeleton of 'ona'.*Did you mean 'one'"):
        store.get('ona')


@pytest.mark.parametrize('frames', [slice(1, 2), slice(1, 9), slice(0, 2)])
def test_some_frames_of_a_clip(store, frames):
    for some, whole in zip(
        store.get('two', frames=frames), store.get('two'), strict=True
    ):
        np.testing.assert_array_equal(some, whole[:, frames])


def test_the_array_is_mapped_not_read_and_not_pickled(store):
    assert isinstance(store._open(), np.memmap)
    copy = pickle.loads(pickle.dumps(store))
    assert copy._array is None
    np.testing.assert_array_equal(copy.get('one')[0], store.get('one')[0])


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_same_input_same_bytes(tmp_path, write_skeletons):
    found = []
    for run in ('first', 'second'):
        write_skeletons(tmp_path / run, 'det', {'a': 4, 'b': 1})
        found.append(contents(tmp_path / run / 'skeletons'))
    assert found[0] == found[1]
    assert sorted(found[0]) == ['det.npy', 'det_index.csv', 'layout.json']


SHAPE = (1, 2, 2)


@pytest.mark.parametrize(
    ('name', 'shape', 'score', 'message'),
    [
        ('a', SHAPE, 1, "skeleton of 'a' is there twice"),
        ('b', (1, 0, 2), 1, '0 frames of 1 persons; need at least 1 frame'),
        ('b', (2, 2, 2), 1, r'2 frames of 2 persons; .* 1 to 1 persons \(max_persons'),
        ('b', (1, 2, 3), 1, '3 joints, the layout has 2'),
        ('b', SHAPE, 2, r"skeleton of 'b': scores must be in \[0, 1\]"),
    ],
)
def test_a_failed_run_keeps_the_old_files_and_leaves_nothing(
    tmp_path, two_joints, write_skeletons, name, shape, score, message
):
    write_skeletons(tmp_path, 'rec', {'old': 4})
    before = contents(tmp_path / 'skeletons')

    def run():
        with SkeletonWriter(tmp_path, 'rec', two_joints) as writer:
            for key, found in (('a', np.ones(SHAPE)), (name, np.full(shape, score))):
                writer.append(key, np.ones((*found.shape, 2)), found, 30, 64, 48)

    with pytest.raises(ValueError, match=message):
        run()
    assert contents(tmp_path / 'skeletons') == before


def test_an_empty_run(tmp_path, two_joints):
    with (
        pytest.raises(ValueError, match='no skeleton to write'),
        SkeletonWriter(tmp_path, 'rec', two_joints),
    ):
        pass
    assert not list((tmp_path / 'skeletons').iterdir())


def test_both_tasks_share_one_layout(tmp_path, two_joints, write_skeletons):
    write_skeletons(tmp_path, 'rec', {'a': 4})
    other = dataclasses.replace(two_joints, extractor='another')
    with pytest.raises(ValueError, match=r'rec\.npy is in another joint layout'):
        SkeletonWriter(tmp_path, 'det', other)
    SkeletonWriter(tmp_path, 'rec', other)


def test_no_skeletons(tmp_path, two_joints):
    with pytest.raises(FileNotFoundError, match="no skeletons for task 'det'"):
        SkeletonStore(tmp_path, 'det')
    with pytest.raises(ValueError, match="unknown task 'pose'"):
        SkeletonStore(tmp_path, 'pose')
    with pytest.raises(ValueError, match="unknown task 'pose'"):
        SkeletonWriter(tmp_path, 'pose', two_joints)


def saved(*shape, dtype='int16'):
    return lambda folder: np.save(folder / 'rec.npy', np.zeros(shape, dtype))


def indexed(*rows, header='name,start,frames,fps,width,height,persons'):
    text = '\n'.join([header, *rows, ''])
    return lambda folder: (folder / 'rec_index.csv').write_text(text)


def cut(name, count):
    def damage(folder):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[:-count])

    return damage


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (
            saved(4, 1, 2, 3, dtype=float),
            r'float64 .* layout\.json say int16 \(4, pers',
        ),
        (saved(4, 1, 9, 3), r'\(4, persons, 2, 3\)'),
        (saved(4, 2, 3), r'int16 \(4, 2, 3\), but its index and layout'),
        (saved(5, 1, 2, 3), r'int16 \(5, 1, 2, 3\), but .* \(4, persons, 2, 3\)'),
        (lambda folder: (folder / 'rec.npy').write_bytes(b'x'), 'not a skeleton array'),
        (cut('rec.npy', 9), 'not a skeleton array, or cut off'),
        *(
            (
                lambda folder, c=content: (folder / 'rec.npy').write_bytes(c),
                'rec.npy: not',
            )
            for content in (
                b'',
                b'PK\x03\x04',
                b"\x93NUMPY\x01\x00\x10\x00{'descr': ('<f4',",
            )
        ),
        (indexed('a,0,4,30,9,9,2'), r"'a'.* does not fit; expected 1 to 1 persons"),
        (
            indexed('a,1,4,30,9,9,1'),
            "rec_index.csv:2: 'a' must .* start at 0 .not 1",
        ),
        (indexed('a,0,3,30,9,9'), 'rec_index.csv:2: bad row .*: 6 values'),
        (indexed('a,0,x,30,9,9,1'), 'rec_index.csv:2: bad row .*invalid literal'),
        (
            indexed('a,0,4,nan,9,9,1'),
            'rec_index.csv:2: bad row .*nan is no finite',
        ),
        (
            indexed('a,0,4,inf,9,9,1'),
            'rec_index.csv:2: bad row .*inf is no finite',
        ),
        (indexed('x' * 200_000), 'rec_index.csv:.: not readable as CSV: field larger'),
        (indexed('a,0,3,30,9,9,1', 'a,3,1,30,9,9,1'), ":3: 'a' must be there once"),
        (indexed('a,0,0,30,9,9,1'), 'have 1 frame or more'),
        (indexed(header='name,start'), ':1: the header must be name,start,frames'),
        (indexed(header=''), ':1: the header must be name,start,frames'),
        (lambda folder: (folder / 'rec_index.csv').write_text(''), ':1: the header'),
    ],
)
def test_files_that_do_not_fit_together(tmp_path, write_skeletons, damage, message):
    write_skeletons(tmp_path, 'rec', {'a': 4})
    damage(tmp_path / 'skeletons')
    with pytest.raises(ValueError, match=message):
        SkeletonStore(tmp_path, 'rec')


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('{', r'features\.json:1: not readable as JSON: Expecting'),
        ('[]', r'features\.json'),
        ('{"dim": 4}', 'must be an object with stride_sec, dim'),
        ('{"stride_sec": 1, "dim": 4, "fp": 1}', "unknown key 'fp'.*'fps'"),
        ('{"stride_sec": 0, "dim": 4}', 'stride_sec 0: must be a number above 0'),
        ('{"stride_sec": NaN, "dim": 4}', 'stride_sec nan: must be'),
        ('{"stride_sec": 1, "dim": 4.5}', 'dim 4.5: must be a whole number'),
        ('{"stride_sec": 1, "dim": 4, "offset_sec": "a"}', "offset_sec 'a': must be a"),
        ('{"stride_sec": 1, "dim": 4, "fps": -1}', 'fps -1: must be a number above 0'),
        ('{"stride_sec": 1, "dim": 4, "dtype": "int8"}', "unknown dtype 'int8'"),
    ],
)
def test_bad_info(tmp_path, content, message):
    with pytest.raises(FileNotFoundError, match=r'features\.json: no such file'):
        FeaturesInfo.read(tmp_path)
    (tmp_path / 'features.json').write_text(content)
    with pytest.raises(ValueError, match=message):
        FeaturesInfo.read(tmp_path)


INFO = FeaturesInfo(stride_sec=2 / 15, dim=3, fps=15.0, weights_sha256='abcdef')
RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(4, 3)), RNG.normal(size=(2, 3))


def write(root, *named, name='tiny', task='det', **fields):
    with FeatureWriter(root, name, dataclasses.replace(INFO, **fields), task) as writer:
        for key, features in named:
            writer.append(key, features)


def files(root):
    return sorted(p.name for p in (root / 'features/tiny').rglob('*') if p.is_file())


@pytest.mark.parametrize('dtype', ['float16', 'float32'])
def test_features_come_back(tmp_path, dtype):
    write(tmp_path, ('a', A), ('b,c', B), dtype=dtype)
    store = FeatureStore(tmp_path, 'tiny')
    assert store.names == ['a', 'b,c']
    assert (len(store), 'a' in store, 'c' in store) == (2, True, False)
    assert store.steps('b,c') == 2
    np.testing.assert_array_equal(store.get('a'), A.astype(dtype).astype('float32'))
    np.testing.assert_array_equal(store.get('b,c', 1), B[1:].astype(dtype))
    assert store.get('a', 1, 9).shape == (3, 3)
    assert files(tmp_path) == ['det.npy', 'det_index.csv', 'features.json']
    assert np.load(tmp_path / 'features/tiny/det.npy').dtype == dtype
    with pytest.raises(FileNotFoundError, match='or use one of: tiny'):
        FeatureStore(tmp_path, 'tyni')


def test_features_that_are_not_finite_are_not_handed_out(tmp_path):
    write(tmp_path, ('a', A))
    path = tmp_path / 'features/tiny/det.npy'
    array = np.load(path)
    array[0, 0] = np.nan
    np.save(path, array)
    store = FeatureStore(tmp_path, 'tiny')
    with pytest.raises(
        ValueError, match=r'det\.npy: .* has features that are not fini'
    ):
        store.get(store.names[0])


def test_features_of_both_tasks(tmp_path):
    write(tmp_path, ('a', A), backbone='tiny')
    write(tmp_path, ('clip', B), task='rec', backbone='tiny', data_fingerprint='x')
    assert FeatureStore(tmp_path, 'tiny', 'rec').names == ['clip']
    with pytest.raises(ValueError, match=r"has det features.*backbone is 'tiny', wan"):
        write(tmp_path, ('a', A), task='rec', backbone='large')


def interrupt(root, damage):
    """Write a and b, die, and damage the files that are left."""
    with contextlib.suppress(KeyboardInterrupt), FeatureWriter(root, 'tiny', INFO) as w:
        w.append('a', A)
        w.append('b', B)
        raise KeyboardInterrupt
    damage(root / 'features/tiny/.det.part')


@pytest.mark.parametrize(
    ('damage', 'kept'),
    [
        (lambda folder: None, ['a', 'b']),
        (cut('det_index.csv', 2), ['a']),
        (cut('det.npy', 1), ['a']),
        (lambda folder: (folder / 'det_index.csv').unlink(), []),
    ],
)
def test_an_interrupted_writer_goes_on(tmp_path, damage, kept):
    interrupt(tmp_path, damage)
    with pytest.raises(FileNotFoundError, match=r"no features 'tiny' for task 'det'"):
        FeatureStore(tmp_path, 'tiny')
    with FeatureWriter(tmp_path, 'tiny', INFO) as writer:
        assert writer.names == kept
        for name, features in (('a', A), ('b', B), ('c', A)):
            if name not in writer:
                writer.append(name, features)
    write(tmp_path / 'whole', ('a', A), ('b', B), ('c', A))
    found = [
        contents(root / 'features/tiny') for root in (tmp_path, tmp_path / 'whole')
    ]
    assert found[0] == found[1]
    assert sorted(found[0]) == ['det.npy', 'det_index.csv', 'features.json']


def test_other_features_start_anew_and_replace(tmp_path):
    interrupt(tmp_path, lambda folder: None)
    for name, stride_sec in (('b', 1.0), ('c', 2.0)):
        write(tmp_path, (name, B), stride_sec=stride_sec)
        store = FeatureStore(tmp_path, 'tiny')
        assert (store.names, store.info.stride_sec) == ([name], stride_sec)


@pytest.mark.parametrize(
    ('name', 'features', 'message'),
    [
        ('b', np.zeros((2, 4)), r"of 'b': \(2, 4\), need \(1\+, 3\)"),
        ('b', np.zeros((0, 3)), r'need \(1\+, 3\)'),
        ('b', np.full((1, 3), np.nan), "of 'b' are not all finite as float16"),
        ('b', np.full((1, 3), 1e6), 'not all finite as float16: .*float32'),
        ('a', A, "features of 'a' are there twice"),
    ],
)
def test_bad_features(tmp_path, name, features, message):
    with pytest.raises(ValueError, match=message):
        write(tmp_path, ('a', A), (name, features))


def test_no_features_to_write(tmp_path):
    with pytest.raises(ValueError, match='no features to write'):
        write(tmp_path)
    assert files(tmp_path) == []


@pytest.mark.parametrize('name', ['', '../x', 'a/b', '.x'])
def test_bad_names(tmp_path, name):
    with pytest.raises(ValueError, match='use a plain folder name'):
        FeatureWriter(tmp_path, name, INFO)


def test_features_that_a_config_asks_for(tmp_path):
    write(tmp_path, ('video1', A))
    store = FeatureStore(tmp_path, 'tiny')
    same = dict(stride_sec=0.13333333, dim=3, weights_sha256='abc', backbone=None)
    assert store.require(**same) is store
    with pytest.raises(ValueError, match=r'json: .* These features are not') as error:
        store.require(stride_sec=0.1, fps=30.0, weights_sha256='bc')
    assert (
        f'stride_sec is {2 / 15!r}, wanted 0.1; fps is 15.0, wanted 30.0; '
        "weights_sha256 is 'abcdef', wanted 'bc'" in str(error.value)
    )
    with pytest.raises(ValueError, match="unknown feature option 'rate'"):
        store.require(rate=3)
    with pytest.raises(
        ValueError, match=r"no features of 'vidoe1'.*1 others.*'video1'"
    ):
        store.get('vidoe1')


def test_features_that_do_not_fit(tmp_path):
    write(tmp_path, ('a', A))
    np.save(tmp_path / 'features/tiny/det.npy', np.zeros((4, 3), np.float32))
    with pytest.raises(ValueError, match=r'float32 \(4, 3\), but .* float16 \(4, 3\)'):
        FeatureStore(tmp_path, 'tiny')
    (tmp_path / 'features/tiny/det.npy').write_bytes(b'x')
    with pytest.raises(ValueError, match='not a feature array, or cut off'):
        FeatureStore(tmp_path, 'tiny')
