import json

import pytest

from mmma.layout.converters.detection_mapping import DetectionMapping


def read(tmp_path, content):
    path = tmp_path / 'mapping.json'
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return DetectionMapping.read(path)


def test_the_usual_names_of_subsets():
    mapping = DetectionMapping()
    assert [mapping.subset_of(n) for n in ('training', 'val', 'testing')] == [
        *('train', 'val', 'test')
    ]


def test_names_that_the_user_explains(tmp_path):
    subsets = {'val': 'train', 'test': 'test', 'training': ''}
    mapping = read(tmp_path, {'subsets': subsets})
    assert [mapping.subset_of(n) for n in subsets] == ['train', 'test', '']
    with pytest.raises(
        ValueError, match=r"unknown subset 'Test': known are train, .*training.*--mapp"
    ):
        mapping.subset_of('Test')


def test_the_longest_start_of_a_name_gives_the_domain(tmp_path):
    mapping = read(tmp_path, {'domains': {'s': 'street', 's_em': 'emotion'}})
    assert [mapping.domain_of(v) for v in ('s_1', 's_em1', 'x')] == [
        *('street', 'emotion', 'lab')
    ]


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('{', 'mapping.json: Expecting'),
        ('[1]', 'mapping.json'),
        ({'action_name': {}}, "unknown key 'action_name'.*'action_names'"),
        ({'label_space': 'mma28'}, "unknown label_space 'mma28'.*'mma82'"),
        ({'domain': 'labor'}, "unknown domain 'labor'"),
        ({'domains': {'a': 'x'}}, "unknown domain 'x'"),
        ({'subsets': {'a': 'x'}}, "unknown subset 'x'"),
        ({'first_index': 2}, 'first_index 2: use 0 or 1'),
    ],
)
def test_bad_mappings(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, content)


def test_no_mapping(tmp_path):
    assert DetectionMapping.read(None) == DetectionMapping()
    with pytest.raises(FileNotFoundError, match=r'gone\.json: no such file'):
        DetectionMapping.read(tmp_path / 'gone.json')
