"""MMEngine metrics of both tasks; importing them fills the registry."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from mmengine.dist import all_gather_object, broadcast_object_list
from mmengine.evaluator import BaseMetric

from mmma.data.clips import Clip
from mmma.data.videos import Instance, Video, true_segments
from mmma.evaluation.rows import (
    DetectionOptions,
    EvaluationOptions,
    domain_rows,
    require_truth,
    true_labels,
)
from mmma.evaluation.scores import ScoreTable
from mmma.registry import METRICS
from mmma.structures.samples import WindowMerger
from mmma.structures.segments import NmsOptions, Segments
from mmma.taxonomy import space_of_meta

_REC_KEYS = ('action/top1', 'action/mca', 'action/macro_f1', 'F1_mean')
_DET_KEYS = ('action/mAP', 'body/mAP', 'AVG', 'action/frame_mAP', 'body/frame_mAP')
"""Logged of a single domain; ``results.json`` has everything."""
BODY_RULE = {'relabel': 'before nms', 'head': 'head'}
"""Rule of ``WindowMerger`` to that of ``DetectionOptions``."""

_Scored = tuple[int, str, bool, np.ndarray, np.ndarray | None]
"""Index, clip, whether it is broken, scores (K,) and body scores (B,), float32."""
_Windows = dict[int, tuple[bool, Segments, Segments | None, Any]]
"""Index to whether it is broken, segments of actions and of the body head, frames."""


def _flat(rows: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> dict[str, float]:
    """Metrics of the pooled row, and some of each domain if there are several."""
    pooled, *domains = rows
    flat = dict(pooled['metrics'])
    for row in domains if len(domains) > 1 else ():
        own = row['metrics']
        flat |= {f'{row["domain"]}/{k}': own[k] for k in keys if k in own}
    return flat


@METRICS.register_module()
class RecognitionMetric(BaseMetric):
    """Metrics of both levels over all clips, and of each domain if there are several.

    Only clip indices and scores travel between processes; the truth comes from
    ``dataset_meta``. What is padded to give all processes equal shares counts once,
    what is missing is an error, so any number of processes gives the same numbers.

    A sample has ``index``, ``clip`` and ``pred_score`` (K,), and ``pred_body_score``
    (B,) if the model has a body head. Clips with ``broken`` set are left out.

    Arguments are fields of ``EvaluationOptions``.

    Attributes:
        table: Scores of the evaluated clips, after ``evaluate``.
        makes_rows: Compute metrics; testing makes them of the scores afterwards.
        broken: Names of the clips that were left out, after ``evaluate``.
        scored: Scores, truth and label space, as ``calibration.fit`` takes them.
    """

    default_prefix = ''  # keys are complete: action/top1, lab/action/top1

    def __init__(self, class_set: str = 'present', body_scores: str = 'sum') -> None:
        super().__init__()
        self.options = EvaluationOptions(class_set, body_scores, resamples=0)
        self.makes_rows = True
        self.table: ScoreTable | None = None
        self.broken: list[str] = []

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep index, name and scores of each sample."""
        for sample in data_samples:
            body = sample.get('pred_body_score')
            scored = (
                int(sample['index']),
                sample['clip'],
                bool(sample.get('broken')),
                sample['pred_score'].float().cpu().numpy(),
                None if body is None else body.float().cpu().numpy(),
            )
            self.results.append(scored)

    def evaluate(self, size: int) -> dict[str, float]:
        """Gather all samples, then compute; every process returns, or raises, the same.

        Raises:
            ValueError: Clips are missing.
        """
        shares = all_gather_object(list(self.results))
        self.results.clear()
        first_of = {s[0]: s for share in reversed(shares) for s in reversed(share)}
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
        """Percent of every metric, of one entry per clip, in the data set's order.

        Raises:
            ValueError: No readable clip, or an index that belongs to another clip.
        """
        meta = self.dataset_meta
        for index, clip, *_ in results:
            if meta['clips'][index] != clip:
                raise ValueError(
                    f'sample {index} is clip {clip!r}, but dataset_meta names '
                    f'{meta["clips"][index]!r}: use the indices of the data set'
                )
        self.broken = [clip for _, clip, broken, *_ in results if broken]
        kept = [scored for scored in results if not scored[2]]
        if not kept:
            raise ValueError(f'none of the {len(results)} clips could be read')
        rows, names, _, scores, bodies = zip(*kept, strict=True)
        heads = np.stack(bodies) if all(b is not None for b in bodies) else None
        self.table = ScoreTable(names, np.stack(scores), heads)
        if not self.makes_rows:
            return {}
        space = space_of_meta(meta)
        clips = []
        for i, name in zip(rows, names, strict=True):
            label = meta['labels'][i] if meta['labels'][i] >= 0 else None
            body = None if label is None or not space.bodies else space.body_of[label]
            place = (meta['domains'][i], meta['subjects'][i])
            clips.append(Clip(name, '', '', *place, label, body))
        self.scored = self.table, true_labels(clips)[0], space
        return _flat(domain_rows(self.table, clips, space, self.options), _REC_KEYS)


