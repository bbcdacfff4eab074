"""Skeleton pickles: what is read, and that nothing else is run."""

import os
import pickle
import shutil
import struct
from collections import OrderedDict
from dataclasses import replace

import numpy as np
import pytest
from kill_points import kill_points

from mmma.convert import convert
from mmma.convert.pyskl import load_restricted, read_pyskl
from mmma.convert.target import Options
from mmma.data.arrays import SkeletonStore
from mmma.data.joints import JOINT_SETS, LAYOUTS
from mmma.data.root import DataRoot


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
    split, (found,), _ = read_pyskl(dump(content(row), protocol))
    assert split == {'train': ('c0',)}
    facts = found['frame_dir'], found['label'], found['img_shape']
    assert facts == ('c0', 7, (240, 320))
    for key in ('keypoint', 'keypoint_score'):
        np.testing.assert_array_equal(found[key], row[key].astype(np.float32))


@pytest.mark.parametrize('old', [False, True])
@pytest.mark.parametrize('protocol', [2, 5])
def test_numpy_1_and_numpy_2(dump, old, protocol):
    names = [b'numpy._core', b'numpy.core']
    data = pickle.dumps(content(annotation(label=np.int64(3))), protocol)
    ours, other = names if names[0] in data else names[::-1]
    if old != (ours == names[1]):
        data = renamed(data, ours, other)
    assert read_pyskl(dump(data))[1][0]['label'] == 3


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
    def __init__(self, function, *args, state=()):
        self.made = function, args, *state

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
    with pytest.raises(ValueError, match="refused, it names the persistent object 'x'"):
        load_restricted(dump(b'Px\n.'))


RECORDS = Attack(np.dtype, 'f4', state=[(3, '<', None, ('a',), {}, 4, 1, 0)])
ARRAY = b'cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tC\x01btR'


@pytest.mark.parametrize(
    ('data', 'message'),
    [
        (b'', 'an empty file'),
        (b'\x80\x04Nr\x00\x00\x00\x10.', 'value 268435456 of a memo of 2 at most'),
        (b'\x80\x04]q\x00Nr\xff\xff\xff\xff.', 'value 4294967295 of a memo of'),
        (b'Np268435456\n.', 'value 268435456 of a memo'),
        (b'N' + b'Np99999999999999999999\n.', 'of a memo of 2 at most'),
        (b'\x80\x04\x8e\x00\x00\x00\x00\x00\x01\x00\x00.', 'not a readable pickle'),
        (b'\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7f.', 'not a readable pickle'),
        (b'\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7fN.', 'not a readable pickle'),
        (b'\x8b\xff\xff\xff\x7f.', 'not a readable pickle'),
        (b'no pickle', 'not a readable pickle of skeletons'),
        (pickle.dumps(content(annotation()))[:-200], 'not a readable pickle'),
        (pickle.dumps(np.array([{}], dtype=object)), 'not of numbers'),
        (pickle.dumps(np.array(['text'])), 'not of numbers'),
        (pickle.dumps(np.zeros(2, [('a', 'i4')])), 'not of numbers'),
        (pickle.dumps(RECORDS), 'an array of records, not of numbers'),
        (b'cnumpy\ndtype\n.', 'something else than annotations'),
        (pickle.dumps([[[[[[[0]]]]]]]), 'nested too deeply: keypoints must be numpy'),
        (b'cnumpy\nndarray\n(K\x05tR.', 'numpy.ndarray is not called'),
        (ARRAY + b'(K\x01(K\x02tNI00\nC\x04abcdtb.', 'an array without a dtype'),
        (b'cnumpy\ndtype\n}X\x01\x00\x00\x00aK\x01sb.', 'not a readable pickle'),
    ],
)
def test_what_is_no_skeleton_pickle(dump, data, message):
    with pytest.raises(ValueError, match=message):
        load_restricted(dump(data))


