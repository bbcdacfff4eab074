"""What packing does to the pictures."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmma.layout.paths import read_text
from mmma.taxonomy import check_choice, suggest

CROPS = ('none', 'person')
LARGEST, LEFT, RIGHT = RULES = ('largest', 'left', 'right')
PRESET, TUNE, SCALER = 'fast', 'fastdecode', 'bicubic'


@dataclass(frozen=True)
class Following:
    """Which of several people a crop follows.

    Attributes:
        rule: ``largest`` (mean score times area), ``left`` or ``right`` in the picture,
            or the place of a person in the skeleton store, from 0.
        by_name: Rules of single clips and videos.
        digest: Of the file that ``by_name`` came from; empty without one.
    """

    rule: str | int = LARGEST
    by_name: Mapping[str, str | int] = field(default_factory=dict)
    digest: str = ''

    def of(self, name: str) -> str | int:
        """Rule of a clip or video."""
        return self.by_name.get(name, self.rule)


@dataclass(frozen=True)
class PackOptions:
    """How videos are packed.

    Attributes:
        short_side: Pixels; a smaller picture is not enlarged.
        gop: A key frame every so many frames.
        crf: Quality of x264: 0 is exact, 51 the worst.
        crop: ``none``, or ``person``: one box per video around the followed person.
        margin: Share of the person's longer side that is added on each side.
        following: Whom ``person`` follows.

    Raises:
        ValueError: A value that is not allowed.
    """

    short_side: int = 256
    gop: int = 16
    crf: int = 18
    crop: str = 'none'
    margin: float = 0.15
    following: Following = field(default_factory=Following)

    def __post_init__(self) -> None:
        check_choice('crop', self.crop, CROPS)
        for name, low, high in (
            ('short_side', 16, 4096),
            ('gop', 1, 1000),
            ('crf', 0, 51),
            ('margin', 0, 2),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                flag = name.replace('_', '-')
                raise ValueError(f'--{flag} {value}: must be in {low}..{high}')

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as ``dataset.json`` and results record them."""
        found: dict[str, Any] = {
            'codec': 'h264',
            'short_side': self.short_side,
            'gop': self.gop,
            'crf': self.crf,
            'preset': f'{PRESET} {TUNE}',
            'scaler': SCALER,
            'crop': self.crop,
        }
        if self.crop == 'person':
            found['margin'] = self.margin
            found['person'] = self.following.rule
            if self.following.digest:
                found['person_file'] = self.following.digest
        return found


def read_following(text: str) -> Following:
    """Read ``--person``.

    Args:
        text: ``largest``, ``left``, ``right``, a number, or a CSV file with columns
            ``name,person``; clips that it does not name follow ``largest``.

    Raises:
        ValueError: None of these, or a bad row.
        FileNotFoundError: There is no such file.
    """
    if not text.lower().endswith('.csv'):
        return Following(_rule(text))
    content = read_text(Path(text))
    rows = list(csv.reader(io.StringIO(content, newline='')))
    if not rows or rows[0] != ['name', 'person']:
        raise ValueError(f'{text}:1: the header must be name,person')
    by_name: dict[str, str | int] = {}
    for line, row in enumerate(rows[1:], start=2):
        if len(row) != 2 or row[0] in by_name:
            raise ValueError(f'{text}:{line}: {row}: need a name, once, and a person')
        try:
            by_name[row[0]] = _rule(row[1])
        except ValueError as error:
            raise ValueError(f'{text}:{line}: {error}') from None
    digest = hashlib.sha256(content.encode()).hexdigest()[:16]
    return Following(LARGEST, by_name, digest)


def _rule(text: str) -> str | int:
    if text in RULES:
        return text
    if text.isdecimal():
        return int(text)
    raise ValueError(
        f'person {text!r}: use {", ".join(RULES)}, a number from 0, or a CSV file with '
        f'columns name,person.{suggest(text, RULES)}'
    )
