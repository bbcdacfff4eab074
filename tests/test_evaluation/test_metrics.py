import os

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from detection_problems import metric_keys
from mmengine.structures import BaseDataElement

from mmma.evaluation.metrics import videos_of_meta
from mmma.evaluation.recognition import (
    CLASS_SETS,
    METRIC_KEYS,
    count_classes,
    rank_outcomes,
    recognition_metrics,
)
from mmma.evaluation.rows import EvaluationOptions, domain_rows
from mmma.evaluation.scores import frame_table, read_scores, write_scores
from mmma.registry import METRICS
from mmma.structures.samples import SegmentSample
from mmma.structures.segments import FrameScores, Segments
from mmma.taxonomy import load_label_space

SPACE = load_label_space('mma82')
NO_NMS = dict(method='none', min_score=0)


def space_meta(space):
    return {
        'label_space': space.name,
        'classes': list(space.actions),
        'bodies': list(space.bodies),
        'body_of': list(space.body_of),
    }


@pytest.fixture
def meta(clips, space):
    return {
        **space_meta(space),
        'clips': [clip.clip for clip in clips],
        'labels': [clip.action for clip in clips],
        'domains': [clip.domain for clip in clips],
        'subjects': [clip.subject for clip in clips],
    }


@pytest.fixture
def samples(table):
    return [
        {'index': i, 'clip': name, 'pred_score': torch.tensor(scores)}
        for i, (name, scores) in enumerate(zip(table.names, table.scores, strict=True))
    ]


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
        **space_meta(SPACE),
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


def build(meta, **options):
    kind = 'DetectionMetric' if 'videos' in meta else 'RecognitionMetric'
    metric = METRICS.build({'type': kind, **options})
    metric.dataset_meta = meta
    return metric


def score(metric, samples):
    metric.process(None, samples)
    return metric.evaluate(len(metric.dataset_meta['domains']))


def test_metrics_are_those_of_the_rows(meta, samples, table, clips, space):
    metric = build(meta, class_set='union', body_scores='top1')
    flat = score(metric, samples)
    options = EvaluationOptions('union', 'top1')
    pooled, *domains = domain_rows(metric.table, clips, space, options)
    keys = ('action/top1', 'action/mca', 'action/macro_f1', 'F1_mean')
    assert flat == pooled['metrics'] | {
        f'{row["domain"]}/{k}': row['metrics'][k] for row in domains for k in keys
    }
    assert metric.table.names == table.names
    assert metric.table.scores.dtype == np.float32
    alone = score(build({**meta, 'domains': ['lab'] * 6}), samples)
    assert alone.keys() == set(METRIC_KEYS)


def test_detection_metrics_are_those_of_the_rows(det_meta, det_samples):
    metric = build(det_meta, nms=NO_NMS, preset='mac')
    flat = score(metric, det_samples)
    assert metric.table['action'].names == ('a', 'b', 'c')
    assert len(metric.table['action'].of('a')) == 3
    videos = videos_of_meta(det_meta, 'abc')
    pooled, lab, street = domain_rows(metric.table, videos, SPACE, metric.options)
    assert {k: flat[k] for k in pooled['metrics']} == pooled['metrics']
    assert pooled['metrics'].keys() > set(metric_keys())
    assert flat['lab/AVG'] == lab['metrics']['AVG']
    assert flat['street/body/mAP'] == street['metrics']['body/mAP']
    assert flat['action/mAP'] == 100


@pytest.mark.parametrize('task', ['', 'det_'])
def test_padding_and_order_do_not_matter(request, task):
    meta, samples = (request.getfixturevalue(task + x) for x in ('meta', 'samples'))
    expected = score(build(meta), samples)
    metric = build(meta)
    assert score(metric, samples[::-1] + samples[:2]) == expected
    table = metric.table['action'] if task else metric.table
    assert table.names == tuple('abc' if task else 'abcdef')
    assert score(metric, samples) == expected  # nothing is left of the run before
    assert metric.results == []


def test_samples_come_as_dicts(meta, samples, det_meta, det_samples):
    element = BaseDataElement(metainfo={'index': 0, 'clip': 'a', 'broken': ''})
    element.set_field(samples[0]['pred_score'].bfloat16(), 'pred_score')
    metric = build(meta)
    score(metric, [element.to_dict(), *samples[1:]])
    assert metric.broken == []
    fields = dict(index=0, video='a', broken=False, num_windows=2)
    element = SegmentSample(metainfo=fields)
    element.pred = det_samples[0]['pred']
    again = score(build(det_meta), [element.to_dict(), *det_samples[1:]])
    assert again == score(build(det_meta), det_samples)


def test_broken_ones_are_left_out_and_named(
    meta, samples, clips, space, det_meta, det_samples
):
    samples[1]['broken'] = 'b'
    metric = build(meta)
    flat = score(metric, samples)
    assert (metric.broken, metric.table.names) == (['b'], tuple('acdef'))
    row, *_ = domain_rows(metric.table, [c for c in clips if c.clip != 'b'], space)
    assert flat['action/mca'] == row['metrics']['action/mca']
    det_samples[4]['broken'] = 'c'
    metric = build(det_meta)
    flat = score(metric, det_samples)
    assert (metric.broken, metric.table['action'].names) == (['c'], ('a', 'b'))
    assert 'street/AVG' not in flat


