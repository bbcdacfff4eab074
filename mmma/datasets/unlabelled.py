"""Dataset of clips without their labels, for pre-training."""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from mmengine.logging import print_log

from mmma.datasets.clips import ClipDataset
from mmma.registry import DATASETS
from mmma.taxonomy import SUBSETS, check_choice


@DATASETS.register_module()
class UnlabelledDataset(ClipDataset):
    """Clips of several subsets of a data root, whose labels are never read.

    A sample's dict is as of ``ClipDataset``, with ``label`` and ``body`` -1, and so is
    ``metainfo``, which also has ``unlabelled``: the number of clips by domain and
    subset. Checkpoints tell it, and results of what starts from them.

    Args:
        subsets: That are taken of ``domains``, which a protocol trains on.
        other_domains: Subsets that are taken of all other domains of the root.
        untrimmed_sec: Take pieces of about so long of untrimmed videos as well, of the
            same subsets; None takes trimmed clips only. Files of which a test clip is
            that is not taken are left out, and told.
        **options: As of ``ClipDataset``; its ``subset`` does not matter.

    Raises:
        FileNotFoundError, ValueError: As ``ClipDataset``, or a bad option.
    """

    labelled = False

    def __init__(
        self,
        *args: Any,
        subsets: Sequence[str] = ('train', 'val'),
        other_domains: Sequence[str] = (),
        untrimmed_sec: float | None = None,
        **options: Any,
    ) -> None:
        given = {'subsets': subsets, 'other_domains': other_domains}
        taken = {k: [v] if isinstance(v, str) else list(v) for k, v in given.items()}
        for key, chosen in taken.items():
            for subset in chosen:
                check_choice(f'subset in {key}', subset, SUBSETS)
        number = isinstance(untrimmed_sec, (int, float)) and untrimmed_sec > 0
        if untrimmed_sec is not None and not number:
            raise ValueError(
                f'untrimmed_sec is {untrimmed_sec!r}: use seconds above 0, such as 3, '
                'or None for trimmed clips only.'
            )
        self._own, self._others = taken.values()
        self.untrimmed_sec = untrimmed_sec
        super().__init__(*args, **options)

    def _takes(self, entry: Any) -> bool:
        own = entry.domain in self.domains
        return entry.subset in (self._own if own else self._others)

    def load_data_list(self) -> list[dict]:
        """Rows of the tables that are selected."""
        untrimmed = self.untrimmed_sec is not None
        rows = []
        if self.root.has_rec or not untrimmed:
            for clip in self._select(self.root.read_rec(self.body_groups)):
                span = {'span': clip.span} if clip.span else {}
                rows.append({**self._facts(clip), 'subset': clip.subset, **span})
        rows += self._pieces() if untrimmed else ()
        return [{**row, 'label': -1, 'body': -1} for row in rows]

    def _pieces(self) -> Iterator[dict]:
        videos = [v for v in self.root.read_det() if self._takes(v) and v.path]
        clips = self.root.read_rec(self.body_groups) if self.root.has_rec else ()
        tested = [c for c in clips if c.subset == 'test' and not self._takes(c)]
        files = {name for c in tested for name in (c.path, c.source_video) if name}
        kept = [v for v in videos if not files & {v.path, v.video}]
        if not kept:
            told = f'; {len(videos)} show test clips' * bool(videos)
            raise ValueError(
                f'{self.root.path}: no untrimmed video to take{told}. Take other '
                'subsets, or leave untrimmed_sec out.'
            )
        if out := len(videos) - len(kept):
            told = f'{out} of {len(videos)} untrimmed videos show test clips: left out'
            print_log(f'{self.root.path}: {told}', 'current', logging.WARNING)
        for video in kept:
            count = max(1, round(video.duration / self.untrimmed_sec))
            ends = np.linspace(0, video.duration, count + 1).tolist()
            facts = {key: getattr(video, key) for key in ('path', 'domain', 'subject')}
            for i, span in enumerate(pairwise(ends)):
                yield {
                    'clip': f'{video.video}#{i}',
                    'subset': video.subset,
                    **facts,
                    **({'span': span} if count > 1 else {}),
                }

    def _describe(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        found = Counter((row['domain'], row['subset']) for row in rows)
        told = {
            domain: {s: found[domain, s] for s in SUBSETS if found[domain, s]}
            for domain in self.root.info.domains
        }
        told = {domain: counts for domain, counts in told.items() if counts}
        return super()._describe(rows) | {'unlabelled': told}
