"""The command: outputs, resuming, broken videos, privacy."""

import csv
import json
import os
import re
import shutil
import signal
import socket
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from inference_models import RECIPES, make_checkpoint
from pages import commands
from pose_backends import use_fake
from video_files import make_video, moving_frames, spoil_packet

from mmma.cli import main
from mmma.convert.events import read_recordings
from mmma.engine import infer as inference
from mmma.hub.zoo import ZooModel

SECRET = 'anna-4711'
NAMES = 'one', 'two'


@pytest.fixture(scope='module')
def checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp('models')
    data = {'name': 'mma82-simulated', 'simulated': True, 'extractor': 'other 1'}
    return {
        task: make_checkpoint(folder / f'{task}.pth', RECIPES[task, 'Pose'], data=data)
        for task in ('rec', 'det')
    }


@pytest.fixture(scope='module')
def opened():
    """Models by what they were asked for: building one takes a second."""
    return {}


@pytest.fixture(autouse=True)
def quick(monkeypatch, opened):
    use_fake(monkeypatch)
    open_model = inference.open_model

    def once(name, **options):
        key = repr((name, sorted(options.items(), key=str)))
        if key not in opened:
            opened[key] = open_model(name, **options)
        return opened[key]

    monkeypatch.setattr(inference, 'open_model', once)


@pytest.fixture
def videos(tmp_path):
    folder = tmp_path / f'of {SECRET}'
    for i, name in enumerate(NAMES):
        path = folder / f'{name} {SECRET}.mp4'
        make_video(path, moving_frames(9 + i, 32, 40, i), 30)
    (folder / 'notes.txt').write_text('no video')
    return folder


def infer(checkpoints, videos, out, *more, recog=True):
    argv = [*map(str, videos), '--det', checkpoints['det'], '--out', str(out)]
    argv += ['--recog', checkpoints['rec']] if recog else []
    return main('infer', [*argv, '--allow-simulated', *more])


def read(out, stem):
    content = json.loads((out / f'{stem}.json').read_text())
    with (out / f'{stem}.csv').open(newline='') as file:
        return content, list(csv.DictReader(file))


def test_a_folder_of_videos(checkpoints, videos, tmp_path, capsys):
    out = tmp_path / 'new' / 'out'
    status = infer(checkpoints, [videos], out, '--threshold', '0', '--top-k', '3')
    assert status == 0
    assert sorted(p.suffix for p in out.iterdir()) == ['.csv', '.csv', '.json', '.json']
    content, rows = read(out, f'one {SECRET}')
    assert content['video']['path'] == str(videos / f'one {SECRET}.mp4')
    assert content['video']['duration_sec'] == pytest.approx(0.3)
    first, *others = rows
    assert first['task'] == 'rec'
    assert (first['start_sec'], first['end_sec']) == ('0.000', '0.300')
    assert {row['task'] for row in others} == {'det'}
    assert {row['simulated'] for row in rows} == {'true'}
    assert {row['model'] for row in others} == {'det'}
    recognition = content['recognition']
    assert len(recognition['actions']) == 3
    assert (
        recognition['action'] == first['action'] == recognition['actions'][0]['action']
    )
    assert len(content['detection']['segments']) == len(others)
    assert len(recognition['notes']) == 3
    caught = capsys.readouterr()
    assert '[simulated]' in caught.out
    assert caught.err.count('looking') == 2


def test_a_bar_inside_a_long_video(checkpoints, videos, tmp_path, capsys, monkeypatch):
    assert infer(checkpoints, [videos], tmp_path / 'one') == 0
    assert 'windows' not in capsys.readouterr().err  # shorter than half a minute
    monkeypatch.setattr('mmma.engine.infer.LONG_SEC', 0.1)
    assert infer(checkpoints, [videos], tmp_path / 'two', '--private') == 0
    caught = capsys.readouterr()
    assert re.findall(r'(video \d of 2): windows 1/1', caught.err) == [
        'video 1 of 2',
        'video 2 of 2',
    ]
    assert 'windows' not in caught.out


def test_it_goes_on_with_what_is_not_done(checkpoints, videos, tmp_path, capsys):
    out = tmp_path / 'out'

    def looked(*more):
        assert infer(checkpoints, [videos], out, *more) == 0
        return capsys.readouterr().err.count('looking')

    assert looked() == 2
    assert looked() == 0
    (out / f'one {SECRET}.json').unlink()
    assert looked() == 1
    make_video(videos / f'two {SECRET}.mp4', moving_frames(12, 32, 40), 30)
    assert looked() == 1
    assert looked('--top-k', '2') == 2


