"""Labels of the detection files of others: names or indices, counted where unknown."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mmma.layout.converters.detection_mapping import DetectionMapping
from mmma.layout.converters.labels import plain_name, read_label_names
from mmma.layout.problems import SHOWN
from mmma.taxonomy import LABEL_SPACES, load_label_space, suggest

CLASS_LISTS = ('category_idx.txt', 'label_name.txt', 'classes.txt')
"""Names that lists of classes go by: one class per line, in the order of indices."""
PUBLISHED_ORDER = 'ma52'
"""The label space whose indices are published: they mean something without a list."""


class DetectionLabels:
    """What the labels of a file mean.

    Args:
        labels: (video, label) of every annotation.
        class_list: The list of classes beside the file, if there is one.
        mapping: What the user says.

    Attributes:
        space: The label space: as the mapping says, or the one that knows most names.

    Raises:
        ValueError: A bad class list.
    """

    def __init__(
        self,
        labels: Iterable[tuple[str, Any]],
        class_list: Path | None,
        mapping: DetectionMapping,
    ) -> None:
        self._mapping, self._class_list = mapping, class_list
        self._names = read_label_names(class_list) if class_list else {}
        self._videos: dict[Any, list[str]] = defaultdict(list)
        for video, label in labels:
            self._videos[_key(label)].append(video)
        self.space = load_label_space(mapping.label_space or self._best_space())
        self._known = {plain_name(name): name for name in self.space.actions}
        self._found = {label: self._resolve(label) for label in self._videos}

    @property
    def left_out(self) -> Counter[str]:
        """How often each label that the mapping leaves out occurs."""
        return Counter(
            {
                str(k): len(self._videos[k])
                for k, name in self._found.items()
                if not name
            }
        )

    def name(self, label: Any) -> str:
        """Our name of a label; empty where the mapping leaves it out.

        Args:
            label: As in the file, known after :meth:`check`.
        """
        return self._found[_key(label)] or ''

    def check(self, path: Path) -> None:
        """Refuse a file with labels that mean nothing here.

        Args:
            path: The file, for the message.

        Raises:
            ValueError: Unknown labels, each with its count; or indices that nothing
                explains.
        """
        unknown = [label for label, name in self._found.items() if name is None]
        if not unknown:
            return
        lines = [f'  {self._describe(label)}' for label in unknown[:SHOWN]]
        if len(unknown) > SHOWN:
            lines.append(f'  ... and {len(unknown) - SHOWN} more')
        count = sum(len(self._videos[label]) for label in unknown)
        raise ValueError(
            f'{path}: {len(unknown)} unknown labels of {self.space.name} in {count} '
            'annotations\n' + '\n'.join(lines) + f'\n{self._hint(unknown)}'
        )

    def _describe(self, label: Any) -> str:
        videos = self._videos[label]
        named = self._named(label) if _is_index(label) else str(label)
        means = f' ({named})' if _is_index(label) and named else ''
        return (
            f'{label!r}{means}: {len(videos)} annotations, the first in {videos[0]!r}.'
            f'{suggest(named or str(label), self.space.actions)}'
        )

    def _hint(self, unknown: list[Any]) -> str:
        if any(_is_index(label) for label in unknown) and not self._names:
            return (
                'Indices need the list of their names: put it beside the file as '
                f'{CLASS_LISTS[0]}, one name per line (the order of '
                f'{self.space.name} is assumed only for {PUBLISHED_ORDER}; files that '
                'count from 1 need --mapping FILE with {"first_index": 1})'
            )
        return (
            'Rename them, or leave them out, by --mapping FILE with {"action_names": '
            '{"theirs": "ours", "Ambiguous": ""}}'
        )

    def _best_space(self) -> str:
        """The label space with most of the names; without names, the published one."""
        names = {str(k) for k in self._videos if not _is_index(k)}
        names |= set(self._names.values())
        if not names:
            return PUBLISHED_ORDER if self._videos else LABEL_SPACES[0]
        plain = {plain_name(self._mapping.action_names.get(n, n)) for n in names}

        def known(space: str) -> int:
            actions = load_label_space(space).actions
            return len(plain & {plain_name(action) for action in actions})

        return max(LABEL_SPACES, key=known)  # of equals the first

    def _named(self, index: Any) -> str:
        """Name that the file's own list, or the published one, has for an index."""
        place = int(index) - self._mapping.first_index
        if self._names:
            return self._names.get(place, '')
        published = self.space.name == PUBLISHED_ORDER
        inside = published and 0 <= place < self.space.num_actions
        return self.space.actions[place] if inside else ''

    def _resolve(self, label: Any) -> str | None:
        """Our name; '' where it is left out, None where it is unknown."""
        renamed = self._mapping.action_names
        if str(label) in renamed:
            name = renamed[str(label)]
        else:
            name = self._named(label) if _is_index(label) else str(label)
            if not name:
                return None
            name = renamed.get(name, name)
        return self._known.get(plain_name(name)) if name else ''


def _is_index(label: Any) -> bool:
    if isinstance(label, bool):
        return False
    return isinstance(label, int) or (isinstance(label, str) and label.isdecimal())


def _key(label: Any) -> Any:
    """Something to look a label up by; what is neither text nor index is its text."""
    is_label = isinstance(label, (str, int)) and not isinstance(label, bool)
    return label if is_label else repr(label)
