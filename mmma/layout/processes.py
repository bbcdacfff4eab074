"""One function over many items, on processes that end with their parent."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import Any, TypeVar

Item = TypeVar('Item')
CRASHED = 'the decoder crashes on it'


def map_in_processes(
    work: Callable[[Item], Any], items: Sequence[Item], workers: int | None
) -> Iterator[tuple[Item, Any]]:
    """Call ``work`` for every item; an item that kills its process costs only itself.

    Args:
        work: A module-level function, or a ``partial`` of one; what it raises is
            raised here.
        items: Its arguments.
        workers: Processes; 0 works in this one, None takes one per CPU.

    Yields:
        Each item with what ``work`` returned, or with the text ``CRASHED``, as they
        come.
    """
    workers = usable_cores() if workers is None else workers
    workers = min(workers, len(items))
    if not workers or 'fork' not in multiprocessing.get_all_start_methods():
        yield from ((item, work(item)) for item in items)
        return
    left = dict(enumerate(items))
    try:
        for number, outcome in _in_pool(work, left.copy(), workers):
            yield left.pop(number), outcome
    except BrokenProcessPool:
        for number, item in left.items():
            try:
                yield item, next(_in_pool(work, {number: item}, 1))[1]
            except BrokenProcessPool:
                yield item, CRASHED


def usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _in_pool(
    work: Callable[[Item], Any], items: dict[int, Item], workers: int
) -> Iterator[tuple[int, Any]]:
    # Forked, so that a script without a main guard is not run again in each process.
    context = multiprocessing.get_context('fork')
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with)
    try:
        futures = {pool.submit(work, item): number for number, item in items.items()}
        for future in as_completed(futures):
            yield futures.pop(future), future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _end_with() -> None:
    """Leave interrupts to the parent, and end when it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_watch, args=(parent.sentinel,), daemon=True).start()


def _watch(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
