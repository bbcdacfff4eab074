import numpy as np
import pytest
from detection_problems import instances, predictions

from mmma.evaluation.detection import MatchOptions, match_detections
from mmma.evaluation.errors import (
    EDGES,
    KINDS,
    LENGTH_SEC,
    characteristics,
    classify,
    error_profile,
    nearest_truths,
    normalised_ap,
    sensitivity,
    top_positions,
)

TRUTH = instances((0, 0, 0, 10), (0, 1, 20, 30), (1, 1, 0, 10))
FOUND = predictions(
    (0, 0, 0, 10, 0.9),  # true positive
    (0, 0, 0, 9, 0.8),  # double: its truth is taken
    (0, 0, 20, 30, 0.7),  # wrong label
    (0, 0, 8, 18, 0.6),  # localization: tIoU 2/18
    (0, 0, 28, 38, 0.5),  # confusion
    (0, 0, 50, 60, 0.4),  # background
    (2, 0, 0, 10, 0.3),  # background: nothing happens in the video
)


def kinds_at(truth, found, threshold, legacy=False):
    match = match_detections(truth, found, MatchOptions(thresholds=(0.1, threshold)))
    rows = classify(match, found, top_positions(match), legacy)
    return [KINDS[kind] for kind in rows[1]]


def test_every_kind_by_hand():
    assert kinds_at(TRUTH, FOUND, 0.5) == [
        'true positive',
        'double',
        'wrong label',
        'localization',
        'confusion',
        'background',
        'background',
    ]


def test_where_labels_overlap_the_own_class_decides():
    truth = instances((0, 0, 0, 10), (0, 1, 0, 8))
    found = predictions((0, 0, 0, 10, 0.9), (0, 0, 0, 8, 0.8), (0, 0, 3, 8, 0.7))
    # The second fits class 1 exactly, but reaches 0.5 with its own, taken truth too.
    own = ['true positive', 'double', 'double']
    nearest = ['true positive', 'wrong label', 'wrong label']
    assert kinds_at(truth, found, 0.5) == own
    assert kinds_at(truth, found, 0.5, legacy=True) == nearest
    # At 0.6 the third reaches only the other class.
    assert kinds_at(truth, found, 0.6)[2] == 'wrong label'


def test_profile_by_hand():
    match = match_detections(TRUTH, FOUND, MatchOptions(thresholds=(0.1, 0.5)))
    profile = error_profile(match, FOUND)
    # Class 0 has one truth, so each of its predictions is a slice of its own.
    assert profile.predictions.tolist() == [1] * 7 + [0] * 3
    assert profile.shares[0, 1].tolist() == [1, 0, 0, 0, 0, 0]
    assert profile.shares[1, 1].tolist() == [0, 1, 0, 0, 0, 0]
    assert profile.shares[7:].sum() == 0
    assert profile.map_n == pytest.approx([0.5, 0.5])  # class 1 is never found
    assert (profile.gain == 0).all()  # the hit ranks first already
    record = profile.record()
    assert record['kinds'] == list(KINDS)
    assert record['mAP_N'] == pytest.approx(50)


def test_gain_of_removing_what_ranks_above_a_hit():
    found = predictions((0, 0, 50, 60, 0.9), (0, 0, 20, 30, 0.8), (0, 0, 0, 10, 0.7))
    match = match_detections(TRUTH, found, MatchOptions(thresholds=(0.5,)))
    profile = error_profile(match, found)
    # N = 3 truths / 2 classes; precision 1.5 / (1.5 + FP), mean over two classes.
    assert profile.map_n[0] == pytest.approx(1.5 / 3.5 / 2)
    gain = dict(zip(KINDS[1:], profile.gain[0], strict=True))
    one_left = 1.5 / 2.5 / 2 - 1.5 / 3.5 / 2
    assert gain['background'] == gain['wrong label'] == pytest.approx(one_left)
    assert gain['double'] == 0


def test_only_ten_predictions_per_truth_are_looked_at():
    found = predictions(*[(0, 0, 50, 60, i / 40) for i in range(40)])
    match = match_detections(TRUTH, found)
    assert len(top_positions(match)) == 10


def test_nearest_truths():
    same, other = nearest_truths(TRUTH, FOUND)
    assert same == pytest.approx([1, 0.9, 0, 2 / 18, 0, 0, 0])
    assert other == pytest.approx([0, 0, 1, 0, 2 / 18, 0, 0])


def test_normalised_ap_of_a_class_of_mean_size_is_ap():
    assert normalised_ap(np.array([1, 3]), 2, 2.0) == pytest.approx(5 / 6)
    assert normalised_ap(np.array([], dtype=int), 2, 2.0) == 0


TRUTH_DETECTION_SENSITIVITY = instances(
    (0, 0, 0, 1), (0, 0, 5, 5.5), (0, 1, 0, 9), (1, 0, 0, 1)
)
FOUND_DETECTION_SENSITIVITY = predictions(
    (0, 0, 0, 1, 0.9), (0, 0, 8, 9, 0.8), (0, 0, 5, 5.5, 0.7)
)
MATCH = match_detections(
    TRUTH_DETECTION_SENSITIVITY,
    FOUND_DETECTION_SENSITIVITY,
    MatchOptions(thresholds=(0.5, 0.9)),
)


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
