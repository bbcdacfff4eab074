from dataclasses import replace

import numpy as np
import pytest

from mmma.structures.segments import (
    NmsOptions,
    Segments,
    tiou_pairs,
)


def pick_by_pick(segments, scores, labels, options):
    """Soft-NMS of one class after the other, in plain Python."""
    picks = []
    for label in sorted(set(labels)):
        left = [
            [score, *map(float, segment)]
            for segment, score, own in zip(segments, scores, labels, strict=True)
            if own == label and score > options.min_score
        ]
        while left:
            best = min(left, key=lambda c: (-c[0], c[1], c[2]))
            left.remove(best)
            picks.append((-best[0], best[1], best[2], label))
            for other in left:
                shared = max(0, min(best[2], other[2]) - max(best[1], other[1]))
                union = best[2] - best[1] + other[2] - other[1] + 2e-6 - shared
                tiou = shared / union
                if options.method == 'soft':
                    other[0] *= np.exp(-(tiou**2) / options.sigma)
                elif tiou >= options.tiou:
                    other[0] = 0
            left = [c for c in left if c[0] > options.min_score]
    return np.array(sorted(picks)[: options.max_per_video]).reshape(-1, 4)


def candidates(seed, n=150, num_classes=4, ties=False):
    rng = np.random.default_rng(seed)
    segments = np.sort(rng.uniform(0, 12, (n, 2)), axis=1)
    segments[:, 1] = segments[:, 0] + (segments[:, 1] - segments[:, 0]) * 0.3
    scores = rng.beta(0.5, 2, n)
    if ties:
        segments, scores = np.round(segments), np.round(scores, 1)
    return segments, scores, rng.integers(0, num_classes, n)


def nms(segments, scores, labels, options=None):
    found = Segments(segments, scores, labels).nms(options)
    return found.segments_sec, found.scores, found.labels


def test_tiou_of_worked_segments():
    pred = [[0, 2], [0, 2], [1, 3], [1, 3], [5, 6], [5, 6], [4, 4]]
    gt = [[0, 2], [2, 6], [0, 2], [2, 6], [0, 2], [2, 6], [4, 4]]
    assert tiou_pairs(pred, gt) == pytest.approx([1, 0, 1 / 3, 1 / 5, 0, 1 / 4, 0])
    assert tiou_pairs([], np.zeros((0, 2))).shape == (0,)


@pytest.mark.parametrize(
    ('a', 'message'),
    [
        ([[0, 1], [3, 2]], r'a\[1\] = \[3.0, 2.0\] ends before it starts: swap'),
        ([[0, np.nan]], r'a\[0\] = \[0.0, nan\]: not finite'),
        ([[-np.inf, 1]], r'a\[0\] = \[-inf, 1.0\]: not finite'),
        ([[0, 1, 2]], r'a of shape \(1, 3\): give \(n, 2\)'),
        ([0, 1], r'a of shape \(2,\): give \(n, 2\)'),
        ([[0, 1]], 'tiou_pairs of 1 and 2 segments'),
    ],
)
def test_bad_segments_are_refused(a, message):
    with pytest.raises(ValueError, match=message):
        tiou_pairs(a, [[0, 1], [1, 2]])


def test_nms_of_worked_segments():
    segments = [[0, 2], [1, 3], [1, 3], [8, 9]]
    found = nms(segments, [0.9, 0.8, 0.7, 0.1], [3, 3, 5, 3])
    assert found[0].tolist() == [[0, 2], [1, 3], [1, 3], [8, 9]]
    decayed = 0.8 * np.exp(-(1 / 9) / 0.5)
    assert found[1] == pytest.approx([0.9, 0.7, decayed, 0.1])
    assert found[2].tolist() == [3, 5, 3, 3]
    # What decays to the lowest score is removed.
    options = NmsOptions(sigma=0.5, min_score=0.1)
    found = nms([[0, 2]] * 3, [0.9, 0.8, 0.1], [0, 0, 0], options)
    assert found[1] == pytest.approx([0.9, 0.8 * np.exp(-2)], rel=1e-5)
    segments = [[0, 2], [0, 2], [1, 3], [0, 2]]
    scores, labels = [0.9, 0.8, 0.7, 0.6], [0, 0, 0, 1]
    found = nms(segments, scores, labels, NmsOptions(method='hard', tiou=0.5))
    assert found[1].tolist() == [0.9, 0.7, 0.6]
    assert found[2].tolist() == [0, 0, 1]
    assert len(nms(segments, scores, labels, NmsOptions(method='none'))[0]) == 4
    # Moments do not suppress, and a full list still takes an earlier tie.
    found = nms([[1, 1], [1, 1], [0, 2]], [0.5, 0.5, 0.4], [0, 0, 0])
    assert found[1].tolist() == [0.5, 0.5, 0.4]
    segments, scores = [[5, 6], [0, 1], [0, 1]], [0.5, 0.5, 0.4]
    found = nms(segments, scores, [0, 0, 0], NmsOptions(max_per_video=1))
    assert found[0].tolist() == [[0, 1]]


@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize('ties', [False, True])
@pytest.mark.parametrize(
    'options',
    [
        NmsOptions(),
        NmsOptions(sigma=0.1, min_score=0, max_per_video=10**6),
        NmsOptions(max_per_video=20),
        NmsOptions(method='hard', tiou=0.3, max_per_video=50),
    ],
    ids=['default', 'all', 'few', 'hard'],
)
def test_all_classes_at_once_are_one_after_the_other(seed, ties, options):
    detections = candidates(seed, ties=ties)
    segments, scores, labels = nms(*detections, options)
    found = np.column_stack([-scores, segments, labels])
    expected = pick_by_pick(*detections, options)
    assert -scores == pytest.approx(expected[:, 0], abs=1e-12)
    # Scores that decay to the same but for rounding may come in either order.
    assert sorted(found.round(9).tolist()) == sorted(expected.round(9).tolist())


