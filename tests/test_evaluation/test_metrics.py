import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from detection_problems import metric_keys
from mmengine.structures import BaseDataElement

from mmma.evaluation.metrics import RecognitionMetric, videos_of_meta
from mmma.evaluation.recognition import (
    CLASS_SETS,
    METRIC_KEYS,
    count_classes,
    rank_outcomes,
    recognition_metrics,
)
from mmma.evaluation.rows import EvaluationOptions, domain_rows
from mmma.registry import METRICS
from mmma.structures.samples import SegmentSample
from mmma.structures.segments import Segments
from mmma.taxonomy import load_label_space


@pytest.fixture
def meta(clips, space) -> dict:
    return {
        'label_space': space.name,
        'classes': list(space.actions),
        'bodies': list(space.bodies),
        'body_of': list(space.body_of),
        'clips': [clip.clip for clip in clips],
        'labels': [clip.action for clip in clips],
        'domains': [clip.domain for clip in clips],
        'subjects': [clip.subject for clip in clips],
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


def test_metrics_are_those_of_the_rows(meta, samples, table, clips, space):
    metric = build(meta, class_set='union', body_scores='top1')
    flat = score(metric, samples)
    pooled, lab, street = domain_rows(
        metric.table, clips, space, EvaluationOptions('union', 'top1')
    )
    assert {k: flat[k] for k in METRIC_KEYS} == pooled['metrics']
    rest = {k: v for k, v in flat.items() if k not in METRIC_KEYS}
    keys = ('action/top1', 'action/mca', 'action/macro_f1', 'F1_mean')
    assert rest == {
        f'{row["domain"]}/{k}': row['metrics'][k] for row in (lab, street) for k in keys
    }
    assert metric.table.names == table.names
    assert metric.table.scores.dtype == np.float32


def test_one_domain_has_no_rows_of_its_own(meta, samples):
    flat = score(build({**meta, 'domains': ['lab'] * 6}), samples)
    assert flat.keys() == set(METRIC_KEYS)


def test_padding_and_order_do_not_matter(meta, samples):
    expected = score(build(meta), samples)
    metric = build(meta)
    assert score(metric, samples[::-1] + samples[:2]) == expected
    assert metric.table.names == ('a', 'b', 'c', 'd', 'e', 'f')
    assert metric.results == []


def test_data_elements_come_as_dicts(meta, samples):
    element = BaseDataElement(metainfo={'index': 0, 'clip': 'a', 'broken': ''})
    element.set_field(samples[0]['pred_score'].bfloat16(), 'pred_score')
    metric = build(meta)
    score(metric, [element.to_dict(), *samples[1:]])
    assert metric.broken == []


def test_broken_clips_are_left_out_and_named(meta, samples, clips, space):
    samples[1]['broken'] = 'b'
    metric = build(meta)
    flat = score(metric, samples)
    assert metric.broken == ['b']
    assert metric.table.names == ('a', 'c', 'd', 'e', 'f')
    part = [clip for clip in clips if clip.clip != 'b']
    row, *_ = domain_rows(metric.table, part, space)
    assert flat['action/mca'] == row['metrics']['action/mca']


def test_body_head(meta, samples, clips):
    for sample, clip in zip(samples, clips, strict=True):
        sample['pred_body_score'] = torch.eye(2)[clip.body]
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
    torch.save([flat, list(metric.table.names), error], folder / f'{rank}.pt')
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
    levels = {'action': counts, 'body': counts}
    ours = {s: recognition_metrics(levels, s)['action/mca'] for s in CLASS_SETS}
    expected = theirs(scores, labels)
    assert ours['union'] == pytest.approx(expected)
    assert ours['present'] > 1.5 * expected


SPACE = load_label_space('mma82')
NO_NMS = dict(method='none', min_score=0)


def found(*rows):
    table = np.array(rows, dtype=float).reshape(-1, 4)
    return Segments(table[:, :2], table[:, 2], table[:, 3].astype(int))


def marks(*rows):
    table = np.array(rows, dtype=float).reshape(-1, 3)
    return table[:, :2], table[:, 2].astype(int)


@pytest.fixture
def det_meta():
    """Three videos; the first two have two windows each."""
    return {
        'label_space': 'mma82',
        'classes': list(SPACE.actions),
        'bodies': list(SPACE.bodies),
        'body_of': list(SPACE.body_of),
        'videos': ['a', 'a', 'b', 'b', 'c'],
        'domains': ['lab', 'lab', 'lab', 'lab', 'street'],
        'subjects': ['s', 's', 't', 't', ''],
        'durations': dict.fromkeys('abc', 12.0),
        'truth': {
            'a': marks((0, 2, 3), (7, 9, 5)),
            'b': marks(),
            'c': marks((1, 4, 3), (1, 4, 4)),
        },
    }


@pytest.fixture
def det_samples():
    parts = [
        found((0, 2, 0.9, 3)),
        found((7, 9, 0.8, 5), (7, 9.5, 0.7, 5)),
        found((3, 4, 0.2, 5)),
        found(),
        found((1, 4, 0.6, 3), (1, 4, 0.5, 4)),
    ]
    videos = 'aabbc'
    return [
        dict(index=i, video=videos[i], pred=part, num_windows=videos.count(videos[i]))
        for i, part in enumerate(parts)
    ]


def det_build(det_meta, **options):
    metric = METRICS.build({'type': 'DetectionMetric', **options})
    metric.dataset_meta = det_meta
    return metric


def det_score(metric, det_samples, size=5):
    metric.process(None, det_samples)
    return metric.evaluate(size)


def test_metrics_are_those_of_the_rows_in_detection(det_meta, det_samples):
    metric = det_build(det_meta, nms=NO_NMS, preset='mac')
    flat = det_score(metric, det_samples)
    assert metric.table['action'].names == ('a', 'b', 'c')
    assert len(metric.table['action'].of('a')) == 3
    videos = videos_of_meta(det_meta, 'abc')
    pooled, lab, street = domain_rows(metric.table, videos, SPACE, metric.options)
    assert {k: flat[k] for k in metric_keys()} == pooled['metrics']
    assert flat['lab/AVG'] == lab['metrics']['AVG']
    assert flat['street/body/mAP'] == street['metrics']['body/mAP']
    assert flat['action/mAP'] == 100


def test_bodies_are_relabelled_before_nms(det_meta, det_samples):
    # Both actions of video c are of one group: one truth, and one detection is left.
    flat = det_score(
        metric := det_build(det_meta, nms=NO_NMS),
        det_samples,
    )
    assert flat['street/body/mAP'] == 100
    assert len(metric.table['body'].of('c')) == 1


def test_detections_of_the_body_head_are_used(det_meta, det_samples):
    for sample in det_samples:
        sample['pred_body'] = found()
    flat = det_score(
        det_build(det_meta, nms=NO_NMS, bodies='head'),
        det_samples,
    )
    assert flat['body/mAP'] == 0
    assert flat['action/mAP'] == 100


def test_nms_is_over_the_windows_of_a_video(det_meta, det_samples):
    det_samples[1]['pred'] = found((0, 2, 0.8, 3))
    metric = det_build(det_meta, nms=dict(method='hard', tiou=0.5))
    det_score(metric, det_samples)
    assert metric.table['action'].of('a').scores.tolist() == [0.9]


def test_padding_and_order_do_not_matter_in_detection(det_meta, det_samples):
    expected = det_score(det_build(det_meta), det_samples)
    metric = det_build(det_meta)
    assert det_score(metric, det_samples[::-1] + det_samples[:2]) == expected
    assert (
        det_score(metric, det_samples) == expected
    )  # nothing is left of the run before


def test_samples_come_as_dicts(det_meta, det_samples):
    element = SegmentSample(
        metainfo=dict(index=0, video='a', broken=False, num_windows=2)
    )
    element.pred = det_samples[0]['pred']
    expected = det_score(det_build(det_meta), det_samples)
    assert (
        det_score(
            det_build(det_meta),
            [element.to_dict(), *det_samples[1:]],
        )
        == expected
    )


def test_broken_videos_are_left_out_and_named(det_meta, det_samples):
    det_samples[4]['broken'] = 'c'
    metric = det_build(det_meta)
    flat = det_score(metric, det_samples)
    assert metric.broken == ['c']
    assert metric.table['action'].names == ('a', 'b')
    assert 'street/AVG' not in flat


@pytest.mark.parametrize(
    ('change', 'text'),
    [
        (lambda s, m: s.pop(1), r'1 of 5 windows were not scored \(indices \[1\]'),
        (lambda s, m: s[2].update(video='z'), "sample 2 is of video 'z', but"),
        (lambda s, m: [x.update(broken='x') for x in s], 'none of the 3 videos could'),
        (lambda s, m: m['truth'].pop('b'), "annotations of 1 videos are withheld.*'b'"),
    ],
)
def test_bad_samples(det_meta, det_samples, change, text):
    change(det_samples, det_meta)
    with pytest.raises(ValueError, match=text):
        det_score(det_build(det_meta), det_samples)


def _det_worker(rank, folder, det_meta, det_samples):
    """Rank 0 has three windows, rank 1 the others and a padded one."""
    dist.init_process_group(
        'gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2
    )
    shares = [
        det_samples[:3],
        [*det_samples[3:], det_samples[0]],
    ]
    flat = det_score(det_build(det_meta), shares[rank])
    torch.save(flat, folder / f'{rank}.pt')
    dist.destroy_process_group()
    os._exit(0)  # a fork of the test process: leave its exit handlers alone


def test_two_processes_give_the_metrics_of_one_in_detection(
    tmp_path, det_meta, det_samples
):
    expected = det_score(det_build(det_meta), det_samples)
    mp.start_processes(
        _det_worker,
        (tmp_path, det_meta, det_samples),
        nprocs=2,
        start_method='fork',
    )
    for rank in range(2):
        assert torch.load(tmp_path / f'{rank}.pt', weights_only=True) == expected