def test_a_small_file_asks_for_little_memory(dump):
    loop = []
    loop.append(loop)
    with pytest.raises(ValueError, match='nested too deeply'):
        load_restricted(dump(loop))
    many = [0]
    for _ in range(4):
        many = [many] * 1000  # 10^12 places, five lists
    found = load_restricted(dump(many))
    assert len({id(part) for part in found}) == 1
    huge = (np.ndarray, (10**12,), b'f8')  # of _reconstruct: not taken at its word
    path = dump(Attack(np.zeros(0).__reduce__()[0], *huge))
    assert load_restricted(path).shape == (0,)


def test_annotations_by_name_and_by_split(dump):
    rows = [annotation('c0'), annotation('c1')]
    named = {f'c{i}': {k: v for k, v in annotation().items() if k != 'frame_dir'}
             for i in (0, 1)}  # fmt: skip
    for value, splits in (
        (named, {'train': ('c0', 'c1')}),
        (
            {'train': rows[:1], 'val': tuple(rows[1:])},
            {'train': ('c0',), 'val': ('c1',)},
        ),
        (
            {'train': [rows[0], 'odd'], 'val': rows[1:]},
            {'train': ('c0',), 'val': ('c1',)},
        ),
    ):
        split, found, _ = read_pyskl(dump(value), 'train')
        assert split == splits
        assert [row['frame_dir'] for row in found] == ['c0', 'c1']
        np.testing.assert_array_equal(found[1]['keypoint'], rows[1]['keypoint'])


def test_annotations_with_less_and_in_other_shapes(dump):
    row = annotation(shape=(1, 3, 17))
    joined = np.concatenate([row['keypoint'], row['keypoint_score'][..., None]], -1)
    for changes, lacking in (
        ({}, ('total_frames', 'img_shape')),
        ({'keypoint': joined}, ('keypoint_score',)),
        ({k: row[k][0] for k in ('keypoint', 'keypoint_score')}, ()),
    ):
        value = {k: v for k, v in {**row, **changes}.items() if k not in lacking}
        _, (found,), _ = read_pyskl(dump(content(value)))
        for key in ('keypoint', 'keypoint_score'):
            np.testing.assert_array_equal(found[key], row[key].astype(np.float32))
        assert (found['img_shape'], found['unscored']) == ((240, 320), False)


def test_labels_that_are_withheld(tmp_path):
    rows = [annotation('c0', -1), annotation('c1', 3), annotation('c2', None)]
    rows += [{k: v for k, v in annotation('c3').items() if k != 'label'}]
    (tmp_path / 'test.pkl').write_bytes(pickle.dumps(rows))
    convert('pyskl', tmp_path / 'test.pkl', tmp_path / 'out')
    actions = [clip.action for clip in DataRoot(tmp_path / 'out').read_rec()]
    assert actions == [None, 3, None, None]


def test_what_a_pickle_does_to_a_name_ends_with_it(dump):
    changed = b'cnumpy\ndtype\n(N}X\x0c\x00\x00\x00__defaults__K\x01\x85stb.'
    with pytest.raises(ValueError, match='something else than annotations'):
        load_restricted(dump(changed))
    row = content(annotation())
    assert read_pyskl(dump(row))[1][0]['label'] == 1


def test_nan_is_missing_and_scores_are_cut(dump):
    row = annotation(shape=(1, 2, 17))
    row['keypoint'][0, 0, 3, 1] = np.nan
    row['keypoint_score'][0, 0, 4] = np.nan
    row['keypoint_score'][0, 1, 5] = 1.25
    _, (clip,), _ = read_pyskl(dump(content(row)))
    keypoint, score = clip['keypoint'], clip['keypoint_score']
    assert clip['repaired'] == 3
    assert score[0, 0, 3] == score[0, 0, 4] == 0
    assert not keypoint[0, 0, 3:5].any()
    assert score[0, 1, 5] == 1
    assert np.isfinite(keypoint).all()


