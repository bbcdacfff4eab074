import numpy as np
import pytest
from detection_problems import instances, predictions

from mmma.evaluation.functional.detection_instances import (
    Instances,
    Predictions,
    expand_runs,
    merge_duplicates,
)


@pytest.mark.parametrize('chunk', [1, 2, 5, 100])
def test_runs(chunk):
    chunks = list(expand_runs(np.array([5, 0, 7]), np.array([2, 0, 3]), chunk))
    columns = zip(*chunks, strict=True)
    rows, members = (np.concatenate(column).tolist() for column in columns)
    assert rows == [0, 0, 2, 2, 2]
    assert members == [5, 6, 7, 8, 9]


def test_duplicates_are_compared_with_what_is_kept():
    # The third is close to the second alone, which is dropped: it stays.
    rows = [(0, 0, 0, 5), (0, 0, 0.0008, 5), (0, 0, 0.0016, 5), (0, 0, 0.0001, 7)]
    kept = merge_duplicates(instances(*rows[::-1]))
    assert kept.segments.tolist() == [[0, 5], [0.0001, 7], [0.0016, 5]]


@pytest.mark.parametrize(
    ('make', 'text'),
    [
        (lambda: instances((0, 0, 2, 1)), r'1 segments end before they start.*row 0'),
        (lambda: instances((0, 0, np.nan, 1)), 'segment of 1 rows.* NaN or infinite'),
        (lambda: instances((0, -1, 0, 1)), 'negative video or label'),
        (lambda: predictions((0, 0, 0, 1, np.inf)), 'score of 1 rows.*row 0: NaN'),
        (
            lambda: Instances(np.zeros(2, int), np.zeros(1, int), np.zeros((2, 2))),
            r'labels \(1,\) and segments \(2, 2\) do not fit 2 videos',
        ),
        (
            lambda: Predictions(
                np.zeros(1, int), np.zeros(1, int), np.zeros((1, 2)), np.zeros(2)
            ),
            r'scores \(2,\) do not fit 1 segments',
        ),
    ],
)
def test_bad_columns(make, text):
    with pytest.raises(ValueError, match=text):
        make()
