"""Which clips or videos of a table a data set takes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from mmma.layout.det import Video
from mmma.layout.rec import Clip
from mmma.taxonomy import DOMAINS, SUBSETS, check_choice, suggest

Entry = TypeVar('Entry', Clip, Video)


class ClipFilter:
    """What to take.

    Args:
        subset: ``train``, ``val`` or ``test``.
        domains: Domains to take; None takes all.
        names: Entries to restrict to, or a file with one name per line; None takes
            all.
        keep_unlabelled: Take those whose truth is withheld.

    Raises:
        FileNotFoundError: There is no such file of names.
        ValueError: An unknown domain.
    """

    def __init__(
        self,
        subset: str,
        domains: Sequence[str] | None,
        names: Iterable[str] | str | os.PathLike[str] | None,
        keep_unlabelled: bool,
    ) -> None:
        domains = [domains] if isinstance(domains, str) else domains
        self.subset = subset
        self.domains = [
            check_choice('domain', d, DOMAINS)
            for d in (DOMAINS if domains is None else domains)
        ]
        self.names = None if names is None else _read_names(names)
        self.keep_unlabelled = keep_unlabelled


def select_clips(
    table: Sequence[Entry], wanted: ClipFilter, root: Path
) -> tuple[list[Entry], int]:
    """Clips or videos that a filter lets through, in the order of the table.

    Args:
        table: All of them.
        wanted: The filter.
        root: The data root, for messages.

    Returns:
        The entries, and how many were left out because their truth is withheld.

    Raises:
        ValueError: A name that is not in the subset and domains, or nothing is left.
    """
    inside = [
        entry
        for entry in table
        if entry.subset == wanted.subset and entry.domain in wanted.domains
    ]
    if wanted.names is not None:
        _check_names(wanted, inside, root, _noun(table))
        inside = [entry for entry in inside if _name(entry) in wanted.names]
    chosen = [e for e in inside if wanted.keep_unlabelled or not _is_withheld(e)]
    if not chosen:
        truth = 'a known action' if _noun(table) == 'clip' else 'annotations'
        withheld = f' with {truth} (of {len(inside)})' if inside else ''
        raise ValueError(
            f'{root}: no {wanted.subset} {_noun(table)} of '
            f'{", ".join(wanted.domains)}{withheld}. It holds: {_overview(table)}'
        )
    return chosen, len(inside) - len(chosen)


def _is_withheld(entry: Clip | Video) -> bool:
    return entry.withheld if isinstance(entry, Video) else entry.action is None


def _name(entry: Clip | Video) -> str:
    return entry.video if isinstance(entry, Video) else entry.clip


def _noun(table: Sequence[Clip | Video]) -> str:
    return 'video' if table and isinstance(table[0], Video) else 'clip'


def _read_names(names: Iterable[str] | str | os.PathLike[str]) -> set[str]:
    if isinstance(names, (str, os.PathLike)):
        file = Path(names)
        if not file.is_file():
            raise FileNotFoundError(f'{file}: no such list of clips or videos')
        names = file.read_text(encoding='utf-8').split('\n')
        return {name.strip() for name in names if name.strip()}
    return set(names)


def _check_names(
    wanted: ClipFilter, inside: Sequence[Clip | Video], root: Path, noun: str
) -> None:
    known = {_name(entry) for entry in inside}
    absent = sorted((wanted.names or set()) - known)
    if absent:
        raise ValueError(
            f'{root}: {len(absent)} of {len(wanted.names or ())} listed {noun}s are no '
            f'{wanted.subset} {noun}s of {", ".join(wanted.domains)}; the first: '
            f'{absent[0]!r}.{suggest(absent[0], known)}'
        )


def _overview(table: Sequence[Clip | Video]) -> str:
    """``lab: train 12, val 3, test 0; ...``: entries of each domain and subset."""
    counts = Counter((entry.domain, entry.subset) for entry in table)
    held = [d for d in DOMAINS if any(counts[d, s] for s in SUBSETS)]
    return '; '.join(
        f'{d}: ' + ', '.join(f'{s} {counts[d, s]}' for s in SUBSETS) for d in held
    )