def test_body_heads(meta, samples, clips, det_meta, det_samples):
    for sample, clip in zip(samples, clips, strict=True):
        sample['pred_body_score'] = torch.eye(2)[clip.body]
    assert score(build(meta, body_scores='head'), samples)['body/top1'] == 100
    for sample in det_samples:
        sample['pred_body'] = found()
    flat = score(build(det_meta, nms=NO_NMS, bodies='head'), det_samples)
    assert (flat['body/mAP'], flat['action/mAP']) == (0, 100)


def test_bodies_are_relabelled_before_nms(det_meta, det_samples):
    # Both actions of video c are of one group: one truth, and one detection is left.
    metric = build(det_meta, nms=NO_NMS)
    assert score(metric, det_samples)['street/body/mAP'] == 100
    assert len(metric.table['body'].of('c')) == 1


def test_nms_is_over_the_windows_of_a_video(det_meta, det_samples):
    det_samples[1]['pred'] = found((0, 2, 0.8, 3))
    metric = build(det_meta, nms=dict(method='hard', tiou=0.5))
    score(metric, det_samples)
    assert metric.table['action'].of('a').scores.tolist() == [0.9]


@pytest.mark.parametrize(
    ('change', 'text'),
    [
        (lambda s, m: [s.pop(i) for i in (4, 1)], r'2 of 6 clips .*indices \[1, 4'),
        (lambda s, m: s[2].update(clip='z'), "sample 2 is clip 'z', but dataset_meta"),
        (lambda s, m: [x.update(broken='x') for x in s], 'none of the 6 clips could'),
        (lambda s, m: m.update(labels=[0, 1, -1, 2, 0, 2]), 'truth is withheld'),
    ],
)
def test_bad_samples(meta, samples, change, text):
    change(samples, meta)
    with pytest.raises(ValueError, match=text):
        score(build(meta), samples)


@pytest.mark.parametrize(
    ('change', 'text'),
    [
        (lambda s, m: s.pop(1), r'1 of 5 windows were not scored \(indices \[1\]'),
        (lambda s, m: s[2].update(video='z'), "sample 2 is of video 'z', but"),
        (lambda s, m: [x.update(broken='x') for x in s], 'none of the 3 videos could'),
        (lambda s, m: m['truth'].pop('b'), "annotations of 1 videos are withheld.*'b'"),
    ],
)
def test_bad_windows(det_meta, det_samples, change, text):
    change(det_samples, det_meta)
    with pytest.raises(ValueError, match=text):
        score(build(det_meta), det_samples)


def _worker(rank, folder, meta, samples, split):
    """Rank 0 scores the first, rank 1 the others, padded; then rank 1 lacks some."""
    dist.init_process_group(
        'gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2
    )
    shares = [samples[:split], [*samples[split:], samples[0]]]
    metric = build(meta)
    flat = score(metric, shares[rank])
    try:
        score(metric, samples[:2])
        error = ''
    except ValueError as missing:
        error = str(missing)
    torch.save([flat, error], folder / f'{rank}.pt')
    dist.destroy_process_group()
    os._exit(0)  # a fork of the test process: leave its exit handlers alone


@pytest.mark.parametrize(('task', 'split'), [('', 4), ('det_', 3)])
def test_two_processes_give_the_metrics_of_one(request, tmp_path, task, split):
    meta, samples = (request.getfixturevalue(task + x) for x in ('meta', 'samples'))
    expected = score(build(meta), samples)
    # fork: the children need not import everything again
    arguments = (tmp_path, meta, samples, split)
    mp.start_processes(_worker, arguments, nprocs=2, start_method='fork')
    for rank in range(2):
        flat, error = torch.load(tmp_path / f'{rank}.pt', weights_only=True)
        assert flat == expected
        assert f'{len(samples) - 2} of {len(samples)} ' in error


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


def test_scores_of_frames_are_averaged_over_windows_and_ranked(
    det_meta, det_samples, tmp_path
):
    rng = np.random.default_rng(0)
    for sample in det_samples:
        shown = rng.random((6, SPACE.num_actions), dtype=np.float32)
        sample['pred_frames'] = 4 * (sample['index'] in (1, 3)), 15.0, shown
    metric = build(det_meta)
    flat = score(metric, det_samples)
    frames = metric.table['frames']
    own = [sample['pred_frames'][2] for sample in det_samples]
    whole = np.concatenate([own[0][:4], (own[0][4:] + own[1][:2]) / 2, own[1][2:]])
    assert frames.names == ['a', 'b', 'c']
    assert frames.scores[0] == pytest.approx(whole)
    row = domain_rows(metric.table, videos_of_meta(det_meta, 'abc'), SPACE)[0]
    assert row['frames']['of'] == 'frames'
    assert row['metrics']['action/frame_mAP'] == flat['action/frame_mAP']
    first = frames.of(['c', 'a']).of_level('body', SPACE.body_of)
    members = np.equal(SPACE.body_of, 2)
    assert first[0][:, 2] == pytest.approx(own[4][:, members].max(axis=1))
    heads = FrameScores([np.ones((3, SPACE.num_actions + 7))], 15.0)
    assert heads.of_level('body', SPACE.body_of)[0].shape == (3, 7)
    file = tmp_path / 'x.frames.npz'
    write_scores(file, frame_table(frames, SPACE), SPACE)
    back = read_scores(file, SPACE)
    assert back.names[:2] == ('a@0.0000', 'a@0.0667')
    assert back.scores == pytest.approx(np.concatenate(frames.scores))