@METRICS.register_module()
class DetectionMetric(BaseMetric):
    """mAP of both levels over all videos, and of each domain if there are several.

    Merges the windows of each video, level by level, with NMS. A video all of whose
    windows one process sees is merged as soon as the last is there, so that memory
    does not grow with videos; else windows travel between processes. Padding and what
    is missing are treated as in :class:`RecognitionMetric`.

    A sample has ``index``, ``video``, ``num_windows`` and ``pred``, and ``pred_body``
    and ``pred_frames`` if the model has a body head, or a dense one. Videos with a
    ``broken`` window are left out.

    Args:
        preset: Thresholds of the average: ``mma82`` or ``mac``.
        nms: Fields of ``NmsOptions``; it and the others are those of ``WindowMerger``.

    Attributes:
        table: Level to detections after NMS, with names, after ``evaluate``; of a dense
            head also ``frames``.
        merger: Makes a ``WindowMerger`` of the body groups of the actions.
        makes_rows, broken, scored: As of :class:`RecognitionMetric`, of videos.
    """

    default_prefix = ''  # keys are complete: action/mAP, lab/action/mAP

    def __init__(
        self,
        preset: str = 'mma82',
        bodies: str = 'relabel',
        nms: Mapping[str, Any] | None = None,
        max_candidates: int = 10_000,
        join_sec: float | None = None,
    ) -> None:
        super().__init__()
        self.merging: dict[str, Any] = {'nms': NmsOptions(**(nms or {}))}
        given = dict(bodies=bodies, max_candidates=max_candidates, join_sec=join_sec)
        self.merging |= given
        self.merger = partial(WindowMerger, **self.merging)
        self.merger(())  # refuses bad options now
        rule = BODY_RULE[bodies]
        self.options = DetectionOptions(preset, body_rule=rule, resamples=0)
        self.makes_rows = True
        self.table: dict[str, Any] = {}
        self.broken: list[str] = []
        self._open: dict[str, _Windows] = {}
        self._merged: dict[str, dict[str, Segments] | None] = {}
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
            self._seen.add(index)
            if video in self._merged:  # padding
                continue
            windows = self._open.setdefault(video, {})
            broken = bool(sample.get('broken'))
            more = sample.get('pred_body'), sample.get('pred_frames')
            windows[index] = (broken, sample['pred'], *more)
            if len(windows) == sample['num_windows']:
                self._merged[video] = self._merge(self._open.pop(video))

    def evaluate(self, size: int) -> dict[str, float]:
        """Gather all videos, then compute, as in recognition."""
        shares = all_gather_object((self._seen, self._merged, self._open))
        self._seen, self._merged, self._open = set(), {}, {}
        missing = sorted(set(range(size)).difference(*(seen for seen, _, _ in shares)))
        if missing:
            raise ValueError(
                f'{len(missing)} of {size} windows were not scored (indices '
                f'{missing[:5]}): the sampler must give each window to some process'
            )
        windows: dict[str, _Windows] = {}
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
        self, results: list[dict[str, dict[str, Segments] | None]]
    ) -> dict[str, float]:
        """Percent of every metric, of one dict: video to levels, None where broken.

        Raises:
            ValueError: No readable video, or truth that is withheld.
        """
        (found,) = results
        names = list(dict.fromkeys(self.dataset_meta['videos']))
        self.broken = [name for name in names if found[name] is None]
        kept = {name: own for name in names if (own := found[name]) is not None}
        if not kept:
            raise ValueError(f'none of the {len(names)} videos could be read')
        self.table = {
            level: type(one).concat(
                [replace(own[level], names=(name,)) for name, own in kept.items()]
            )
            for level, one in next(iter(kept.values())).items()
        }
        if not self.makes_rows:
            return {}
        videos = videos_of_meta(self.dataset_meta, tuple(kept))
        space = space_of_meta(self.dataset_meta)
        self.scored = self.table, true_segments(videos), space
        return _flat(domain_rows(self.table, videos, space, self.options), _DET_KEYS)

    def _merge(self, windows: _Windows) -> dict[str, Segments] | None:
        if any(broken for broken, *_ in windows.values()):
            return None
        merger = self.merger(self.dataset_meta['body_of'])
        for index in sorted(windows):
            merger.add(*windows[index][1:])
        return merger.finish()


def videos_of_meta(meta: Mapping[str, Any], names: Sequence[str]) -> list[Video]:
    """Videos of a data set with this ``metainfo``, as far as they are evaluated.

    Raises:
        ValueError: The truth of some is withheld.
    """
    require_truth([name for name in names if name not in meta['truth']])
    where = {name: i for i, name in reversed(list(enumerate(meta['videos'])))}
    videos = []
    for name in names:
        place, truth = where[name], zip(*meta['truth'][name], strict=True)
        instances = tuple(Instance(*segment, int(label)) for segment, label in truth)
        person = (meta['domains'][place], meta['subjects'][place])
        numbers = (np.nan, 0, meta['durations'][name])
        videos.append(Video(name, '', '', *person, *numbers, instances))
    return videos
