import multiprocessing
import os
import subprocess
import sys
import time

import pytest

from mmma.layout.processes import CRASHED, map_in_processes, usable_cores


def square(number):
    if number < 0:
        raise ValueError(f'{number} is too small')
    return os._exit(1) if number == 5 else number**2


@pytest.mark.parametrize('workers', [0, 2, None])
def test_every_item_once(workers):
    found = dict(map_in_processes(square, [1, 2, 3], workers))
    assert found == {1: 1, 2: 4, 3: 9}
    assert multiprocessing.active_children() == []


def test_a_crash_costs_one_item():
    found = dict(map_in_processes(square, list(range(9)), 2))
    assert found.pop(5) == CRASHED
    assert found == {n: n**2 for n in range(9) if n != 5}


def test_errors_come_through():
    with pytest.raises(ValueError, match='-1 is too small'):
        list(map_in_processes(square, [-1, 1], 2))


def test_nothing_to_do():
    assert list(map_in_processes(square, [], None)) == []
    assert usable_cores() >= 1


def test_processes_end_when_their_parent_is_killed():
    code = (
        'import os, time\nfrom mmma.layout.processes import map_in_processes\n'
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