@pytest.mark.parametrize(
    ('value', 'message'),
    [
        ([], 'no annotations'),
        ('text', 'a str of nothing named; needs'),
        ([annotation()], 'the name of the file has no subset. Say which'),
        (dict(annotations=[annotation()]), 'a list of annotations without splits'),
        (content(annotation()) | {'split': {}}, 'at least one split'),
        (content(), 'no annotations'),
        (content('row'), 'annotation 0: a str, expected a dict'),
        (content(dict(frame_dir='c0')), 'annotation 0 c0: no keypoint, img_shape; it'),
        (content(annotation(label=-2)), 'label -2: must be a whole number'),
        (content(annotation(label='nod')), "label 'nod': must be a whole number"),
        (content(annotation(img_shape=(0, 9))), r'img_shape \[0, 9\]: must be height'),
        (content(annotation(total_frames=4)), 'not the total_frames 4'),
        (content(annotation(shape=(1, 0, 17))), 'not the total_frames 0, 1 or more'),
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


@pytest.fixture
def source(tmp_path):
    def write(rows=None, name='download/poses.pkl', **splits):
        rows = rows or [annotation(n, i) for i, n in enumerate('abc')]
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        splits = splits or {'train': ['a', 'b'], 'test': ['c']}
        path.write_bytes(pickle.dumps(content(*rows, **splits)))
        return path

    return write


def joints(number):
    """Shape of one person with so many joints."""
    return (1, 3, number)


def test_a_pickle_becomes_a_root(source, tmp_path):
    rows = [
        annotation('a', 0, joints(17)),
        annotation('b', 81),
        annotation('c', 5, joints(17)),
    ]
    conversion = convert('pyskl', source(rows), tmp_path / 'out', Options(fps=25))
    root = DataRoot(tmp_path / 'out')
    info = root.info
    assert (info.name, info.label_space, info.simulated) == ('poses', 'mma82', False)
    clips = root.read_rec()
    expected = [('a', 'train', 0), ('b', 'train', 81), ('c', 'test', 5)]
    assert [(c.clip, c.subset, c.action) for c in clips] == expected
    assert {(c.path, c.domain, c.subject) for c in clips} == {('', 'lab', '')}
    assert root.label_space().actions[81] in (root.path / 'rec.csv').read_text()
    store = SkeletonStore(root.path, 'rec')
    assert store.layout.names == JOINT_SETS['body17']
    assert ('left_wrist', 'right_wrist') in store.layout.flip_pairs
    assert store.layout.extractor == 'pyskl'
    assert (store.fps('a'), store.size('a')) == (25, (320, 240))
    keypoint, score = store.get('b')
    np.testing.assert_allclose(keypoint, rows[1]['keypoint'], atol=1 / 32)
    np.testing.assert_allclose(score, rows[1]['keypoint_score'], atol=1e-4)
    assert conversion.notices == ['labels are taken as indices of mma82']


def test_a_mapping_names_splits_domains_and_labels(source, tmp_path, mapping_file):
    splits = {'xsub_train': ['a'], 'xsub_val': ['b'], 'xview_train': ['b', 'c']}
    mapping = dict(
        label_space='ma52',
        splits=dict(xview_train='', xsub_val='test'),
        domain='emotion',
        domains=dict(b='street'),
    )
    options = Options(mapping=mapping_file(mapping))
    folder = source(**splits).parent  # with one pickle in it
    found = convert('pyskl', folder, tmp_path / 'out', options)
    clips = DataRoot(tmp_path / 'out').read_rec()
    expected = [('a', 'train', 'emotion'), ('b', 'test', 'street')]
    assert [(c.clip, c.subset, c.domain) for c in clips] == expected
    assert found.notices[:4] == [
        'split xview_train is left out',
        'labels are taken as indices of ma52',
        '30 frames per second assumed (--fps)',
        '1 clips are in no split that was taken',
    ]


def test_a_layout_by_name_or_by_its_number_of_joints(source, tmp_path, mapping_file):
    for name, count, mapping in (
        ('halpe68', 68, None),
        ('openpose25', 25, mapping_file({'layout': 'openpose25'})),
    ):
        options = Options(mapping=mapping)
        rows = [annotation('a', 0, joints(count))]
        out = tmp_path / name
        convert('pyskl', source(rows, train=['a']), out, options)
        layout = SkeletonStore(out, 'rec').layout
        assert layout == replace(LAYOUTS[name], extractor='pyskl')


def test_a_layout_of_ones_own(source, tmp_path, mapping_file):
    mapping = mapping_file(dict(layout=dict(names=['head', 'tail'], limbs=[])))
    rows = [annotation(n, 0, joints(2)) for n in 'abc']
    convert('pyskl', source(rows), tmp_path / 'out', Options(mapping=mapping))
    store = SkeletonStore(tmp_path / 'out', 'rec')
    assert store.layout.names == ('head', 'tail')


def test_force_replaces_skeletons_and_repairs_are_told(source, tmp_path):
    out = tmp_path / 'out'
    convert('pyskl', source(), out)
    rows = [annotation(n, 0, joints(65)) for n in 'abc']
    rows[0]['keypoint'][0, 0, 0] = np.nan
    found = convert('pyskl', source(rows), out, Options(force=True))
    assert len(SkeletonStore(out, 'rec').layout.names) == 65
    assert not any('was there before' in notice for notice in found.notices)
    assert any('1 joints had NaN' in notice for notice in found.notices)


@pytest.mark.parametrize(
    ('rows', 'splits', 'message'),
    [
        ([annotation('a', 82)], {}, r'a: label 82, but mma82 has 0\.\.81'),
        (
            [annotation('a', 0, joints(25))],
            {},
            r'clips of 25 joints; 17, 26, 33, 65, 68, 136 are known\. Name the layout',
        ),
        ([annotation('a', 0, joints(5))], {}, 'clips of 5 joints'),
        (
            [
                annotation('abcde'[n], 0, joints(v))
                for n, v in enumerate((17, 17, 65, 5, 6))
            ],
            {},
            'c: 65 joints, the layout has 17',
        ),
        ([annotation('a')] * 4, {}, 'a: is there twice'),
        (None, {'train': 'ayz'}, "split 'train', y: has no annotation"),
        (None, {'train': 'a', 'val': 'a'}, "'train', a: is in another subset too"),
        (None, {'all': 'a'}, 'no split is a subset: all. Say which'),
        (None, {'x_val': 'a', 'y_val': 'b'}, 'several splits for val: x_val, y_val'),
    ],
)
def test_bad_pickles(source, tmp_path, rows, splits, message):
    splits = splits or {'train': [row['frame_dir'] for row in rows]}
    with pytest.raises(ValueError, match=message):
        convert('pyskl', source(rows, **splits), tmp_path / 'out')
    assert not (tmp_path / 'out' / 'rec.csv').exists()


@pytest.mark.parametrize(
    ('mapping', 'message'),
    [
        ({'split': {}}, "'split'.*Did you mean 'splits'"),
        ({'splits': {'trian': 'train'}}, "no split 'trian'.*Did you mean 'train'"),
    ],
)
def test_bad_mappings(source, mapping_file, tmp_path, mapping, message):
    options = Options(mapping=mapping_file(mapping))
    with pytest.raises(ValueError, match=message):
        convert('pyskl', source(), tmp_path / 'out', options)


def test_no_pickle_and_several(source, tmp_path):
    source(), source(name='download/more.pickle')
    with pytest.raises(ValueError, match=r"2 pickles, .*'[abc]'; give one of them"):
        convert('pyskl', tmp_path / 'download', tmp_path / 'out')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(FileNotFoundError, match=r'no \.pkl or \.pickle file is in it'):
        convert('pyskl', tmp_path / 'empty', tmp_path / 'out')


def test_odd_clips_are_left_out_and_told(source, tmp_path):
    rows = [annotation(n, i) for i, n in enumerate('abcdefgh')]
    rows[2]['label'] = 'nod'
    rows[4] = annotation('e', 0, joints(65))
    rows[5] = annotation('a', 0)
    splits = {'train': 'abcdez', 'test': 'aghf'}
    path, out = source(rows, **splits), tmp_path / 'out'
    conversion = convert('pyskl', path, out)
    clips = {clip.clip: clip.subset for clip in DataRoot(out).read_rec()}
    assert clips == dict(a='test', g='test', h='test', b='train', d='train')
    assert set(SkeletonStore(out, 'rec').names) == set(clips)
    assert DataRoot(out).read_rec()[0].action == 0  # of the first of two
    told = '\n'.join(conversion.notices)
    for text in (
        "2 of 8 left out of poses.pkl: annotation 2 c: label 'nod'",
        'annotation 5 a: is there twice',
        "split 'train', z: has no annotation",
        "split 'train', a: is in another subset too",
        '1 of 6 left out of poses.pkl: e: 65 joints, the layout has 17',
    ):
        assert text in told, text
    with pytest.raises(ValueError, match='2 problems'):
        convert('pyskl', path, tmp_path / 'other', Options(strict=True))
    assert not (tmp_path / 'other').exists()


@pytest.mark.parametrize(
    'shape', [(0, 3, 17), (0, 0, 17), (0,), (2, 3, 0)], ids=['M', 'MT', 'flat', 'V']
)
def test_a_clip_in_which_nobody_was_found_has_no_joint(source, tmp_path, shape):
    rows = [annotation(n, i) for i, n in enumerate('abc')]
    rows[1]['keypoint'] = np.zeros((*shape, 2) if len(shape) > 1 else shape)
    rows[1]['keypoint_score'] = np.zeros(shape)
    rows[2]['keypoint_score'] = rows[2]['keypoint_score'] * 0
    conversion = convert('pyskl', source(rows), tmp_path / 'out')
    assert '2 clips in which nobody was found: b, c' in conversion.notices
    store = SkeletonStore(tmp_path / 'out', 'rec')
    assert store.names == ['a', 'b', 'c']
    assert store.frames('b') == 3
    assert not store.get('b')[1].any()


def test_large_pictures_are_scaled(source, tmp_path):
    rows = [annotation(n, 0, joints(17)) for n in 'abc']
    for row, size in zip(rows, [(2160, 3840), (4000, 3000), (240, 320)], strict=True):
        row['img_shape'] = size
        share = np.random.default_rng(1).random((1, 3, 17, 2))
        row['keypoint'] = (share * size[::-1]).astype(np.float32)
        row['keypoint_score'][:] = 0.5
    rows[2]['keypoint'][0, 0, 0] = 9000, 3  # no store can hold it
    found = convert('pyskl', source(rows), tmp_path / 'out')
    store = SkeletonStore(tmp_path / 'out', 'rec')
    sizes = [store.size(name) for name in 'abc']
    assert sizes == [(2047, 1151), (1535, 2047), (320, 240)]
    for name, scale in dict(a=2047 / 3840, b=2047 / 4000).items():
        expected = rows['abc'.index(name)]['keypoint'] * scale
        np.testing.assert_allclose(store.get(name)[0], expected, atol=1 / 16)
    assert store.get('c')[1][0, 0, 0] == 0
    assert any('2 clips are of larger pictures' in n for n in found.notices)
    assert any('1 joints had NaN or lay far outside' in n for n in found.notices)


def write_list(path, names):
    path.parent.mkdir(exist_ok=True)
    rows = [annotation(name, i) for i, name in enumerate(names)]
    path.write_bytes(pickle.dumps(rows))
    return path


@pytest.mark.parametrize(
    ('name', 'subset'),
    [
        ('ntu60_xsub_train.pkl', 'train'),
        ('gym-val.pickle', 'val'),
        ('Testing.PKL', 'test'),
        ('trainers_valid.pkl', 'val'),
    ],
)
def test_a_list_is_of_the_subset_in_its_name(tmp_path, name, subset):
    convert('pyskl', write_list(tmp_path / 'in' / name, 'abc'), tmp_path / 'out')
    clips = DataRoot(tmp_path / 'out').read_rec()
    assert [(c.clip, c.subset, c.action) for c in clips] == [
        *(('a', subset, 0), ('b', subset, 1), ('c', subset, 2))
    ]


def test_a_list_is_of_the_subset_that_a_mapping_says(tmp_path, mapping_file):
    path = write_list(tmp_path / 'in' / 'train_val.pkl', 'ab')
    with pytest.raises(ValueError, match='has several subsets'):
        convert('pyskl', path, tmp_path / 'out')
    mapping = mapping_file({'subset': 'test'})
    convert('pyskl', path, tmp_path / 'out', Options(mapping=mapping))
    assert {c.subset for c in DataRoot(tmp_path / 'out').read_rec()} == {'test'}
    mapping = mapping_file({'subset': 'tset'})
    with pytest.raises(ValueError, match='tset'):
        convert('pyskl', path, tmp_path / 'out', Options(mapping=mapping, force=True))


def test_a_folder_of_lists_is_one_root(tmp_path):
    folder = tmp_path / 'ntu'
    write_list(folder / 'x_train.pkl', 'abc'), write_list(folder / 'x_val.pkl', 'de')
    convert('pyskl', folder, tmp_path / 'out')
    root = DataRoot(tmp_path / 'out')
    clips = {clip.clip: clip.subset for clip in root.read_rec()}
    assert clips == {**dict.fromkeys('abc', 'train'), **dict.fromkeys('de', 'val')}
    assert root.info.name == 'ntu'
    write_list(folder / 'x_test.pkl', 'ea')
    with pytest.raises(ValueError, match=r"3 pickles, of which several have 'a'"):
        convert('pyskl', folder, tmp_path / 'other')


def test_a_folder_of_single_annotations_is_one_root(tmp_path, mapping_file):
    folder = tmp_path / 'one_per_video'
    folder.mkdir()
    for number, name in enumerate('abc'):
        (folder / f'{name}.pkl').write_bytes(pickle.dumps(annotation(name, number)))
    mapping = mapping_file({'subset': 'val'})
    convert('pyskl', folder, tmp_path / 'out', Options(mapping=mapping))
    clips = DataRoot(tmp_path / 'out').read_rec()
    assert [(c.clip, c.subset, c.action) for c in clips] == [
        *(('a', 'val', 0), ('b', 'val', 1), ('c', 'val', 2))
    ]


def test_joints_without_scores_are_found_where_they_are_not_at_0(source, tmp_path):
    row = annotation('a')
    del row['keypoint_score']
    row['keypoint'][0, 1, 2] = 0
    found = convert(
        'pyskl', source([row, annotation('b'), annotation('c')]), tmp_path / 'o'
    )
    scores = SkeletonStore(tmp_path / 'o', 'rec').get('a')[1]
    assert scores[0, 1, 2] == 0
    assert scores.sum() == scores.size - 1
    assert any('1 clips have no scores' in notice for notice in found.notices)


def test_a_conversion_that_fails_leaves_nothing(source, tmp_path, monkeypatch):
    out = tmp_path / 'out'

    def full(self, *args):
        raise OSError('no space left')

    monkeypatch.setattr('mmma.data.arrays.SkeletonWriter.append', full)
    with pytest.raises(OSError, match='no space'):
        convert('pyskl', source(), out)
    assert not out.exists()
    monkeypatch.undo()
    convert('pyskl', source(), out)
    before = DataRoot(out).fingerprint()
    monkeypatch.setattr('mmma.data.arrays.SkeletonWriter.append', full)
    with pytest.raises(OSError, match='no space'):
        convert('pyskl', source(), out, Options(force=True))
    assert DataRoot(out).fingerprint() == before
    assert len(SkeletonStore(out, 'rec')) == 3


def test_killed_anywhere_clips_have_their_own_skeletons(source, tmp_path):
    old, out = tmp_path / 'old', tmp_path / 'out'
    convert('pyskl', source(), old)
    rows = [annotation(n, 1, joints(65)) for n in 'abc']
    new, found = source(rows), set()

    def seen():
        try:
            actions = {clip.action for clip in DataRoot(out).read_rec()}
        except FileNotFoundError:
            return 'refused'
        return max(actions), len(SkeletonStore(out, 'rec').layout.names)

    shutil.copytree(old, out)
    before = seen()
    again = Options(force=True)
    for _ in kill_points(lambda: convert('pyskl', new, out, again), step=2):
        found.add(seen())
        shutil.rmtree(out)
        shutil.copytree(old, out)
    assert found == {before, 'refused', (1, 65)}
