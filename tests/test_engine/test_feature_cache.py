import os
from types import SimpleNamespace

import numpy as np
import pytest
from video_files import make_video_root

from mmma.datasets.clip_dataset import ClipDataset
from mmma.engine.feature_cache import FeatureCache, Row, features_folder, file_stamps

STAMPS = {'a': 1, 'b': 2, 'c': 3}


def rows(names, bodies=True):
    rng = np.random.default_rng(len(names))
    return {
        name: Row(
            rng.normal(size=(2, 4)).astype('float32'),
            rng.random(3).astype('float32'),
            rng.random(2).astype('float32') if bodies else None,
        )
        for name in names
    }


def same(found, expected):
    assert found.keys() == expected.keys()
    for name, row in expected.items():
        for left, right in zip(found[name], row, strict=True):
            np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize('bodies', [True, False])
def test_what_was_written_is_read_bit_for_bit(tmp_path, bodies):
    cache = FeatureCache(tmp_path / 'new', STAMPS)
    assert cache.read() == {}
    first, second = rows(['a', 'b'], bodies), rows(['c'], bodies)
    cache.add(first)
    cache.add(second)
    cache.add({})
    same(FeatureCache(tmp_path / 'new', STAMPS).read(), {**first, **second})
    cache.add(first)  # as a concurrent run would
    assert len(list((tmp_path / 'new').iterdir())) == 2


def test_a_clip_whose_file_changed_is_unknown(tmp_path):
    found = rows(['a', 'b'])
    FeatureCache(tmp_path, STAMPS).add(found)
    changed = FeatureCache(tmp_path, {**STAMPS, 'a': 9})
    same(changed.read(), {'b': found['b']})
    changed.add({'a': found['b']})
    same(changed.read(), {'a': found['b'], 'b': found['b']})
    same(FeatureCache(tmp_path, STAMPS).read(), found)


@pytest.mark.parametrize(
    'damage',
    [
        lambda data: data[: len(data) // 2],
        lambda data: b'',
        lambda data: data[:90] + bytes([data[90] ^ 1]) + data[91:],
    ],
)
def test_a_damaged_file_is_told_and_deleted(tmp_path, monkeypatch, damage):
    cache = FeatureCache(tmp_path, STAMPS)
    cache.add(rows(['a']))
    (bad,) = tmp_path.iterdir()
    bad.write_bytes(damage(bad.read_bytes()))
    kept = rows(['b', 'c'])
    cache.add(kept)
    said = []
    monkeypatch.setattr(
        'mmma.engine.feature_cache.print_log', lambda text, *_: said.append(text)
    )
    same(cache.read(), kept)
    assert len(said) == 1
    assert said[0].startswith(f'{bad} is damaged')
    assert not bad.exists()


def test_features_that_cannot_be_written_are_no_error(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(
        'mmma.engine.feature_cache.print_log', lambda text, *_: said.append(text)
    )
    (tmp_path / 'file').write_text('')
    FeatureCache(tmp_path / 'file' / 'folder', STAMPS).add(rows(['a']))
    assert said[0].startswith('features are not kept: ')


def test_the_folder_depends_on_all_of_the_origin(tmp_path, monkeypatch):
    monkeypatch.setenv('MMMA_HOME', str(tmp_path))
    folder = features_folder({'checkpoint': 'x', 'model': {'depth': 4}}, 'lab_test')
    assert folder.parent.parent == tmp_path / 'features'
    assert folder.name == 'lab_test'
    same_folder = features_folder(
        {'model': {'depth': 4}, 'checkpoint': 'x'}, 'lab_test'
    )
    assert folder == same_folder
    other = features_folder({'checkpoint': 'x', 'model': {'depth': 5}}, 'lab_test')
    assert other != folder


def test_stamps_tell_which_video_changed(tmp_path):
    root = make_video_root(tmp_path, clips=2)
    dataset = ClipDataset(root, 'train', [], domains=['street'])
    dataset.full_init()
    before = file_stamps(dataset)
    os.utime(root / 'videos/street/street_train_0.mp4', ns=(5, 5))
    (root / 'videos/street/street_train_1.mp4').rename(root / 'elsewhere.mp4')
    after = file_stamps(dataset)
    assert [before[n] != after[n] for n in before] == [True, True]
    assert file_stamps(dataset) == after


def test_stamps_of_skeletons_are_those_of_the_store(tmp_path):
    (tmp_path / 'skeletons').mkdir()
    store = tmp_path / 'skeletons' / 'rec.npy'
    store.write_bytes(b'1')
    root = SimpleNamespace(path=tmp_path, fingerprint=lambda: 'tables')
    dataset = SimpleNamespace(
        metainfo={'clips': ['a', 'b']}, root=root, modality='Pose'
    )
    before = file_stamps(dataset)
    assert before['a'] == before['b']
    store.write_bytes(b'12')
    assert file_stamps(dataset)['a'] != before['a']
