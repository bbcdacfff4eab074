import numpy as np
import pytest
import torch

from mmma.models.assigner import TARGETS, assign_truths
from mmma.models.points import default_ranges, pyramid_points

LEVELS, CLASSES = 4, 5
POINTS = pyramid_points(
    [32 >> level for level in range(LEVELS)], [1, 2, 4, 8], default_ranges(LEVELS)
)


def brute_force(segments, labels, targets, radius):
    """Owners of points and of pairs, one point, one truth at a time."""
    owners, by_class = [], []
    for level, (low, high) in enumerate(default_ranges(LEVELS)):
        stride = 2**level
        for step in range(32 >> level):
            time = step * stride
            fits = {}
            for truth, (start, end) in enumerate(segments):
                left, right = time - start, end - time
                near = abs(time - (start + end) / 2) < radius * stride
                if left > 0 and right > 0 and near and low <= max(left, right) <= high:
                    fits[truth] = end - start
            best = min(fits, key=fits.get, default=-1)
            owners.append(best)
            row = [-1] * CLASSES
            for truth in sorted(fits, key=fits.get, reverse=True):
                if targets == 'union' or fits[truth] <= fits[best] + 1e-3:
                    row[labels[truth]] = truth
            by_class.append(row)
    return owners, by_class


@pytest.mark.parametrize('targets', TARGETS)
@pytest.mark.parametrize('seed', range(20))
def test_equals_brute_force(targets, seed):
    rng = np.random.default_rng(seed)
    count = rng.integers(1, 9)
    starts = rng.uniform(0, 28, count)
    segments = np.stack([starts, starts + rng.exponential(6, count) + 0.5], axis=1)
    labels = rng.integers(0, CLASSES, count)
    radius = rng.choice([0.5, 1.5, 3.0])
    table = torch.tensor(segments, dtype=torch.float32)
    found = assign_truths(POINTS, table, torch.tensor(labels), CLASSES, targets, radius)
    wanted = brute_force(table.double().tolist(), labels, targets, radius)
    assert found[0].tolist() == wanted[0]
    assert found[1].tolist() == wanted[1]


def test_no_truth_is_all_background():
    owners, by_class = assign_truths(
        POINTS, torch.zeros(0, 2), torch.zeros(0, dtype=torch.long), CLASSES
    )
    assert owners.shape == (60,)
    assert by_class.shape == (60, CLASSES)
    assert (owners == -1).all()
    assert (by_class == -1).all()


def classes_of(segments, labels, targets):
    _, by_class = assign_truths(
        POINTS, torch.tensor(segments), torch.tensor(labels), CLASSES, targets
    )
    return {tuple(row.nonzero()[:, 0].tolist()) for row in by_class >= 0} - {()}


@pytest.mark.parametrize('targets', TARGETS)
def test_equal_lengths_are_both_true(targets):
    assert classes_of([[4.0, 10.0]] * 2, [1, 3], targets) == {(1, 3)}


def test_only_union_keeps_a_longer_one():
    segments = [[4.0, 10.0], [3.5, 10.5]]
    assert classes_of(segments, [1, 3], 'shortest') == {(1,)}
    assert (1, 3) in classes_of(segments, [1, 3], 'union')


@pytest.mark.parametrize('length', [0.6, 1.5, 4.0, 7.9, 8.0, 8.1, 16.0, 24.0])
@pytest.mark.parametrize('centre', [8.0, 12.3, 15.5])
def test_every_truth_beyond_half_a_position_is_found_where_it_covers_a_point(
    length, centre
):
    segment = torch.tensor([[centre - length / 2, centre + length / 2]])
    owners, _ = assign_truths(POINTS, segment, torch.tensor([0]), CLASSES)
    covered = ((POINTS.times - centre).abs() < length / 2).any()
    assert (owners == 0).any() == covered
