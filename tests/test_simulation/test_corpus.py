"""A corpus on disk: pieces that survive an interruption, folders that are spared."""

import csv
import hashlib
import os
import shutil
import signal
import sys
from dataclasses import replace

import numpy as np
import pytest

from mmma.data.arrays import SkeletonStore
from mmma.data.emotions import emotion_videos
from mmma.data.root import DataRoot
from mmma.files import only_writer
from mmma.simulation import corpus
from mmma.simulation.corpus import (
    Scene,
    needed_bytes,
    write_corpus,
)
from mmma.simulation.plan import SimulationOptions
from mmma.simulation.planner import make_plan


def micro(**options):
    return make_plan(SimulationOptions(scale='tiny', **options)).head(12)


@pytest.fixture(scope='module')
def item():
    return min(micro(tasks=('rec',)).rec, key=lambda i: i.frames)


def test_scene_depends_on_seed_task_and_index_and_not_on_drawing(item):
    first = Scene(item, 0).skeleton()
    assert first.shape == (item.frames, 1, 65, 3)
    drawn = Scene(item, 0)
    assert len(list(drawn.frames())) == item.frames
    assert (first == drawn.skeleton()).all()
    other = [Scene(item, 1), Scene(replace(item, index=item.index + 1), 0)]
    assert not any((first == scene.skeleton()).all() for scene in other)


def test_motion_must_be_as_long_as_planned(item, monkeypatch):
    def short(subject, style, events, duration_sec, fps, rng):
        return simulate(subject, style, events, duration_sec - 3 / fps, fps, rng)

    simulate = corpus.simulate_motion
    monkeypatch.setattr(corpus, 'simulate_motion', short)
    count = rf'{item.name}: {item.frames - 3} frames instead of {item.frames}'
    with pytest.raises(ValueError, match=count):
        Scene(item, 0)


def tables(**options):
    return make_plan(SimulationOptions('tiny', tables_only=True, **options))


@pytest.fixture
def finished(tmp_path):
    write_corpus(tables(), tmp_path / 'corpus')
    return tmp_path / 'corpus'


def test_faces_tell_part_of_the_emotion(tmp_path):
    root = tmp_path / 'corpus'
    plan = make_plan(SimulationOptions('small', tables_only=True))
    write_corpus(plan, root)
    file = root / 'faces.csv'
    rows = list(csv.DictReader(file.open()))
    videos = {v.video: v for v in emotion_videos(DataRoot(root))}
    clips = {c.clip: c for c in DataRoot(root).read_rec() if c.emotion}
    assert {row['video'] for row in rows} == {*videos, *clips}
    planted = DataRoot(root).info.planted['emotion_faces']
    right, whole = 0, 0
    for name in videos:
        own = [row for row in rows if row['video'] == name]
        assert [float(row['time_sec']) for row in own[:2]] == pytest.approx(
            [0, 0.5], abs=0.04
        )
        assert int(own[-1]['frame']) < videos[name].frames
    for row in rows:
        scores = {name: float(row[name]) for name in [*row][8:]}
        assert sum(scores.values()) == pytest.approx(1, abs=1e-3)
        emotion = (videos | clips)[row['video']].emotion
        right += max(scores, key=scores.get) in planted[emotion]
        whole += 1
    assert 0.3 < right / whole < 0.6  # chance: 0.16
    before = file.read_bytes()
    file.unlink()
    assert write_corpus(plan, root)  # only what is missing
    assert file.read_bytes() == before
    assert not write_corpus(plan, root)


def test_what_is_no_earlier_stage_is_refused(tmp_path, finished):
    (tmp_path / 'thesis.tex').write_text('years of work')
    for root, force, message in (
        (tmp_path, True, 'holds no simulated corpus: choose another'),
        (tmp_path / 'thesis.tex', False, 'is a file: name a folder'),
        (finished, False, r'another simulated corpus \(.*seed 0\).*--force'),
    ):
        with pytest.raises(ValueError, match=message):
            write_corpus(tables(seed=1), root, force=force)
    assert (tmp_path / 'thesis.tex').is_file()
    with (finished / 'rec.csv').open('a') as file:
        file.write('one,,train,lab,me,nodding,head,\n')
    with pytest.raises(ValueError, match='another simulated corpus'):
        write_corpus(tables(), finished)


def test_force_replaces_and_spares_the_rest(finished):
    (finished / 'notes.txt').write_text('mine')
    assert write_corpus(tables(seed=1, tasks=('rec',)), finished, force=True)
    names = {file.name for file in finished.iterdir()}
    assert names == {'dataset.json', 'faces.csv', 'rec.csv', 'notes.txt'}


