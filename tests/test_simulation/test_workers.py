"""Pieces of work on several processes."""

import functools
import os
import signal

import pytest

from mmma.simulation.workers import run_all


def touch(piece, folder):
    (folder / str(piece)).write_text(str(os.getpid()))


def fail(piece):
    raise ValueError(f'piece {piece} is bad')


def die(piece):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize('workers', [1, 3])
def test_every_piece_once(tmp_path, workers):
    done = []
    run_all(functools.partial(touch, folder=tmp_path), range(7), workers, done.extend)
    assert sorted(done) == list(range(7))
    assert {int(file.name) for file in tmp_path.iterdir()} == set(range(7))
    owners = {file.read_text() for file in tmp_path.iterdir()}
    assert (str(os.getpid()) in owners) == (workers == 1)


def test_no_piece():
    run_all(fail, [], 2, lambda done: None)


@pytest.mark.parametrize('workers', [1, 2])
def test_what_work_raises_comes_back(workers):
    with pytest.raises(ValueError, match=r'piece . is bad'):
        run_all(fail, range(3), workers, lambda done: None)


def test_killed_worker():
    with pytest.raises(ChildProcessError, match='ended with status -9'):
        run_all(die, range(3), 2, lambda done: None)
