import json

import numpy as np
import pytest

from mmma.layout.root import DataRoot
from mmma.packing.tables import copy_table, move_joints, packed_path


@pytest.mark.parametrize(
    ('path', 'packed'),
    [('v/a.mp4', 'v/a.mp4'), ('v/a.MP4', 'v/a.MP4'), ('v/a.avi', 'v/a.avi.mp4')],
)
def test_names(path, packed):
    assert packed_path(path) == packed


def test_tables_whose_paths_stay_are_copied(det_root, tmp_path):
    copy_table(DataRoot(det_root), tmp_path, 'det')
    assert (tmp_path / 'det.json').read_bytes() == (det_root / 'det.json').read_bytes()


def test_only_paths_change(det_root, tmp_path):
    source = tmp_path / 'root'
    source.mkdir()
    (source / 'dataset.json').write_bytes((det_root / 'dataset.json').read_bytes())
    content = json.loads((det_root / 'det.json').read_text())
    content['version'] = '1'
    content['database']['lab_train_0']['path'] = 'videos/x.avi'
    content['database']['lab_train_0']['own'] = 7
    (source / 'det.json').write_text(json.dumps(content))
    (source / 'rec.csv').write_text(
        'clip,path,subset,domain,subject,action,body,own\n'
        'a,videos/a.mkv,train,lab,s,0,,"x, y"\nb,,train,lab,s,0,,\n'
    )
    for task in ('rec', 'det'):
        copy_table(DataRoot(source), tmp_path, task)
    content['database']['lab_train_0']['path'] = 'videos/x.avi.mp4'
    assert json.loads((tmp_path / 'det.json').read_text()) == content
    assert (tmp_path / 'rec.csv').read_text().splitlines()[1:] == [
        'a,videos/a.mkv.mp4,train,lab,s,0,,"x, y"',
        'b,,train,lab,s,0,,',
    ]


def test_joints_follow_the_crop():
    place = {'picture': [200, 100], 'crop': [50, 0, 100, 100], 'size': [40, 40]}
    points = np.array([[25.0, 0.0], [50.0, 25.0]])  # in a picture of 100 x 50
    assert move_joints(points, (100, 50), place).tolist() == [[0, 0], [20, 20]]
