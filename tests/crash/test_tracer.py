"""The tracer: what it sees, kills and lets fail."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from crash.tracer import KILL, fail_at, fail_from, kill_at, trace, why_not

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or '-')


def change_files(folder):
    """One change after the other, by every way that Python has."""
    for at in ('', folder / 'a'):
        os.makedirs(folder / at, exist_ok=True)
    (folder / 'a/x').write_bytes(b'12')
    with open(folder / 'a/x', 'r+b', buffering=0) as file:
        os.pwrite(file.fileno(), b'3', 0)
        file.truncate(1)
    os.chdir(folder)
    os.replace('a/x', 'y')
    at = os.open('a', os.O_RDONLY)
    os.link('y', 'z', dst_dir_fd=at)
    os.unlink('z', dir_fd=at)
    (folder / 'z').unlink(missing_ok=True)
    os.symlink('y', 'link')
    os.rmdir('a')
    (folder / 'y').read_bytes()
    (folder.parent / 'beside').write_text('not of the folder')
    print('done')


CHANGES = [
    'mkdir a',
    'openat a/x',
    'write a/x',
    'pwrite64 a/x',
    'ftruncate a/x',
    'rename y',
    'linkat a/z',
    'unlinkat a/z',
    'symlink link',
    'rmdir a',
]


def told(traced):
    return [f'{point.call} {point.path}' for point in traced.points]


def test_every_change_is_a_point(tmp_path):
    (tmp_path / 'in').mkdir()
    traced = trace(lambda: change_files(tmp_path / 'in'), tmp_path / 'in')
    assert told(traced) == CHANGES
    assert [p.number for p in traced.points] == [*range(1, 11)]
    assert (traced.status, traced.output) == (0, 'done\n')


def test_the_call_at_which_it_is_killed_is_not_made(tmp_path):
    for number, changed in ((1, []), (6, ['a']), (7, ['a', 'y']), (9, ['a', 'y'])):
        (folder := tmp_path / str(number)).mkdir()
        traced = trace(lambda at=folder: change_files(at), folder, kill_at(number))
        assert told(traced) == CHANGES[:number]
        assert (traced.status, traced.output) == (-signal.SIGKILL, '')
        assert sorted(os.listdir(folder)) == changed


def test_calls_that_fail(tmp_path):
    def write():
        for name in 'ab':
            try:
                file = os.open(tmp_path / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                os.write(file, b'1')
            except OSError as error:
                print(error)
        (tmp_path / 'a').unlink()

    full = f'[Errno 28] {os.strerror(errno.ENOSPC)}'
    traced = trace(write, tmp_path, fail_at(2, errno.ENOSPC))
    assert told(traced) == ['openat a', 'write a', 'openat b', 'write b', 'unlink a']
    assert (traced.status, traced.output) == (0, f'{full}\n')
    assert (tmp_path / 'b').read_text() == '1'
    traced = trace(write, tmp_path, fail_from(2, errno.ENOSPC))
    assert traced.output == f"{full}\n{full}: '{tmp_path / 'b'}'\n"
    assert os.listdir(tmp_path) == ['b']
    assert (tmp_path / 'b').read_text() == '1'  # opening it would have emptied it


def lives(pid):
    try:
        return ') Z ' not in Path(f'/proc/{pid}/stat').read_text()
    except FileNotFoundError:
        return False


def test_threads_and_processes_are_followed_and_end_with_it(tmp_path):
    def start():
        thread = threading.Thread(target=(tmp_path / 'thread').touch)
        thread.start()
        thread.join()
        if not (child := os.fork()):
            (tmp_path / 'fork').mkdir()
            time.sleep(99)
        code = f'import os; os.mkdir({str(tmp_path / "exec")!r})'
        subprocess.run([sys.executable, '-c', code], check=True)
        (tmp_path / 'last').mkdir()
        os.kill(child, signal.SIGTERM)
        raise ValueError('wrong')

    def decide(point):
        pids.append(point.pid)
        return KILL if point.path == kill else 0

    for kill, status in (('last', -signal.SIGKILL), ('', 1)):
        pids = []
        traced = trace(start, tmp_path, decide)
        made = ['openat thread', 'mkdir fork', 'mkdir exec', 'mkdir last']
        assert sorted(told(traced)) == sorted(made)
        assert len(set(pids)) == 4
        assert traced.status == status
        assert ('ValueError: wrong' in traced.output) == (not kill)
        assert not any(map(lives, pids))
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()


def test_what_does_not_end_is_killed(tmp_path):
    with pytest.raises(TimeoutError, match=r'not done in 0\.2 s:\nwaits'):
        trace(lambda: print('waits') or time.sleep(99), tmp_path, timeout_sec=0.2)
    traced = trace(
        lambda: (tmp_path / 'x').mkdir() or time.sleep(9),
        tmp_path,
        lambda point: os.kill(point.pid, signal.SIGTERM) or 0,
    )
    assert (traced.status, os.listdir(tmp_path)) == (-signal.SIGTERM, ['x'])
