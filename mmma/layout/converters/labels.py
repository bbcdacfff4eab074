"""From what a release writes for an action or body group to our index of it."""

from __future__ import annotations

import re
from pathlib import Path

from mmma.layout.converters.mapping import ReleaseMapping
from mmma.layout.converters.source import SourceTree
from mmma.layout.paths import read_text
from mmma.taxonomy import LabelSpace, suggest

_WITHHELD = ('', '-1')


class ReleaseLabels:
    """Labels of a release. An index counts only with the release's own list of names.

    Args:
        tree: The download; a label file of the mapping is looked for in it.
        mapping: What its files mean.
        space: Our label space.

    Raises:
        ValueError: A label file has a bad line or a name that is not ours.
    """

    def __init__(
        self, tree: SourceTree, mapping: ReleaseMapping, space: LabelSpace
    ) -> None:
        self._space, self._mapping = space, mapping
        found = (tree.find(name) for name in mapping.label_files)
        self.file = next((file for file in found if file is not None), None)
        self._by_index = read_label_names(self.file) if self.file else {}
        self._actions = {plain_name(name): i for i, name in enumerate(space.actions)}
        self._bodies = {plain_name(name): i for i, name in enumerate(space.bodies)}
        for index, name in self._by_index.items():
            try:
                self.action(name)
            except ValueError as error:
                raise ValueError(f'{self.file}: index {index}: {error}') from None

    def action(self, text: str) -> int | None:
        """Index of an action, None where the truth is withheld.

        Args:
            text: Name or index as released; empty and -1 withhold it.

        Raises:
            ValueError: An unknown name, or an index that nothing explains.
        """
        if text in _WITHHELD:
            return None
        name = self._mapping.action_names.get(text, text)
        if name.isdecimal():
            name = self._named(name, text)
        return self._look('action', name, self._actions, 'action_names')

    def body(self, text: str) -> int | None:
        """Index of a body group, None where it is withheld.

        Args:
            text: Name as released, or anything that ``body_names`` explains.

        Raises:
            ValueError: It is unknown.
        """
        if text in _WITHHELD:
            return None
        name = self._mapping.body_names.get(text, text)
        return self._look('body group', name, self._bodies, 'body_names')

    def _named(self, index: str, text: str) -> str:
        if int(index) not in self._by_index:
            source = self.file or 'no ' + ', '.join(self._mapping.label_files)
            raise ValueError(
                f'action {text!r} is an index that nothing explains ({source}): the '
                'order of the release is not assumed; add its list of names, or '
                f'action_names to a copy of {self._mapping.file}'
            )
        name = self._by_index[int(index)]
        return self._mapping.action_names.get(name, name)

    def _look(self, kind: str, name: str, known: dict[str, int], key: str) -> int:
        if plain_name(name) not in known:
            allowed = self._space.actions if kind == 'action' else self._space.bodies
            raise ValueError(
                f'unknown {kind} {name!r}.{suggest(name, allowed)} Rename it under '
                f'{key} in a copy of {self._mapping.file}'
            )
        return known[plain_name(name)]


def plain_name(name: str) -> str:
    """A name without what spelling it in a file changes: case, ``_``, spaces.

    Args:
        name: As a file has it.
    """
    return ' '.join(name.replace('_', ' ').lower().split())


def read_label_names(path: Path) -> dict[int, str]:
    """Names by index; where no line starts with an index, the order counts.

    Args:
        path: A list of names, one per line.

    Raises:
        ValueError: A line without an index among others, or an index twice.
    """
    lines = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    matches = [re.fullmatch(r'(\d+)[\s,]+(.+)', line) for line in lines]
    if not any(matches):
        return dict(enumerate(lines))
    names: dict[int, str] = {}
    for number, (line, match) in enumerate(zip(lines, matches, strict=True), start=1):
        if match is None or int(match[1]) in names:
            raise ValueError(
                f'{path}:{number}: {line!r}: expected "index name", each index once'
            )
        names[int(match[1])] = match[2]
    return names
