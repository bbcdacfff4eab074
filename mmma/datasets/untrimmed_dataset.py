"""Untrimmed videos of a data root, for detection."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from mmma.datasets.root_dataset import RootDataset, space_meta
from mmma.datasets.windows import WindowOptions
from mmma.layout.det import Video
from mmma.registry import DATASETS
from mmma.taxonomy import check_choice


@DATASETS.register_module()
class UntrimmedDataset(RootDataset):
    """Windows of the untrimmed videos of one subset and some domains of a data root.

    In training a sample is a video, of which each epoch shows one random window; in
    testing a sample is a window, and the windows of each video, which cover it, follow
    one another.

    A sample's dict has ``video``, ``index``, ``filename``, ``data_root``, ``domain``,
    ``subject``, ``modality``, ``window`` (a :class:`Window`), ``gt_segments`` (G, 2) in
    seconds from the window's start and cut to it, and ``gt_labels`` (G,). In testing
    also ``window_index``, and ``num_windows`` of its video.

    ``metainfo`` has ``label_space``, ``classes`` (K names), ``bodies`` (B names),
    ``body_of`` (K indices); in the order of the samples ``videos``, ``labels`` (sorted
    classes of the video; [-1] where withheld), ``domains``, ``subjects``; and by video
    ``durations`` (seconds) and ``truth``: segments (G, 2) in seconds and labels (G,),
    without the videos whose truth is withheld.

    Args:
        data_root: Folder with ``dataset.json`` and ``det.json``.
        subset: ``train``, ``val`` or ``test``.
        pipeline: Transforms.
        window: Fields of :class:`WindowOptions`.
        videos: Names to restrict to, or a file with one per line.
        **options: As in ``ClipDataset``. ``modality`` may be ``Feature`` as well.
            Videos whose truth is withheld are left out in training; those in which
            nothing happens are not.

    Raises:
        FileNotFoundError: There is no such root.
        ValueError: As ``ClipDataset``, or a bad window.
    """

    noun = 'video'
    columns = {
        'videos': 'video',
        'labels': 'labels',
        'domains': 'domain',
        'subjects': 'subject',
    }
    modalities = ('RGB', 'Pose', 'Feature')

    def __init__(
        self,
        data_root: str | os.PathLike[str],
        subset: str,
        pipeline: Sequence[dict | Callable],
        window: Mapping[str, Any] | None = None,
        videos: Iterable[str] | str | os.PathLike[str] | None = None,
        **options: Any,
    ) -> None:
        for key in window or {}:
            check_choice(
                'window option', key, tuple(WindowOptions.__dataclass_fields__)
            )
        self.window = WindowOptions(**(window or {}))
        super().__init__(data_root, subset, pipeline, names=videos, **options)

    def load_data_list(self) -> list[dict]:
        """Videos that are selected, or in testing their windows."""
        self._metainfo.update(space_meta(self.root.label_space(self.body_groups)))
        rows = [_row(video) for video in self._select(self.root.read_det())]
        if not self.test_mode:
            return rows
        return [
            {**row, 'window': window, 'window_index': i, 'num_windows': len(windows)}
            for row in rows
            for windows in [self.window.tile(row['duration_sec'])]
            for i, window in enumerate(windows)
        ]

    def get_data_info(self, idx: int) -> dict:
        """The sample's dict; in training without window and truth, which are drawn.

        Args:
            idx: Place in the data set.

        Raises:
            ValueError: The video lies outside the root.
        """
        info = super().get_data_info(idx)
        del info['start_index'], info['withheld'], info['labels']
        return self._add_truth(info) if self.test_mode else info

    def _draw(self, info: dict) -> dict:
        if self.test_mode:
            return info
        window = self.window.draw(info['duration_sec'], info['segments'])
        return self._add_truth({**info, 'window': window})

    def _add_truth(self, info: dict) -> dict:
        truth = info.pop('segments'), info.pop('segment_labels')
        del info['duration_sec']  # the window has it; OpenVideo tells the file's
        segments, labels = info['window'].truth(*truth, self.window.min_visible)
        return {**info, 'gt_segments': segments, 'gt_labels': labels}

    def _describe(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        by_video = {row['video']: row for row in rows}
        return {
            **super()._describe(rows),
            'durations': {name: row['duration_sec'] for name, row in by_video.items()},
            'truth': {
                name: (row['segments'], row['segment_labels'])
                for name, row in by_video.items()
                if not row['withheld']
            },
        }


def _row(video: Video) -> dict[str, Any]:
    segments = [(i.start_sec, i.end_sec) for i in video.instances]
    labels = [i.label for i in video.instances]
    return {
        'video': video.video,
        'path': video.path,
        'domain': sys.intern(video.domain),
        'subject': sys.intern(video.subject),
        'duration_sec': video.duration,
        'withheld': video.withheld,
        'segments': np.array(segments, np.float64).reshape(-1, 2),
        'segment_labels': np.array(labels, np.int64),
        'labels': [-1] if video.withheld else sorted(set(labels)),
    }
