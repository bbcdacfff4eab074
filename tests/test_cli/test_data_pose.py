import pytest
from pose_backends import use_fake
from video_files import make_video_root

from mmma.cli import main
from mmma.media import pose as extraction


@pytest.fixture
def root(tmp_path, monkeypatch):
    use_fake(monkeypatch)
    return make_video_root(tmp_path / 'root', clips=1)


def pose(root, *flags):
    return main('data/pose', [str(root), '--backend', 'mediapipe', *map(str, flags)])


def test_what_is_printed(root, tmp_path, capsys):
    assert pose(root, '--workers', 0, '--sheet', tmp_path / 'a.png') == 0
    out, err = capsys.readouterr()
    assert 'fake 1 persons=1 smooth=False: 12 clips, 12 looked at now' in out
    assert 'body 100.0%, left hand 51.5%, right hand 51.5%' in out
    assert 'find joints, MB 0/0' in err
    assert (tmp_path / 'a.png').is_file()


def test_failures_are_named(root, capsys):
    (root / 'videos/lab/lab_val_0.mp4').unlink()
    assert pose(root, '--workers', 0) == 1
    err = capsys.readouterr().err
    assert 'FAILED rec lab_val_0: ' in err
    assert '1 of 12 clips failed, so no store was written' in err
    assert pose(root, '--workers', 0, '--skip-broken') == 0
    assert '1 of 12 clips failed, left out of the store' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('flags', 'message'),
    [
        (['--workers', -1], '--workers -1: must be 0 or more'),
        (['--sheet', 'a.gif'], "suffix of --sheet '.gif'"),
        (['--sheet', 'no/such/a.png'], '--sheet: there is no folder'),
        (['--backend', 'rtmlip'], "Did you mean 'rtmlib'"),
    ],
)
def test_bad_usage(root, capsys, flags, message):
    assert pose(root, *flags) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ('error', 'status'), [(OSError(28, 'No space'), 2), (KeyboardInterrupt(), 130)]
)
def test_what_is_done_is_kept(root, monkeypatch, capsys, error, status):
    def stop(*_):
        raise error

    monkeypatch.setattr(extraction, 'write_partial', stop)
    assert pose(root, '--workers', 0) == status
    assert 'kept: the same command goes on' in capsys.readouterr().err
