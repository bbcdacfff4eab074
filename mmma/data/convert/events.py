"""Annotations of people: events of videos, as the tools of annotation hold them.

A file of any tool becomes a list of :class:`Recording`, and back. The module of a
format has ``read_NAME(path)``, which takes a file, or a folder of them, and returns
recordings, and ``write_NAME(out, recordings, space)``, which writes into a folder and
returns the paths of its files. What the one writes the other reads back as it was, with
times to the millisecond.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from mmma.taxonomy import check_choice

FORMATS = {
    'elan': 'tiers',
    'boris': 'boris',
    'labelstudio': 'timelines',
    'textgrid': 'tiers',
    'fiftyone': 'timelines',
    'csv': 'spreadsheets',
}
"""Name of a format -> the module beside this one that reads and writes it."""


@dataclass(frozen=True)
class Event:
    """A label at a time of a video.

    Attributes:
        start_sec: Start, seconds from the first frame that is shown.
        end_sec: End, exclusive; of a point event its start.
        label: As the annotator calls it.
        subject: Who does it; empty where the file does not say.
        score: Confidence of a prediction, in [0, 1]; None of a person's annotation.
        text: What else the annotator says of it.
        tier: Track, tier or group in which it stands.
    """

    start_sec: float
    end_sec: float
    label: str
    subject: str = ''
    score: float | None = None
    text: str = ''
    tier: str = ''


@dataclass(frozen=True)
class Recording:
    """A video with the events in it.

    Attributes:
        name: Unique among the recordings that are read or written together.
        path: Its file, as the annotation file gives it; empty where that is unknown.
        fps: Frames per second; NaN where unknown.
        duration_sec: Seconds; NaN where unknown.
        events: In the order of the file.
        annotator: Who, or which model, says so; a simulated model's name begins with
            ``simulated``. Written where the format has a place for it.
    """

    name: str
    path: str = ''
    fps: float = math.nan
    duration_sec: float = math.nan
    events: tuple[Event, ...] = ()
    annotator: str = ''


def format_function(action: str, kind: str) -> Callable[..., Any]:
    """The function that reads or writes a format.

    Args:
        action: ``read`` or ``write``.
        kind: One of ``FORMATS``.

    Raises:
        ValueError: An unknown format.
    """
    check_choice('format', kind, tuple(FORMATS))
    module = import_module(f'mmma.data.convert.{FORMATS[kind]}')
    return getattr(module, f'{action}_{kind}')
