"""Recognition metrics inside MMEngine's loops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from mmengine.dist import all_gather_object, broadcast_object_list
from mmengine.evaluator import BaseMetric

from mmma.evaluation.functional.intervals import BootstrapOptions
from mmma.evaluation.recognition import EvaluationOptions, Truth, evaluate_rows
from mmma.evaluation.scores import ScoreTable
from mmma.registry import METRICS
from mmma.taxonomy import LabelSpace

DOMAIN_KEYS = ('action/top1', 'action/mca', 'action/macro_f1', 'F1_mean')
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
        score_table: Scores of the evaluated clips, after ``evaluate``.
        broken: Names of the clips that were left out, after ``evaluate``.
    """

    default_prefix = ''  # keys are complete: action/top1, lab/action/top1

    def __init__(self, class_set: str = 'present', body_scores: str = 'sum') -> None:
        super().__init__()
        self.options = EvaluationOptions(
            class_set, body_scores, BootstrapOptions(resamples=0)
        )
        self.score_table: ScoreTable | None = None
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
        self.score_table = _table(kept)
        return self._flat([s.index for s in kept])

    def _flat(self, indices: list[int]) -> dict[str, float]:
        meta = self.dataset_meta
        space = LabelSpace(
            name=meta['label_space'],
            actions=tuple(meta['classes']),
            bodies=tuple(meta['bodies']),
            body_of=tuple(meta['body_of']),
        )
        labels = np.asarray(meta['labels'], dtype=np.int64)[indices]
        truth = Truth(
            names=self.score_table.names,
            labels=labels,
            bodies=np.asarray(space.body_of)[labels],
            domains=tuple(meta['domains'][i] for i in indices),
            subjects=tuple(meta['subjects'][i] for i in indices),
        )
        pooled, *domains = evaluate_rows(self.score_table, truth, space, self.options)
        flat = dict(pooled['metrics'])
        if len(domains) > 1:
            for row in domains:
                flat |= {f'{row["domain"]}/{k}': row['metrics'][k] for k in DOMAIN_KEYS}
        return flat


def _table(samples: Sequence[_Scored]) -> ScoreTable:
    bodies = [s.body_scores for s in samples if s.body_scores is not None]
    return ScoreTable(
        names=tuple(s.clip for s in samples),
        scores=np.stack([s.scores for s in samples]),
        body_scores=np.stack(bodies) if len(bodies) == len(samples) else None,
    )
