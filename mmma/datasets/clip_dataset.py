"""Trimmed clips of a data root, for recognition."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from mmma.datasets.root_dataset import RootDataset, space_meta
from mmma.layout.rec import Clip, body_map
from mmma.registry import DATASETS
from mmma.taxonomy import load_label_space


@DATASETS.register_module()
class ClipDataset(RootDataset):
    """Clips of one subset and some domains of a data root.

    A sample's dict has ``clip``, ``index``, ``filename``, ``data_root``, ``label`` and
    ``body`` (-1 where withheld), ``domain``, ``subject``, ``modality`` and
    ``start_index`` (0). Samplers may ask by ``SampleKey`` instead of a plain index; all
    that is random is a function of it.

    ``metainfo`` has ``label_space``, ``classes`` (K names), ``bodies`` (B names),
    ``body_of`` (K indices), and in the order of the clips ``clips``, ``labels``,
    ``domains``, ``subjects``: plain lists, shared and not to be changed.

    Args:
        data_root: Folder with ``dataset.json`` and ``rec.csv``.
        subset: ``train``, ``val`` or ``test``.
        pipeline: Transforms.
        clips: Names to restrict to, or a file with one per line.
        **options: ``domains`` to take, None takes all; ``label_space`` that the root
            must have; ``body_groups``: whose body groups count where the root gives
            none; ``test_mode``: clips without a label are kept, and broken ones are an
            error; ``modality``: ``RGB`` reads videos, ``Pose`` the skeleton store;
            ``on_broken``: what to do with a video that cannot be read: ``replace`` it
            by the next readable clip (default in training), ``raise`` (default in
            testing), or ``skip``: replace it, but keep its name and label and set
            ``broken``, so that the metric leaves it out; ``max_refetch``: clips tried
            in the place of a broken one; ``indices``, ``lazy_init`` and
            ``serialize_data`` of ``BaseDataset``.

    Raises:
        FileNotFoundError: There is no such root.
        ValueError: A bad option or table, a root of another label space, an empty
            selection, or a pipeline whose decoder returns key frames only.
    """

    noun = 'clip'
    columns = {
        'clips': 'clip',
        'labels': 'label',
        'domains': 'domain',
        'subjects': 'subject',
    }

    def __init__(
        self,
        data_root: str | os.PathLike[str],
        subset: str,
        pipeline: Sequence[dict | Callable],
        clips: Iterable[str] | str | os.PathLike[str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(data_root, subset, pipeline, names=clips, **options)

    def load_data_list(self) -> list[dict]:
        """Rows of the table that are selected."""
        table = self.root.read_rec(self.body_groups)
        published = load_label_space(self.root.info.label_space, self.body_groups)
        self._metainfo.update(space_meta(body_map(table, published)))
        return [_row(clip) for clip in self._select(table)]


def _row(clip: Clip) -> dict[str, Any]:
    return {
        'clip': clip.clip,
        'path': clip.path,
        'label': -1 if clip.action is None else clip.action,
        'body': -1 if clip.body is None else clip.body,
        'domain': sys.intern(clip.domain),
        'subject': sys.intern(clip.subject),
    }
