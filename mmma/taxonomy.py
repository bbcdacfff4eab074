"""Label spaces: the actions, the body groups, and which action belongs to which group.

The tables are the JSON files of ``mmma/tables``; nothing here depends on their order.
"""

import difflib
import functools
import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unicodedata import normalize

from mmma.foreign import has_controls, naming, parse_json

DOMAINS = ('lab', 'psychiatric', 'street', 'emotion')
"""Domains of MMA-82, the first of them the source: of a root that names no others."""
WRITE_DOMAINS = 'or name it under "domains" of dataset.json'
WRITE_EMOTIONS = WRITE_DOMAINS.replace('domains', 'emotions')
SUBSETS = ('train', 'val', 'test')
LABEL_SPACES = ('mma82', 'ma52')
BODY_GROUPS = ('taxonomy', 'statistics')

_KEYS = (
    *('name', 'bodies', 'actions', 'domains'),
    *('title', 'description', 'source', 'notes'),
)
_COUNTS = ('rec_instances', 'det_instances')
_ACTION_KEYS = ('name', 'body', 'description', 'body_statistics', *_COUNTS)


def suggest(name: str, allowed: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` of a misspelt name, with a leading space, or nothing."""
    close = difflib.get_close_matches(str(name), list(allowed), n=1, cutoff=0.6)
    return f' Did you mean {close[0]!r}?' if close else ''


def check_choice(
    kind: str, value: str, allowed: Collection[str], where: str = '', other: str = ''
) -> str:
    """Return ``value`` if it is one of ``allowed``.

    The message tells its ``kind`` (``subset``), ``where`` it stands, and what ``other``
    would do: ``or a list of joints``.

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
        name: Name of the space, ``mma82``, ``ma52`` or of one's own.
        actions: (K,) action names in index order.
        bodies: (B,) body group names in index order; B is 0 where it has no groups.
        body_of: (K,) index of each action's body group; empty without groups.
        rec_instances: (K,) published recognition clips per action, if known.
        det_instances: (K,) published detection instances per action, if known.
        domains: Domains of its data set, if it names them; the first is the source.
        descriptions: (K,) texts, empty for actions without; empty where none has any.
    """

    name: str
    actions: tuple[str, ...]
    bodies: tuple[str, ...]
    body_of: tuple[int, ...]
    rec_instances: tuple[int, ...] | None = None
    det_instances: tuple[int, ...] | None = None
    domains: tuple[str, ...] = ()
    descriptions: tuple[str, ...] = ()

    @property
    def num_actions(self) -> int:
        """K, the number of actions."""
        return len(self.actions)

    @property
    def num_bodies(self) -> int:
        """B, the number of body groups."""
        return len(self.bodies)

    @property
    def levels(self) -> tuple[str, ...]:
        """``action`` and, where it has groups, ``body``."""
        return ('action', 'body') if self.bodies else ('action',)

    def action_id(self, action: str | int) -> int:
        """Index of an action given by name or by index, which must be in this space."""
        return self._find('action', action, self.actions)

    def body_id(self, body: str | int) -> int:
        """Index of a body group given by name or by index, likewise."""
        return self._find('body group', body, self.bodies)

    def plain(self) -> Any:
        """Name of a shipped space, whatever its groups; of another, its object."""
        if self.name in LABEL_SPACES:
            return self.name
        actions: list[dict[str, str]] = [{'name': name} for name in self.actions]
        for action, body in zip(actions, self.body_of, strict=False):
            action['body'] = self.bodies[body]
        for action, text in zip(actions, self.descriptions, strict=False):
            action |= {'description': text} if text else {}
        lists = {'bodies': [*self.bodies], 'domains': [*self.domains]}
        given = {key: names for key, names in lists.items() if names}
        return {'name': self.name, **given, 'actions': actions}

    def with_body_of(self, body_of: Sequence[int]) -> 'LabelSpace':
        """The same space with another action-to-body map of (K,) indices."""
        return replace(self, body_of=tuple(int(b) for b in body_of))

    def _find(self, kind: str, value: str | int, names: tuple[str, ...]) -> int:
        index = _positions(names).get(_name(str(value)))
        if index is None and not names:
            raise ValueError(
                f'{kind} {value!r}: label space {self.name!r} has none: leave it '
                'empty, or give each action one there'
            )
        if index is None:
            index = str(value).strip().removeprefix('-').isdecimal()
            raise (IndexOutsideError if index else ValueError)(
                f'unknown {kind} {value!r} in label space {self.name!r}: use one of '
                f'its {len(names)} names or an index 0..{len(names) - 1}.'
                f'{" Do all indices there count from 0?" if index else ""}'
                f'{suggest(str(value), names)}'
            )
        return index


def space_of_meta(meta: Mapping[str, Any]) -> LabelSpace:
    """Label space that a data set or a checkpoint tells of, with its body groups."""
    columns = (tuple(meta.get(key) or ()) for key in ('classes', 'bodies', 'body_of'))
    return LabelSpace(meta['label_space'], *columns)


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


def load_label_space(
    space: str | Mapping[str, Any] = 'mma82', body_groups: str = 'taxonomy'
) -> LabelSpace:
    """Read a label space.

    Args:
        space: ``mma82``, ``ma52``, or an object of the form of their tables: ``name``
            and ``actions``, a list of ``{"name"}`` with ``body`` and ``description``
            where there are any; ``bodies`` names the groups in their order.
        body_groups: Where the published figures disagree on an action's group
            (``scratching or touching forehead``), follow the ``taxonomy`` figure
            (head-hand) or the ``statistics`` figure (body-hand).

    Raises:
        ValueError: An unknown space or option, or an object with faults: the first
            five are told.

    Source: arXiv 2606.14096, taxonomy and statistics figures; arXiv 2403.05234.
    """
    check_choice('body_groups', body_groups, BODY_GROUPS)
    if not isinstance(space, Mapping):
        own = 'or a JSON file or object with name and actions'
        check_choice('label space', space, LABEL_SPACES, other=own)
        return _shipped(space, body_groups)
    made = _make_space(space, 'taxonomy')
    if made.name not in LABEL_SPACES:  # whose counts are published
        return replace(made, rec_instances=None, det_instances=None)
    if made != _shipped(made.name, 'taxonomy'):
        raise ValueError(
            f'label space {made.name!r} is not the one that is shipped by this name: '
            'give yours another name'
        )
    return _shipped(made.name, body_groups)


def read_label_space(text: str) -> LabelSpace:
    """Label space by name, or of a JSON file with its object, as a command line has it.

    A ``dataset.json`` has it under ``label_space``.

    Raises:
        ValueError: Neither a name nor a file, or a file with faults.
    """
    path = Path(text)
    if text in LABEL_SPACES or not (path.is_file() or path.suffix == '.json'):
        return load_label_space(text)
    if not path.is_file():
        raise FileNotFoundError(f'no label space {path}: there is no such file')
    with naming(path):
        content, repeated = parse_json(path.read_text(encoding='utf-8-sig'), path)
        if repeated:
            raise ValueError(f'{repeated[0]!r} is there twice: keep one of them')
        if isinstance(content, Mapping) and 'label_space' in content:
            content = content['label_space']
        elif not isinstance(content, Mapping):
            raise ValueError('must be an object with name and actions')
        return load_label_space(content)


@functools.cache
def _shipped(name: str, body_groups: str) -> LabelSpace:
    return _make_space(own_table(name), body_groups)


def _make_space(table: Mapping[str, Any], body_groups: str) -> LabelSpace:
    """A label space of its object; faults are told together."""
    faults = _space_faults(table)
    if not faults:
        actions = [{**a, 'name': _name(a['name'])} for a in table['actions']]
        own = [a.get(f'body_{body_groups}', a.get('body')) for a in actions]
        groups = table.get('bodies') or [b for b in dict.fromkeys(own) if b]
        bodies, names = tuple(map(_name, groups)), [a['name'] for a in actions]
        of = [_name(body) if body else '' for body in own] if bodies else []
        faults = [
            f'action {name!r} has the body {body!r}: use one of {", ".join(bodies)}.'
            f'{suggest(body, bodies)}'
            for name, body in zip(names, of, strict=False)
            if body not in bodies
        ]
        faults += [f'no action has the body {b!r}' for b in bodies if b not in of]
        for kind, kept in (('action', names), ('body', bodies)):
            counts = Counter(kept).items()
            faults += [f'{kind} {name!r} is there twice' for name, n in counts if n > 1]
    if faults:
        more = f'; and {len(faults) - 5} more faults' if len(faults) > 5 else ''
        raise ValueError(
            f'label space {str(table.get("name"))!r}: {"; ".join(faults[:5])}{more}'
        )
    texts = tuple(a.get('description') or '' for a in actions)
    index = {body: i for i, body in enumerate(bodies)}
    known: dict[str, Any] = {
        key: tuple(a[key] for a in actions)
        for key in _COUNTS
        if all(key in a for a in actions)
    }
    known['domains'] = tuple(map(_name, table.get('domains') or ()))
    known['descriptions'] = texts * any(texts)
    of_body = tuple(index[body] for body in of)
    return LabelSpace(table['name'], tuple(names), bodies, of_body, **known)


def _space_faults(table: Mapping[str, Any]) -> list[str]:
    """What keeps an object from being read as a label space.

    Keys of the user's own are left alone, but those that look like ours misspelt.
    """
    hint = 'list of {"name", "body", "description"}'

    def misspelt(given: Mapping[str, Any], known: Sequence[str]) -> list[str]:
        odd = [key for key in given if key not in known and suggest(key, known)]
        return [f'unknown key {key!r}.{suggest(key, known)}' for key in odd]

    faults = misspelt(table, _KEYS)
    actions = table.get('actions')
    if not isinstance(actions, (list, tuple)) or not actions:
        return [*faults, f'actions must be a {hint}, one or more, not {actions!r}']
    named: list[tuple[str, Any]] = [('name', table.get('name'))]
    for key in ('bodies', 'domains'):
        names = table.get(key) or []
        if not isinstance(names, (list, tuple)):
            return [*faults, f'{key} must be a list of names, not {names!r}']
        named += [(key, name) for name in names]
    for i, action in enumerate(actions):
        if not isinstance(action, Mapping):
            faults.append(f'actions[{i}] is {action!r}: actions are a {hint}')
            continue
        faults += [f'actions[{i}]: {x}' for x in misspelt(action, _ACTION_KEYS)]
        named.append((f'actions[{i}].name', action.get('name')))
        for key in ('body', 'description'):
            if action.get(key):
                named.append((f'actions[{i}].{key}', action[key]))
    for where, name in named:
        lines = 'description' in where and isinstance(name, str)
        if has_controls(' '.join(name.split()) if lines else name) or not name.strip():
            faults.append(f'{where} {name!r} must be text without control characters')
        elif where[0] in 'ab' and not lines and re.fullmatch(r'-?\d+', name.strip()):
            faults.append(f'{where} {name!r} reads as an index: add a letter')
    return faults


def _name(text: str) -> str:
    """A name as tables are read: composed letters, no spaces around it."""
    return normalize('NFC', text.strip())


def load_statistics() -> dict[str, Any]:
    """Published size of MMA-82, of ``rec`` per domain (and ``all``), and of ``det``.

    Source: MMA-82 repository README, June 2026.
    """
    return own_table('mma82_statistics')


def own_table(name: str) -> dict[str, Any]:
    """Content of a file of ``mmma/tables``."""
    file = Path(__file__).parent / 'tables' / f'{name}.json'
    return dict(json.loads(file.read_text(encoding='utf-8')))
