import numpy as np
import pytest
import torch

from mmma.structures.segments import NmsOptions, class_nms, tiou_pairs
from mmma.structures.segments_torch import (
    class_nms_batch,
    segment_diou_pairs,
    segment_iou_pairs,
)


def videos(sizes, seed=0, ties=False, dtype=torch.float64):
    rng = np.random.default_rng(seed)
    parts = []
    for n in sizes:
        starts = rng.uniform(0, 10, n)
        segments = np.stack([starts, starts + rng.gamma(2, 0.5, n)], 1)
        scores = rng.beta(0.5, 2, n)
        if ties:
            segments, scores = np.round(segments), np.round(scores, 1)
        parts.append((segments, scores, rng.integers(0, 5, n)))
    tensors = [[torch.from_numpy(x) for x in part] for part in parts]
    return [
        ([s.to(dtype) for s, _, _ in tensors]),
        ([s.to(dtype) for _, s, _ in tensors]),
        ([s for _, _, s in tensors]),
    ]


@pytest.mark.parametrize('ties', [False, True])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize(
    'options',
    [
        None,
        NmsOptions(sigma=0.2, min_score=0, max_per_video=10**6),
        NmsOptions(max_per_video=15),
        NmsOptions(method='hard', tiou=0.3),
        NmsOptions(method='none'),
    ],
    ids=['default', 'all', 'few', 'hard', 'none'],
)
def test_a_batch_of_videos_is_each_by_itself(ties, dtype, options):
    batch = videos([120, 0, 1, 250], ties=ties, dtype=dtype)
    found = class_nms_batch(*batch, options)
    assert len(found) == 4
    for (segments, scores, labels), *video in zip(found, *batch, strict=True):
        expected = class_nms(*video, options)
        assert segments.dtype == scores.dtype == dtype
        assert np.array_equal(segments, expected[0])
        assert scores.numpy() == pytest.approx(expected[1], abs=1e-6)
        assert np.array_equal(labels, expected[2])


def test_no_videos_and_no_detections():
    assert class_nms_batch([], [], []) == []
    [found] = class_nms_batch(*videos([0]))
    assert [tuple(x.shape) for x in found] == [(0, 2), (0,), (0,)]


@pytest.mark.parametrize(
    ('segment', 'score'),
    [([2, 1], 0.5), ([0, 1], -0.5), ([0, float('nan')], 0.5), ([0, 1], float('inf'))],
)
def test_bad_candidates_are_refused(segment, score):
    segments, scores, labels = videos([3])
    segments[0][1], scores[0][1] = torch.tensor(segment), score
    with pytest.raises(ValueError, match=r'detection 1 of all videos, .*finite'):
        class_nms_batch(segments, scores, labels)


def test_different_numbers_are_refused():
    segments, scores, labels = videos([3])
    with pytest.raises(ValueError, match=r'videos of \[3\], \[2\] and \[3\] detec'):
        class_nms_batch(segments, [scores[0][:2]], labels)


def test_iou_of_pairs_is_that_of_numpy():
    a, b = videos([80, 80], ties=True)[0]
    assert segment_iou_pairs(a, b).numpy() == pytest.approx(tiou_pairs(a, b), abs=1e-9)


@pytest.mark.parametrize(
    ('pred', 'gt', 'expected'),
    [
        ([0, 2], [0, 2], 1.0),
        ([0, 2], [1, 3], 1 / 3 - (1 / 3) ** 2),
        ([0, 1], [3, 4], -((3 / 4) ** 2)),
        ([1, 1], [1, 1], 0.0),
        ([0, 0], [4, 4], -1.0),
        ([1, 1], [0, 2], 0.0),
    ],
)
def test_diou_of_worked_pairs(pred, gt, expected):
    pred, gt = torch.tensor([pred, [0, 1]]).float(), torch.tensor([gt, [0, 1]]).float()
    assert segment_diou_pairs(pred, gt).tolist() == pytest.approx([expected, 1.0])


def test_gradients_are_finite_and_right():
    rows = [[0, 2], [1, 1], [1, 1], [3, 4], [0, 0], [0, 1e-7]]
    pred = torch.tensor(rows).float().requires_grad_()
    gt = torch.tensor([[0, 2], [1, 1], [0, 2], [0, 1], [4, 4], [0, 0]]).float()
    segment_diou_pairs(pred, gt).sum().backward()
    assert pred.grad.isfinite().all()
    assert pred.grad.abs().max() < 10
    assert pred.grad[3].tolist() != [0, 0]
    a, b = (x[:10] for x in videos([10, 10])[0])
    a.requires_grad_()
    assert torch.autograd.gradcheck(segment_diou_pairs, (a, b))


def test_half_precision_is_computed_in_single():
    pred, gt = torch.tensor([[0, 300.0]]).half(), torch.tensor([[1, 300.0]]).half()
    found = segment_diou_pairs(pred, gt)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(299 / 300 - (0.5 / 300) ** 2)


def test_memory_grows_with_the_pairs():
    pred = torch.rand(10**6, 2).sort(1).values  # a square table would be 4 TB
    assert segment_diou_pairs(pred, pred).min() >= 0


def test_bad_shapes_are_refused():
    with pytest.raises(ValueError, match=r'shapes \(2, 2\) and \(1, 2\): give two'):
        segment_diou_pairs(torch.zeros(2, 2), torch.zeros(1, 2))
