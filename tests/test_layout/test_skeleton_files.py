import io

import numpy as np
import pytest

from mmma.layout.skeleton_files import (
    IndexRow,
    array_header,
    encode_joints,
    read_index,
    write_index,
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


@pytest.mark.parametrize('frames', [1, 9, 10**12])
def test_header_has_one_length_and_numpy_reads_it(frames):
    header = array_header((frames, 1, 65, 3))
    assert len(header) == 128
    file = io.BytesIO(header)
    assert np.lib.format.read_magic(file) == (1, 0)
    shape, order, dtype = np.lib.format.read_array_header_1_0(file)
    assert (shape, order, dtype) == ((frames, 1, 65, 3), False, np.dtype('<i2'))


def test_index_reads_back(tmp_path):
    rows = [IndexRow('a,b', 0, 3, 29.97, 640, 480, 1), IndexRow('c', 3, 2, 30, 9, 9, 2)]
    write_index(tmp_path / 'i.csv', rows)
    assert list(read_index(tmp_path / 'i.csv').values()) == rows


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
        read_index(tmp_path / 'i.csv')