def test_order_of_the_input_does_not_matter():
    segments, scores, labels = candidates(5, ties=True)
    order = np.random.default_rng(0).permutation(len(scores))
    first = nms(segments, scores, labels)
    second = nms(segments[order], scores[order], labels[order])
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_ties_go_by_start_end_and_label():
    rows = [[1.0, 2], [0, 3], [0, 2], [0, 2], [9, 9.5], [0, 2]]
    labels = [0, 0, 2, 1, 0, 1]
    found = Segments(rows, [0.5, 0.5, 0.5, 0.5, 0.9, 0.5], labels, range(6))
    assert found.top(9).videos.tolist() == [4, 3, 5, 2, 1, 0]


@pytest.mark.parametrize('method', ['soft', 'hard', 'none'])
def test_nothing_stays_nothing(method):
    options = NmsOptions(method=method)
    segments, scores, labels = nms([], [], [], options)
    assert (segments.shape, scores.shape, labels.shape) == ((0, 2), (0,), (0,))
    assert len(nms([[0, 1]], [1e-4], [0], options)[0]) == 0


def test_scores_below_0_are_refused():
    with pytest.raises(ValueError, match=r'scores\[1\] = -1.0: NMS needs finite score'):
        nms([[0, 1], [1, 2]], [0.5, -1], [0, 1])


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(method='sofd'), "NMS method 'sofd': .*Did you mean 'soft'"),
        (dict(sigma=0), 'NMS sigma 0: use a number above 0'),
        (dict(min_score=-1), 'NMS min_score -1: use a number from 0'),
        (dict(tiou=1.5), 'NMS tiou 1.5: use a number above 0, up to 1'),
        (dict(max_per_video=0), 'NMS max_per_video 0: use at least 1'),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        NmsOptions(**options)


SOME = Segments([[1, 3], [0, 2], [0, 2]], [0.5, 0.5, 0.9], [4, 2, 1])


def test_lists_become_arrays():
    assert SOME.segments_sec.dtype == SOME.scores.dtype == np.float64
    assert SOME.videos.tolist() == [0, 0, 0]
    assert Segments([[0, 1]], None, [3]).scores.tolist() == [1]
    nothing = Segments([], [], [])
    assert (len(SOME), len(nothing), nothing.labels.dtype) == (3, 0, np.int64)


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        (([[2, 1]], [1], [0]), r'segments_sec\[0\] = \[2.0, 1.0\] ends before'),
        (([[0, np.nan]], [1], [0]), r'segments_sec\[0\] = \[0.0, nan\]: not finite'),
        (([[0, 1]], [np.nan], [0]), r'scores\[0\] = nan: not finite'),
        (([[0, 1]], [1, 2], [0]), r'1 segments, scores of shape \(2,\): give one'),
        (([[0, 1]], [1], [[0]]), r'labels of shape \(1, 1\): give one per segment'),
        (([[0, 1]], [1], [0.0]), 'labels of type float64, lowest 0.0: use indices'),
        (([[0, 1]], [1], [-1]), 'labels of type int64, lowest -1: use indices'),
        (([[0, 1]], [1], [0], [-1]), 'videos of type int64, lowest -1: use indices'),
    ],
)
def test_bad_fields_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Segments(*fields)


def test_top_and_select():
    assert SOME.top(2).labels.tolist() == [1, 2]
    assert SOME.top(9).labels.tolist() == [1, 2, 4]
    assert len(SOME.top(0)) == len(SOME.select([])) == 0
    assert SOME.select(SOME.scores > 0.6).labels.tolist() == [1]


def test_parts_are_put_together():
    both = Segments.concat([SOME, Segments([], [], []), SOME.relabel(range(9))])
    assert both.labels.tolist() == [4, 2, 1, 4, 2, 1]
    assert both.videos.tolist() == [0] * 6
    assert len(Segments.concat([])) == 0
    a, b = (replace(SOME, names=(name,)) for name in 'ab')
    nothing = Segments([], [], [], names=('x',))
    named = Segments.concat([a, nothing, b])
    assert (named.names, named.videos.tolist()) == (('a', 'x', 'b'), [0] * 3 + [2] * 3)


def test_videos_are_chosen_by_name():
    found = Segments([[0, 1]] * 4, None, range(4), [0, 2, 1, 2], 'abc')
    own = found.of(['c', 'z', 'a'])
    assert own.names == ('c', 'z', 'a')
    assert (own.labels.tolist(), own.videos.tolist()) == ([0, 1, 3], [2, 0, 0])
    assert found.of('abc') is found


def test_bodies_keep_the_best_of_a_segment():
    rows = [[0, 1], [0, 1], [0, 1], [0, 2], [0, 1]]
    found = Segments(rows, [0.2, 0.6, 0.5, 0.3, 0.6], range(5)).to_bodies(
        [0, 0, 1, 0, 0]
    )
    assert found.segments_sec.tolist() == [[0, 1], [0, 1], [0, 2]]
    assert found.labels.tolist() == [0, 1, 0]
    assert found.scores.tolist() == [0.6, 0.5, 0.3]
    assert len(Segments([], [], []).to_bodies([0])) == 0
    with pytest.raises(ValueError, match='label 4 has no body group: there are 1 act'):
        SOME.to_bodies([0])


def test_relabelling_before_nms_leaves_no_doubles():
    same = Segments([[0, 1], [0, 1]], [0.9, 0.8], [0, 1])
    assert len(same.nms()) == 2
    assert same.to_bodies([3, 3]).nms().scores.tolist() == [0.9]