def test_unfinished_of_other_code_is_refused(tmp_path):
    assert not corpus._prepare(tmp_path, tables(), 'old', force=False)
    assert not corpus._prepare(tmp_path, tables(), 'old', force=False)
    with pytest.raises(ValueError, match=r'an unfinished corpus \(scale tiny, tables'):
        corpus._prepare(tmp_path, tables(), 'new', force=False)
    assert not corpus._prepare(tmp_path, tables(), 'new', force=True)


@pytest.mark.parametrize(
    'damage', ['', '5', '{}', '[1, 2]', '\xff', '{"fingerprint": ']
)
def test_a_damaged_plan_is_named(tmp_path, damage):
    corpus._prepare(tmp_path, tables(), 'old', force=False)
    file = tmp_path / '.partial/plan.json'
    file.write_bytes(damage.encode('latin-1'))
    with pytest.raises(
        ValueError, match=r'plan\.json: not of this .*, or damaged.*--force'
    ):
        write_corpus(tables(), tmp_path)
    assert write_corpus(tables(), tmp_path, force=True)


def test_what_a_kill_in_the_first_moment_leaves_is_no_content(tmp_path):
    (tmp_path / '.partial').mkdir()
    (tmp_path / '.partial/.plan.json.9-ab.part').touch()
    (tmp_path / '.partial/chunk.npy').touch()  # of a plan that nobody knows
    (tmp_path / '.mmma.lock').touch()
    assert write_corpus(tables(), tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {
        'dataset.json',
        'rec.csv',
        'det.json',
        'faces.csv',
    }


def test_a_replacement_that_was_killed_goes_on(finished):
    expected = {'dataset.json', 'rec.csv', 'det.json', 'faces.csv'}
    for last in range(8):
        if not (child := os.fork()):
            left = [last]

            def die(event, args, left=left):
                if event in ('os.rename', 'os.remove', 'os.rmdir'):
                    left[0] -= 1
                    if left[0] < 0:
                        os.kill(os.getpid(), signal.SIGKILL)

            sys.addaudithook(die)
            write_corpus(tables(seed=1 + last), finished, force=True)
            os._exit(0)
        os.waitpid(child, 0)
        write_corpus(tables(seed=1 + last), finished, force=True)
        assert {p.name for p in finished.iterdir()} == expected


def test_one_of_two_that_simulate_into_a_folder_works(tmp_path):
    with only_writer(tmp_path):
        if not (child := os.fork()):
            try:
                write_corpus(tables(), tmp_path)
            except ValueError as error:
                os._exit('another process is at work here' not in str(error))
            os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
    assert list(tmp_path.iterdir()) == []


def test_needed_bytes_by_hand():
    plan = make_plan(SimulationOptions('tiny'))
    rec, det = (sum(i.frames for i in items) for items in (plan.rec, plan.det))
    assert needed_bytes(plan) == (rec + det + max(rec, det)) * 65 * 3 * 2
    assert needed_bytes(tables()) == 0
    drawn = SimulationOptions('tiny', modality='video', videos=1)
    assert needed_bytes(make_plan(drawn)) > 10_000


def test_small_disk(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1_000_000)
    monkeypatch.setattr(corpus.shutil, 'disk_usage', lambda path: usage)
    plan = make_plan(SimulationOptions('tiny'))
    with pytest.raises(
        ValueError, match=r'needs about 34 MB, 1 MB are free there: free 33 MB'
    ):
        corpus._prepare(tmp_path / 'a', plan, 'f', force=False)
    assert not (tmp_path / 'a').exists()


def die(chunk, root):
    os.kill(os.getpid(), signal.SIGKILL)


def fail(chunk, root):
    raise ValueError(f'{chunk.items[0].task} {len(chunk.items)} is bad')


def test_killed_or_failing_workers(tmp_path, monkeypatch):
    for work, error, message in (
        (die, ChildProcessError, 'a worker process ended at .*use fewer workers'),
        (fail, ValueError, r'rec . is bad'),
    ):
        monkeypatch.setattr(corpus, 'write_chunk', work)
        with pytest.raises(error, match=message):
            write_corpus(micro(tasks=('rec',)), tmp_path / work.__name__, workers=2)


def drawn_micro(**options):
    """The six shortest clips, four of them drawn, and the two shortest videos."""
    plan = make_plan(SimulationOptions(scale='tiny', **options))
    clips = sorted(plan.rec, key=lambda item: item.frames)[:6]
    clips[4:] = [replace(item, path='') for item in clips[4:]]
    videos = sorted(plan.det, key=lambda item: item.frames)[:2]
    videos = [replace(item, path='') for item in videos]
    return replace(plan, rec=tuple(clips), det=tuple(videos))


def digests(root):
    files = sorted(f for f in root.rglob('*') if f.is_file())
    return {
        str(f.relative_to(root)): hashlib.sha256(f.read_bytes()).hexdigest()
        for f in files
    }


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setitem(corpus._SKELETONS, 'rec', 2)
    monkeypatch.setitem(corpus._SKELETONS, 'det', 1)
    monkeypatch.setitem(corpus._DRAWINGS, 'rec', 2)


@pytest.fixture(scope='module')
def plan():
    return drawn_micro(modality='both')


@pytest.fixture(scope='module')
def written(plan, tmp_path_factory):
    root = tmp_path_factory.mktemp('corpus') / 'one'
    assert write_corpus(plan, root)
    return root


def test_root_can_be_read(plan, written):
    root = DataRoot(written)
    assert root.info == plan.info()
    assert [clip.clip for clip in root.read_rec()] == [i.name for i in plan.rec]
    assert [video.video for video in root.read_det()] == [i.name for i in plan.det]
    for task, items in (('rec', plan.rec), ('det', plan.det)):
        store = SkeletonStore(written, task)
        assert list(store.index) == [item.name for item in items]
        assert [store.frames(i.name) for i in items] == [i.frames for i in items]
        assert store.fps(items[0].name) == items[0].fps


def test_skeletons_are_those_of_the_scene(plan, written):
    item = plan.rec[1]
    keypoints, scores = SkeletonStore(written, 'rec').get(item.name)
    expected = corpus.Scene(item, plan.options.seed).skeleton()[:, 0]
    assert np.array_equal(keypoints[0], expected[..., :2] / np.float32(16))
    assert scores[0] == pytest.approx(expected[..., 2] / 10000)


def test_only_data_files_remain(plan, written):
    drawn = [item.path for item in plan.items if item.path]
    assert set(digests(written)) == {
        'dataset.json',
        'rec.csv',
        'det.json',
        'faces.csv',
        'skeletons/rec.npy',
        'skeletons/rec_index.csv',
        'skeletons/det.npy',
        'skeletons/det_index.csv',
        'skeletons/layout.json',
        *drawn,
    }
    assert not (written / '.partial').exists()


def test_workers_do_not_change_bytes(plan, written, tmp_path):
    write_corpus(plan, tmp_path / 'two', workers=2)
    assert digests(tmp_path / 'two') == digests(written)


def test_resumed_equals_uninterrupted(plan, written, tmp_path):
    done = []
    for stop in (2, 3):

        def report(frames, total, stop=stop):
            done.append(frames)
            if len(done) > stop:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            write_corpus(plan, tmp_path / 'a', report=report)
        assert not (tmp_path / 'a' / 'dataset.json').exists()
    seen = []
    assert write_corpus(plan, tmp_path / 'a', report=lambda f, total: seen.append(f))
    assert seen[0] == done[-1] > 0
    assert digests(tmp_path / 'a') == digests(written)


def test_interrupted_while_joining(plan, written, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr('mmma.simulation.corpus.write_tables', stop)
        with pytest.raises(KeyboardInterrupt):
            write_corpus(plan, tmp_path / 'a')
    assert write_corpus(plan, tmp_path / 'a')
    assert digests(tmp_path / 'a') == digests(written)


def test_lost_file_is_made_again(plan, written, tmp_path):
    shutil.copytree(written, tmp_path / 'a')
    drawn = next(item.path for item in plan.rec if item.path)
    for path in ('skeletons/rec.npy', 'faces.csv', drawn):
        (tmp_path / 'a' / path).unlink()
        assert write_corpus(plan, tmp_path / 'a')
        assert digests(tmp_path / 'a') == digests(written)


def test_files_of_the_other_modalities(tmp_path):
    clip = drawn_micro(modality='video', tasks=('rec',)).head(1)
    for number, (plan, names) in enumerate(
        (
            (tables(), {'rec.csv', 'det.json', 'faces.csv'}),
            (tables(tasks=('det',)), {'det.json', 'faces.csv'}),
            (clip, {'rec.csv', 'faces.csv', clip.rec[0].path}),
        )
    ):
        root = tmp_path / str(number)
        write_corpus(plan, root)
        assert set(digests(root)) == {'dataset.json', *names}


def test_workers_must_be_positive(plan, tmp_path):
    with pytest.raises(ValueError, match='workers 0: use 1 or more'):
        write_corpus(plan, tmp_path / 'a', workers=0)
