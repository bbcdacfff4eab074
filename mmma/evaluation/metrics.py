"""MMEngine metrics of both tasks; importing them fills the registry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from mmengine.dist import all_gather_object, broadcast_object_list
from mmengine.evaluator import BaseMetric

from mmma.evaluation.bootstrap import BootstrapOptions
from mmma.evaluation.detection import LEVELS, Instances
from mmma.evaluation.rows import (
    DetectionOptions,
    EvaluationOptions,
    Truth,
    detection_rows,
    join_videos,
    recognition_rows,
    require_truth,
)
from mmma.evaluation.scores import ScoreTable
from mmma.evaluation.segment_files import DetectionTruth
from mmma.registry import METRICS
from mmma.structures.samples import MergeOptions, WindowMerger
from mmma.structures.segments import Detections, NmsOptions
from mmma.taxonomy import LabelSpace

_REC_KEYS = ('action/top1', 'action/mca', 'action/macro_f1', 'F1_mean')
"""What is logged of a single domain; ``results.json`` has everything."""


class _Scored(NamedTuple):
    index: int
    clip: str
    broken: bool
    scores: np.ndarray  # (K,) float32
    body_scores: np.ndarray | None  # (B,) float32


@METRICS.register_module()
class RecognitionMetric(BaseMetric):
    """Metrics of both levels over all clips, and of each domain if there are several.

    Only clip indices and scores travel between processes; the truth comes from
    ``dataset_meta``. What is padded to give all processes equal shares counts once,
    what is missing is an error, so any number of processes gives the same numbers.

    A sample has ``index``, ``clip`` and ``pred_score`` (K,), and ``pred_body_score``
    (B,) if the model has a body head. Clips with ``broken`` set are left out.

    Args:
        class_set: Classes of MCA and macro F1: ``present``, ``union`` or ``all``.
        body_scores: ``sum``, ``top1`` or ``head``.

    Attributes:
        table: Scores of the evaluated clips, after ``evaluate``.
        makes_rows: Compute metrics; testing makes them of the scores afterwards.
        broken: Names of the clips that were left out, after ``evaluate``.
    """

    default_prefix = ''  # keys are complete: action/top1, lab/action/top1

    def __init__(self, class_set: str = 'present', body_scores: str = 'sum') -> None:
        super().__init__()
        self.options = EvaluationOptions(
            class_set, body_scores, BootstrapOptions(resamples=0)
        )
        self.makes_rows = True
        self.table: ScoreTable | None = None
        self.broken: list[str] = []

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep index, name and scores of each sample."""
        for sample in data_samples:
            body = sample.get('pred_body_score')
            scored = _Scored(
                index=int(sample['index']),
                clip=sample['clip'],
                broken=bool(sample.get('broken')),
                scores=sample['pred_score'].float().cpu().numpy(),
                body_scores=None if body is None else body.float().cpu().numpy(),
            )
            self.results.append(scored)

    def evaluate(self, size: int) -> dict[str, float]:
        """Gather all samples, then compute; every process returns the same.

        Args:
            size: Number of clips of the data set.

        Raises:
            ValueError: Clips are missing. Every process sees all samples, so all of
                them raise and none is left waiting.
        """
        shares = all_gather_object(list(self.results))
        self.results.clear()
        first_of = {s.index: s for share in reversed(shares) for s in reversed(share)}
        missing = [i for i in range(size) if i not in first_of]
        if missing:
            raise ValueError(
                f'{len(missing)} of {size} clips were not scored (indices '
                f'{missing[:5]}): the sampler must give each clip to some process'
            )
        metrics = [self.compute_metrics([first_of[i] for i in range(size)])]
        broadcast_object_list(metrics)
        return metrics[0]

    def compute_metrics(self, results: list[_Scored]) -> dict[str, float]:
        """Percent of every metric.

        Args:
            results: One entry per clip, in the order of the data set.

        Raises:
            ValueError: No readable clip, or an index that belongs to another clip.
        """
        names = self.dataset_meta['clips']
        wrong = [s for s in results if names[s.index] != s.clip]
        if wrong:
            raise ValueError(
                f'sample {wrong[0].index} is clip {wrong[0].clip!r}, but dataset_meta '
                f'names {names[wrong[0].index]!r}: use the indices of the data set'
            )
        self.broken = [s.clip for s in results if s.broken]
        kept = [s for s in results if not s.broken]
        if not kept:
            raise ValueError(f'none of the {len(results)} clips could be read')
        bodies = [s.body_scores for s in kept if s.body_scores is not None]
        self.table = ScoreTable(
            names=tuple(s.clip for s in kept),
            scores=np.stack([s.scores for s in kept]),
            body_scores=np.stack(bodies) if len(bodies) == len(kept) else None,
        )
        if not self.makes_rows:
            return {}
        meta, rows = self.dataset_meta, [s.index for s in kept]
        space = _space_of_meta(meta)
        labels = np.asarray(meta['labels'], dtype=np.int64)[rows]
        truth = Truth(
            names=self.table.names,
            labels=labels,
            bodies=np.asarray(space.body_of)[labels],
            domains=tuple(meta['domains'][i] for i in rows),
            subjects=tuple(meta['subjects'][i] for i in rows),
        )
        return _flat(
            recognition_rows(self.table, truth, space, self.options), _REC_KEYS
        )


def _space_of_meta(meta: Mapping[str, Any]) -> LabelSpace:
    return LabelSpace(
        name=meta['label_space'],
        actions=tuple(meta['classes']),
        bodies=tuple(meta['bodies']),
        body_of=tuple(meta['body_of']),
    )


def _flat(rows: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> dict[str, float]:
    """Metrics of the pooled row, and some of each domain if there are several."""
    pooled, *domains = rows
    flat = dict(pooled['metrics'])
    if len(domains) > 1:
        for row in domains:
            flat |= {f'{row["domain"]}/{k}': row['metrics'][k] for k in keys}
    return flat


_DET_KEYS = ('action/mAP', 'body/mAP', 'AVG')
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
        table: Level to video to its detections after NMS, after ``evaluate``.
        makes_rows: Compute metrics; testing makes them of the detections afterwards.
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
        self.makes_rows = True
        self.table: dict[str, dict[str, Detections]] = {}
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
        self.table = {
            level: {name: found[name][level] for name in kept} for level in LEVELS
        }
        if not self.makes_rows:
            return {}
        truth = truth_of_meta(self.dataset_meta, kept)
        levels = {level: join_videos(table) for level, table in self.table.items()}
        space = _space_of_meta(self.dataset_meta)
        return _flat(detection_rows(levels, truth, space, self.options), _DET_KEYS)

    def _merge(self, windows: dict[int, _Window]) -> dict[str, Detections] | None:
        if any(window.broken for window in windows.values()):
            return None
        merger = WindowMerger(self.dataset_meta['body_of'], self.merging)
        for index in sorted(windows):
            merger.add(windows[index].actions, windows[index].bodies)
        return merger.finish()


def truth_of_meta(meta: Mapping[str, Any], names: Sequence[str]) -> DetectionTruth:
    """What is true of some videos of a data set.

    Args:
        meta: Its ``metainfo``.
        names: Videos.

    Raises:
        ValueError: The truth of some is withheld.
    """
    place = {name: i for i, name in reversed(list(enumerate(meta['videos'])))}
    require_truth([name for name in names if name not in meta['truth']])
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
