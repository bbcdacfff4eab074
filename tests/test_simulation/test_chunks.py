"""Pieces that survive an interruption."""

from dataclasses import replace

import numpy as np
import pytest

from mmma.simulation import chunks
from mmma.simulation.chunks import PARTIAL, Scene, make_chunks, write_chunk
from mmma.simulation.plan import SimulationOptions
from mmma.simulation.planner import make_plan


def micro(**options):
    return make_plan(SimulationOptions(scale='tiny', **options)).head(12)


@pytest.fixture(scope='module')
def item():
    return min(micro(tasks=('rec',)).rec, key=lambda i: i.frames)


def test_chunks_hold_every_item_once(monkeypatch):
    monkeypatch.setitem(chunks._SKELETONS, 'rec', 5)
    plan = micro()
    pieces = make_chunks(plan)
    assert [len(c.items) for c in pieces if c.task == 'rec'] == [5, 5, 2]
    assert tuple(item for c in pieces for item in c.items) == plan.items
    assert sum(c.frames for c in pieces) == sum(item.frames for item in plan.items)


def test_scene_depends_on_seed_task_and_index(item):
    first = Scene(item, 0).skeleton()
    assert first.shape == (item.frames, 1, 65, 3)
    assert (first == Scene(item, 0).skeleton()).all()
    other = [Scene(item, 1), Scene(replace(item, index=item.index + 1), 0)]
    assert not any((first == scene.skeleton()).all() for scene in other)


def test_skeletons_do_not_depend_on_drawing(item):
    scene = Scene(item, 0)
    pictures = list(scene.frames())
    assert len(pictures) == item.frames
    assert (scene.skeleton() == Scene(item, 0).skeleton()).all()


@pytest.mark.parametrize('read', [Scene.skeleton, lambda s: list(s.frames())])
def test_motion_must_be_as_long_as_planned(item, read, monkeypatch):
    def short(subject, style, events, duration_sec, fps, rng):
        return simulate(subject, style, events, duration_sec - 3 / fps, fps, rng)

    simulate = chunks.simulate_motion
    monkeypatch.setattr(chunks, 'simulate_motion', short)
    count = rf'{item.name}: {item.frames - 3} frames instead of {item.frames}'
    with pytest.raises(ValueError, match=count):
        read(Scene(item, 0))


def test_only_what_is_missing_is_made(tmp_path, monkeypatch):
    plan = micro(tasks=('rec',), modality='both', videos=1).head(2)
    (tmp_path / PARTIAL).mkdir()
    monkeypatch.setitem(chunks._DRAWINGS, 'rec', 2)
    (chunk,) = make_chunks(plan)
    assert chunk.is_wanting(tmp_path)
    write_chunk(chunk, tmp_path)
    assert not chunk.is_wanting(tmp_path)
    skeletons = chunk.skeleton_file(tmp_path)
    before = skeletons.stat().st_mtime_ns
    video = tmp_path / next(item.path for item in plan.rec if item.path)
    video.unlink()
    assert chunk.is_wanting(tmp_path)
    write_chunk(chunk, tmp_path)
    assert video.is_file()
    assert skeletons.stat().st_mtime_ns == before
    assert np.load(skeletons).shape == (chunk.frames, 1, 65, 3)
