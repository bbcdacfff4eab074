"""Progress on standard error, without a package for it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar('Item')
_WIDTH = 30


def progress(items: Iterable[Item], total: int, label: str) -> Iterator[Item]:
    """Pass items through and show how many have passed.

    A terminal gets a bar; a log file gets at most ten lines.

    Args:
        items: What to pass through.
        total: How many there are.
        label: What is being done.
    """
    is_terminal = sys.stderr.isatty()
    shown = -1
    for done, item in enumerate(items, start=1):
        yield item
        step = done * (100 if is_terminal else 10) // max(total, 1)
        if step != shown:
            shown = step
            _show(done, total, label, is_terminal)
    if is_terminal and shown >= 0:
        sys.stderr.write('\n')


def _show(done: int, total: int, label: str, is_terminal: bool) -> None:
    if is_terminal:
        full = '#' * (done * _WIDTH // max(total, 1))
        sys.stderr.write(f'\r{label} [{full:<{_WIDTH}}] {done}/{total}')
    else:
        sys.stderr.write(f'{label} {done}/{total}\n')
    sys.stderr.flush()