def test_a_broken_video_does_not_lose_the_others(checkpoints, videos, tmp_path, capsys):
    damaged = videos / 'damaged.mp4'
    make_video(damaged, moving_frames(30), 30)
    spoil_packet(damaged, 12)
    (videos / 'text.mp4').write_text('no video')
    assert infer(checkpoints, [videos], tmp_path / 'out') == 2
    err = capsys.readouterr().err
    assert f'FAILED {damaged}: frame 10 of 30 does not decode: damaged' in err
    assert f'not done: {videos / "text.mp4"}: not readable as video' in err
    assert len(list((tmp_path / 'out').glob('*.json'))) == 2


def test_files_of_others_are_left_alone(checkpoints, videos, tmp_path, capsys):
    other = tmp_path / f'one {SECRET}.json'
    other.write_text('{}')
    assert infer(checkpoints, [videos], tmp_path) == 2
    assert 'that another program wrote' in capsys.readouterr().err
    assert other.read_text() == '{}'
    assert (tmp_path / f'two {SECRET}.json').is_file()


@pytest.mark.parametrize(
    ('argv', 'text'),
    [
        ([], 'give --recog, --det or both'),
        (['--recog', 'x', '--top-k', '0'], '--top-k 0: use at least 1'),
        (['--recog', 'DET', '--allow-simulated'], 'is a detector'),
        (['--det', 'DET'], 'trained on simulated data'),
        (['--det', 'DET', '--threshold', '2'], 'threshold 2.0: use a score'),
        (['--recog', 'none.pth'], r'none.pth'),
    ],
)
def test_what_is_refused(argv, text, checkpoints, videos, tmp_path, capsys):
    argv = [checkpoints['det'] if a == 'DET' else a for a in argv]
    assert main('infer', [str(videos), '--out', str(tmp_path / 'out'), *argv]) == 2
    assert text in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def test_inputs_that_are_not_there(checkpoints, videos, tmp_path, capsys):
    for private in ([], ['--private']):
        gone = [videos / 'gone.mp4']
        assert infer(checkpoints, gone, tmp_path / 'out', *private) == 2
        err = capsys.readouterr().err
        assert 'no such video file or folder' in err
        assert (SECRET in err) != bool(private)


def everything_in(folder):
    for path in folder.rglob('*'):
        yield str(path.relative_to(folder)).encode()
        if path.is_file():
            yield path.read_bytes()


def test_private_tells_no_name_and_uses_no_network(
    checkpoints, videos, tmp_path, monkeypatch, capfd
):
    def refuse(*_, **__):
        raise AssertionError('network')

    home, temporary, out = tmp_path / 'home', tmp_path / 'temporary', tmp_path / 'out'
    temporary.mkdir()
    monkeypatch.setenv('MMMA_HOME', str(home))
    monkeypatch.setattr(tempfile, 'tempdir', str(temporary))
    for name in ('connect', 'connect_ex'):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, 'getaddrinfo', refuse)
    (videos / f'broken {SECRET}.mp4').write_text('no video')
    damaged = videos / f'damaged {SECRET}.mp4'
    make_video(damaged, moving_frames(30), 30)
    spoil_packet(damaged, 12)
    assert infer(checkpoints, [videos], out, '--private') == 2
    caught = capfd.readouterr()
    for text in (caught.out, caught.err):
        assert SECRET not in text
        assert str(videos) not in text
    assert 'video 3 of 4: ' in caught.out
    assert 'FAILED video 1 of 4: not readable as video' in caught.err
    told = 'frame 10 of 30 does not decode: damaged'
    assert f'FAILED video 2 of 4: {told}' in caught.err
    assert not any(SECRET.encode() in part for part in everything_in(home))
    assert list(temporary.iterdir()) == []
    assert {path.name for path in out.iterdir()} == {
        *('video-3.csv', 'video-3.json', 'video-4.csv', 'video-4.json')
    }
    content, _ = read(out, 'video-3')
    assert SECRET not in json.dumps(content)
    os.utime(videos / f'one {SECRET}.mp4', (1, 1))  # as another video
    capfd.readouterr()
    assert infer(checkpoints, [videos], out, '--private') == 2
    caught = capfd.readouterr()
    assert 'video 3 of 4: the output folder has a video-3.json of ano' in caught.err
    assert read(out, 'video-3')[0] == content
    assert 'path' not in content['video']


