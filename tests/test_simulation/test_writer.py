"""Writing a corpus: the same bytes by any way, and only data in the end."""

import hashlib
import shutil
from dataclasses import replace

import numpy as np
import pytest

from mmma.layout.root import DataRoot
from mmma.layout.skeletons import SkeletonStore
from mmma.simulation import chunks
from mmma.simulation.plan import SimulationOptions
from mmma.simulation.planner import make_plan
from mmma.simulation.writer import write_corpus


def micro(**options):
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
    monkeypatch.setitem(chunks._SKELETONS, 'rec', 2)
    monkeypatch.setitem(chunks._SKELETONS, 'det', 1)
    monkeypatch.setitem(chunks._DRAWINGS, 'rec', 2)


@pytest.fixture(scope='module')
def plan():
    return micro(modality='both')


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
    expected = chunks.Scene(item, plan.options.seed).skeleton()[:, 0]
    assert np.array_equal(keypoints[0], expected[..., :2] / np.float32(16))
    assert scores[0] == pytest.approx(expected[..., 2] / 10000)


def test_only_data_files_remain(plan, written):
    drawn = [item.path for item in plan.items if item.path]
    assert set(digests(written)) == {
        'dataset.json',
        'rec.csv',
        'det.json',
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


@pytest.mark.parametrize('interruptions', [(1,), (2, 3)])
def test_resumed_equals_uninterrupted(plan, written, tmp_path, interruptions):
    done = []
    for stop in interruptions:

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
        patch.setattr('mmma.simulation.writer.write_tables', stop)
        with pytest.raises(KeyboardInterrupt):
            write_corpus(plan, tmp_path / 'a')
    assert write_corpus(plan, tmp_path / 'a')
    assert digests(tmp_path / 'a') == digests(written)


def test_complete_corpus_is_left_alone(plan, written):
    before = digests(written)
    assert not write_corpus(plan, written)
    assert digests(written) == before


@pytest.mark.parametrize('lost', ['skeletons/rec.npy', 'video'])
def test_lost_file_is_made_again(plan, written, tmp_path, lost):
    root = tmp_path / 'a'
    shutil.copytree(written, root)
    path = next(i.path for i in plan.rec if i.path) if lost == 'video' else lost
    (root / path).unlink()
    assert write_corpus(plan, root)
    assert digests(root) == digests(written)


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        ({'tables_only': True}, {'dataset.json', 'rec.csv', 'det.json'}),
        ({'tables_only': True, 'tasks': ('det',)}, {'dataset.json', 'det.json'}),
    ],
)
def test_tables_only(tmp_path, options, expected):
    plan = make_plan(SimulationOptions(scale='tiny', **options))
    write_corpus(plan, tmp_path / 'a')
    assert set(digests(tmp_path / 'a')) == expected


def test_video_modality_has_no_skeletons(tmp_path):
    plan = micro(modality='video', tasks=('rec',)).head(1)
    write_corpus(plan, tmp_path / 'a')
    names = {'dataset.json', 'rec.csv', plan.rec[0].path}
    assert set(digests(tmp_path / 'a')) == names


def test_workers_must_be_positive(plan, tmp_path):
    with pytest.raises(ValueError, match='workers 0: use 1 or more'):
        write_corpus(plan, tmp_path / 'a', workers=0)
