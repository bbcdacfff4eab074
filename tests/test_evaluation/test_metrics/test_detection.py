import os

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from mmma.evaluation.detection import evaluate_rows
from mmma.evaluation.functional.detection_ap import metric_keys
from mmma.evaluation.metrics.detection import join_videos, truth_of_meta
from mmma.registry import METRICS
from mmma.structures.detections import Detections
from mmma.structures.samples import SegmentSample
from mmma.taxonomy import load_label_space

SPACE = load_label_space('mma82')
NO_NMS = dict(method='none', min_score=0)


def found(*rows):
    table = np.array(rows, dtype=float).reshape(-1, 4)
    return Detections(table[:, :2], table[:, 2], table[:, 3].astype(int))


def marks(*rows):
    table = np.array(rows, dtype=float).reshape(-1, 3)
    return table[:, :2], table[:, 2].astype(int)


@pytest.fixture
def meta():
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
def samples():
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


def build(meta, **options):
    metric = METRICS.build({'type': 'DetectionMetric', **options})
    metric.dataset_meta = meta
    return metric


def score(metric, samples, size=5):
    metric.process(None, samples)
    return metric.evaluate(size)


def test_metrics_are_those_of_the_rows(meta, samples):
    metric = build(meta, nms=NO_NMS, preset='mac')
    flat = score(metric, samples)
    assert list(metric.detections) == ['a', 'b', 'c']
    assert len(metric.detections['a']) == 3
    found = {
        'action': join_videos(metric.detections),
        'body': join_videos(metric.body_detections),
    }
    truth = truth_of_meta(meta, ['a', 'b', 'c'])
    pooled, lab, street = evaluate_rows(found, truth, SPACE, metric.options)
    assert {k: flat[k] for k in metric_keys()} == pooled['metrics']
    assert flat['lab/AVG'] == lab['metrics']['AVG']
    assert flat['street/body/mAP'] == street['metrics']['body/mAP']
    assert flat['action/mAP'] == 100


def test_bodies_are_relabelled_before_nms(meta, samples):
    # Both actions of video c are of one group: one truth, and one detection is left.
    flat = score(metric := build(meta, nms=NO_NMS), samples)
    assert flat['street/body/mAP'] == 100
    assert len(metric.body_detections['c']) == 1


def test_detections_of_the_body_head_are_used(meta, samples):
    for sample in samples:
        sample['pred_body'] = found()
    flat = score(build(meta, nms=NO_NMS, bodies='head'), samples)
    assert flat['body/mAP'] == 0
    assert flat['action/mAP'] == 100


def test_nms_is_over_the_windows_of_a_video(meta, samples):
    samples[1]['pred'] = found((0, 2, 0.8, 3))
    metric = build(meta, nms=dict(method='hard', tiou=0.5))
    score(metric, samples)
    assert metric.detections['a'].scores.tolist() == [0.9]


def test_padding_and_order_do_not_matter(meta, samples):
    expected = score(build(meta), samples)
    metric = build(meta)
    assert score(metric, samples[::-1] + samples[:2]) == expected
    assert score(metric, samples) == expected  # nothing is left of the run before


def test_samples_come_as_dicts(meta, samples):
    element = SegmentSample(
        metainfo=dict(index=0, video='a', broken=False, num_windows=2)
    )
    element.pred = samples[0]['pred']
    expected = score(build(meta), samples)
    assert score(build(meta), [element.to_dict(), *samples[1:]]) == expected


def test_broken_videos_are_left_out_and_named(meta, samples):
    samples[4]['broken'] = 'c'
    metric = build(meta)
    flat = score(metric, samples)
    assert metric.broken == ['c']
    assert list(metric.detections) == ['a', 'b']
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
def test_bad_samples(meta, samples, change, text):
    change(samples, meta)
    with pytest.raises(ValueError, match=text):
        score(build(meta), samples)


def _worker(rank, folder, meta, samples):
    """Rank 0 has three windows, rank 1 the others and a padded one."""
    dist.init_process_group(
        'gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2
    )
    shares = [samples[:3], [*samples[3:], samples[0]]]
    flat = score(build(meta), shares[rank])
    torch.save(flat, folder / f'{rank}.pt')
    dist.destroy_process_group()
    os._exit(0)  # a fork of the test process: leave its exit handlers alone


def test_two_processes_give_the_metrics_of_one(tmp_path, meta, samples):
    expected = score(build(meta), samples)
    mp.start_processes(
        _worker, (tmp_path, meta, samples), nprocs=2, start_method='fork'
    )
    for rank in range(2):
        assert torch.load(tmp_path / f'{rank}.pt', weights_only=True) == expected