@pytest.mark.parametrize('error', [PermissionError, OSError, KeyError])
def test_private_errors_tell_no_name(
    error, checkpoints, videos, tmp_path, monkeypatch, capfd
):
    def fail(*_, **__):
        raise error(28 if error is OSError else 13, 'no way', SECRET)

    monkeypatch.setattr('mmma.cli.infer.write_findings', fail)
    assert infer(checkpoints, [videos], tmp_path / 'out', '--private') == 2
    caught = capfd.readouterr()
    assert SECRET not in caught.err + caught.out
    assert ('KeyError' if error is KeyError else 'no way') in caught.err
    if error is KeyError:
        with pytest.raises(KeyError):
            infer(checkpoints, [videos], tmp_path / 'out')
    if error is OSError:  # a full disk ends it
        assert caught.err.count('looking') == 1
        assert infer(checkpoints, [videos], tmp_path / 'out') == 2
        assert SECRET in capfd.readouterr().err


def test_work_files_go_when_it_is_stopped(
    checkpoints, videos, tmp_path, monkeypatch, capsys
):
    temporary = tmp_path / 'temporary'
    temporary.mkdir()
    monkeypatch.setattr(tempfile, 'tempdir', str(temporary))
    before = signal.getsignal(signal.SIGTERM)

    def stop(self, path, video, skeletons, label):
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr('mmma.engine.infer.VideoModel.look', stop)
    assert infer(checkpoints, [videos], tmp_path / 'out') == 143
    assert list(temporary.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) == before
    assert not Path(tmp_path / 'out').exists()
    assert 'interrupted' in capsys.readouterr().err


def test_answers_as_files_of_annotation_tools(checkpoints, videos, tmp_path, capsys):
    Eaf = pytest.importorskip('pympi').Eaf
    out = tmp_path / 'out'
    flags = ('--threshold', '0', '--export', 'elan', 'csv', 'labelstudio')
    assert infer(checkpoints, [videos], out, *flags, recog=False) == 0
    printed = capsys.readouterr().out
    stem = f'one {SECRET}'
    content, rows = read(out, stem)
    assert f'{out / "elan"}: 2 files of elan, 2 videos' in printed
    assert '[simulated]' in printed
    assert (out / 'csv' / 'events.csv').is_file()
    eaf = Eaf(str(out / 'elan' / f'{stem}.eaf'))
    tiers = [n for n in eaf.get_tier_names() if not n.endswith(('-score', '-text'))]
    found = [(n, one) for n in tiers for one in eaf.get_annotation_data_for_tier(n)]
    assert len(found) == len(rows)
    assert {n.rstrip(' 0123456789') for n, _ in found} == {row['body'] for row in rows}
    facts = {eaf.get_parameters_for_tier(name)['ANNOTATOR'] for name in tiers}
    (model,) = facts
    assert model.startswith('simulated ')
    assert eaf.media_descriptors[0]['MEDIA_URL'] == f'file://{content["video"]["path"]}'
    stems = [f'one {SECRET}', f'two {SECRET}']
    assert [own.name for own in read_recordings(out)[0]] == stems  # not elan/one
    grids = tmp_path / 'grids'
    assert main('export', ['textgrid', str(out / f'{stem}.json'), str(grids)]) == 0
    assert (grids / f'{stem}.TextGrid').is_file()
    assert infer(checkpoints, [videos], out, '--export', 'elam') == 2
    assert "unknown --export 'elam'" in capsys.readouterr().err


def test_pages(checkpoints, videos, tmp_path, capsys):
    out = tmp_path / 'out'
    assert infer(checkpoints, [videos], out) == 0
    assert not list(out.glob('*.html'))
    assert infer(checkpoints, [videos], out, '--page') == 0
    caught = capsys.readouterr()
    assert caught.err.count('looking') == 2  # not again
    assert f'{out / "index.html"}: open it in a browser' in caught.out
    names = {'index.html', f'one {SECRET}.html', f'two {SECRET}.html'}
    assert {page.name for page in out.glob('*.html')} == names
    (out / f'one {SECRET}.html').write_text('mine')
    assert infer(checkpoints, [videos], out, '--page') == 2
    assert 'another program wrote' in capsys.readouterr().err


