"""What is wrong with a file of a data root: collected first, then reported together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SHOWN = 5
CHECK_HINT = 'tools/data/check.py lists all'


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
        return (
            f'{where}: {self.item}: {self.text}'
            if self.item
            else f'{where}: {self.text}'
        )


def refuse(problems: Sequence[Problem], path: Path, hint: str = '') -> None:
    """Raise if there is any problem, showing the first five.

    Args:
        problems: What was found, in the order of the file.
        path: The file that was read.
        hint: Where all of them can be seen.

    Raises:
        ValueError: ``problems`` is not empty.
    """
    if not problems:
        return
    lines = [f'  {problem}' for problem in problems[:SHOWN]]
    if len(problems) > SHOWN:
        lines.append(f'  ... and {len(problems) - SHOWN} more{hint and f" ({hint})"}')
    count = '1 problem' if len(problems) == 1 else f'{len(problems)} problems'
    raise ValueError('\n'.join([f'{path}: {count}', *lines]))
