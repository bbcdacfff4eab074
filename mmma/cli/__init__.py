"""Command line: one module per command, imported only when it is called.

A command module has its help as docstring, ``ARGUMENTS`` as of ``declared``, or instead
of them ``add_arguments(parser)``, and ``run(args) -> int``.
Exit status: 0 done, 1 a check failed, 2 bad usage or bad input, 130 or 143 interrupted.
"""

import os
import signal
import sys
from contextlib import contextmanager, suppress


def _leave(number: int, _: object = None, command: str = '') -> None:
    """End while modules are imported, which may swallow what is raised."""
    if 'mmma.files' in sys.modules:
        from multiprocessing import active_children

        from mmma.files import HELD

        for process in active_children():
            process.terminate()
        for path in HELD:
            path.unlink(missing_ok=True)
    told = _GOES_ON.get(command, 'the same command starts anew')
    with suppress(OSError):
        os.write(2, f'interrupted: {told}\n'.encode())
    os._exit(128 + number)


_SAME = 'what is done is kept: the same command goes on'
_STAGES = 'simulate', 'pack', 'pose', 'face', 'convert', 'features'
_GOES_ON = {f'data/{name}': _SAME for name in _STAGES}
_GOES_ON |= dict.fromkeys(('annotate', 'download', 'infer', 'probe', 'real'), _SAME)
_ONE_THREAD = 'data/simulate', 'data/pack', 'data/pose'
_GOES_ON['train'] = 'checkpoints are kept: the same command with --resume goes on'
_WAYS = signal.SIGINT, signal.SIGTERM
with suppress(ValueError):  # imported in a thread
    _before = [signal.signal(way, _leave) for way in _WAYS]

import argparse  # noqa: E402
import errno  # noqa: E402
import importlib  # noqa: E402
import logging  # noqa: E402
import pkgutil  # noqa: E402
import re  # noqa: E402
import shutil  # noqa: E402
import textwrap  # noqa: E402
import time  # noqa: E402
import types  # noqa: E402
import warnings  # noqa: E402
from collections.abc import Callable, Iterator, Sequence  # noqa: E402
from typing import Any, NoReturn  # noqa: E402

from mmma.foreign import short, shown, shown_streams  # noqa: E402

_NAMES = (m.name for m in pkgutil.iter_modules(__path__) if m.name != 'arguments')
COMMANDS = tuple(
    sorted(
        (re.sub('^data_', 'data/', name) for name in _NAMES),
        key=lambda name: ('/' in name, name),
    )
)
"""Modules of this package; ``data/check`` is ``data_check``."""


@shown_streams()
def main(command: str, argv: Sequence[str] | None = None) -> int:
    """Run one of ``COMMANDS``; what a user can get wrong, and
    what the file system refuses, is told without a traceback.

    Returns:
        The exit status.
    """
    with _interruptible(command, for_good=argv is None) as came:
        try:
            args, run = _parsed(command, argv)
            status = run(args) or 0
            sys.stdout.flush()
            group = sys.modules.get('torch.distributed')
            if group and group.is_initialized():  # its threads outlive no process
                group.destroy_process_group()
            return status
        except BrokenPipeError:
            return _unread()
        except BaseException as error:
            if came or isinstance(error, KeyboardInterrupt):
                told = _GOES_ON.get(command, 'the same command starts anew')
                print(f'interrupted: {told}', file=sys.stderr)
                return 128 + (came or [signal.SIGINT])[0]
            known = isinstance(error, (ValueError, OSError, ImportError))
            known |= bool(_NOT_BUILT.search(str(error)))
            if not known or os.environ.get('MMMA_TRACEBACK'):
                raise
            kept = getattr(error, 'errno', None) in _NO_ROOM and command in _GOES_ON
            more = f'; {_GOES_ON[command]}' if kept else ''
            print(f'error: {plain_message(error)}{more}', file=sys.stderr)
            return 2


def _unread() -> int:
    """Status where nobody reads what is printed any more, as `| head` does not."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + 13  # SIGPIPE


_NOT_BUILT = re.compile(r'is not in the \S+ registry|__init__\(\) (got an|missing) ')
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


@contextmanager
def _interruptible(command: str, for_good: bool) -> Iterator[list[int]]:
    """Let Ctrl-C and a request to end interrupt what runs; for ten seconds once.

    They stay idle behind an interrupt ``for_good``. Yields the signals that came.
    """
    came: list[int] = []
    own, idle_till = os.getpid(), 0.0

    def interrupt(number: int, frame: types.FrameType | None) -> None:
        nonlocal idle_till
        if os.getpid() != own:  # forked from this one, which ends it
            if number == signal.SIGTERM:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
            return
        came.append(number)
        if time.monotonic() < idle_till:
            return
        idle_till = time.monotonic() + 10
        while frame:
            if frame.f_code.co_filename.startswith('<frozen importlib'):
                _leave(number, command=command)
            frame = frame.f_back
        raise KeyboardInterrupt

    try:
        before = [signal.signal(way, interrupt) for way in _WAYS]
    except ValueError:  # in a thread
        before = []
    try:
        yield came
    finally:
        for way, handler in zip(_WAYS, before, strict=False):
            signal.signal(way, signal.SIG_IGN if came and for_good else handler)


class _Parser(argparse.ArgumentParser):
    """A parser that tells what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """Leave with status 2."""
        from mmma.taxonomy import suggest

        flag = re.match('unrecognized arguments: (--[^ =]+)', message)
        hint = suggest(flag[1], self._option_string_actions) if flag else ''
        self.exit(2, f'error: {message}.{hint} `{self.prog} --help` tells all\n')


