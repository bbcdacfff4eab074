import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import dask
import numpy as np
import pytest
from distributed import LocalCluster

from mmma.cli import main
from mmma.data.arrays import FeatureStore
from mmma.files import draft
from mmma.processes import CRASHED, map_in_processes


def square(number):
    if number < 0:
        raise ValueError(f'{number} is too small')
    return os._exit(1) if number == 5 else number**2


@pytest.mark.parametrize('spawn', [False, True])
@pytest.mark.parametrize('workers', [0, 2, None])
def test_every_item_once(workers, spawn):
    found = dict(map_in_processes(square, [1, 2, 3], workers, spawn))
    assert found == {1: 1, 2: 4, 3: 9}
    assert list(map_in_processes(square, [], workers, spawn)) == []
    assert multiprocessing.active_children() == []
    with pytest.raises(ValueError, match='-1 is too small'):
        list(map_in_processes(square, [-1, 1], workers, spawn))


@pytest.mark.parametrize('spawn', [False, True])
def test_a_crash_costs_one_item(spawn):
    found = dict(map_in_processes(square, list(range(9)), 2, spawn))
    assert found.pop(5) == CRASHED
    assert found == {n: n**2 for n in range(9) if n != 5}


def threads_of(_):
    return os.environ.get('OMP_NUM_THREADS')


def test_fresh_processes_run_no_script_and_one_thread(monkeypatch, tmp_path):
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    main = sys.modules['__main__']
    assert dict(map_in_processes(threads_of, [1], 1, spawn=True)) == {1: '1'}
    assert sys.modules['__main__'] is main
    assert 'OMP_NUM_THREADS' not in os.environ
    script = tmp_path / 'script.py'
    code = (
        'import math\nfrom mmma.processes import map_in_processes\n'
        'print(dict(map_in_processes(math.sqrt, [4], 1, spawn=True)))'
    )
    script.write_text(code)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert done.stdout == '{4: 2.0}\n', done.stderr


def test_processes_end_when_their_parent_is_killed():
    code = (
        'import os, time\nfrom mmma.processes import map_in_processes\n'
        'def work(n):\n os.write(1, b"%d\\n" % os.getpid())\n time.sleep(60)\n'
        'list(map_in_processes(work, [1, 2], 2))'
    )
    parent = subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE)
    pids = [int(parent.stdout.readline()) for _ in range(2)]
    parent.kill()
    parent.wait()
    end = time.monotonic() + 5
    while any(map(_runs, pids)) and time.monotonic() < end:
        time.sleep(0.02)
    assert not any(map(_runs, pids))


def _runs(pid):
    try:
        with open(f'/proc/{pid}/stat') as file:
            return file.read().split()[2] != 'Z'
    except FileNotFoundError:
        return False


def begin(path):
    with draft(path) as part:
        part.write_bytes(b'x')
        time.sleep(0 if path.name == 'first' else 60)


@pytest.mark.parametrize('spawn', [False, True])
def test_what_is_given_up_ends_at_once_without_drafts(tmp_path, spawn):
    """Others may be idle, at work, or about to tell what they did."""
    started = time.monotonic()
    names = [tmp_path / name for name in ('first', 'second', 'third')]
    for _ in map_in_processes(begin, names, 3, spawn):
        break
    assert time.monotonic() - started < 30
    assert [path.name for path in tmp_path.iterdir()] == ['first']
    assert multiprocessing.active_children() == []


def test_a_worker_that_is_told_to_end_counts_as_crashed():
    found = map_in_processes(end_itself, [1, 2], 2)
    assert dict(found) == {1: 1, 2: CRASHED}


def end_itself(number):
    if number == 2:
        os.kill(os.getpid(), signal.SIGTERM)
    return number


@pytest.fixture(scope='module')
def cluster():
    """Address of a scheduler with two workers on this machine."""
    parts = dict(n_workers=2, threads_per_worker=1, dashboard_address=None)
    seldom = {'distributed.scheduler.allowed-failures': 1}
    with dask.config.set(seldom), LocalCluster(**parts) as local:
        yield local.scheduler_address


def test_a_cluster_does_the_same(cluster, monkeypatch):
    monkeypatch.setenv('MMMA_CLUSTER', cluster)
    found = dict(map_in_processes(square, list(range(9)), 2))
    assert found.pop(5) == CRASHED
    assert found == {n: n**2 for n in range(9) if n != 5}
    with pytest.raises(ValueError, match='-1 is too small'):
        list(map_in_processes(square, [-1, 1], 2))


def test_commands_use_a_cluster(cluster, video_root, tmp_path, monkeypatch):
    monkeypatch.setenv('MMMA_CLUSTER', '')  # set back at the end
    argv = [str(video_root), str(tmp_path / 'here'), '--short-side', '32']
    assert main('data/pack', [*argv, '--workers', '0']) == 0
    argv[1] = str(tmp_path / 'there')
    assert main('data/pack', [*argv, '--cluster', cluster]) == 0
    files = {
        f.relative_to(tmp_path / 'here') for f in tmp_path.glob('here/videos/**/*.*')
    }
    assert files
    for name in files:
        both = [(tmp_path / place / name).read_bytes() for place in ('here', 'there')]
        assert both[0] == both[1]


def test_features_come_from_a_cluster(cluster, video_root, tmp_path, monkeypatch):
    monkeypatch.setenv('MMMA_CLUSTER', '')
    monkeypatch.chdir(tmp_path)
    shutil.copytree(video_root, tmp_path / 'root')
    argv = ['root', 'gctsm-tiny', '--no-pretrained', '--task', 'rec']
    assert main('data/features', [*argv, '--name', 'here']) == 0
    assert main('data/features', [*argv, '--name', 'there', '--cluster', cluster]) == 0
    here, there = (FeatureStore(Path('root'), n, 'rec') for n in ('here', 'there'))
    assert set(here.names) == set(there.names)
    for name in here.names:
        assert np.array_equal(here.get(name), there.get(name))


def slow(number):
    return square(number) if number < 0 else time.sleep(3)


def test_an_error_ends_the_work_of_a_cluster(cluster, monkeypatch):
    monkeypatch.setenv('MMMA_CLUSTER', cluster)
    began = time.monotonic()
    with pytest.raises(ValueError, match='-1 is too small'):
        list(map_in_processes(slow, [-1, *range(40)], 2))
    assert time.monotonic() - began < 30  # all of it takes 60


@pytest.mark.parametrize('name', ['tcp://127.0.0.1:9', 'here', 'x://y', 'slurm'])
def test_no_cluster_there(name, tmp_path, video_root, monkeypatch, capsys):
    monkeypatch.setenv('MMMA_CLUSTER', '')
    argv = [str(video_root), str(tmp_path / 'out'), '--cluster', name]
    with dask.config.set({'distributed.comm.timeouts.connect': '1s'}):
        assert main('data/pack', argv) == 2
    told = capsys.readouterr().err
    assert f'--cluster {name}: ' in told
    assert 'the address that `dask scheduler` prints, or slurm' in told
