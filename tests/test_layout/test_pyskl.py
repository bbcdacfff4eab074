"""Skeleton pickles: what is read, and that nothing else is run."""

import os
import pickle
import struct
from collections import OrderedDict

import numpy as np
import pytest

from mmma.layout.pyskl import load_restricted, read_pyskl


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
