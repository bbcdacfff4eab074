import json
import shutil

import pytest

from mmma.cli import main
from mmma.data.clips import Clip, write_rec
from mmma.data.root import DatasetInfo, write_info
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
    assert main('data/check', [str(bad_root), '--strict']) == 1
    captured = capsys.readouterr()
    assert f"{bad_root}/rec.csv:3: b: unknown action 'noding'" in captured.out
    assert f'{bad_root}/rec.csv:4: c: videos/c.mp4: no such file' in captured.out
    assert captured.err == 'something is wrong\n'


def test_odd_rows_are_no_fault_by_themselves(root, capsys):
    with (root / 'rec.csv').open('a') as file:
        file.write('b,,train,lab,s,noding,\n')
    assert main('data/check', [str(root)]) == 0
    told = 'notes: 1 of 2 rows repaired or left out of rec.csv: b: unknown action'
    assert told in capsys.readouterr().out


def test_labels_that_may_count_from_1_are_a_warning(root, capsys):
    rows = ''.join(f'x{i},,train,lab,s,{i},\n' for i in range(1, 5))
    head = (root / 'rec.csv').read_text().splitlines()[0]
    (root / 'rec.csv').write_text(f'{head}\n{rows}')
    told = 'rec.csv: labels are indices 1..4; none is 0: they are taken to count from 0'
    assert main('data/check', [str(root), '--json', '-']) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)['warnings'] == [f'warning: {told}']
    assert f'warning: {told}\n' in captured.err
    assert f'  warnings: warning: {told}\n' in captured.err


def test_json_on_standard_output_is_alone_there(bad_root, capsys):
    assert (
        main('data/check', [str(bad_root), '--json', '-', '--decode', '--strict']) == 1
    )
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
        (['.', '--against', 'x'], '--against compares with other data'),
    ],
)
def test_bad_usage(capsys, arguments, message):
    assert main('data/check', arguments) == 2
    assert f'error: {message}' in capsys.readouterr().err


def test_leakage_is_a_table_and_decides(root, tmp_path, capsys):
    rows = 'b,,test,lab,s,0,,talk\nc,,train,lab,t,0,,talk\n'
    text = (root / 'rec.csv').read_text().replace('body\n', 'body,source_video\n')
    (root / 'rec.csv').write_text(text.rstrip('\n') + ',\n' + rows)
    (tmp_path / 'test.txt').write_text('A.mp4\n')
    options = ['--leakage', '--against', str(tmp_path / 'test.txt'), '--json', '-']
    assert main('data/check', [str(root), *options, '--names-only']) == 1
    captured = capsys.readouterr()
    report = json.loads(captured.out)
    found = {(row['what'], row['level']) for row in report['leakage']['shared']}
    assert found == {('subjects', 'warning'), ('sources', 'error'), ('names', 'error')}
    assert not report['ok']
    assert not report['leakage']['ok']
    assert 'leakage: names only' in captured.err
    assert '| error   | rec train | rec test' in captured.err


def test_no_leakage_and_unreadable_videos(root, capsys):
    (root / 'bad.mp4').write_bytes(b'')
    with (root / 'rec.csv').open('a') as file:
        file.write('b,bad.mp4,test,lab,t,0,\n')
    assert main('data/check', [str(root), '--leakage', '--workers', '0']) == 0
    out = capsys.readouterr().out
    assert f'not readable: {root}/bad.mp4: zero bytes' in out
    assert 'nothing is shared' in out


def test_links_are_followed_when_asked(video_root, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv('MMMA_FOLLOW_LINKS', raising=False)
    root, storage = tmp_path / 'linked', tmp_path / 'storage'
    shutil.copytree(video_root, root)
    (root / 'videos').rename(storage)
    (root / 'videos').symlink_to(storage)
    assert main('data/check', [str(root)]) == 1
    assert 'give --follow-links if you made the link' in capsys.readouterr().out
    monkeypatch.setenv('MMMA_FOLLOW_LINKS', '')  # is set by the command, then undone
    assert main('data/check', [str(root), '--follow-links']) == 0
