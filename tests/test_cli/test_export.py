import json

import pytest

from mmma.cli import main
from mmma.convert.events import read_recordings
from tests.video_files import make_video, numbered_frames

pytest.importorskip('pympi')

RESULTS = {
    'day/one': [
        {'segment': [0.5, 1.0], 'label': 'nodding', 'score': 0.9},
        {'segment': [0.75, 1.5], 'label': 'shaking head', 'score': 0.0},
    ],
    'two': [],
}


@pytest.fixture
def detections(tmp_path):
    path = tmp_path / 'found.json'
    path.write_text(json.dumps({'results': RESULTS}))
    return path


def export(*argv):
    return main('export', [*map(str, argv)])


def test_detections_with_their_videos(detections, tmp_path, capsys):
    make_video(tmp_path / 'shots/day/One.mp4', numbered_frames(20), 10)
    out, videos = tmp_path / 'out', ('--videos', tmp_path / 'shots')
    assert export('elan', detections, out, *videos) == 0
    told = capsys.readouterr()
    assert told.out == f'{out}: 2 files of elan, 2 videos, 2 events\n'
    assert 'two: no video of this name is in' in told.err
    (two, one), _ = read_recordings(out)
    assert (one.name, one.fps, one.duration_sec) == ('day/one', 10, 2)
    assert one.path == str(tmp_path / 'shots/day/One.mp4')
    assert [(e.label, e.score, e.tier) for e in one.events] == [
        ('nodding', 0.9, ''),
        ('shaking head', 0.0, ''),
    ]
    assert two.events == ()
    text = (out / 'day/one.eaf').read_text('utf-8')
    assert 'TIER_ID="head 2"' in text  # groups of MMA-82, whose labels these are
    assert 'TIER_ID="upper limb"' in text
    assert export('elan', detections, out, '--force', '--threshold', '0.5') == 0
    assert '1 events' in capsys.readouterr().out


def test_what_is_refused(detections, tmp_path, capsys):
    for argv, message in (
        (('--label-space', 'ma25'), "unknown label space 'ma25'"),
        (('--threshold', '2'), '--threshold 2: use a score from 0 to 1'),
        (('--videos', tmp_path / 'gone'), 'gone: no such folder'),
    ):
        assert export('elan', detections, tmp_path / 'out', *argv) == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / 'out').exists()
    assert export('elan', tmp_path / 'gone.json', tmp_path / 'out') == 2
    assert 'gone.json' in capsys.readouterr().err
    detections.write_text('{"results": {"v": [{"segment": [0, 1], "label": 3}]}}')
    assert export('elan', detections, tmp_path / 'out') == 2
    assert 'labels are numbers: give --label-space' in capsys.readouterr().err
