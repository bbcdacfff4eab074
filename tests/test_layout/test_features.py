"""Features of a data root: writing, resuming, reading."""

import contextlib
import pickle
from dataclasses import replace

import numpy as np
import pytest

from mmma.layout.features import (
    FeaturesInfo,
    FeatureStore,
    FeatureWriter,
    feature_names,
)

INFO = FeaturesInfo(stride_sec=0.5, dim=3, backbone='tiny')
RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(4, 3)), RNG.normal(size=(2, 3))


def write(root, *named, name='tiny', info=INFO, task='det'):
    with FeatureWriter(root, name, info, task) as writer:
        for key, features in named:
            writer.append(key, features)


def files(root):
    return sorted(p.name for p in (root / 'features/tiny').rglob('*') if p.is_file())


@pytest.mark.parametrize('dtype', ['float16', 'float32'])
def test_what_is_written_is_read(tmp_path, dtype):
    write(tmp_path, ('a', A), ('b', B), info=replace(INFO, dtype=dtype))
    store = FeatureStore(tmp_path, 'tiny')
    assert store.names == ['a', 'b']
    assert (len(store), 'a' in store, 'c' in store) == (2, True, False)
    assert store.steps('b') == 2
    np.testing.assert_array_equal(store.get('a'), A.astype(dtype).astype('float32'))
    np.testing.assert_array_equal(store.get('b', 1), B[1:].astype(dtype))
    assert store.get('a', 1, 9).shape == (3, 3)
    assert files(tmp_path) == ['det.npy', 'det_index.csv', 'features.json']
    assert np.load(tmp_path / 'features/tiny/det.npy').dtype == dtype
    assert feature_names(tmp_path) == ['tiny']


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
        write(tmp_path, ('a', A), task='rec', info=replace(INFO, backbone='large'))


def interrupt(root, damage, info=INFO):
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
    with FeatureWriter(tmp_path, 'tiny', INFO) as writer:
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
    with FeatureWriter(tmp_path, 'tiny', replace(INFO, stride_sec=1.0)) as writer:
        assert writer.names == []
        writer.append('b', B)
    assert FeatureStore(tmp_path, 'tiny').get('b').shape == (2, 3)


def test_a_second_writer_replaces(tmp_path):
    write(tmp_path, ('a', A))
    write(tmp_path, ('b', B), info=replace(INFO, stride_sec=1.0))
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
        FeatureWriter(tmp_path, name, INFO)


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
