import copy
import pickle

import numpy as np
import pytest
import torch

from mmma.structures.samples import (
    SegmentSample,
    WindowMerger,
    join_pieces,
    segment_diou_pairs,
    segment_iou_pairs,
)
from mmma.structures.segments import NmsOptions, Segments, tiou_pairs


def segments(n, seed=0):
    rng = np.random.default_rng(seed)
    starts = rng.uniform(0, 10, n)
    return torch.from_numpy(np.stack([starts, starts + rng.gamma(2, 0.5, n)], 1))


def test_iou_of_pairs_is_that_of_numpy():
    a, b = segments(80).round(), segments(80, seed=1).round()
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
    a, b = segments(10).requires_grad_(), segments(10, seed=1)
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


def window():
    sample = SegmentSample(metainfo=dict(video='a', positions=8, window_start_sec=1.5))
    sample.gt_segments = [[0.0, 1.0], [0.5, 2.0]]
    sample.gt_labels = [3, 7]
    sample.valid = 6
    return sample


def test_fields_and_metainfo():
    sample = window()
    assert sample.gt_segments.dtype == torch.float32
    assert sample.gt_labels.dtype == torch.int64
    assert (sample.valid, sample.video, sample.window_start_sec) == (6, 'a', 1.5)
    assert set(sample.keys()) == {'gt_segments', 'gt_labels', 'valid'}
    sample.gt_segments, sample.gt_labels = [], []
    assert sample.gt_segments.shape == (0, 2)
    assert sample.gt_labels.shape == (0,)


@pytest.mark.parametrize(
    'copied',
    [
        copy.deepcopy,
        lambda sample: pickle.loads(pickle.dumps(sample)),
        lambda sample: sample.to('cpu'),
    ],
    ids=['copy', 'pickle', 'device'],
)
def test_samples_travel(copied):
    sample = window()
    sample.pred = Segments([[0, 1]], [0.5], [3])
    other = copied(sample)
    assert other.pred.labels.tolist() == [3]
    assert torch.equal(other.gt_segments, sample.gt_segments)
    assert other.valid == 6


def test_fields_can_be_removed():
    sample = window()
    sample.pred = Segments([], [], [])
    del sample.gt_segments, sample.gt_labels, sample.valid, sample.pred
    assert list(sample.keys()) == []


@pytest.mark.parametrize(
    ('name', 'value', 'message'),
    [
        ('gt_segments', [0.0, 1.0], r'gt_segments of shape \(2,\): give \(G, 2\)'),
        ('gt_labels', [[1]], r'gt_labels of shape \(1, 1\) and type torch.int64'),
        ('gt_labels', [1.5], r'gt_labels of shape \(1,\) and type torch.float32'),
        ('valid', 9, 'valid 9: use a number from 0 to 8'),
        ('valid', -1, 'valid -1: use a number from 0'),
    ],
)
def test_bad_fields_are_refused(name, value, message):
    with pytest.raises(ValueError, match=message):
        setattr(window(), name, value)


BODY_OF = [0, 0, 1, 1]
KEEP_ALL = NmsOptions(method='none', min_score=0)


def found(*rows):
    table = np.array(rows, dtype=float).reshape(-1, 4)
    return Segments(table[:, :2], table[:, 2], table[:, 3].astype(int))


def windows(count=6, size=40):
    """Windows of a video that overlap by half."""
    rng = np.random.default_rng(3)
    parts = []
    for i in range(count):
        starts = 5 * i + rng.uniform(0, 8, size)
        ends = starts + rng.uniform(0.2, 2, size)
        labels = rng.integers(0, len(BODY_OF), size)
        parts.append(Segments(np.stack([starts, ends], 1), rng.random(size), labels))
    return parts


def merged(parts, heads=None, **options):
    merger = WindowMerger(BODY_OF, **options)
    for i, part in enumerate(parts):
        merger.add(part, heads and heads[i])
    return merger.finish()


def same(left, right):
    np.testing.assert_array_equal(left.segments_sec, right.segments_sec)
    np.testing.assert_array_equal(left.scores, right.scores)
    np.testing.assert_array_equal(left.labels, right.labels)


