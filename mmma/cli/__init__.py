"""Command line: one module per command, imported only when it is called.

A command module has ``HELP``, ``add_arguments(parser)`` and ``run(args) -> int``.
Exit status: 0 done, 1 a check failed, 2 bad usage or bad input.
"""

import argparse
import importlib
import os
import pkgutil
import re
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from mmma.foreign import shown, shown_streams

_PARTS = ('arguments', 'evaluate_det', 'evaluate_rec')
_NAMES = (m.name for m in pkgutil.iter_modules(__path__) if m.name not in _PARTS)
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
    module = importlib.import_module(f'mmma.cli.{command.replace("/", "_")}')
    parser = argparse.ArgumentParser(
        prog=command,
        description=module.HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    reads = {action.dest for action in parser._actions} & {'root', 'data', 'data_root'}
    if reads or command == 'data/convert':
        told = (
            'read videos behind links out of the data root, or out of what is converted'
        )
        parser.add_argument('--follow-links', action='store_true', help=told)
    warnings.formatwarning = _note
    os.environ.setdefault('NO_COLOR', '1')  # colours of logs are escapes as well
    try:
        args = parser.parse_args(argv)
        if getattr(args, 'follow_links', False):
            os.environ['MMMA_FOLLOW_LINKS'] = '1'  # for processes of loaders as well
        status = module.run(args) or 0
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # as `| head` does, having read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (ValueError, OSError) as error:
        if os.environ.get('MMMA_TRACEBACK'):
            raise
        print(f'error: {plain_message(error)}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        return 130


def _note(message: Any, category: Any, filename: str, lineno: int, *_: Any) -> str:
    """A warning of ours without the line of code; of others with it."""
    if category is UserWarning and filename.startswith(os.path.dirname(__path__[0])):
        return f'note: {message}\n'
    return f'{filename}:{lineno}: {category.__name__}: {message}\n'


def plain_message(error: Exception) -> str:
    """The text of an error without what data loaders and registries wrap around it."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        place = error.filename2 or error.filename
        text = f'{shown(place)}: {error.strerror}' if place else error.strerror
    if 'Original Traceback' in text:  # raised in a data loader's worker
        text = re.split(r'\n(?:\w+\.)*\w*Error: ', text)[-1]
    return re.sub(r'^(class `\w+` in [\w./]+: )+', '', text).strip()


def entry(argv: Sequence[str] | None = None) -> int:
    """``python -m mmma NAME ...``: find the command, then run it."""
    argv = sys.argv[1:] if argv is None else list(argv)
    known = '\n'.join(f'  {name}' for name in COMMANDS)
    if not argv or argv[0] in ('-h', '--help'):
        print(f'usage: python -m mmma COMMAND ...\n\ncommands:\n{known}')
        return 0 if argv else 2
    if argv[0] not in COMMANDS:
        print(f'error: no command {argv[0]!r}; commands:\n{known}', file=sys.stderr)
        return 2
    return main(argv[0], argv[1:])