def _parsed(
    command: str, argv: Sequence[str] | None
) -> tuple[argparse.Namespace, Callable[[argparse.Namespace], int]]:
    """Arguments of a command, and what runs it."""
    from mmma.cli.arguments import arguments_of, keep_inputs

    module = importlib.import_module(f'mmma.cli.{command.replace("/", "_")}')
    if command in _ONE_THREAD:  # each worker uses one core; before numpy is there
        os.environ.setdefault('OMP_NUM_THREADS', '1')
    # Threads that wait long in a loop keep cores from the processes of loaders.
    if 'OMP_WAIT_POLICY' not in os.environ:
        os.environ.setdefault('GOMP_SPINCOUNT', '10000')
    typed = sys.argv[0].endswith(f'{command}.py')
    parser = _Parser(
        prog=f'tools/{command}.py' if typed else f'mmma {command}',
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    arguments_of(module)(parser)
    reads = {action.dest for action in parser._actions} & {'root', 'data', 'data_root'}
    if reads or command in ('annotate', 'data/convert'):
        told = (
            'read videos behind links out of the data root, or out of what is converted'
        )
        parser.add_argument('--follow-links', action='store_true', help=told)
    if '--workers' in parser._option_string_actions:
        told = (
            'work in the processes of a Dask cluster, which see the same files; slurm: '
            'in --workers jobs, as jobqueue.yaml says (docs/clusters.md)'
        )
        form = dict(metavar='tcp://HOST:PORT|slurm', help=told)
        parser.add_argument('--cluster', **form)
    warnings.formatwarning = _note
    logging.raiseExceptions = False  # of a full disk, which more than logs is told of
    os.environ.setdefault('NO_COLOR', '1')  # colours of logs are escapes as well
    # argparse swallows it if nobody reads.
    parser.print_help = lambda *_: print(parser.format_help(), end='', flush=True)
    args = parser.parse_args(argv)
    keep_inputs(args)
    if getattr(args, 'follow_links', False):
        os.environ['MMMA_FOLLOW_LINKS'] = '1'  # for processes of loaders as well
    if hasattr(args, 'cluster'):
        os.environ['MMMA_CLUSTER'] = args.cluster or ''
    return args, module.run


def _note(message: Any, category: Any, filename: str, lineno: int, *_: Any) -> str:
    """A warning of ours without the line of code; others go to the log of a run.

    Without one their text has the line.
    """
    if category is UserWarning and filename.startswith(os.path.dirname(__path__[0])):
        return f'note: {shown(message)}\n'
    text = f'{filename}:{lineno}: {category.__name__}: {message}'
    known = getattr(sys.modules.get('mmengine.logging'), 'MMLogger', None)
    logger = known and known._instance_dict and known.get_current_instance()
    for handler in logger.handlers[1:] if logger else ():
        place = filename, lineno, text, None, None
        handler.handle(logging.LogRecord('py.warnings', logging.WARNING, *place))
        return ''
    return f'{text}\n'


def plain_message(error: Exception) -> str:
    """The text of an error without what data loaders and registries wrap around it."""
    text = str(error.args[0] if isinstance(error, KeyError) else error)
    if isinstance(error, OSError) and error.strerror:
        place = error.filename2 or error.filename
        text = f'{shown(place)}: {error.strerror}' if place else error.strerror
    if 'Original Traceback' in text:  # raised in a data loader's worker
        text = re.split(r'\n(?:\w+\.)*\w*Error: ', text)[-1]
    return short(re.sub(r'^(class `\w+` in [\w./]+: )+', '', text).strip())


def _overview() -> str:
    from mmma.taxonomy import own_table

    lines, left = ['usage: mmma COMMAND ... (mmma COMMAND --help: more)'], [*COMMANDS]
    width = shutil.get_terminal_size((100, 24)).columns - 20
    for title, names in (*own_table('commands').items(), ('more', COMMANDS)):
        own = [left.pop(left.index(name)) for name in names if name in left]
        lines += ['', f'{title}:'] if own else []
        for name in own:
            module = importlib.import_module(f'mmma.cli.{name.replace("/", "_")}')
            told = re.split(r'[.;:]\s|\.$', module.__doc__ or '')[0]
            lines.append(f'  {name:16} {textwrap.shorten(told, width)}')
    return '\n'.join(lines)


def entry(argv: Sequence[str] | None = None) -> int:
    """``python -m mmma NAME ...``: find the command, then run it."""
    own = argv is None
    argv = sys.argv[1:] if own else list(argv)
    if not argv or argv[0] in ('-h', '--help'):
        try:
            print(_overview(), flush=True)
        except BrokenPipeError:
            return _unread()
        return 0 if argv else 2
    if argv[0] not in COMMANDS:
        from mmma.taxonomy import suggest

        hint = suggest('/'.join(argv[:2]), COMMANDS) or suggest(argv[0], COMMANDS)
        told = f'no command {shown(argv[0])!r}.{hint} `mmma --help` lists all'
        print(f'error: {told}', file=sys.stderr)
        return 2
    sys.argv = argv if own else sys.argv
    return main(argv[0], None if own else argv[1:])


with suppress(ValueError, NameError):
    list(map(signal.signal, _WAYS, _before))
