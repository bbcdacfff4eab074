"""What lies beside an array of features."""

import json

import pytest

from mmma.layout.feature_files import (
    FeatureRow,
    FeaturesInfo,
    differences,
    read_feature_index,
    read_features_info,
    write_features_info,
)

INFO = FeaturesInfo(stride_sec=2 / 15, dim=4, fps=15.0, weights_sha256='abcdef')


def test_info_survives_writing(tmp_path):
    write_features_info(tmp_path, INFO)
    assert read_features_info(tmp_path) == INFO
    assert json.loads((tmp_path / 'features.json').read_text())['dtype'] == 'float16'


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
        read_features_info(tmp_path)


def test_no_info(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'features\.json: no such file'):
        read_features_info(tmp_path)


def test_an_index(tmp_path):
    path = tmp_path / 'det_index.csv'
    path.write_text('name,start,steps\na,0,3\n"b,c",3,2\nd,5,')
    rows = read_feature_index(path, partial=True)
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
def test_bad_indices(tmp_path, text, message):
    path = tmp_path / 'det_index.csv'
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_feature_index(path)


def test_differences():
    same = dict(stride_sec=0.13333333, dim=4, weights_sha256='abc', backbone=None)
    assert differences(INFO, same) == []
    other = dict(stride_sec=0.1, fps=30.0, weights_sha256='bc')
    assert differences(INFO, other) == [
        f'stride_sec is {2 / 15!r}, wanted 0.1',
        'fps is 15.0, wanted 30.0',
        "weights_sha256 is 'abcdef', wanted 'bc'",
    ]
    with pytest.raises(ValueError, match="unknown feature option 'rate'"):
        differences(INFO, {'rate': 3})
