import json

from mmma.layout.converters.detection_export import write_foreign
from mmma.layout.root import DataRoot, write_info


def test_the_file_and_its_classes(root, tmp_path, space):
    data = DataRoot(root)
    lines = write_foreign(data, tmp_path / 'x.json', lambda v: {'d': v.duration})
    assert lines[0].endswith('x.json: val 1 videos, 2 instances')
    assert json.loads((tmp_path / 'x.json').read_text()) == {
        'v': {'d': 10.0, 'simulated': True}
    }
    names = (tmp_path / 'category_idx.txt').read_text().splitlines()
    assert tuple(names) == space.actions


def test_real_data_are_not_marked(root, tmp_path):
    info = DataRoot(root).info
    write_info(root, type(info)(info.name, info.label_space, simulated=False))
    write_foreign(DataRoot(root), tmp_path / 'x.json', lambda v: {}, ('{"a": {', '}}'))
    assert json.loads((tmp_path / 'x.json').read_text()) == {'a': {'v': {}}}
