import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.structures import BaseDataElement

from mmma.evaluation.functional.recognition import (
    METRIC_KEYS,
    count_classes,
    mean_class_accuracy,
    rank_outcomes,
)
from mmma.evaluation.metrics import RecognitionMetric
from mmma.evaluation.recognition import EvaluationOptions, evaluate_rows
from mmma.registry import METRICS


@pytest.fixture
def meta(truth, space) -> dict:
    return {
        'label_space': space.name,
        'classes': list(space.actions),
        'bodies': list(space.bodies),
        'body_of': list(space.body_of),
        'clips': list(truth.names),
        'labels': truth.labels.tolist(),
        'domains': list(truth.domains),
        'subjects': list(truth.subjects),
    }


@pytest.fixture
def samples(table) -> list[dict]:
    return [
        {'index': i, 'clip': name, 'pred_score': torch.tensor(scores)}
        for i, (name, scores) in enumerate(zip(table.names, table.scores, strict=True))
    ]


def build(meta: dict, **options) -> RecognitionMetric:
    metric = METRICS.build({'type': 'RecognitionMetric', **options})
    metric.dataset_meta = meta
    return metric


def score(metric: RecognitionMetric, samples: list[dict], size: int = 6) -> dict:
    metric.process(None, samples)
    return metric.evaluate(size)


def test_metrics_are_those_of_the_rows(meta, samples, table, truth, space):
    metric = build(meta, class_set='union', body_scores='top1')
    flat = score(metric, samples)
    pooled, lab, street = evaluate_rows(
        metric.score_table, truth, space, EvaluationOptions('union', 'top1')
    )
    assert {k: flat[k] for k in METRIC_KEYS} == pooled['metrics']
    rest = {k: v for k, v in flat.items() if k not in METRIC_KEYS}
    keys = ('action/top1', 'action/mca', 'action/macro_f1', 'F1_mean')
    assert rest == {
        f'{row["domain"]}/{k}': row['metrics'][k] for row in (lab, street) for k in keys
    }
    assert metric.score_table.names == table.names
    assert metric.score_table.scores.dtype == np.float32


def test_one_domain_has_no_rows_of_its_own(meta, samples):
    flat = score(build({**meta, 'domains': ['lab'] * 6}), samples)
    assert flat.keys() == set(METRIC_KEYS)


def test_padding_and_order_do_not_matter(meta, samples):
    expected = score(build(meta), samples)
    metric = build(meta)
    assert score(metric, samples[::-1] + samples[:2]) == expected
    assert metric.score_table.names == ('a', 'b', 'c', 'd', 'e', 'f')
    assert metric.results == []


def test_data_elements_come_as_dicts(meta, samples):
    element = BaseDataElement(metainfo={'index': 0, 'clip': 'a', 'broken': ''})
    element.set_field(samples[0]['pred_score'].bfloat16(), 'pred_score')
    metric = build(meta)
    score(metric, [element.to_dict(), *samples[1:]])
    assert metric.broken == []


def test_broken_clips_are_left_out_and_named(meta, samples, truth, space):
    samples[1]['broken'] = 'b'
    metric = build(meta)
    flat = score(metric, samples)
    assert metric.broken == ['b']
    assert metric.score_table.names == ('a', 'c', 'd', 'e', 'f')
    part = truth.select([0, 2, 3, 4, 5])
    row, *_ = evaluate_rows(metric.score_table, part, space)
    assert flat['action/mca'] == row['metrics']['action/mca']


def test_body_head(meta, samples, truth):
    for sample, body in zip(samples, truth.bodies, strict=True):
        sample['pred_body_score'] = torch.eye(2)[body]
    assert score(build(meta, body_scores='head'), samples)['body/top1'] == 100


def test_missing_clips_are_counted(meta, samples):
    with pytest.raises(
        ValueError, match=r'2 of 6 clips were not scored \(indices \[1, 4'
    ):
        score(build(meta), [samples[i] for i in (0, 2, 3, 5)])


def test_index_of_another_clip(meta, samples):
    samples[2]['clip'] = 'z'
    with pytest.raises(
        ValueError, match="sample 2 is clip 'z', but dataset_meta names"
    ):
        score(build(meta), samples)


def test_no_readable_clip(meta, samples):
    with pytest.raises(ValueError, match='none of the 6 clips could be read'):
        score(build(meta), [{**s, 'broken': s['clip']} for s in samples])


def test_withheld_truth_is_refused(meta, samples):
    with pytest.raises(ValueError, match='truth is withheld'):
        score(build({**meta, 'labels': [0, 1, -1, 2, 0, 2]}), samples)


def _worker(rank: int, folder: Path, meta: dict, samples: list[dict]) -> None:
    """Rank 0 scores four clips, rank 1 the others, padded; then rank 1 lacks some."""
    dist.init_process_group(
        'gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2
    )
    shares = [samples[:4], [*samples[4:], samples[0], samples[1]]]
    metric = build(meta)
    flat = score(metric, shares[rank])
    try:
        score(metric, samples[:2])
        error = ''
    except ValueError as missing:
        error = str(missing)
    torch.save([flat, list(metric.score_table.names), error], folder / f'{rank}.pt')
    dist.destroy_process_group()
    os._exit(0)  # a fork of the test process: leave its exit handlers alone


def test_two_processes_give_the_metrics_of_one(tmp_path, meta, samples):
    expected = score(build(meta), samples)
    # fork: the children need not import everything again
    mp.start_processes(
        _worker, (tmp_path, meta, samples), nprocs=2, start_method='fork'
    )
    for rank in range(2):
        flat, names, error = torch.load(tmp_path / f'{rank}.pt', weights_only=True)
        assert flat == expected
        assert names == ['a', 'b', 'c', 'd', 'e', 'f']
        assert error.startswith('4 of 6 clips were not scored')


def test_union_counts_as_mmaction2():
    from mmaction.evaluation import mean_class_accuracy as theirs

    rng = np.random.default_rng(0)
    scores, labels = rng.random((50, 20)), rng.integers(0, 9, 50)
    counts = count_classes(rank_outcomes(scores, labels))
    expected = theirs(scores, labels)
    assert mean_class_accuracy(counts, 'union') == pytest.approx(expected)
    assert mean_class_accuracy(counts, 'present') > 1.5 * expected
