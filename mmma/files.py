"""Files written whole, tables read, problems listed, work shared among processes."""

import codecs
import csv
import errno
import functools
import io
import multiprocessing
import os
import platform
import re
import shutil
import signal
import sys
import tempfile
import threading
import types
import warnings
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import IO, Any, TypeVar

from mmma.foreign import parse_json, read_npz, short, shown, shown_streams

Item = TypeVar('Item')


def cache_home() -> Path:
    """``$MMMA_HOME``, or ~/.cache/mmma; any folder in it may be deleted."""
    home = os.environ.get('MMMA_HOME')
    return Path(home or '~/.cache/mmma').expanduser()


def leaves_root(relative: str) -> bool:
    """True for a path of a table that is absolute or climbs out by ``..``.

    Looks at the text alone, so that large tables read fast; links are looked at when
    a file is opened (``DataRoot.video_path``). Empty is inside.
    """
    if not relative:
        return False
    if relative[0] in '/\\' or relative[1:2] == ':':
        return True
    return '..' in relative and '..' in relative.replace('\\', '/').split('/')


HELD: set[Path] = set()  # drafts and locks of this process


@contextmanager
def draft(path: Path) -> Iterator[Path]:
    """Path to write to of a file that appears under its name only when it is complete.

    Its folder is made if it does not exist. No two writers share a draft; what a killed
    one leaves is ignored (:func:`is_filled`), and goes when a process of the same
    machine writes there. A device is written itself.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_drafts(path.parent, os.getpid())
    part = path
    if not path.exists() or path.is_file() or path.is_dir():
        mark = f'{os.getpid()}-{_MACHINE}{os.urandom(4).hex()}'
        part = path.with_name(f'.{path.name[:40]}.{mark}.part')
    if part != path:
        HELD.add(part)
    try:
        yield part
        if part != path:
            flush(part)
            os.replace(part, path)
    except OSError as error:
        if error.errno is not None and error.filename in (None, str(part)):
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        if part != path:
            part.unlink(missing_ok=True)
            HELD.discard(part)


# Whose process ids they are: a disk may be shared.
_MACHINE = f'{zlib.crc32(platform.node().encode()):08x}'


@functools.cache  # once per folder and process
def _remove_drafts(folder: Path, _: int) -> None:
    """Remove the drafts of processes of this machine that are gone."""
    for part in folder.glob(f'.*-{_MACHINE}*.part'):
        try:
            os.kill(int(part.suffixes[-2][1:].partition('-')[0]), 0)
        except ProcessLookupError:
            part.unlink(missing_ok=True)
        except (ValueError, OSError):  # no draft, or of another user
            continue


@contextmanager
def atomic_write(path: Path, mode: str = 'w') -> Iterator[IO[Any]]:
    """Open a file that appears under its name only when it is complete.

    Args:
        path: As in :func:`draft`.
        mode: ``w`` for UTF-8 text, ``wb`` for bytes.
    """
    text = {} if 'b' in mode else {'encoding': 'utf-8', 'newline': ''}
    with draft(path) as part, part.open(mode, **text) as file:
        yield file


def write_file(path: Path, content: str | bytes) -> None:
    """Write a file as :func:`atomic_write` does."""
    with atomic_write(path, 'w' if isinstance(content, str) else 'wb') as file:
        file.write(content)


def flush(path: Path) -> None:
    """Have the disk keep a file, or the names in a folder, before what comes next."""
    number = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError) if path.is_dir() else nullcontext():  # where it can
            os.fsync(number)
    finally:
        os.close(number)


def replace_together(drafts: Path, folder: Path, *names: str) -> None:
    """Put drafts in the place of files that are read as one, by the first of them.

    That one goes before the others change and comes last, so that whoever reads finds
    the old files, the new ones, or none. Files without a draft go.
    """
    made = [name for name in names if (drafts / name).exists()]
    for name in made:
        flush(drafts / name)
    (folder / names[0]).unlink(missing_ok=True)
    for name in (*names[1:], names[0]):
        flush(folder)
        if name in made:
            os.replace(drafts / name, folder / name)
        else:
            (folder / name).unlink(missing_ok=True)
    flush(folder)


def link_or_copy(origin: Path, target: Path, mode: str = 'link') -> None:
    """Link, or copy where links fail, a file in the place of another."""
    with draft(target) as part:
        with suppress(OSError):
            if mode == 'link':
                os.link(origin, part)
        if not part.exists():
            shutil.copyfile(origin, part)


def try_out(path: str | Path, folder: bool = False) -> Path:
    """Find out before the work whether a file can be written, or files of a folder.

    It is the type of an argument: what it gives is the path. Nothing is left behind.

    Raises:
        OSError: It cannot.
    """
    path = Path(path)
    try:
        if path.exists() and path.is_dir() != folder:
            kind = errno.ENOTDIR if folder else errno.EISDIR
            raise OSError(kind, os.strerror(kind))
        homes = (path.absolute() / 'x').parents if folder else path.absolute().parents
        with tempfile.TemporaryFile(dir=next(home for home in homes if home.exists())):
            pass
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    return path


def read_own(file: Path, read: Callable[[Any], Item]) -> Item | None:
    """What ``read`` makes of an ``.npz`` file of a cache; a damaged one is deleted."""
    try:
        return read(read_npz(file))
    except Exception as error:
        warnings.warn(f'{file} is damaged ({error}): it is made again', stacklevel=2)
        with suppress(OSError):
            shutil.rmtree(file) if file.is_dir() else file.unlink()
    return None


def is_filled(folder: Path, *but: str) -> bool:
    """True if a folder holds anything but drafts, locks and the names in ``but``."""
    names = [path.name for path in folder.iterdir() if path.name not in but]
    return not all(re.fullmatch(r'\..*\.(part|lock)', name) for name in names)


@contextmanager
def only_writer(place: Path, file: bool = False) -> Iterator[None]:
    """Hold a folder, which is made if needed, or the name of a file.

    The lock goes with this process alone. Devices are held by nobody.

    Raises:
        ValueError: Another process is at work there.
    """
    import fcntl

    folder = place.parent if file else place
    made, path = not folder.exists(), folder / '.mmma.lock'
    if file:
        path = path.with_name(f'.{place.name[-60:]}.lock')
        if place.exists() and not place.is_file():
            yield
            return
    folder.mkdir(parents=True, exist_ok=True)
    with path.open('a+') as lock:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever held it may have removed it after it was opened here.
            free = path.exists() and os.path.samestat(
                os.fstat(lock.fileno()), path.stat()
            )
        except OSError as error:  # other errors: a file system that has no locks
            free = error.errno not in (errno.EAGAIN, errno.EACCES)
        if not free:
            raise ValueError(
                f'{place}: another process is at work here: wait for it or end it'
            )
        HELD.add(path)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            HELD.discard(path)
            if made:
                with suppress(OSError):  # it is filled
                    folder.rmdir()


def read_text(path: Path, content: bytes | None = None) -> str:
    """Text of a UTF-8 table, or of UTF-16 with its mark, as spreadsheets write.

    A byte order mark is dropped. ``content`` are its bytes, where they were read.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is not UTF-8 text, or has null bytes.
    """
    if content is None and not path.is_file():
        raise FileNotFoundError(f'{path}: no such file')
    try:
        content = path.read_bytes() if content is None else content
        wide = content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        text = content.decode('utf-16' if wide else 'utf-8-sig')
        text = text.replace('\r\n', '\n').replace('\r', '\n')
    except UnicodeDecodeError as error:
        raise ValueError(
            f'{path}: not UTF-8 text (byte {error.start}); save it as UTF-8 (in '
            'spreadsheets: CSV UTF-8)'
        ) from None
    if (at := text.find('\0')) >= 0:
        line = text.count('\n', 0, at) + 1
        raise ValueError(f'{path}:{line}: not readable as text: it has null bytes')
    return text


SEPARATORS = ',;\t|'


def read_table(
    path: Path,
    content: bytes | None = None,
    separators: str = SEPARATORS,
    numbers: Collection[str] = (),
) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """Header of a table as spreadsheets write it, and its rows with their lines.

    The separator is what parts the header into the most columns, or stands in a line
    ``sep=;`` above it. Spaces around cells, empty rows and empty cells after the last
    column are left out.

    Args:
        path: The file.
        content: Its bytes, where they were read.
        separators: Characters that may part its cells; of equals the first.
        numbers: Columns whose decimal commas become points, but for a quoted ``1,234``
            between commas, which may be a thousand.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Not UTF-8 text, or, while rows are read, not CSV.
    """
    lines = iter(io.StringIO(read_text(path, content), newline=''))
    first, skipped = '', 0
    for first in lines:
        mark = re.fullmatch(r'\s*"?sep=(.)"?\s*', first, re.IGNORECASE)
        separators = mark[1] if mark else separators
        if first.strip() and not mark:
            break
        first, skipped = '', skipped + 1

    def split(line: str, separator: str) -> list[str]:
        return next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])

    try:
        separator = max(separators, key=lambda s: len(split(first, s)))
    except csv.Error as error:
        where = f'{path}:{skipped + 1}'
        raise ValueError(f'{where}: not readable as CSV: {error}') from None
    header = [name.strip() for name in split(first, separator)]
    while header and not header[-1]:
        header.pop()
    thousand = r'(?![-+]?[1-9]\d{0,2},\d{3}$)' if separator == ',' else ''
    number = re.compile(rf'{thousand}[-+]?\d+,\d+(?:[eE][-+]?\d+)?')
    places = [place for place, name in enumerate(header) if name in numbers]

    def rows() -> Iterator[tuple[int, list[str]]]:
        reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
        try:
            for row in reader:
                cells = [cell.strip() for cell in row]
                while len(cells) > len(header) and not cells[-1]:
                    cells.pop()
                if any(cells):
                    for at in places:
                        if at < len(cells) and number.fullmatch(cells[at]):
                            cells[at] = cells[at].replace(',', '.')
                    yield reader.line_num + skipped + 1, cells
        except csv.Error as error:
            line = reader.line_num + skipped + 1
            raise ValueError(f'{path}:{line}: not readable as CSV: {error}') from None

    return header, rows()


def read_json(path: Path, *keys: str) -> Any:
    """Content of a JSON file, which must have these keys; see :func:`parse_json`."""
    content = parse_json(read_text(path), path)[0]
    if keys and not (isinstance(content, dict) and {*keys} <= {*content}):
        raise ValueError(f'{path}: must be an object with {", ".join(keys)}')
    return content


SHOWN, WARNING = 5, 'warning: '
CHECK_HINT = 'tools/data/check.py --strict lists all'


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        file: The file it is in.
        line: Line in that file, counted from 1; 0 where no line can be named.
        item: Clip or video, as written there; may be empty.
        text: What is wrong, what is allowed.
    """

    file: str
    line: int
    item: str
    text: str

    def __str__(self) -> str:
        where = f'{self.file}:{self.line}' if self.line else self.file
        return shown(': '.join(filter(None, (where, self.item, self.text))))