def test_bodies_come_from_the_actions_before_nms():
    both = found((0, 2, 0.9, 0), (0, 2, 0.8, 1), (5, 6, 0.7, 2))
    levels = merged([both], nms=KEEP_ALL)
    assert levels['action'].labels.tolist() == [0, 1, 2]
    assert levels['body'].labels.tolist() == [0, 1]
    assert levels['body'].scores.tolist() == [0.9, 0.7]


def test_or_from_the_body_head():
    levels = merged([found((0, 2, 0.9, 0))], [found((1, 3, 0.5, 1))], bodies='head')
    assert levels['body'].segments_sec.tolist() == [[1, 3]]
    with pytest.raises(ValueError, match='the model has no body head'):
        merged([found()], bodies='head')


@pytest.mark.parametrize('most', [50, 10_000])
def test_the_best_candidates_of_all_windows_count_in_any_order(most):
    parts = windows()
    levels = merged(parts, max_candidates=most)
    same(levels['action'], Segments.concat(parts).top(most).nms())
    again = merged([Segments.concat(parts[3:]), *parts[2::-1]], max_candidates=most)
    same(levels['action'], again['action'])
    same(levels['body'], again['body'])


def test_what_is_held_does_not_grow():
    merger = WindowMerger(BODY_OF, max_candidates=30)
    for part in windows():
        merger.add(part)
        assert len(merger._kept['action']) == 30


def test_the_next_video_starts_empty():
    merger = WindowMerger(BODY_OF)
    assert [len(level) for level in merger.finish().values()] == [0, 0]
    merger.add(found((0, 1, 0.5, 0)))
    merger.finish()
    assert len(merger.finish()['action']) == 0


@pytest.mark.parametrize(
    ('options', 'text'),
    [
        ({'bodies': 'heads'}, "'heads'"),
        ({'max_candidates': 0}, 'max_candidates 0: use at least 1'),
    ],
)
def test_bad_options(options, text):
    with pytest.raises(ValueError, match=text):
        WindowMerger(BODY_OF, **options)


def test_pieces_of_a_long_segment_make_it_whole():
    windows = [(start, start + 17) for start in np.arange(10, 77.5, 8.5)]
    pieces = np.array(
        [*windows, (82.0, 94.0), (77, 94), (30, 33), (20, 37), (96, 96.04)]
    )
    labels = np.array([3] * 8 + [3, 3, 3, 5, 3])
    scores = np.array([0.6] * 8 + [0.5, 0.9, 0.7, 0.9, 0.8])
    found = join_pieces(Segments(pieces, scores, labels), 17.0)
    assert len(found) == len(pieces) + 1
    assert found.segments_sec[:-1].tolist() == pieces.tolist()
    assert found.segments_sec[-1].tolist() == [10, 94]
    assert (found.scores[-1], found.labels[-1]) == (0.9, 3)
    merger = WindowMerger([0] * 6, join_sec=17.0)
    for piece in range(len(pieces)):
        merger.add(Segments(pieces, scores, labels).select([piece]))
    levels = merger.finish()
    for level in ('action', 'body'):
        assert levels[level].segments_sec[0].tolist() in ([10, 94], [77, 94])
        assert [10, 94] in levels[level].segments_sec.tolist()


def test_nothing_is_joined_of_short_weak_or_distant_segments():
    rng = np.random.default_rng(0)
    starts, labels = rng.uniform(0, 80, 400), rng.integers(0, 3, 400)
    short = np.stack([starts, starts + rng.uniform(0, 12.7, 400)], axis=1)
    scores = rng.uniform(0, 1, 400)
    for table, own in (
        (short, scores),
        (np.stack([starts, starts + 17], axis=1), scores / 11),
        (np.array([[0, 17], [18, 35], [60, 77.0]]), np.ones(3)),
        (np.array([[0, 16], [0.5, 16.5], [1, 14.0]]), np.ones(3)),
        (np.array([[0, 17], [8.5, 25.5]]), np.array([1, 0.4])),
    ):
        found = Segments(table, own, labels[: len(table)] * (len(table) > 3))
        assert join_pieces(found, 17.0) is found


@pytest.mark.parametrize('bodies', ['relabel', 'head'])
def test_without_groups_there_are_no_segments_of_them(bodies):
    merger = WindowMerger((), bodies=bodies)
    merger.add(Segments([[0.0, 1.0]], [0.5], [3]))
    found = merger.finish()
    assert (list(found), found['action'].labels.tolist()) == (['action'], [3])
