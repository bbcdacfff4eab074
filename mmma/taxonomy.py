"""Label spaces: the actions, the body groups, and which action belongs to which group.

The tables are the JSON files of ``mmma/tables``; nothing here depends on their order.
"""

import difflib
import functools
import json
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

DOMAINS = ('lab', 'psychiatric', 'street', 'emotion')
"""Domains of MMA-82, the first of them the source: of a root that names no others."""
SUBSETS = ('train', 'val', 'test')
LABEL_SPACES = ('mma82', 'ma52')
BODY_GROUPS = ('taxonomy', 'statistics')

_TABLES = Path(__file__).parent / 'tables'


def suggest(name: str, allowed: Iterable[str]) -> str:
    """A ``Did you mean`` sentence for a misspelt name.

    Args:
        name: What the user wrote.
        allowed: The names that exist.

    Returns:
        `` Did you mean 'x'?`` with a leading space, or an empty string.
    """
    close = difflib.get_close_matches(str(name), list(allowed), n=1, cutoff=0.6)
    return f' Did you mean {close[0]!r}?' if close else ''


def check_choice(
    kind: str, value: str, allowed: Collection[str], where: str = '', other: str = ''
) -> str:
    """Return ``value`` if it is one of ``allowed``.

    Args:
        kind: What the value is, for the message: ``subset``, ``domain``.
        value: What was given.
        allowed: The values that exist.
        where: Place of the value, for the message.
        other: What else would do, for the message: ``or a list of joints``.

    Raises:
        ValueError: ``value`` is none of them.
    """
    if value not in tuple(allowed):
        raise ValueError(
            f'unknown {kind} {value!r}{where and f" in {where}"}: use one of '
            f'{", ".join(allowed)}{other and f" {other}"}.{suggest(value, allowed)}'
        )
    return value


class IndexOutsideError(ValueError):
    """An index that a label space lacks: others of its file may be shifted too."""


@dataclass(frozen=True)
class LabelSpace:
    """Actions, body groups and the map between them.

    Attributes:
        name: Name of the space, ``mma82`` or ``ma52``.
        actions: (K,) action names in index order.
        bodies: (B,) body group names in index order.
        body_of: (K,) index of each action's body group.
        rec_instances: (K,) published recognition clips per action, if known.
        det_instances: (K,) published detection instances per action, if known.
    """

    name: str
    actions: tuple[str, ...]
    bodies: tuple[str, ...]
    body_of: tuple[int, ...]
    rec_instances: tuple[int, ...] | None = None
    det_instances: tuple[int, ...] | None = None

    @property
    def num_actions(self) -> int:
        """K, the number of actions."""
        return len(self.actions)

    @property
    def num_bodies(self) -> int:
        """B, the number of body groups."""
        return len(self.bodies)

    def action_id(self, action: str | int) -> int:
        """Index of an action given by name or by index.

        Raises:
            ValueError: The action is not in this space.
        """
        return self._find('action', action, self.actions)

    def body_id(self, body: str | int) -> int:
        """Index of a body group given by name or by index.

        Raises:
            ValueError: The group is not in this space.
        """
        return self._find('body group', body, self.bodies)

    def with_body_of(self, body_of: Sequence[int]) -> 'LabelSpace':
        """The same space with another action-to-body map of (K,) indices."""
        return replace(self, body_of=tuple(int(b) for b in body_of))

    def _find(self, kind: str, value: str | int, names: tuple[str, ...]) -> int:
        index = _positions(names).get(str(value).strip())
        if index is None:
            index = str(value).strip().removeprefix('-').isdecimal()
            raise (IndexOutsideError if index else ValueError)(
                f'unknown {kind} {value!r} in label space {self.name!r}: use one of '
                f'its {len(names)} names or an index 0..{len(names) - 1}.'
                f'{" Do all indices there count from 0?" if index else ""}'
                f'{suggest(str(value), names)}'
            )
        return index


def index_notes(labels: Iterable[Any], file: str) -> list[str]:
    """A warning of labels of a file that are indices, none of them 0; or none."""
    given = {str(label).strip() for label in labels} - {''}
    numbers = [int(label) for label in given if re.fullmatch(r'\d{1,9}', label)]
    if not given or '0' in given or len(numbers) < len(given):
        return []
    return [
        f'warning: {file}: labels are indices {min(numbers)}..{max(numbers)}; none is '
        '0: they are taken to count from 0'
    ]


@functools.cache
def _positions(names: tuple[str, ...]) -> dict[str, int]:
    return {str(i): i for i in range(len(names))} | {n: i for i, n in enumerate(names)}


@functools.cache
def load_label_space(name: str = 'mma82', body_groups: str = 'taxonomy') -> LabelSpace:
    """Read a label space.

    Args:
        name: ``mma82`` or ``ma52``.
        body_groups: Where the published figures disagree on an action's group
            (``scratching or touching forehead``), follow the ``taxonomy`` figure
            (head-hand) or the ``statistics`` figure (body-hand).

    Raises:
        ValueError: An unknown space or option.

    Source: arXiv 2606.14096, taxonomy and statistics figures; arXiv 2403.05234.
    """
    check_choice('label space', name, LABEL_SPACES)
    check_choice('body_groups', body_groups, BODY_GROUPS)
    table = _read_table(name)
    actions = table['actions']
    key = f'body_{body_groups}'
    bodies = tuple(table['bodies'])

    def counts(column: str) -> tuple[int, ...] | None:
        known = all(column in a for a in actions)
        return tuple(a[column] for a in actions) if known else None

    return LabelSpace(
        name=name,
        actions=tuple(a['name'] for a in actions),
        bodies=bodies,
        body_of=tuple(bodies.index(a.get(key, a['body'])) for a in actions),
        rec_instances=counts('rec_instances'),
        det_instances=counts('det_instances'),
    )


def load_statistics() -> dict[str, Any]:
    """Published size of MMA-82.

    Returns:
        ``rec``: per domain (and ``all``) the clips of each subset, hours, mean
        seconds, subjects; ``det``: videos, instances, hours, subjects.

    Source: MMA-82 repository README, June 2026.
    """
    return _read_table('mma82_statistics')


def _read_table(name: str) -> dict[str, Any]:
    text = (_TABLES / f'{name}.json').read_text(encoding='utf-8')
    table: dict[str, Any] = json.loads(text)
    return table
