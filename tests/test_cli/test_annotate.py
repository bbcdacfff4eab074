"""annotate.py as people use it: annotate, end it, make a root, compare two coders."""

import json
import re
import signal

import pytest
from page_servers import ENDS, annotating, save, table
from video_files import make_video, moving_frames

from mmma.cli import main
from mmma.data.root import read_root
from mmma.reporting import server


@pytest.fixture
def videos(tmp_path):
    for name in ('one.mp4', 'sub/two.mp4'):
        make_video(tmp_path / 'videos' / name, moving_frames(90), 30)
    return tmp_path / 'videos'


def test_from_videos_to_a_root_and_two_coders_compared(videos, tmp_path, capsys):
    for name, labels in (('ann', ['nodding', 'shaking head']), ('ben', ['nodding'])):
        argv = [videos, '--out', tmp_path / name, '--coder', name]
        with annotating(*argv) as (process, url):
            save(url, 0, table('one', *labels, annotator=name))
            save(url, 1, table('sub/two', 'nodding', annotator=name))
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)
        found = re.fullmatch(ENDS, out)
        assert found, out
        assert (process.returncode, err, found[1]) == (0, '', '2')
        tool, *words = found[2].split()
    assert tool == 'tools/data/convert.py'
    argv = [word.replace('ROOT', str(tmp_path / 'root')) for word in words]
    assert main('data/convert', argv) == 0
    found = {video.video: video for video in read_root(tmp_path / 'root').read_det()}
    assert {name: len(own.instances) for name, own in found.items()} == {
        'one': 1, 'sub/two': 1,
    }  # fmt: skip
    assert all((tmp_path / 'root' / own.path).is_file() for own in found.values())
    capsys.readouterr()
    sides = [str(tmp_path / name) for name in ('ann', 'ben')]
    assert main('agree', [*sides, '--json', '--resamples', '0']) == 0
    report = json.loads(capsys.readouterr().out)
    assert report['n'] == 2
    assert 0 < report['pairs'][0]['event_f1'] < 1
    left = {
        p.name
        for p in tmp_path.rglob('*')
        if p.is_file() and tmp_path / 'root' not in p.parents
    }
    assert left == {
        'one.mp4', 'two.mp4', 'one.annotations.csv', 'two.annotations.csv',
    }  # fmt: skip


def test_what_is_told_at_the_start(videos, tmp_path, monkeypatch, capsys):
    def serve(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(server.PageServer, 'serve_forever', serve)
    (tmp_path / 'far.mp4').write_bytes((videos / 'one.mp4').read_bytes())
    (videos / 'far.mp4').symlink_to(tmp_path / 'far.mp4')
    (videos / 'gone.annotations.csv').write_bytes(table('gone', 'x'))
    (videos / 'notes.txt').touch()
    assert main('annotate', [str(videos)]) == 0
    told = capsys.readouterr()
    assert '1 other file left out: notes.txt' in told.err
    assert f'{videos / "far.mp4"} leads out of {videos}' in told.err
    assert f'{videos / "gone.annotations.csv"} is of no video here' in told.err
    assert told.out.startswith('2 videos; Ctrl-C ends. Open http://127.0.0.1:')
    monkeypatch.setenv('MMMA_FOLLOW_LINKS', '')  # is set by the command, then undone
    assert main('annotate', [str(videos), '--follow-links']) == 0
    assert capsys.readouterr().out.startswith('3 videos')
    for argv, text in (
        ([tmp_path / 'x'], 'no such folder'),
        ([videos, '--predictions', tmp_path / 'y'], 'y: no such folder'),
        ([videos, '--port', '80'], '--port 80: use one of 1024..65535'),
        ([videos, '--labels', 'mma83'], "Did you mean 'mma82'"),
    ):
        assert main('annotate', [*map(str, argv)]) == 2
        assert text in capsys.readouterr().err


def test_labels_are_those_of_the_root(videos, monkeypatch):
    spaces = []
    monkeypatch.setattr(
        server.PageServer, 'serve_forever', lambda self: spaces.append(self.space)
    )
    own = {'name': 'mine', 'actions': [{'name': 'a'}, {'name': 'b'}]}
    (videos / 'dataset.json').write_text(
        json.dumps({'label_space': own, 'name': 'x', 'simulated': False})
    )
    assert main('annotate', [str(videos)]) == 0
    assert main('annotate', [str(videos), '--labels', 'ma52']) == 0
    assert [space.name for space in spaces] == ['mine', 'ma52']