def refuse(problems: Sequence[Problem], path: Path, hint: str = '') -> None:
    """Raise ``ValueError`` if there is any problem, showing the first five.

    ``hint`` says where all of them can be seen.
    """
    if not problems:
        return
    lines = [f'  {problem}' for problem in problems[:SHOWN]]
    if len(problems) > SHOWN:
        lines.append(f'  ... and {len(problems) - SHOWN} more{hint and f" ({hint})"}')
    count = '1 problem' if len(problems) == 1 else f'{len(problems)} problems'
    raise ValueError('\n'.join([f'{path}: {count}', *lines]))


class OddEntries:
    """Entries of a file that are repaired or left out, and told, unless most are odd.

    Args:
        path: The file that was read.
        done: What is done with them, in words.

    Attributes:
        problems: One for each of them, in the order of the file.
        total: Number of all entries.
        slight: Number of those cut by too little to be odd.
        doubtful: True where one of them puts all entries in doubt.
        remarks: Lines on the file as a whole, which refuse nothing.
    """

    def __init__(self, path: Path, done: str = 'left out') -> None:
        self.path, self.done = path, done
        self.problems: list[Problem] = []
        self.remarks: list[str] = []
        self.total, self.slight, self.doubtful = 0, 0, False

    def add(self, line: int, item: str, text: str) -> None:
        """Take the place of an odd entry, as :class:`Problem` has it, and its fault."""
        self.problems.append(Problem(str(self.path), line, item, text))

    def items(self) -> set[str]:
        """Names of the odd entries."""
        return {problem.item for problem in self.problems}

    def notes(self, strict: bool = False, hint: str = '') -> list[str]:
        """Lines for the user, or none; ``hint`` is as in :func:`refuse`.

        Raises:
            ValueError: More than half of the entries are odd, or any if strict or
                doubtful, or the file as a whole: such a problem is of no item.
        """
        found, count = self.problems, len(self.problems)
        whole = any(not own.item and own.line < 2 for own in found)
        if strict or whole or self.doubtful or 2 * count > self.total:
            refuse(found, self.path, hint)
        first = '; '.join(f'{own.item}: {own.text}' for own in found[:SHOWN])
        more = f'; and {count - SHOWN} more{hint and f" ({hint})"}' * (count > SHOWN)
        head = f'{count} of {self.total} {self.done} of {self.path.name}: {first}{more}'
        slight = f'{self.slight} segments of {self.path.name} are cut by up to 0.5 s'
        return [head] * bool(found) + [slight] * bool(self.slight) + self.remarks


