import numpy as np
import pytest
from detection_problems import instances, predictions, random_problem

from mmma.evaluation.functional.detection import (
    THRESHOLDS,
    match_detections,
    rank_predictions,
)
from mmma.evaluation.functional.detection_ap import (
    average_precisions,
    detection_metrics,
    metric_keys,
    preset_columns,
    recall_at,
)

TRUTH = instances((0, 0, 0, 1), (1, 0, 0, 1), (1, 3, 0, 1))
HITS_1_AND_3 = [(0, 0, 0, 1, 0.9), (0, 0, 5, 6, 0.8), (1, 0, 0, 1, 0.7)]


def test_ap_by_hand():
    match = match_detections(TRUTH, predictions(*HITS_1_AND_3))
    # Hits at ranks 1 and 3 of two truths; class 3 is never predicted.
    assert average_precisions(match) == pytest.approx(np.tile([5 / 6, 0], (9, 1)))


def test_the_envelope_takes_a_later_higher_precision():
    found = predictions((0, 0, 5, 6, 0.9), *[(v, 0, 0, 1, 0.5) for v in (0, 1)])
    match = match_detections(TRUTH, found)
    # Precision 1/2 then 2/3: both recall steps count 2/3.
    assert average_precisions(match)[0, 0] == pytest.approx(2 / 3)


def test_no_prediction_is_ap_0():
    assert (average_precisions(match_detections(TRUTH, predictions())) == 0).all()


def test_metrics_and_presets():
    rising = np.arange(1, 10)[:, None] / 10
    levels = {'action': rising * [1, 0], 'body': rising}
    metrics = detection_metrics(levels)
    assert tuple(metrics) == metric_keys()
    assert metrics['action/mAP@0.30'] == pytest.approx(0.15)
    assert metrics['action/mAP'] == pytest.approx(0.25)
    assert metrics['AVG'] == pytest.approx((0.25 + 0.5) / 2)
    mac = detection_metrics({'body': rising}, preset='mac')
    assert tuple(mac) == metric_keys(['body'])
    assert mac['body/mAP'] == pytest.approx((0.2 + 0.5 + 0.7) / 3)
    only = detection_metrics(levels, {'action': np.array([0, 1]), 'body': np.ones(1)})
    assert only['action/mAP'] == 0
    none = detection_metrics({'body': rising}, {'body': np.zeros(1)})
    assert none['body/mAP'] == 0


def test_unknown_preset():
    with pytest.raises(ValueError, match="preset 'thumos': use one of mma82, mac"):
        preset_columns('thumos')


@pytest.mark.parametrize('seed', range(10))
def test_recall_is_that_of_the_first_n_of_each_video(seed):
    truth, found = random_problem(seed)
    ranking = rank_predictions(found)
    recalls = recall_at(match_detections(truth, found), found, ranking, (1, 3, 1000))
    for n, recall in recalls.items():
        seen, rows = dict.fromkeys(range(9), 0), []
        for row in ranking:
            seen[found.videos[row]] += 1
            if seen[found.videos[row]] <= n:
                rows.append(row)
        first = match_detections(truth, found.select(np.array(rows, dtype=int)))
        hits = [len(own) for own in first.hits]
        assert recall == pytest.approx(np.array(hits) / first.truths.sum())


def test_thresholds_are_the_written_ones():
    assert THRESHOLDS == (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