def test_private_pages(checkpoints, videos, tmp_path, capsys):
    out = tmp_path / 'out'
    assert infer(checkpoints, [videos], out, '--page', '--private') == 0
    names = {path.name for path in out.iterdir()}
    assert {'index.html', 'video-2.html', 'video-2.page.mp4'} <= names
    secret = SECRET.encode()
    assert not [p for p in out.iterdir() if secret in p.read_bytes()]
    caught = capsys.readouterr()
    assert SECRET not in caught.out + caught.err


def test_drawn_videos(checkpoints, videos, tmp_path, capsys):
    for private in ([], ['--private']):
        out = tmp_path / f'out{len(private)}'
        assert infer(checkpoints, [videos], out, *private) == 0
        assert infer(checkpoints, [videos], out, '--draw', *private) == 0
        assert capsys.readouterr().err.count('looking') == 2  # not again
        drawn = sorted(out.glob('*.draw.mp4'))
        names = ['video-1', 'video-2'] if private else [f'{n} {SECRET}' for n in NAMES]
        assert [file.name for file in drawn] == [f'{name}.draw.mp4' for name in names]
        made = [file.stat().st_mtime_ns for file in drawn]
        drawn[0].unlink()
        drawn[1].rename(drawn[0])
        drawn[1].write_bytes(b'theirs')
        assert infer(checkpoints, [videos], out, '--draw', *private) == 2
        told = capsys.readouterr()
        assert (SECRET in told.out + told.err) != bool(private)
        assert '.draw.mp4: use another --out.' in told.err
        assert drawn[0].stat().st_mtime_ns not in made  # it was of another video
        assert drawn[1].read_bytes() == b'theirs'
        assert not [p for p in drawn if private and SECRET.encode() in p.read_bytes()]
        drawn[1].unlink()
    assert infer(checkpoints, [tmp_path / 'out1'], tmp_path / 'three') == 2  # no input
    assert 'no video in this folder' in capsys.readouterr().err


def test_a_model_of_the_zoo_where_real_people_taught_it(
    checkpoints, videos, tmp_path, monkeypatch, capsys
):
    real = ZooModel(checkpoints['det'], 'ours', 'det', 'Pose', data='real people')
    simulated = replace(real, name='demo', simulated=True, config='configs/d.py')
    others = [replace(real, task='emotion'), replace(real, modality='Feature')]
    others += [replace(real, kind='upstream'), simulated]
    monkeypatch.setattr('mmma.hub.zoo.list_models', lambda: others)
    argv = [str(videos), '--out', str(tmp_path / 'out'), '--allow-simulated']
    assert main('infer', argv) == 2
    told = capsys.readouterr().err
    for part in (
        'add `--det demo --allow-simulated`',
        'train configs/d.py --data-root',
    ):
        assert part in told
    larger = replace(real, name='none.pth', parameters=9)
    monkeypatch.setattr('mmma.hub.zoo.list_models', lambda: [*others, larger, real])
    monkeypatch.setattr(inference, 'list_models', list)
    assert main('infer', argv) == 0
    told = f'note: --det {checkpoints["det"]} is taken, trained on real people'
    assert told in capsys.readouterr().err
    monkeypatch.setattr('mmma.hub.zoo.list_models', list)
    assert main('infer', argv) == 2
    assert '--allow-simulated' not in capsys.readouterr().err


def test_commands_of_the_page_on_pages(checkpoints, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'new').mkdir()
    make_video(tmp_path / 'new' / 'one.mp4', moving_frames(9), 30)
    done = []
    for name, argv in commands('video_pages.md'):
        if name == 'annotate':  # which serves until somebody ends it
            (tmp_path / argv[2]).mkdir()
            shutil.copy('one.annotations.csv', argv[2])
            monkeypatch.setattr('mmma.reporting.server.PageServer.serve_forever', print)
        if name == 'infer':
            argv[argv.index('work_dirs/own')] = checkpoints['det']
            argv += ['--allow-simulated', '--threshold', '0']
        assert main(name, argv) == 0, capsys.readouterr().err
        done.append(name)
        if name == 'infer':  # a page saves what this writes
            assert main('export', ['csv', 'answers/one.json', 'table']) == 0
            Path('table/events.csv').rename('one.annotations.csv')
    assert done == [
        *('infer', 'data/convert', 'agree', 'export'),
        *('annotate', 'annotate', 'agree', 'data/convert'),
    ]
    assert (tmp_path / 'data' / 'corrected' / 'det.json').is_file()
