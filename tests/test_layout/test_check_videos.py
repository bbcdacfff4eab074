import os

import pytest
from video_files import make_video, moving_frames

from mmma.layout import check_videos
from mmma.layout.check_videos import Use, broken_videos, decode_all, missing_videos
from mmma.layout.root import DataRoot


@pytest.fixture
def files(root):
    """A whole video and one without content."""
    make_video(root / 'videos' / 'a.mp4', moving_frames(12), fps=30)
    (root / 'videos' / 'b.mp4').write_bytes(b'')
    return root


def use(path='videos/a.mp4', **facts):
    return Use('rec.csv', 7, 'clip', path, **facts)


def texts(problems):
    return [str(problem) for problem in problems]


def test_missing_and_outside(files, tmp_path):
    (files / 'videos' / 'out.mp4').symlink_to(tmp_path)
    paths = ['videos/a.mp4', 'videos/c.mp4', 'videos/out.mp4']
    found = texts(missing_videos(DataRoot(files), [use(path) for path in paths]))
    assert found[0] == 'rec.csv:7: clip: videos/c.mp4: no such file'
    assert "'videos/out.mp4' leaves the data root" in found[1]
    assert len(found) == 2


@pytest.mark.parametrize('workers', [0, 2])
def test_broken_files_name_their_row(files, workers):
    uses = [use(), use('videos/b.mp4'), use('videos/gone.mp4')]
    found = texts(broken_videos(DataRoot(files), uses, workers))
    assert found == ['rec.csv:7: clip: videos/b.mp4: zero bytes']


@pytest.mark.parametrize(
    ('facts', 'expected'),
    [
        ({'frames': 12, 'fps': 30.0, 'duration': 0.4}, []),
        ({'frames': 13}, []),
        ({'frames': 14}, ['12 frames, expected 14']),
        ({'frames': 10}, ['12 frames, expected 10']),
        ({'fps': 29.97}, []),
        ({'fps': 29.0}, ['30.00 frames per second, expected 29.00']),
        ({'duration': 0.8}, []),
        ({'duration': 1.0}, ['0.40 s long, expected 1.00 s']),
    ],
)
def test_what_the_tables_say_is_compared(files, facts, expected):
    found = broken_videos(DataRoot(files), [use(**facts)], 0)
    assert [p.text.removeprefix('videos/a.mp4: ') for p in found] == expected


def test_a_shared_file_is_decoded_once_and_reported_for_each_row(files, capsys):
    uses = [use('videos/b.mp4'), Use('det.json', 2, 'v', 'videos/b.mp4')]
    found = list(broken_videos(DataRoot(files), uses, 0))
    assert [problem.item for problem in found] == ['clip', 'v']
    assert capsys.readouterr().err == 'decode 1/1\n'


def test_a_crash_of_the_decoder_costs_one_file(files, monkeypatch):
    whole = files / 'videos' / 'a.mp4'
    names = {str(i): whole for i in range(9)} | {'bad': files / 'videos' / 'b.mp4'}
    decode = check_videos.decode_video
    monkeypatch.setattr(
        check_videos,
        'decode_video',
        lambda path: decode(path) if path == whole else os._exit(1),
    )
    outcomes = dict(decode_all(names, 2))
    assert outcomes.pop('bad') == 'the decoder crashes on it'
    assert {outcome.frames for outcome in outcomes.values()} == {12}


def test_order_is_that_of_the_tables(files):
    names = {str(i): files / 'videos' / f'{"ab"[i % 2]}.mp4' for i in range(20)}
    outcomes = list(decode_all(names, 2))
    assert [name for name, _ in outcomes] == list(names)
    assert [isinstance(outcome, str) for _, outcome in outcomes] == [False, True] * 10
