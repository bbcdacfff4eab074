import errno
import json
import re
from fractions import Fraction

import pytest
from pack_roots import make_pack_root
from video_files import make_changing_video, make_video, moving_frames

from mmma.cli import main
from mmma.media import pack as packer

SMALL = ['--short-side', '32', '--gop', '4', '--workers', '0']


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return make_pack_root(tmp_path_factory.mktemp('cli') / 'root', clips=5)


def test_pack_and_record(root, tmp_path, capsys):
    out = tmp_path / 'out'
    assert main('data/pack', [str(root), str(out), *SMALL, '--crop', 'person']) == 0
    captured = capsys.readouterr()
    assert f'{out}: 5 videos, 5 packed now in' in captured.out
    assert 'more videos: about' in captured.err
    assert 'pack, MB 0/0' in captured.err
    packed = json.loads((out / 'dataset.json').read_text())['packed']
    assert (packed['short_side'], packed['person']) == (32, 'largest')


def test_failures_come_last_with_their_reason(tmp_path, capsys):
    root = make_pack_root(tmp_path / 'root', clips=2)
    (root / 'videos/0.mp4').write_bytes(b'')
    assert main('data/pack', [str(root), str(tmp_path / 'out'), *SMALL]) == 1
    err = capsys.readouterr().err.splitlines()
    assert err[-2] == 'FAILED videos/0.mp4: zero bytes'
    assert err[-1].endswith(
        '1 of 2 videos failed; ' + f'{tmp_path}/out is not finished'
    )


def test_nobody_to_follow_and_changes_are_told(tmp_path, capsys):
    root = make_pack_root(tmp_path / 'root', clips=2)
    call = [str(root), str(tmp_path / 'out'), *SMALL, '--crop', 'person']
    call += ['--person', '5']
    main('data/pack', call)
    assert 'nobody to follow in 2 videos' in capsys.readouterr().out
    (root / 'videos/0.mp4').touch()
    main('data/pack', call)
    assert '1 had changed and were packed anew' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--workers', '-1'], '--workers -1: must be 0 or more'),
        (['--crop', 'persn'], "unknown crop 'persn'"),
        (['--person', 'bigest'], "person 'bigest': use largest"),
    ],
)
def test_bad_usage(root, tmp_path, capsys, options, message):
    assert main('data/pack', [str(root), str(tmp_path / 'out'), *options]) == 2
    assert f'error: {message}' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('error', 'status', 'message'),
    [
        (OSError(errno.ENOSPC, 'x'), 2, 'videos/0.mp4: No space left on device'),
        (KeyboardInterrupt(), 130, 'interrupted'),
    ],
)
def test_what_is_done_is_kept(
    root, tmp_path, capsys, monkeypatch, error, status, message
):
    def stop(*_):
        raise error

    monkeypatch.setattr(packer, 'pack_video', stop)
    assert main('data/pack', [str(root), str(tmp_path / 'out'), *SMALL]) == status
    wanted = f'{message}[;:] what is done is kept: the same command goes on\n'
    assert re.search(wanted, capsys.readouterr().err)


def test_pictures_of_another_shape_are_counted(tmp_path, capsys):
    root = make_pack_root(tmp_path / 'root', clips=3)
    frames = moving_frames(12, 60, 80)
    make_video(root / 'videos/0.mp4', frames, pixels=Fraction(4, 3))
    half = frames[:6, ::2, ::2]
    make_changing_video(root / 'videos/1.mkv', frames[:6], half, codec='mjpeg')
    assert main('data/pack', [str(root), str(tmp_path / 'out'), *SMALL]) == 0
    out = capsys.readouterr().out
    assert 'the pixels of 1 videos were not square, and are now\n' in out
    assert 'the picture of 1 videos changes its size: scaled to the first\n' in out
