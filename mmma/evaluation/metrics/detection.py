"""Detection metrics inside MMEngine's loops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from mmengine.dist import all_gather_object, broadcast_object_list
from mmengine.evaluator import BaseMetric

from mmma.evaluation.detection import DetectionOptions, evaluate_rows
from mmma.evaluation.detection_truth import DetectionTruth
from mmma.evaluation.functional.detection_instances import Instances, Predictions
from mmma.evaluation.functional.intervals import BootstrapOptions
from mmma.registry import METRICS
from mmma.structures.detections import Detections
from mmma.structures.merging import MergeOptions, WindowMerger
from mmma.structures.segments import NmsOptions
from mmma.taxonomy import LabelSpace

DOMAIN_KEYS = ('action/mAP', 'body/mAP', 'AVG')
"""What is logged of a single domain; ``results.json`` has everything."""
BODY_RULE = {'relabel': 'before nms', 'head': 'head'}
"""Rule of ``MergeOptions`` to that of ``DetectionOptions``."""


class _Window(NamedTuple):
    index: int
    broken: bool
    actions: Detections
    bodies: Detections | None


@METRICS.register_module()
class DetectionMetric(BaseMetric):
    """mAP of both levels over all videos, and of each domain if there are several.

    Merges the windows of each video, level by level, with NMS. A video all of whose
    windows one process sees is merged as soon as the last is there, so that memory
    does not grow with videos; else windows travel between processes. What is padded
    to give all processes equal shares counts once, what is missing is an error, so
    any number of processes gives the same numbers.

    A sample has ``index``, ``video``, ``num_windows`` and ``pred``, and ``pred_body``
    if the model has a body head. Videos with a ``broken`` window are left out.

    Args:
        preset: Thresholds of the average: ``mma82`` or ``mac``.
        bodies: ``relabel`` or ``head``; see ``MergeOptions``.
        nms: Fields of ``NmsOptions``.
        max_candidates: Of a video and level, before NMS.

    Attributes:
        detections: Video to its detections of actions after NMS, after ``evaluate``.
        body_detections: The same of body groups.
        options: How they are evaluated.
        broken: Names of the videos that were left out, after ``evaluate``.
    """

    default_prefix = ''  # keys are complete: action/mAP, lab/action/mAP

    def __init__(
        self,
        preset: str = 'mma82',
        bodies: str = 'relabel',
        nms: Mapping[str, Any] | None = None,
        max_candidates: int = 10_000,
    ) -> None:
        super().__init__()
        options = NmsOptions(**(nms or {}))
        self.merging = MergeOptions(options, bodies, max_candidates)
        self.options = DetectionOptions(
            preset=preset,
            body_rule=BODY_RULE[bodies],
            bootstrap=BootstrapOptions(resamples=0),
        )
        self.detections: dict[str, Detections] = {}
        self.body_detections: dict[str, Detections] = {}
        self.broken: list[str] = []
        self._open: dict[str, dict[int, _Window]] = {}
        self._merged: dict[str, dict[str, Detections] | None] = {}
        self._seen: set[int] = set()

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Take windows, and merge the videos of which this was the last.

        Raises:
            ValueError: An index that belongs to another video.
        """
        for sample in data_samples:
            index, video = int(sample['index']), sample['video']
            named = self.dataset_meta['videos'][index]
            if named != video:
                raise ValueError(
                    f'sample {index} is of video {video!r}, but dataset_meta names '
                    f'{named!r}: use the indices of the data set'
                )
            window = _Window(
                index=index,
                broken=bool(sample.get('broken')),
                actions=sample['pred'],
                bodies=sample.get('pred_body'),
            )
            self._seen.add(window.index)
            if video in self._merged:  # padding
                continue
            windows = self._open.setdefault(video, {})
            windows[window.index] = window
            if len(windows) == sample['num_windows']:
                self._merged[video] = self._merge(self._open.pop(video))

    def evaluate(self, size: int) -> dict[str, float]:
        """Gather all videos, then compute; every process returns the same.

        Args:
            size: Number of windows of the data set.

        Raises:
            ValueError: Windows are missing. Every process sees all samples, so all of
                them raise and none is left waiting.
        """
        shares = all_gather_object((self._seen, self._merged, self._open))
        self._seen, self._merged, self._open = set(), {}, {}
        missing = sorted(set(range(size)).difference(*(seen for seen, _, _ in shares)))
        if missing:
            raise ValueError(
                f'{len(missing)} of {size} windows were not scored (indices '
                f'{missing[:5]}): the sampler must give each window to some process'
            )
        windows: dict[str, dict[int, _Window]] = {}
        for _, _, share in shares:
            for video, own in share.items():
                windows.setdefault(video, {}).update(own)
        found = {video: self._merge(own) for video, own in windows.items()}
        for _, merged, _ in shares:
            found |= merged
        metrics = [self.compute_metrics([found])]
        broadcast_object_list(metrics)
        return metrics[0]

    def compute_metrics(
        self, results: list[dict[str, dict[str, Detections] | None]]
    ) -> dict[str, float]:
        """Percent of every metric.

        Args:
            results: One dict: video to detections by level, None where broken.

        Raises:
            ValueError: No readable video, or truth that is withheld.
        """
        found = results[0]
        names = list(dict.fromkeys(self.dataset_meta['videos']))
        self.broken = [name for name in names if found[name] is None]
        kept = [name for name in names if found[name] is not None]
        if not kept:
            raise ValueError(f'none of the {len(names)} videos could be read')
        self.detections = {name: found[name]['action'] for name in kept}
        self.body_detections = {name: found[name]['body'] for name in kept}
        return self._flat(kept)

    def _merge(self, windows: dict[int, _Window]) -> dict[str, Detections] | None:
        if any(window.broken for window in windows.values()):
            return None
        merger = WindowMerger(self.dataset_meta['body_of'], self.merging)
        for index in sorted(windows):
            merger.add(windows[index].actions, windows[index].bodies)
        return merger.finish()

    def _flat(self, names: list[str]) -> dict[str, float]:
        meta = self.dataset_meta
        space = LabelSpace(
            name=meta['label_space'],
            actions=tuple(meta['classes']),
            bodies=tuple(meta['bodies']),
            body_of=tuple(meta['body_of']),
        )
        truth = truth_of_meta(meta, names)
        found = {
            'action': join_videos(self.detections),
            'body': join_videos(self.body_detections),
        }
        pooled, *domains = evaluate_rows(found, truth, space, self.options)
        flat = dict(pooled['metrics'])
        if len(domains) > 1:
            for row in domains:
                flat |= {f'{row["domain"]}/{k}': row['metrics'][k] for k in DOMAIN_KEYS}
        return flat


