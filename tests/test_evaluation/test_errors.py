import json

import numpy as np
import pytest
from detection_problems import instances, predictions

from mmma.evaluation.detection import match_detections
from mmma.evaluation.errors import (
    EDGES,
    KINDS,
    characteristics,
    error_profile,
    normalised_ap,
    profile_levels,
    sensitivity,
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


def matched(truth, found, threshold):
    return match_detections(truth, found, thresholds=(threshold,))


def kinds_at(truth, found, threshold, legacy=False):
    """Kind of each prediction of a class with one truth: each is a slice."""
    slices = error_profile(matched(truth, found, threshold), legacy)['slices']
    return [KINDS[np.argmax(shares)] for shares in slices[: len(found)]]


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
    profile = error_profile(matched(TRUTH, FOUND, 0.5))
    assert profile['kinds'] == list(KINDS)
    # Class 0 has one truth, so each of its predictions is a slice of its own.
    assert profile['predictions'] == [1] * 7 + [0] * 3
    assert profile['slices'][:2] == [[100, 0, 0, 0, 0, 0], [0, 100, 0, 0, 0, 0]]
    assert np.sum(profile['slices'][7:]) == 0
    assert profile['mAP_N'] == pytest.approx(50)  # class 1 is never found
    assert set(profile['gain'].values()) == {0}  # the hit ranks first already


def test_gain_of_removing_what_ranks_above_a_hit():
    found = predictions((0, 0, 50, 60, 0.9), (0, 0, 20, 30, 0.8), (0, 0, 0, 10, 0.7))
    profile = error_profile(matched(TRUTH, found, 0.5))
    # N = 3 truths / 2 classes; precision 1.5 / (1.5 + FP), mean over two classes.
    assert profile['mAP_N'] == pytest.approx(150 / 3.5 / 2)
    gain = profile['gain']
    one_left = 150 / 2.5 / 2 - 150 / 3.5 / 2
    assert gain['background'] == gain['wrong label'] == pytest.approx(one_left)
    assert gain['double'] == 0


def test_only_ten_predictions_per_truth_are_looked_at():
    found = predictions(*[(0, 0, 50, 60, i / 40) for i in range(40)])
    profile = error_profile(match_detections(TRUTH, found))
    assert sum(profile['predictions']) == 10


def test_normalised_ap_of_a_class_of_mean_size_is_ap():
    assert normalised_ap(np.array([1, 3]), 2, 2.0) == pytest.approx(5 / 6)
    assert normalised_ap(np.array([], dtype=int), 2, 2.0) == 0


BINNED = instances((0, 0, 0, 1), (0, 0, 5, 5.5), (0, 1, 0, 9), (1, 0, 0, 1))
BINNED_FOUND = predictions((0, 0, 0, 1, 0.9), (0, 0, 8, 9, 0.8), (0, 0, 5, 5.5, 0.7))
MATCH = matched(BINNED, BINNED_FOUND, 0.5)


def test_characteristics():
    found = characteristics(MATCH.truth, [10, 4])
    assert found['length'].tolist() == [1, 0.5, 1, 9]
    assert found['instances'].tolist() == [2, 2, 1, 1]
    assert found['coverage'] == pytest.approx([0.1, 0.05, 0.25, 0.9])
    assert set(found) == set(EDGES)
    assert 'coverage' not in characteristics(MATCH.truth, [10, np.nan])


def test_by_length():
    lengths = characteristics(MATCH.truth, [10, 4])['length']
    rows = sensitivity(MATCH, lengths, EDGES['length'])
    assert [row['truths'] for row in rows] == [1, 2, 0, 0, 1]  # an edge belongs above
    assert [row['missed'] for row in rows] == [0, 50, 0, 0, 100]
    # N = 4 truths / 2 classes. The short one: the hit of the other bin holds no rank,
    # so one error ranks above it: 2 / (2 + 1).
    assert [row['mAP_N'] for row in rows] == pytest.approx([200 / 3, 50, 0, 0, 0])
    assert [rows[0]['bin'], rows[4]['bin']] == ['0..1', '8 and more']


def test_profiles_of_levels():
    profile = profile_levels({'body': MATCH}, [10, 4])['body']
    assert set(profile['sensitivity']) == {'length', 'coverage', 'instances'}
    assert profile['rule'] == 'own class first'
    legacy = profile_levels({'body': MATCH}, [10, 4], legacy=True)['body']
    assert legacy['rule'] == 'nearest truth'
    json.dumps(profile, allow_nan=False)
