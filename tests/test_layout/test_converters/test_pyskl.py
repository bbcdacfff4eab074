import json
import pickle

import numpy as np
import pytest

from mmma.layout.converters import Options, convert
from mmma.layout.joint_sets import JOINT_SETS
from mmma.layout.root import DataRoot
from mmma.layout.skeletons import SkeletonStore
from mmma.taxonomy import load_label_space

SPACE = load_label_space('mma82')
SPLITS = {'train': ['a', 'b'], 'test': ['c']}


def annotation(name, label=0, joints=17, persons=1, **changes):
    rng = np.random.default_rng(label)
    shape = (persons, 4, joints)
    return (
        dict(
            frame_dir=name,
            label=label,
            img_shape=(240, 320),
            original_shape=(240, 320),
            total_frames=4,
            keypoint=rng.uniform(0, 200, (*shape, 2)).astype(np.float32),
            keypoint_score=rng.uniform(0.1, 1, shape).astype(np.float32),
        )
        | changes
    )


@pytest.fixture
def source(tmp_path):
    def write(rows=None, splits=SPLITS, name='download/poses.pkl'):
        rows = rows or [annotation(n, i) for i, n in enumerate('abc')]
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(pickle.dumps(dict(split=splits, annotations=rows)))
        return path

    return write


@pytest.fixture
def mapping(tmp_path):
    def write(text):
        path = tmp_path / 'mapping.json'
        path.write_text(text if isinstance(text, str) else json.dumps(text))
        return Options(mapping=path)

    return write


def test_a_pickle_becomes_a_root(source, tmp_path):
    rows = [annotation('a'), annotation('b', 81, persons=2), annotation('c', 5)]
    conversion = convert('pyskl', source(rows), tmp_path / 'out', Options(fps=25))
    root = DataRoot(tmp_path / 'out')
    assert (root.info.name, root.info.label_space) == ('poses', 'mma82')
    assert not root.info.simulated
    clips = root.read_rec()
    assert [(c.clip, c.subset, c.action) for c in clips] == [
        ('a', 'train', 0),
        ('b', 'train', 81),
        ('c', 'test', 5),
    ]
    assert {(c.path, c.domain, c.subject) for c in clips} == {('', 'lab', '')}
    assert SPACE.actions[81] in (root.path / 'rec.csv').read_text()
    store = SkeletonStore(root.path, 'rec')
    assert store.layout.names == JOINT_SETS['body17']
    assert ('left_wrist', 'right_wrist') in store.layout.flip_pairs
    assert store.layout.extractor == 'pyskl'
    assert (store.fps('a'), store.size('a')) == (25, (320, 240))
    keypoint, score = store.get('b')
    np.testing.assert_allclose(keypoint, rows[1]['keypoint'], atol=1 / 32)
    np.testing.assert_allclose(score, rows[1]['keypoint_score'], atol=1e-4)
    assert conversion.notices == ['labels are taken as indices of mma82']


def test_a_folder_with_one_pickle(source, tmp_path):
    conversion = convert('pyskl', source().parent, tmp_path / 'out')
    assert '30 frames per second assumed (--fps)' in conversion.notices
    assert len(SkeletonStore(tmp_path / 'out', 'rec')) == 3


def test_a_mapping_names_splits_domains_and_labels(source, tmp_path, mapping):
    splits = {'xsub_train': ['a'], 'xsub_val': ['b'], 'xview_train': ['b', 'c']}
    options = mapping(
        dict(
            label_space='ma52',
            splits=dict(xview_train='', xsub_val='test'),
            domain='emotion',
            domains=dict(b='street'),
        )
    )
    found = convert('pyskl', source(splits=splits), tmp_path / 'out', options)
    clips = DataRoot(tmp_path / 'out').read_rec()
    assert [(c.clip, c.subset, c.domain) for c in clips] == [
        ('a', 'train', 'emotion'),
        ('b', 'test', 'street'),
    ]
    assert 'split xview_train is left out' in found.notices
    assert '1 clips are in no split that was taken' in found.notices


def test_a_layout_of_ones_own(source, tmp_path, mapping):
    options = mapping(dict(layout=dict(names=['head', 'tail'], limbs=[])))
    rows = [annotation(n, joints=2) for n in 'abc']
    convert('pyskl', source(rows), tmp_path / 'out', options)
    store = SkeletonStore(tmp_path / 'out', 'rec')
    assert store.layout.names == ('head', 'tail')


def test_repairs_are_told(source, tmp_path):
    rows = [annotation(n) for n in 'abc']
    rows[0]['keypoint'][0, 0, 0] = np.nan
    found = convert('pyskl', source(rows), tmp_path / 'out')
    assert any('1 joints had NaN' in notice for notice in found.notices)


def test_force_replaces_skeletons(source, tmp_path):
    out = tmp_path / 'out'
    convert('pyskl', source(), out)
    rows = [annotation(n, joints=65) for n in 'abc']
    found = convert('pyskl', source(rows), out, Options(force=True))
    assert len(SkeletonStore(out, 'rec').layout.names) == 65
    assert not any('was there before' in notice for notice in found.notices)


@pytest.mark.parametrize(
    ('rows', 'splits', 'message'),
    [
        (
            [annotation('a', 82)],
            {'train': ['a']},
            r'a: label 82, but mma82 has 0\.\.81',
        ),
        (
            [annotation('a', joints=25)],
            {'train': ['a']},
            'clips of 25 joints; 17 or 65',
        ),
        (
            [annotation('a'), annotation('b', joints=5)],
            {'train': ['a', 'b']},
            'clips of 5, 17 joints',
        ),
        (
            [annotation('a'), annotation('b', joints=65)],
            {'train': ['a', 'b']},
            'b: 65 joints, the layout has 17',
        ),
        (None, {'train': ['a', 'z']}, "split 'train': 1 clips have no annotation.*'z'"),
        (None, {'train': ['a'], 'val': ['a']}, "'val': 1 clips are in another subset"),
        (None, {'all': ['a']}, 'no split is a subset: all. Say which'),
        (
            None,
            {'x_val': ['a'], 'y_val': ['b']},
            'several splits for val: x_val, y_val',
        ),
        ([annotation('a'), annotation('a')], {'train': ['a']}, 'a: duplicate clip'),
    ],
)
def test_bad_pickles(source, tmp_path, rows, splits, message):
    with pytest.raises(ValueError, match=message):
        convert('pyskl', source(rows, splits), tmp_path / 'out')
    assert not (tmp_path / 'out' / 'rec.csv').exists()


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ({'split': {}}, "'split'.*Did you mean 'splits'"),
        ({'label_space': 'ntu60'}, "'ntu60'"),
        ({'domain': 'labor'}, "'labor'.*Did you mean 'lab'"),
        ({'splits': {'train': 'training'}}, "'training'.*Did you mean 'train'"),
        ({'splits': {'trian': 'train'}}, "no split 'trian'.*Did you mean 'train'"),
        ('{', 'mapping.json'),
    ],
)
def test_bad_mappings(source, mapping, tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        convert('pyskl', source(), tmp_path / 'out', mapping(text))


def test_no_pickle_and_several(source, tmp_path):
    source(), source(name='download/more.pickle')
    with pytest.raises(ValueError, match=r'2 pickles .*; give one of them'):
        convert('pyskl', tmp_path / 'download', tmp_path / 'out')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(FileNotFoundError, match=r'no \.pkl or \.pickle file is in it'):
        convert('pyskl', tmp_path / 'empty', tmp_path / 'out')
