import pytest

from mmma.cli import main


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / 'src'
    folder.mkdir()
    (folder / 'train_list_videos.txt').write_text('0003_01_0001.mp4 9\n')
    return folder


def test_what_was_written_is_printed(source, tmp_path, capsys):
    out = tmp_path / 'out'
    argv = ['ma52', str(source), str(out)]
    assert main('data/convert', argv) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f'wrote {out}\n  rec.csv: 1 train clips, 0 unlabelled')
    assert 'note: no val_list_videos.txt: no val clips' in printed
    assert printed.endswith(f'next: python tools/data/check.py {out} --decode\n')
    assert main('data/convert', argv) == 2
    assert 'give --force' in capsys.readouterr().err
    assert main('data/convert', [*argv, '--force']) == 0


def test_errors_show_no_traceback(source, tmp_path, capsys):
    for kind, *options, message in (
        ('mma52', '--fps', '0', '--fps 0: must be 1..1000'),
        ('mma82', '--mapping', 'gone.json', 'gone.json: no such file'),
        ('ma52', '--export', "unknown format to export 'ma52'"),
    ):
        argv = [kind, str(source), str(tmp_path / 'out'), *options]
        assert main('data/convert', argv) == 2
        captured = capsys.readouterr()
        assert message in captured.err
        assert captured.out == ''
    with pytest.raises(SystemExit):
        main('data/convert', ['thumos', 'a', 'b'])
    assert "invalid choice: 'thumos'" in capsys.readouterr().err


def test_export_and_back(det_root, tmp_path, capsys):
    theirs, back = str(tmp_path / 'theirs'), str(tmp_path / 'back')
    argv = ['opentad', str(det_root), theirs, '--export']
    assert main('data/convert', argv) == 0
    printed = capsys.readouterr().out
    assert 'opentad.json: train 4, val 1, test 3 videos, 8 instances' in printed
    assert main('data/convert', argv) == 2
    assert 'is not empty: give --force' in capsys.readouterr().err
    assert main('data/convert', ['opentad', theirs, back]) == 0
    assert 'det.json: 4 train + 1 val + 3 test videos' in capsys.readouterr().out