def tell(notes: Iterable[str]) -> None:
    """Print notes for the user on standard error, and warnings, which say so."""
    for note in notes:
        head = 'note: ' * (not note.startswith(WARNING))
        print(f'{head}{shown(short(note))}', file=sys.stderr)


@contextmanager
def progress_bar(label: str, sizes: bool = False) -> Iterator[Callable[..., None]]:
    """Function of (done, total) that shows on standard error how far the work is.

    A terminal gets a bar with the time left; a log file gets at most ten lines, and
    none of sizes in bytes, whose total may be unknown or told once.
    """
    shown = -1

    def report(done: int, total: int) -> None:
        nonlocal shown
        tenth = done * 10 // max(total, 1)
        if tenth != shown:
            shown = tenth
            print(f'{label} {done}/{total}', file=sys.stderr, flush=True)

    if not sys.stderr.isatty():
        yield (lambda *_: None) if sizes else report
        return
    import rich.progress as bars
    from rich.console import Console

    text = bars.TextColumn('{task.description}', markup=False)
    counts = [bars.MofNCompleteColumn()]
    if sizes:
        counts = [bars.DownloadColumn(), bars.TransferSpeedColumn()]
    columns = text, bars.BarColumn(), *counts, bars.TimeRemainingColumn()
    console = Console(file=getattr(sys.stderr, 'stream', sys.stderr))
    with bars.Progress(*columns, console=console) as bar, shown_streams():
        task = bar.add_task(label, total=None, visible=False)
        yield lambda done, total=None: bar.update(
            task, completed=done, total=total, visible=True
        )


