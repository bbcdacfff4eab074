"""Which clips of a table a data set takes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from mmma.layout.rec import Clip
from mmma.taxonomy import DOMAINS, SUBSETS, check_choice, suggest


class ClipFilter:
    """What to take.

    Args:
        subset: ``train``, ``val`` or ``test``.
        domains: Domains to take; None takes all.
        names: Clips to restrict to, or a file with one name per line; None takes all.
        keep_unlabelled: Take clips whose action is withheld.

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
    table: Sequence[Clip], wanted: ClipFilter, root: Path
) -> tuple[list[Clip], int]:
    """Clips that a filter lets through, in the order of the table.

    Args:
        table: All clips.
        wanted: The filter.
        root: The data root, for messages.

    Returns:
        The clips, and how many were left out because their action is withheld.

    Raises:
        ValueError: A name that is not in the subset and domains, or nothing is left.
    """
    inside = [
        clip
        for clip in table
        if clip.subset == wanted.subset and clip.domain in wanted.domains
    ]
    if wanted.names is not None:
        _check_names(wanted, inside, root)
        inside = [clip for clip in inside if clip.clip in wanted.names]
    chosen = [c for c in inside if wanted.keep_unlabelled or c.action is not None]
    if not chosen:
        withheld = f' with a known action (of {len(inside)})' if inside else ''
        raise ValueError(
            f'{root}: no {wanted.subset} clip of {", ".join(wanted.domains)}'
            f'{withheld}. It holds: {_overview(table)}'
        )
    return chosen, len(inside) - len(chosen)


def _read_names(names: Iterable[str] | str | os.PathLike[str]) -> set[str]:
    if isinstance(names, (str, os.PathLike)):
        file = Path(names)
        if not file.is_file():
            raise FileNotFoundError(f'{file}: no such list of clips')
        names = file.read_text(encoding='utf-8').split('\n')
        return {name.strip() for name in names if name.strip()}
    return set(names)


def _check_names(wanted: ClipFilter, inside: Sequence[Clip], root: Path) -> None:
    known = {clip.clip for clip in inside}
    absent = sorted((wanted.names or set()) - known)
    if absent:
        raise ValueError(
            f'{root}: {len(absent)} of {len(wanted.names or ())} listed clips are no '
            f'{wanted.subset} clips of {", ".join(wanted.domains)}; the first: '
            f'{absent[0]!r}.{suggest(absent[0], known)}'
        )


def _overview(table: Sequence[Clip]) -> str:
    """``lab train 12 val 3 test 0; street ...``: clips of each domain and subset."""
    counts = Counter((clip.domain, clip.subset) for clip in table)
    held = [d for d in DOMAINS if any(counts[d, s] for s in SUBSETS)]
    return '; '.join(
        f'{d}: ' + ', '.join(f'{s} {counts[d, s]}' for s in SUBSETS) for d in held
    )
