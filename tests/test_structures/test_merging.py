import numpy as np
import pytest

from mmma.structures.detections import Detections
from mmma.structures.merging import MergeOptions, WindowMerger
from mmma.structures.segments import NmsOptions

BODY_OF = [0, 0, 1, 1]
KEEP_ALL = NmsOptions(method='none', min_score=0)


def found(*rows):
    table = np.array(rows, dtype=float).reshape(-1, 4)
    return Detections(table[:, :2], table[:, 2], table[:, 3].astype(int))


def windows(count=6, size=40):
    """Windows of a video that overlap by half."""
    rng = np.random.default_rng(3)
    parts = []
    for i in range(count):
        starts = 5 * i + rng.uniform(0, 8, size)
        ends = starts + rng.uniform(0.2, 2, size)
        labels = rng.integers(0, len(BODY_OF), size)
        parts.append(Detections(np.stack([starts, ends], 1), rng.random(size), labels))
    return parts


def merged(parts, heads=None, **options):
    merger = WindowMerger(BODY_OF, MergeOptions(**options))
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
    same(levels['action'], Detections.concat(parts).top(most).nms())
    again = merged([Detections.concat(parts[3:]), *parts[2::-1]], max_candidates=most)
    same(levels['action'], again['action'])
    same(levels['body'], again['body'])


def test_what_is_held_does_not_grow():
    merger = WindowMerger(BODY_OF, MergeOptions(max_candidates=30))
    for part in windows():
        merger.add(part)
        assert len(merger.candidates('action')) == 30


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
        MergeOptions(**options)
