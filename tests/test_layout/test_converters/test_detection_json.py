"""What the detection converters share; the formats' own tests go further."""

import json

import pytest

from mmma.layout.converters.detection_json import ForeignVideo, convert_detection
from mmma.layout.converters.target import Options
from mmma.layout.root import DataRoot

ENTRY = {'subset': 'train', 'duration': 4, 'fps': 10, 'domain': 'street'}


def parse(content):
    """A format of a list of names."""
    if not isinstance(content, list):
        raise ValueError('need a list')
    happens = [([1, 2], 'nodding')]
    return [
        ForeignVideo(n or '?', ENTRY, happens, fault='' if n else 'has no name')
        for n in content
    ]


def run(tree, tmp_path, content, **options):
    source = tree({'v.json': json.dumps(content)})
    return convert_detection('X', parse, source, tmp_path / 'out', Options(**options))


def test_any_format(tree, tmp_path):
    conversion = run(tree, tmp_path, ['a', 'b'])
    root = DataRoot(tmp_path / 'out')
    assert root.info.source == 'X v.json'
    assert [v.video for v in root.read_det()] == ['a', 'b']
    assert {(v.frames, v.domain) for v in conversion.videos} == {(40, 'street')}
    assert not root.info.simulated


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ({'a': 1}, r'v\.json: need a list'),
        (['a', ''], r'v\.json: 1 problem\n.*\?: has no name'),
        ([], r'v\.json: no videos are left'),
    ],
)
def test_what_the_format_refuses(tree, tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        run(tree, tmp_path, content)


def test_a_folder_that_is_not_empty(tree, tmp_path):
    run(tree, tmp_path, ['a'])
    with pytest.raises(ValueError, match='is not empty: give --force'):
        run(tree, tmp_path, ['a'])
    run(tree, tmp_path, ['a'], force=True)
