"""Skeleton pickles: what is read, and that nothing else is run."""

import json
import os
import pickle
import struct
from collections import OrderedDict

import numpy as np
import pytest

from mmma.data.arrays import SkeletonStore
from mmma.data.convert import convert
from mmma.data.convert.pyskl import load_restricted, read_pyskl
from mmma.data.convert.target import Options
from mmma.data.joints import JOINT_SETS
from mmma.data.root import DataRoot
from mmma.taxonomy import load_label_space


def annotation(name='c0', label=1, shape=(2, 3, 17), **changes):
    rng = np.random.default_rng(0)
    return (
        dict(
            frame_dir=name,
            label=label,
            img_shape=(240, 320),
            original_shape=(240, 320),
            total_frames=shape[1],
            keypoint=rng.uniform(0, 200, (*shape, 2)).astype(np.float16),
            keypoint_score=rng.random(shape).astype(np.float16),
        )
        | changes
    )


def content(*rows, **splits):
    return dict(split=splits or {'train': ['c0']}, annotations=list(rows))


@pytest.fixture
def dump(tmp_path):
    def write(value, protocol=4):
        path = tmp_path / 'skeletons.pkl'
        data = value if isinstance(value, bytes) else pickle.dumps(value, protocol)
        path.write_bytes(data)
        return path

    return write


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol(dump, protocol):
    row = annotation(label=np.int64(7), img_shape=(np.int32(240), np.int64(320)))
    found = read_pyskl(dump(content(row), protocol))
    (clip,) = found.clips
    assert found.split == {'train': ('c0',)}
    assert (clip.name, clip.label, clip.img_shape) == ('c0', 7, (240, 320))
    np.testing.assert_array_equal(clip.keypoint, row['keypoint'].astype(np.float32))
    np.testing.assert_array_equal(clip.score, row['keypoint_score'].astype(np.float32))


@pytest.mark.parametrize('old', [False, True])
@pytest.mark.parametrize('protocol', [2, 5])
def test_numpy_1_and_numpy_2(dump, old, protocol):
    names = [b'numpy._core', b'numpy.core']
    data = pickle.dumps(content(annotation(label=np.int64(3))), protocol)
    ours, other = names if names[0] in data else names[::-1]
    if old != (ours == names[1]):
        data = renamed(data, ours, other)
    assert read_pyskl(dump(data)).clips[0].label == 3


def renamed(data, ours, other):
    """The pickle with modules named as the other generation of numpy names them."""
    for module in (b'.multiarray', b'.numeric'):
        a, b = ours + module, other + module
        data = data.replace(b'c' + a + b'\n', b'c' + b + b'\n')
        data = data.replace(
            b'\x8c' + bytes([len(a)]) + a, b'\x8c' + bytes([len(b)]) + b
        )
    if data[:2] == b'\x80\x05':  # one frame: its length changed
        data = data[:3] + struct.pack('<Q', len(data) - 11) + data[11:]
    return data


@pytest.mark.parametrize('dtype', ['<f4', '>f4', '<f8', '>i2', '|u1', '?'])
@pytest.mark.parametrize('order', ['C', 'F'])
def test_arrays_of_numbers(dump, dtype, order):
    array = np.arange(24).reshape(2, 3, 4).astype(dtype).copy(order)
    found = load_restricted(dump({'a': array}))['a']
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


class Attack:
    def __init__(self, function, *args):
        self.made = function, args

    def __reduce__(self):
        return self.made


@pytest.mark.parametrize(
    ('value', 'name'),
    [
        (Attack(os.system, 'touch {}'), r'(posix|nt)\.system'),
        (Attack(eval, '1 + 1'), r'__builtin__\.eval'),
        (Attack(getattr, {}, 'keys'), r'__builtin__\.getattr'),
        (OrderedDict(split={}), r'collections\.OrderedDict'),
        (content(annotation(keypoint=np.random)), 'numpy'),
        (content(annotation(label={1, 2})), r'__builtin__\.set'),
    ],
    ids=['system', 'eval', 'getattr', 'OrderedDict', 'module', 'set'],
)
def test_any_other_name_is_refused(dump, tmp_path, value, name):
    target = tmp_path / 'touched'
    if isinstance(value, Attack) and value.made[0] is os.system:
        value = Attack(os.system, f'touch {target}')
    try:
        path = dump(value, 2)
    except TypeError:  # a module has no pickle: one is named by hand
        path = dump(b'cnumpy\nrandom\n.')
    with pytest.raises(ValueError, match=f'refused, it names {name}.*can run any code'):
        load_restricted(path)
    assert not target.exists()


def test_a_persistent_object_is_refused(dump):
    with pytest.raises(ValueError, match="refused, it names the persistent object 'x'"):
        load_restricted(dump(b'Px\n.'))


ARRAY = b'cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tC\x01btR'


