"""What detection files of others do not tell."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from mmma.layout.paths import read_text
from mmma.taxonomy import DOMAINS, LABEL_SPACES, SUBSETS, check_choice

_SUBSETS = {'training': 'train', 'validation': 'val', 'testing': 'test'}


@dataclass(frozen=True)
class DetectionMapping:
    """Fields of a ``--mapping`` file, all optional.

    Attributes:
        label_space: Ours; None takes the one that knows most of the labels.
        action_names: Their label -> our action, or '' to leave it out.
        first_index: Where the file's indices of classes start.
        subsets: Their subset -> ours, or '' to leave it out, beside the usual names.
        domain: Of videos that ``domains`` and the file do not name.
        domains: Start of a video's name -> domain.
    """

    label_space: str | None = None
    action_names: dict[str, str] = field(default_factory=dict)
    first_index: int = 0
    subsets: dict[str, str] = field(default_factory=dict)
    domain: str = 'lab'
    domains: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path | None) -> DetectionMapping:
        """Read a mapping file.

        Args:
            path: A JSON file with some of the fields; None takes the defaults.

        Raises:
            FileNotFoundError: There is none.
            ValueError: Not a JSON object, or a key or value that is not allowed.
        """
        if path is None:
            return cls()
        try:
            content = json.loads(read_text(path))
            for key in content:
                check_choice('key', key, tuple(cls.__dataclass_fields__))
            mapping = cls(**content)
            if mapping.label_space is not None:
                check_choice('label_space', mapping.label_space, LABEL_SPACES)
            for domain in (mapping.domain, *mapping.domains.values()):
                check_choice('domain', domain, DOMAINS)
            for subset in filter(None, mapping.subsets.values()):
                check_choice('subset', subset, SUBSETS)
            if mapping.first_index not in (0, 1):
                raise ValueError(f'first_index {mapping.first_index!r}: use 0 or 1')
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f'{path}: {error}') from None
        return mapping

    def subset_of(self, name: str) -> str:
        """Our subset; empty where it is left out.

        Args:
            name: Theirs.

        Raises:
            ValueError: It is unknown.
        """
        if name in self.subsets:
            return self.subsets[name]
        ours = _SUBSETS.get(name, name)
        if ours not in SUBSETS:
            known = ', '.join((*SUBSETS, *_SUBSETS))
            raise ValueError(
                f'unknown subset {name!r}: known are {known}. Say what it is by '
                '--mapping FILE with {"subsets": {"theirs": "test"}}'
            )
        return ours

    def domain_of(self, video: str) -> str:
        """Domain of a video, by the start of its name."""
        starts = (start for start in self.domains if video.startswith(start))
        return self.domains.get(max(starts, key=len, default=''), self.domain)
