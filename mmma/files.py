"""Files written whole, tables read, problems listed."""

import codecs
import csv
import errno
import functools
import io
import os
import platform
import re
import shutil
import sys
import tempfile
import warnings
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

from mmma.foreign import parse_json, read_npz, short, shown, shown_streams

Item = TypeVar('Item')
SHOWN, WARNING = 5, 'warning: '
LISTS_ALL = 'tools/data/check.py --strict lists all'
SEPARATORS = ',;\t|'
HELD: set[Path] = set()  # drafts and locks of this process
# Whose process ids they are: a disk may be shared.
_MACHINE = f'{zlib.crc32(platform.node().encode()):08x}'


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


@contextmanager
def draft(path: Path) -> Iterator[Path]:
    """Path to write to of a file that appears under its name only when it is complete.

    Its folder is made if it does not exist. No two writers share a draft; what a killed
    one leaves is ignored (:func:`is_filled`), and goes when a process of the same
    machine writes there. A device is written itself.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_drafts(path.parent, os.getpid())
    if path.exists() and not path.is_file() and not path.is_dir():
        with placed(path):
            yield path
        return
    mark = f'{os.getpid()}-{_MACHINE}{os.urandom(4).hex()}'
    part = path.with_name(f'.{path.name[:40]}.{mark}.part')
    HELD.add(part)
    try:
        with placed(path, part):
            yield part
            flush(part)
            os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
        HELD.discard(part)


@functools.cache  # once per folder and process
def _remove_drafts(folder: Path, _: int) -> None:
    """Remove the drafts of processes of this machine that are gone."""
    for part in folder.glob(f'.*-{_MACHINE}*.part'):
        try:
            os.kill(pid := int(part.suffixes[-2][1:].partition('-')[0]), 0)
            state = Path(f'/proc/{pid}/stat')  # Z: ended, and not waited for yet
            gone = state.exists() and state.read_text().rpartition(')')[2][1:2] == 'Z'
        except (ValueError, OSError) as error:  # no draft, or of another user
            gone = isinstance(error, ProcessLookupError)
        if gone:
            part.unlink(missing_ok=True)


@contextmanager
def atomic_write(path: Path, mode: str = 'w') -> Iterator[IO[Any]]:
    """Open a file as of :func:`draft`, with mode ``w`` for UTF-8 text, or ``wb``."""
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
    """Find out before the work if a file, or those of a folder, can be written.

    It is the type of an argument: what it gives is the path. Nothing is left behind.
    OSError says that it cannot.
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
def made_whole(folder: Path) -> Iterator[None]:
    """Be the only writer of a folder; one that was empty is so after a failure."""
    there = folder.exists()
    fresh = not there or (folder.is_dir() and not is_filled(folder))
    with nullcontext() if folder.is_file() else only_writer(folder):
        try:
            yield
        except BaseException:
            if fresh:
                shutil.rmtree(folder, ignore_errors=True)
                if there:
                    folder.mkdir(exist_ok=True)
            raise


@contextmanager
def placed(place: Path, part: Path | str = '') -> Iterator[None]:
    """Let errors of the file system that name no file, or its part, name the place."""
    try:
        yield
    except OSError as error:
        named = {error.filename, error.filename2} - {None}
        if error.errno is None or (named and str(part) not in named):
            raise
        raise OSError(error.errno, error.strerror, str(place)) from None


@contextmanager
def only_writer(place: Path, file: bool = False) -> Iterator[None]:
    """Hold a folder, which is made if needed, or the name of a file.

    The lock goes with this process alone; another one at work there is a ValueError.
    Devices are held by nobody.
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
            own = os.fstat(lock.fileno())
            free = path.exists() and os.path.samestat(own, path.stat())
        except OSError as error:  # other errors: a file system that has no locks
            free = error.errno not in (errno.EAGAIN, errno.EACCES)
        if not free:
            told = 'another process is at work here: wait for it or end it'
            raise ValueError(f'{place}: {told}')
        HELD.add(path)
        try:
            with placed(place):
                yield
        finally:
            try:
                path.unlink(missing_ok=True)
            except KeyboardInterrupt:  # which came before it was gone
                path.unlink(missing_ok=True)
                raise
            HELD.discard(path)
            if made:
                with suppress(OSError):  # it is filled
                    folder.rmdir()


def read_text(path: Path, content: bytes | None = None) -> str:
    """Text of a UTF-8 table, or of UTF-16 with its mark, as spreadsheets write.

    A byte order mark is dropped. ``content`` are its bytes, where they were read.
    Raises FileNotFoundError, or ValueError where it is no text or has null bytes.
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


def read_table(
    path: Path,
    content: bytes | None = None,
    separators: str = SEPARATORS,
    numbers: Collection[str] = (),
) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """Header of a table as spreadsheets write it, and its rows with their lines.

    The separator is what parts the header into the most columns, or stands in a line
    ``sep=;`` above it. Spaces around cells, empty rows and empty cells after the last
    column are left out. Raises as :func:`read_text`, and ValueError of rows of no CSV.

    Args:
        content: Its bytes, where they were read.
        separators: Characters that may part its cells; of equals the first.
        numbers: Columns whose decimal commas become points, but for a quoted ``1,234``
            between commas, which may be a thousand.
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


def read_json(path: Path, *keys: str, text: bytes | None = None) -> Any:
    """Content of a JSON file, which has these keys, none twice; see `parse_json`."""
    content, repeated = parse_json(read_text(path, text), path)
    if repeated:
        raise ValueError(f'{path}: {repeated[0]!r} is there twice: keep one of them')
    if keys and not (isinstance(content, dict) and {*keys} <= {*content}):
        raise ValueError(f'{path}: must be an object with {", ".join(keys)}')
    return content


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

        If more than half of the entries are odd, or any if strict or doubtful, or the
        file as a whole (such a problem is of no item), ValueError is raised.
        """
        found, count = self.problems, len(self.problems)
        whole = any(not own.item and own.line < 2 for own in found)
        if strict or whole or self.doubtful or 2 * count > self.total:
            refuse(found, self.path, hint)
        first = '; '.join(shown(f'{own.item}: {own.text}') for own in found[:SHOWN])
        more = f'; and {count - SHOWN} more{hint and f" ({hint})"}' * (count > SHOWN)
        head = f'{count} of {self.total} {self.done} of {self.path.name}: {first}{more}'
        slight = f'{self.slight} segments of {self.path.name} are cut by up to 0.5 s'
        rest = len(self.remarks[SHOWN:])
        more = f'{self.path.name}: and {rest} more notes of this kind'
        remarks = self.remarks[:SHOWN] + [more] * bool(rest)
        return [head] * bool(found) + [slight] * bool(self.slight) + remarks


def tell(notes: Iterable[str]) -> None:
    """Print notes for the user on standard error, and warnings, which say so."""
    for note in notes:
        print('note: ' * (note[:9] != WARNING) + shown(short(note)), file=sys.stderr)


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


def source_identity(source: Path) -> dict[str, int]:
    """Facts of an existing file that tell if it has changed."""
    found = source.stat()
    return {'source_bytes': found.st_size, 'source_mtime_ns': found.st_mtime_ns}