def progress(items: Iterable[Item], total: int, label: str) -> Iterator[Item]:
    """Pass items through and show how many of ``total`` have passed."""
    with progress_bar(label) as report:
        for done, item in enumerate(items, start=1):
            yield item
            report(done, total)


CRASHED = 'the decoder crashes on it'


def map_in_processes(
    work: Callable[[Item], Any],
    items: Sequence[Item],
    workers: int | None,
    spawn: bool = False,
) -> Iterator[tuple[Item, Any]]:
    """Call ``work`` for every item; an item that kills its process costs only itself.

    Args:
        work: A module-level function, or a ``partial`` of one; what it raises is
            raised here.
        items: Its arguments.
        workers: Processes; 0 works in this one, None takes one per CPU.
        spawn: Start fresh processes, which import ``work`` anew, of one thread each:
            forked ones hang where OpenCV or OpenMP has used its threads before.

    Yields:
        Each item with what ``work`` returned, or with the text ``CRASHED``, as they
        come.
    """
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
                futures = {pool.submit(work, item): n for n, item in items.items()}
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for future in as_completed(futures):
            yield futures.pop(future), future.result()
    except BaseException as error:
        for process in list((pool._processes or {}).values()):
            process.terminate()
        if isinstance(error, SystemExit):  # it was ended, as this one will be
            raise KeyboardInterrupt from None
        raise
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _fresh_processes() -> Iterator[None]:
    """Spawn processes that import neither the running script nor use several threads.

    A spawned process imports the script that runs, which would run it once more where
    it has no guard; what is called here lies in modules.
    """
    main, threads = sys.modules['__main__'], os.environ.get('OMP_NUM_THREADS')
    sys.modules['__main__'] = types.ModuleType('__main__')
    os.environ['OMP_NUM_THREADS'] = '1'
    try:
        yield
    finally:
        sys.modules['__main__'] = main
        if threads is None:
            del os.environ['OMP_NUM_THREADS']
        else:
            os.environ['OMP_NUM_THREADS'] = threads


def _end_with() -> None:
    """Leave Ctrl-C to the parent; end when it says so or is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what it does is undone
    parent = multiprocessing.parent_process()

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    if parent is not None:
        threading.Thread(target=watch, daemon=True).start()


def source_identity(source: Path) -> dict[str, int]:
    """Facts of an existing file that tell if it has changed."""
    found = source.stat()
    return {'source_bytes': found.st_size, 'source_mtime_ns': found.st_mtime_ns}
