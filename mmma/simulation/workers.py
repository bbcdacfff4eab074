"""Many pieces of work on several processes, which end with their parent."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import traceback
import types
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

_TICK_SEC = 0.5
_THREADS = 'OMP_NUM_THREADS'


def run_all(
    work: Callable[[Any], None],
    pieces: Sequence[Any],
    workers: int,
    report: Callable[[list[Any]], None],
) -> None:
    """Call ``work`` once for every piece, in any order.

    Args:
        work: A module-level function (or a ``partial`` of one).
        pieces: Its arguments.
        workers: Number of processes; with 1 everything runs in this one.
        report: Called here with the pieces done since the last call, at least twice
            a second.

    Raises:
        Exception: What ``work`` raised first; the other processes are stopped.
        ChildProcessError: A process was killed.
    """
    workers = min(workers, len(pieces))
    if workers <= 1:
        for piece in pieces:
            work(piece)
            report([piece])
        return
    context = multiprocessing.get_context('spawn')
    cursor = context.Value('l', 0)
    crew = []
    try:
        with _fresh_processes():
            for _ in range(workers):
                here, there = context.Pipe(duplex=False)
                process = context.Process(
                    target=_serve, args=(work, pieces, cursor, there), daemon=True
                )
                process.start()
                there.close()
                crew.append((process, here))
        _follow({here: process for process, here in crew}, pieces, report)
    finally:
        for process, _ in crew:
            process.terminate()
        for process, _ in crew:
            process.join()


@contextlib.contextmanager
def _fresh_processes() -> Iterator[None]:
    """Start processes that import neither the running script nor use several threads.

    A spawned process imports the script that runs, which would run it once more where
    it has no guard; what is called here lies in modules. Forked processes would need no
    such care, but hang where OpenCV or OpenMP has used its threads before.
    """
    main, threads = sys.modules['__main__'], os.environ.get(_THREADS)
    sys.modules['__main__'] = types.ModuleType('__main__')
    os.environ[_THREADS] = '1'
    try:
        yield
    finally:
        sys.modules['__main__'] = main
        if threads is None:
            del os.environ[_THREADS]
        else:
            os.environ[_THREADS] = threads


def _serve(
    work: Callable[[Any], None], pieces: Sequence[Any], cursor: Any, out: Connection
) -> None:
    """Take the next piece until there is none, or nobody to report to."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    parent = multiprocessing.parent_process()
    while parent is not None and parent.is_alive():
        with cursor.get_lock():
            position = cursor.value
            cursor.value += 1
        if position >= len(pieces):
            break
        try:
            work(pieces[position])
        except Exception as error:
            out.send((position, (error, traceback.format_exc())))
            break
        out.send((position, None))
    out.close()


def _follow(
    crew: dict[Connection, Any],
    pieces: Sequence[Any],
    report: Callable[[list[Any]], None],
) -> None:
    """Pass on what the processes say until all have ended."""
    while crew:
        done = []
        for connection in wait(list(crew), timeout=_TICK_SEC):
            try:
                position, failure = connection.recv()
            except EOFError:
                process = crew.pop(connection)
                process.join()
                if process.exitcode:
                    raise ChildProcessError(
                        f'a worker process ended with status {process.exitcode} '
                        '(-9: killed, often for want of memory); use fewer workers'
                    ) from None
                continue
            if failure is not None:
                raise failure[0] from RuntimeError(failure[1])
            done.append(pieces[position])
        report(done)
