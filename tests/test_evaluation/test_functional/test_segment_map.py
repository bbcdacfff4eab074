import numpy as np
import pytest
from detection_problems import instances, predictions, random_problem
from sklearn.metrics import average_precision_score

from mmma.evaluation.functional.segment_map import (
    average_precision,
    segment_average_precisions,
)


def covered(table, rows, centres):
    low, high = table.segments[rows].T
    return (low[:, None] <= centres) & (centres < high[:, None])


@pytest.mark.parametrize('seed', range(8))
def test_equals_scikit_learn(seed):
    truth, found = random_problem(seed)
    durations = np.random.default_rng(seed).uniform(4, 9, 6).round(2)
    labels, values = segment_average_precisions(truth, found, durations)
    for label, value in zip(labels, values, strict=True):
        true, scores = [], []
        for video, duration in enumerate(durations):
            centres = (np.arange(200) + 0.5) / 10
            centres = centres[centres < duration]
            own = [
                np.flatnonzero((t.videos == video) & (t.labels == label))
                for t in (truth, found)
            ]
            true.append(covered(truth, own[0], centres).any(axis=0))
            shown = covered(found, own[1], centres) * found.scores[own[1]][:, None]
            scores.append(shown.max(axis=0, initial=0))
        expected = average_precision_score(np.concatenate(true), np.concatenate(scores))
        assert value == pytest.approx(expected, abs=1e-12)


def test_by_hand():
    truth = instances((0, 0, 0, 0.3), (0, 4, 0.31, 0.34))
    found = predictions((0, 0, 0.1, 0.5, 0.9), (0, 0, 0.2, 0.4, 0.1))
    labels, values = segment_average_precisions(truth, found, [1.0])
    assert labels.tolist() == [0]  # no centre lies in the instance of class 4
    # Steps 1 to 4 are shown, 1 and 2 true; then the six others, one of them true.
    assert values[0] == pytest.approx(2 / 3 * 2 / 4 + 1 / 3 * 3 / 10)


def test_perfect_and_nothing():
    truth = instances((0, 0, 0, 1), (1, 0, 1, 2))
    rows = [(0, 0, 0, 1, -3), (1, 0, 1, 2, -5)]
    perfect = segment_average_precisions(truth, predictions(*rows), [2, 2])
    assert perfect[1].tolist() == [1]
    nothing = segment_average_precisions(truth, predictions(), [2, 2])
    assert nothing[1] == pytest.approx([20 / 40])  # the share of true steps


def test_average_precision_counts_ties_together():
    true = np.array([True, False, False, True])
    scores = np.array([0.5, 0.5, 0.9, 0.1])
    expected = average_precision_score(true, scores)
    assert average_precision(true, scores) == pytest.approx(expected)


@pytest.mark.parametrize('durations', [[np.nan], [0.0]])
def test_durations_are_needed(durations):
    with pytest.raises(ValueError, match='1 videos without a duration'):
        segment_average_precisions(instances((0, 0, 0, 1)), predictions(), durations)
