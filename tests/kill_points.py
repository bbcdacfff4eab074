"""A function killed before one change of the file system after the other."""

import itertools
import os
import signal
import sys

import pytest

_CHANGES = ('os.rename', 'os.remove', 'os.rmdir', 'os.mkdir', 'os.link')


def kill_points(work):
    """Numbers of changes after which ``work`` is killed, in a process of its own.

    After each number the files are as the kill left them; the last time, work ends.
    """
    if not hasattr(os, 'fork'):
        pytest.skip('processes cannot be forked here')
    for last in itertools.count():
        if not (child := os.fork()):
            left = [last]

            def die(event, args, left=left):
                writes = event == 'open' and isinstance(args[2], int) and args[2] & 3
                if event in _CHANGES or writes:
                    left[0] -= 1
                    if left[0] < 0:
                        os.kill(os.getpid(), signal.SIGKILL)

            code = 1
            try:
                os.dup2(os.open(os.devnull, os.O_RDONLY), 2)
                sys.addaudithook(die)
                work()
                code = 0
            finally:
                os._exit(code)
        status = os.waitpid(child, 0)[1]
        yield last
        if not os.WIFSIGNALED(status):
            assert status == 0, 'the work itself failed'
            return
