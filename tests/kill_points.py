"""Functions in processes of their own: killed at each change of a file, or refused."""

import itertools
import os
import signal
import sys

import pytest

_CHANGES = ('os.rename', 'os.remove', 'os.rmdir', 'os.mkdir', 'os.link')


def told_elsewhere(work):
    """What ``work`` tells on standard error, or raises, in a process of its own."""
    end, start = os.pipe()
    if not (child := os.fork()):
        try:
            os.dup2(start, 2)
            sys.stderr = open(2, 'w', closefd=False)  # noqa: SIM115
            work()
        except ValueError as error:
            print(error, file=sys.stderr)
        finally:
            sys.stderr.flush()
            os._exit(0)
    os.close(start)
    with open(end) as told:
        text = told.read()
    os.waitpid(child, 0)
    return text


def kill_points(work, step=1):
    """Numbers of changes after which ``work`` is killed, in a process of its own.

    After each number, in steps, files are as the kill left them; at the last work ends.
    """
    if not hasattr(os, 'fork'):
        pytest.skip('processes cannot be forked here')
    for last in itertools.count(step=step):
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
