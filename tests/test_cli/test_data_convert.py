import pytest

from mmma.cli import main

LIST = 'train_list_videos.txt'


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / 'src'
    folder.mkdir()
    (folder / LIST).write_text('0003_01_0001.mp4 9\n')
    return folder


def test_what_was_written_is_printed(source, tmp_path, capsys):
    out = tmp_path / 'out'
    assert main('data/convert', ['ma52', str(source), str(out)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f'wrote {out}\n  rec.csv: 1 train clips, 0 unlabelled')
    assert 'note: no val_list_videos.txt: no val clips' in printed
    assert printed.endswith(f'next: python tools/data/check.py {out} --decode\n')


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['mma52'], 'none of train.csv'),
        (['mma52', '--fps', '0'], '--fps 0: must be 1..1000'),
        (['mma82', '--mapping', 'gone.json'], 'gone.json: no such file'),
    ],
)
def test_errors_show_no_traceback(source, tmp_path, capsys, arguments, message):
    kind, *options = arguments
    argv = [kind, str(source), str(tmp_path / 'out'), *options]
    assert main('data/convert', argv) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ''


def test_force(source, tmp_path, capsys):
    argv = ['ma52', str(source), str(tmp_path / 'out')]
    assert [main('data/convert', argv) for _ in range(2)] == [0, 2]
    assert 'give --force' in capsys.readouterr().err
    assert main('data/convert', [*argv, '--force']) == 0


def test_only_what_exists_is_listed(capsys):
    with pytest.raises(SystemExit) as stop:
        main('data/convert', ['thumos', 'a', 'b'])
    assert stop.value.code == 2
    assert "invalid choice: 'thumos'" in capsys.readouterr().err


@pytest.mark.parametrize('kind', ['opentad', 'pointtad'])
def test_export_and_back(det_root, tmp_path, capsys, kind):
    theirs, back = str(tmp_path / 'theirs'), str(tmp_path / 'back')
    assert main('data/convert', [kind, str(det_root), theirs, '--export']) == 0
    printed = capsys.readouterr().out
    assert f'{kind}.json: train 4, val 1, test 3 videos, 8 instances' in printed
    assert main('data/convert', [kind, str(det_root), theirs, '--export']) == 2
    assert 'is not empty: give --force' in capsys.readouterr().err
    assert main('data/convert', [kind, theirs, back]) == 0
    assert 'det.json: 4 train + 1 val + 3 test videos' in capsys.readouterr().out


def test_what_cannot_be_exported(det_root, tmp_path, capsys):
    argv = ['ma52', str(det_root), str(tmp_path / 'out'), '--export']
    assert main('data/convert', argv) == 2
    assert "unknown format to export 'ma52'" in capsys.readouterr().err