def join_videos(detections: Mapping[str, Detections]) -> Predictions:
    """Detections of all videos as columns, videos numbered in their order."""
    parts = list(detections.values())
    joined = Detections.concat(parts)
    videos = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return Predictions(videos, joined.labels, joined.segments_sec, joined.scores)


def truth_of_meta(meta: Mapping[str, Any], names: Sequence[str]) -> DetectionTruth:
    """What is true of some videos of a data set.

    Args:
        meta: Its ``metainfo``.
        names: Videos.

    Raises:
        ValueError: The truth of some is withheld.
    """
    place = {name: i for i, name in reversed(list(enumerate(meta['videos'])))}
    withheld = [name for name in names if name not in meta['truth']]
    if withheld:
        raise ValueError(
            f'the annotations of {len(withheld)} videos are withheld (the first: '
            f'{withheld[0]!r}): they cannot be scored here'
        )
    truths = [meta['truth'][name] for name in names]
    sizes = [len(labels) for _, labels in truths]
    segments = [np.zeros((0, 2)), *(segments for segments, _ in truths)]
    labels = [np.zeros(0, np.int64), *(labels for _, labels in truths)]
    return DetectionTruth(
        names=tuple(names),
        subsets=('',) * len(names),
        domains=tuple(meta['domains'][place[name]] for name in names),
        subjects=tuple(meta['subjects'][place[name]] for name in names),
        durations=np.array([meta['durations'][name] for name in names]),
        withheld=np.zeros(len(names), dtype=np.bool_),
        instances=Instances(
            np.repeat(np.arange(len(names)), sizes),
            np.concatenate(labels),
            np.concatenate(segments),
        ),
    )
