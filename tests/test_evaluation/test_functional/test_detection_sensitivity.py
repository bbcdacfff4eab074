import numpy as np
import pytest
from detection_problems import instances, predictions

from mmma.evaluation.functional.detection import MatchOptions, match_detections
from mmma.evaluation.functional.detection_sensitivity import (
    EDGES,
    LENGTH_SEC,
    characteristics,
    sensitivity,
)

TRUTH = instances((0, 0, 0, 1), (0, 0, 5, 5.5), (0, 1, 0, 9), (1, 0, 0, 1))
FOUND = predictions((0, 0, 0, 1, 0.9), (0, 0, 8, 9, 0.8), (0, 0, 5, 5.5, 0.7))
MATCH = match_detections(TRUTH, FOUND, MatchOptions(thresholds=(0.5, 0.9)))


def test_characteristics():
    found = characteristics(MATCH.truth, [10, 4])
    assert found['length'].tolist() == [1, 0.5, 1, 9]
    assert found['instances'].tolist() == [2, 2, 1, 1]
    assert found['coverage'] == pytest.approx([0.1, 0.05, 0.25, 0.9])
    assert set(found) == set(EDGES)
    assert 'coverage' not in characteristics(MATCH.truth, [10, np.nan])
    assert 'coverage' not in characteristics(MATCH.truth)


def test_by_length():
    lengths = characteristics(MATCH.truth)['length']
    found = sensitivity(MATCH, lengths, LENGTH_SEC)
    assert found.truths.tolist() == [1, 2, 0, 0, 1]  # an edge belongs above
    assert found.missed[0].tolist() == [0, 0.5, 0, 0, 1]
    # N = 4 truths / 2 classes. The short one: the hit of the other bin holds no rank,
    # so one error ranks above it: 2 / (2 + 1).
    assert found.map_n[0] == pytest.approx([2 / 3, 0.5, 0, 0, 0])
    rows = found.record()
    assert rows[0]['bin'] == '0..1'
    assert rows[4] == dict(bin='8 and more', truths=1, missed=100, mAP_N=0)
