import json

import pytest

from mmma.cli import main
from mmma.layout.rec import Clip, write_rec
from mmma.layout.root import DatasetInfo, write_info
from mmma.taxonomy import load_label_space


@pytest.fixture
def root(tmp_path):
    """A root of one clip that has no video, and needs none."""
    folder = tmp_path / 'root'
    write_info(folder, DatasetInfo('tiny', 'mma82', True))
    clip = Clip('a', '', 'train', 'lab', 's', 0, None)
    write_rec(folder / 'rec.csv', [clip], load_label_space('mma82'))
    return folder


@pytest.fixture
def bad_root(root):
    with (root / 'rec.csv').open('a') as file:
        file.write('b,,train,lab,s,noding,\nc,videos/c.mp4,train,lab,s,0,\n')
    return root


def test_a_good_root(root, capsys):
    assert main('data/check', [str(root)]) == 0
    captured = capsys.readouterr()
    assert 'ok       rec.csv' in captured.out
    assert captured.err == 'fine\n'


def test_a_bad_root(bad_root, capsys):
    assert main('data/check', [str(bad_root)]) == 1
    captured = capsys.readouterr()
    assert f"{bad_root}/rec.csv:3: b: unknown action 'noding'" in captured.out
    assert f'{bad_root}/rec.csv:4: c: videos/c.mp4: no such file' in captured.out
    assert captured.err == 'something is wrong\n'


def test_json_on_standard_output_is_alone_there(bad_root, capsys):
    assert main('data/check', [str(bad_root), '--json', '-', '--decode']) == 1
    captured = capsys.readouterr()
    report = json.loads(captured.out)
    assert (report['ok'], report['name'], report['simulated']) == (False, 'tiny', True)
    assert 'FAILED   rec.csv: 1 problem\n' in captured.err


def test_json_in_a_file(root, tmp_path, capsys):
    file = tmp_path / 'report.json'
    assert main('data/check', [str(root), '--json', str(file)]) == 0
    assert json.loads(file.read_text())['ok']
    assert 'ok       tables' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['gone'], 'No data in gone'),
        (['.', '--workers', '-1'], '--workers -1: must be'),
    ],
)
def test_bad_usage(capsys, arguments, message):
    assert main('data/check', arguments) == 2
    assert f'error: {message}' in capsys.readouterr().err
