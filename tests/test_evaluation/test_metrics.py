import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.structures import BaseDataElement

from mmma.evaluation.detection import metric_keys
from mmma.evaluation.metrics import RecognitionMetric, truth_of_meta
from mmma.evaluation.recognition import (
    METRIC_KEYS,
    count_classes,
    mean_class_accuracy,
    rank_outcomes,
)
from mmma.evaluation.rows import (
    EvaluationOptions,
    detection_rows,
    join_videos,
    recognition_rows,
)
from mmma.registry import METRICS
from mmma.structures.samples import SegmentSample
from mmma.structures.segments import Detections
from mmma.taxonomy import load_label_space


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
    pooled, lab, street = recognition_rows(
        metric.table, truth, space, EvaluationOptions('union', 'top1')
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


def test_broken_clips_are_left_out_and_named(meta, samples, truth, space):
    samples[1]['broken'] = 'b'
    metric = build(meta)
    flat = score(metric, samples)
    assert metric.broken == ['b']
    assert metric.table.names == ('a', 'c', 'd', 'e', 'f')
    part = truth.select([0, 2, 3, 4, 5])
    row, *_ = recognition_rows(metric.table, part, space)
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
    expected = theirs(scores, labels)
    assert mean_class_accuracy(counts, 'union') == pytest.approx(expected)
    assert mean_class_accuracy(counts, 'present') > 1.5 * expected


SPACE = load_label_space('mma82')
NO_NMS = dict(method='none', min_score=0)


def found(*rows):
    table = np.array(rows, dtype=float).reshape(-1, 4)
    return Detections(table[:, :2], table[:, 2], table[:, 3].astype(int))


def marks(*rows):
    table = np.array(rows, dtype=float).reshape(-1, 3)
    return table[:, :2], table[:, 2].astype(int)


@pytest.fixture
def meta_of_detection():
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
def samples_of_detection():
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


def build_of_detection(meta_of_detection, **options):
    metric = METRICS.build({'type': 'DetectionMetric', **options})
    metric.dataset_meta = meta_of_detection
    return metric


def score_of_detection(metric, samples_of_detection, size=5):
    metric.process(None, samples_of_detection)
    return metric.evaluate(size)


def test_metrics_are_those_of_the_rows_of_detection(
    meta_of_detection, samples_of_detection
):
    metric = build_of_detection(meta_of_detection, nms=NO_NMS, preset='mac')
    flat = score_of_detection(metric, samples_of_detection)
    assert list(metric.table['action']) == ['a', 'b', 'c']
    assert len(metric.table['action']['a']) == 3
    found = {
        'action': join_videos(metric.table['action']),
        'body': join_videos(metric.table['body']),
    }
    truth = truth_of_meta(meta_of_detection, ['a', 'b', 'c'])
    pooled, lab, street = detection_rows(found, truth, SPACE, metric.options)
    assert {k: flat[k] for k in metric_keys()} == pooled['metrics']
    assert flat['lab/AVG'] == lab['metrics']['AVG']
    assert flat['street/body/mAP'] == street['metrics']['body/mAP']
    assert flat['action/mAP'] == 100


def test_bodies_are_relabelled_before_nms(meta_of_detection, samples_of_detection):
    # Both actions of video c are of one group: one truth, and one detection is left.
    flat = score_of_detection(
        metric := build_of_detection(meta_of_detection, nms=NO_NMS),
        samples_of_detection,
    )
    assert flat['street/body/mAP'] == 100
    assert len(metric.table['body']['c']) == 1


def test_detections_of_the_body_head_are_used(meta_of_detection, samples_of_detection):
    for sample in samples_of_detection:
        sample['pred_body'] = found()
    flat = score_of_detection(
        build_of_detection(meta_of_detection, nms=NO_NMS, bodies='head'),
        samples_of_detection,
    )
    assert flat['body/mAP'] == 0
    assert flat['action/mAP'] == 100


def test_nms_is_over_the_windows_of_a_video(meta_of_detection, samples_of_detection):
    samples_of_detection[1]['pred'] = found((0, 2, 0.8, 3))
    metric = build_of_detection(meta_of_detection, nms=dict(method='hard', tiou=0.5))
    score_of_detection(metric, samples_of_detection)
    assert metric.table['action']['a'].scores.tolist() == [0.9]


def test_padding_and_order_do_not_matter_of_detection(
    meta_of_detection, samples_of_detection
):
    expected = score_of_detection(
        build_of_detection(meta_of_detection), samples_of_detection
    )
    metric = build_of_detection(meta_of_detection)
    assert (
        score_of_detection(
            metric, samples_of_detection[::-1] + samples_of_detection[:2]
        )
        == expected
    )
    assert (
        score_of_detection(metric, samples_of_detection) == expected
    )  # nothing is left of the run before


def test_samples_come_as_dicts(meta_of_detection, samples_of_detection):
    element = SegmentSample(
        metainfo=dict(index=0, video='a', broken=False, num_windows=2)
    )
    element.pred = samples_of_detection[0]['pred']
    expected = score_of_detection(
        build_of_detection(meta_of_detection), samples_of_detection
    )
    assert (
        score_of_detection(
            build_of_detection(meta_of_detection),
            [element.to_dict(), *samples_of_detection[1:]],
        )
        == expected
    )


def test_broken_videos_are_left_out_and_named(meta_of_detection, samples_of_detection):
    samples_of_detection[4]['broken'] = 'c'
    metric = build_of_detection(meta_of_detection)
    flat = score_of_detection(metric, samples_of_detection)
    assert metric.broken == ['c']
    assert list(metric.table['action']) == ['a', 'b']
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
def test_bad_samples(meta_of_detection, samples_of_detection, change, text):
    change(samples_of_detection, meta_of_detection)
    with pytest.raises(ValueError, match=text):
        score_of_detection(build_of_detection(meta_of_detection), samples_of_detection)


def _worker_of_detection(rank, folder, meta_of_detection, samples_of_detection):
    """Rank 0 has three windows, rank 1 the others and a padded one."""
    dist.init_process_group(
        'gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2
    )
    shares = [
        samples_of_detection[:3],
        [*samples_of_detection[3:], samples_of_detection[0]],
    ]
    flat = score_of_detection(build_of_detection(meta_of_detection), shares[rank])
    torch.save(flat, folder / f'{rank}.pt')
    dist.destroy_process_group()
    os._exit(0)  # a fork of the test process: leave its exit handlers alone


def test_two_processes_give_the_metrics_of_one_of_detection(
    tmp_path, meta_of_detection, samples_of_detection
):
    expected = score_of_detection(
        build_of_detection(meta_of_detection), samples_of_detection
    )
    mp.start_processes(
        _worker_of_detection,
        (tmp_path, meta_of_detection, samples_of_detection),
        nprocs=2,
        start_method='fork',
    )
    for rank in range(2):
        assert torch.load(tmp_path / f'{rank}.pt', weights_only=True) == expected
