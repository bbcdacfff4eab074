"""Work shared among processes: one that dies costs its item; none outlives the work.

They are of this machine, or of the Dask cluster that ``MMMA_CLUSTER`` names.

Ctrl-C is the parent's alone. It tells its processes to end: what one of them was doing
is given up, and its drafts are removed.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from multiprocessing.connection import wait
from typing import Any, TypeVar

Item = TypeVar('Item')

CRASHED = 'the decoder crashes on it'


def map_in_processes(
    work: Callable[[Item], Any],
    items: Sequence[Item],
    workers: int | None,
    spawn: bool = False,
) -> Iterator[tuple[Item, Any]]:
    """Each item with what ``work`` returns of it, or with ``CRASHED``, as they come.

    An item that kills its process costs only itself.

    Args:
        work: A module-level function, or a ``partial`` of one; what it raises is
            raised here.
        items: Its arguments.
        workers: Processes; 0 works in this one, None takes one per CPU. Of a cluster,
            the jobs that a batch system is asked for.
        spawn: Start fresh processes, which import ``work`` anew, of one thread each:
            forked ones hang where OpenCV or OpenMP has used its threads before.

    Raises:
        ConnectionError: No cluster answers.
    """
    if cluster := os.environ.get('MMMA_CLUSTER'):
        yield from _in_cluster(cluster, work, items, workers)
        return
    workers = usable_cores() if workers is None else workers
    workers = min(workers, len(items))
    method = 'spawn' if spawn else 'fork'
    if not workers or method not in multiprocessing.get_all_start_methods():
        yield from ((item, work(item)) for item in items)
        return
    left = dict(enumerate(items))
    try:
        for number, outcome in _in_pool(method, work, left.copy(), workers):
            yield left.pop(number), outcome
    except BrokenProcessPool:
        for number, item in left.items():
            try:
                yield item, next(_in_pool(method, work, {number: item}, 1))[1]
            except BrokenProcessPool:
                yield item, CRASHED


def usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def loaders_per_process() -> int:
    """Loaders that feed one process: its share of the cores, at most 16."""
    cores = usable_cores() // int(os.environ.get('LOCAL_WORLD_SIZE') or 1)
    return max(1, min(cores, 16))


def _in_pool(
    method: str, work: Callable[[Item], Any], items: dict[int, Item], workers: int
) -> Iterator[tuple[int, Any]]:
    context = multiprocessing.get_context(method)
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with)
    try:
        # Processes that start would end at Ctrl-C, with a traceback, before they know.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            with _fresh_processes() if method == 'spawn' else nullcontext():
                every = ((pool.submit(_at_work, work, x), n) for n, x in items.items())
                futures = dict(every)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for future in as_completed(futures):
            yield futures.pop(future), future.result()
    except BaseException:
        for process in list((pool._processes or {}).values()):
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _in_cluster(
    name: str, work: Callable[[Item], Any], items: Sequence[Item], jobs: int | None
) -> Iterator[tuple[Item, Any]]:
    """By the workers of a scheduler, or of ``slurm``; one that dies costs a retry."""
    try:
        from distributed import Client
        from distributed import as_completed as finished
        from distributed.scheduler import KilledWorker
    except ImportError:
        told = f"--cluster {name} needs pip install 'mmma[cluster]'"
        raise ValueError(told) from None
    with ExitStack() as stack:
        address: Any = name
        try:
            if name == 'slurm':
                from dask_jobqueue import SLURMCluster

                address = stack.enter_context(SLURMCluster())  # of jobqueue.yaml
                address.scale(jobs=jobs or 1)
            client = stack.enter_context(Client(address))
        except (OSError, ValueError) as error:
            raise ConnectionError(
                f'--cluster {name}: {error}. Give the address that `dask scheduler` '
                'prints, or slurm, whose jobs jobqueue.yaml describes: docs/clusters.md'
            ) from None
        # What is left when something is raised is given up as the client closes.
        at_work = partial(_as_here, os.getcwd(), work)
        futures, again = {client.submit(at_work, x, pure=False): x for x in items}, []
        for future in finished(futures):
            item = futures[future]
            try:
                yield item, future.result()
            except KilledWorker:  # it, or one that waited beside it, killed several
                again.append(item)
        for item in again:
            try:
                yield item, client.submit(at_work, item, pure=False).result()
            except KilledWorker:
                yield item, CRASHED


def _as_here(folder: str, work: Callable[[Item], Any], item: Item) -> Any:
    """Work where relative paths mean what they mean to the command."""
    os.chdir(folder)
    return work(item)


def _at_work(work: Callable[[Item], Any], item: Item) -> Any:
    """Call ``work`` in a process that ends when told so, drafts removed.

    It never returns to the pool then, which would wait for locks that others died with.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        return work(item)
    except SystemExit:
        os._exit(1)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def _fresh_processes() -> Iterator[None]:
    """Spawn processes that import neither the running script nor use several threads.

    A spawned process imports the script that runs, which would run it once more where
    it has no guard; what is called here lies in modules.
    """
    main, old = sys.modules['__main__'], os.environ.copy()
    sys.modules['__main__'] = type(sys)('__main__')
    os.environ['OMP_NUM_THREADS'] = '1'
    try:
        yield
    finally:
        sys.modules['__main__'] = main
        del os.environ['OMP_NUM_THREADS']
        os.environ.update(old)


def _end_with() -> None:
    """Leave Ctrl-C to the parent; end when it says so, or is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = multiprocessing.parent_process()

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    if parent is not None:
        threading.Thread(target=watch, daemon=True).start()