@pytest.mark.parametrize(
    ('data', 'message'),
    [
        (b'', 'EOFError'),
        (b'no pickle', 'not a readable pickle of skeletons'),
        (pickle.dumps(content(annotation()))[:-200], 'not a readable pickle'),
        (pickle.dumps(np.array([{}], dtype=object)), 'not of numbers'),
        (pickle.dumps(np.array(['text'])), 'not of numbers'),
        (pickle.dumps(np.zeros(2, [('a', 'i4')])), 'not of numbers'),
        (b'cnumpy\ndtype\n.', 'something else than annotations'),
        (b'cnumpy\nndarray\n(K\x05tR.', '_Type is not called'),
        (ARRAY + b'(K\x01(K\x02tNI00\nC\x04abcdtb.', 'an array without a dtype'),
        (b'cnumpy\ndtype\n}X\x01\x00\x00\x00aK\x01sb.', 'not a readable pickle'),
    ],
)
def test_what_is_no_skeleton_pickle(dump, data, message):
    with pytest.raises(ValueError, match=message):
        load_restricted(dump(data))


def test_something_that_holds_itself_ends(dump):
    loop = []
    loop.append(loop)
    with pytest.raises(ValueError, match='something else than annotations'):
        load_restricted(dump(loop))


def test_nan_is_missing_and_scores_are_cut(dump):
    row = annotation(shape=(1, 2, 17))
    row['keypoint'][0, 0, 3, 1] = np.nan
    row['keypoint_score'][0, 0, 4] = np.nan
    row['keypoint_score'][0, 1, 5] = 1.25
    (clip,) = read_pyskl(dump(content(row))).clips
    assert clip.repaired == 3
    assert clip.score[0, 0, 3] == clip.score[0, 0, 4] == 0
    assert not clip.keypoint[0, 0, 3:5].any()
    assert clip.score[0, 1, 5] == 1
    assert np.isfinite(clip.keypoint).all()


@pytest.mark.parametrize(
    ('value', 'message'),
    [
        ([], 'a list of nothing named; needs'),
        (dict(annotations=[annotation()]), 'a dict of annotations; needs'),
        (content(annotation()) | {'split': {}}, 'at least one split'),
        (content(), 'no annotations'),
        (content('row'), 'annotation 0: a str, expected a dict'),
        (content(dict(frame_dir='c0')), 'annotation 0 c0: no label, img_shape, total'),
        (content(annotation(label=-1)), 'label -1: must be a whole number'),
        (content(annotation(label='nod')), "label 'nod': must be a whole number"),
        (content(annotation(img_shape=(0, 9))), r'img_shape \(0, 9\): must be height'),
        (content(annotation(total_frames=4)), 'not the total_frames 4'),
        (content(annotation(shape=(0, 3, 17))), 'has no joint'),
        (
            content(annotation(keypoint=np.zeros((2, 3, 17, 3)))),
            r'need \(M, T, V, 2\) and',
        ),
    ],
)
def test_bad_content(dump, value, message):
    with pytest.raises(ValueError, match=message):
        read_pyskl(dump(value))


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'gone\.pkl: no such file'):
        read_pyskl(tmp_path / 'gone.pkl')


SPACE = load_label_space('mma82')
SPLITS = {'train': ['a', 'b'], 'test': ['c']}


def annotation_of_pyskl(name, label=0, joints=17, persons=1, **changes):
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
        rows = rows or [annotation_of_pyskl(n, i) for i, n in enumerate('abc')]
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
    rows = [
        annotation_of_pyskl('a'),
        annotation_of_pyskl('b', 81, persons=2),
        annotation_of_pyskl('c', 5),
    ]
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
    rows = [annotation_of_pyskl(n, joints=2) for n in 'abc']
    convert('pyskl', source(rows), tmp_path / 'out', options)
    store = SkeletonStore(tmp_path / 'out', 'rec')
    assert store.layout.names == ('head', 'tail')


def test_repairs_are_told(source, tmp_path):
    rows = [annotation_of_pyskl(n) for n in 'abc']
    rows[0]['keypoint'][0, 0, 0] = np.nan
    found = convert('pyskl', source(rows), tmp_path / 'out')
    assert any('1 joints had NaN' in notice for notice in found.notices)


def test_force_replaces_skeletons(source, tmp_path):
    out = tmp_path / 'out'
    convert('pyskl', source(), out)
    rows = [annotation_of_pyskl(n, joints=65) for n in 'abc']
    found = convert('pyskl', source(rows), out, Options(force=True))
    assert len(SkeletonStore(out, 'rec').layout.names) == 65
    assert not any('was there before' in notice for notice in found.notices)


@pytest.mark.parametrize(
    ('rows', 'splits', 'message'),
    [
        (
            [annotation_of_pyskl('a', 82)],
            {'train': ['a']},
            r'a: label 82, but mma82 has 0\.\.81',
        ),
        (
            [annotation_of_pyskl('a', joints=25)],
            {'train': ['a']},
            'clips of 25 joints; 17 or 65',
        ),
        (
            [annotation_of_pyskl('a'), annotation_of_pyskl('b', joints=5)],
            {'train': ['a', 'b']},
            'clips of 5, 17 joints',
        ),
        (
            [annotation_of_pyskl('a'), annotation_of_pyskl('b', joints=65)],
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
        (
            [annotation_of_pyskl('a'), annotation_of_pyskl('a')],
            {'train': ['a']},
            'a: duplicate clip',
        ),
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
