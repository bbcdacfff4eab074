import dataclasses

import pytest
from face_networks import shades, use_fake
from pages import commands
from video_files import make_video

from mmma.cli import main
from mmma.data.root import DatasetInfo, write_info
from mmma.data.videos import Video, write_det
from mmma.taxonomy import load_label_space


@pytest.fixture
def root(tmp_path, monkeypatch):
    use_fake(monkeypatch)
    path, videos = tmp_path / 'root', []
    for name, level in (('a', 240), ('b', 120)):
        make_video(path / f'{name}.mp4', shades(*[level] * 4), 25)
        video = Video(name, f'{name}.mp4', 'test', 'lab', 's', 25.0, 4, 0.16)
        videos.append(dataclasses.replace(video, emotion='sad'))
    write_det(path / 'det.json', videos, load_label_space('mma82'))
    write_info(path, DatasetInfo('toy', 'mma82', simulated=True))
    return path


def find(root, *flags):
    return main('data/face', [str(root), '--backend', 'fer', *map(str, flags)])


def test_what_is_printed(root, tmp_path, capsys):
    assert find(root, '--workers', 0, '--sheet', tmp_path / 'a.png') == 0
    lines = capsys.readouterr().out.splitlines()
    assert ': fake 1 stride=1 fps=None: 2 clips, 2 looked at now: 8 ' in lines[0]
    assert lines[1:4] == [
        'a: a face in 4 of 4 frames',
        'b: a face in 0 of 4 frames; covered, blurred or small in 4',
        f'{root}/faces.csv: a face in 4 of 8 frames (50.0%); none in 1 of 2 videos',
    ]
    assert (tmp_path / 'a.png').is_file()


def test_the_command_of_the_page(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ((name, argv),) = commands('emotion.md', 'Faces')
    assert main(name, [str(root), *argv[1:]]) == 0
    assert (tmp_path / 'faces.png').is_file()


def test_failures_are_named(root, capsys):
    (root / 'a.mp4').unlink()
    assert find(root, '--workers', 0) == 1
    err = capsys.readouterr().err
    assert 'FAILED det a: ' in err
    assert '1 of 2 clips failed, so no faces.csv was written' in err
    assert find(root, '--workers', 0, '--skip-broken') == 0
    assert '1 of 2 clips failed, left out of the faces.csv' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('flags', 'message'),
    [
        (['--workers', -1], '--workers -1: must be 0 or more'),
        (['--sheet', 'a.gif'], "suffix of --sheet '.gif'"),
        (['--stride', 0], '--stride 0, --fps None: must be 1 or more, and above 0'),
    ],
)
def test_bad_usage(root, capsys, flags, message):
    assert find(root, *flags) == 2
    assert message in capsys.readouterr().err
