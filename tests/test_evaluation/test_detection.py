import json

import numpy as np
import pytest
from detection_problems import instances, predictions

from mmma.evaluation.detection import (
    BODY_RULES,
    DetectionOptions,
    evaluate_row,
    evaluate_rows,
    match_levels,
    profile_levels,
    segment_maps,
)
from mmma.evaluation.detection_truth import DetectionTruth
from mmma.evaluation.functional.detection_ap import metric_keys
from mmma.evaluation.functional.intervals import BootstrapOptions
from mmma.taxonomy import load_label_space

SPACE = load_label_space('mma82')
PLAIN = DetectionOptions(bootstrap=BootstrapOptions(resamples=0))


def truth_of(*rows, domains=('lab', 'lab', 'street'), subjects=None):
    count = len(domains)
    return DetectionTruth(
        names=tuple(f'v{i}' for i in range(count)),
        subsets=('test',) * count,
        domains=domains,
        subjects=tuple(subjects or [''] * count),
        durations=np.full(count, 20.0),
        withheld=np.zeros(count, dtype=bool),
        instances=instances(*rows),
    )


TRUTH = truth_of((0, 3, 0, 2), (0, 4, 0, 2), (1, 3, 5, 6), (2, 3, 1, 2))
FOUND = predictions(
    (0, 3, 0, 2, 0.9), (0, 4, 0, 2, 0.8), (2, 3, 8, 9, 0.7), (2, 3, 1, 2, 0.6)
)


def test_a_row_by_hand():
    assert SPACE.body_of[3] == SPACE.body_of[4]
    row = evaluate_row(FOUND, TRUTH, SPACE, PLAIN)
    assert tuple(row['metrics']) == metric_keys()
    # Action 3: hits at ranks 1 and 3 of three truths; action 4: perfect.
    assert row['metrics']['action/mAP'] == pytest.approx(50 * (5 / 9 + 1))
    # Body: two truths became one, its second prediction is false; ranks 1 and 4 of 3.
    assert row['metrics']['body/mAP'] == pytest.approx(100 * (1 + 2 / 4) / 3)
    assert row['counts'] == {
        'videos': 3,
        'instances': 4,
        'predictions': 4,
        'subjects': 0,
        'classes': {'action': 2, 'body': 1},
        'merged_truths': {'action': 0, 'body': 1},
        'without_truth': {'action': 0, 'body': 0},
    }
    assert row['per_class']['action'] == {
        'name': [SPACE.actions[3], SPACE.actions[4]],
        'truths': [3, 1],
        'predictions': [3, 1],
        'AP@0.20': [55.5556, 100],
        'AP@0.50': [55.5556, 100],
        'AP@0.70': [55.5556, 100],
        'AP': [55.5556, 100],
    }
    assert row['frequent']['classes'] == {'action': 0, 'body': 0}
    assert row['frequent']['metrics']['AVG'] == 0
    assert row['recall']['action'] == pytest.approx(
        {'1': 25, '5': 75, '10': 75, '50': 75, '100': 75}
    )
    assert row['presets']['mac']['AVG'] == pytest.approx(row['metrics']['AVG'])
    json.dumps(row, allow_nan=False)


def test_rows_of_domains():
    rows = evaluate_rows(FOUND, TRUTH, SPACE, PLAIN)
    assert [r['domain'] for r in rows] == ['all', 'lab', 'street']
    assert rows[2]['metrics']['action/mAP'] == pytest.approx(50)
    assert rows[2]['counts']['predictions'] == 2
    assert rows[0]['across_domains']['worst_domain']['action/mAP'] == 'street'


def test_a_domain_without_truth_is_named():
    truth = truth_of((0, 3, 0, 2))
    rows = evaluate_rows(FOUND, truth, SPACE, PLAIN)
    assert [r['domain'] for r in rows] == ['all', 'lab']
    assert rows[0]['counts']['domains_without_truth'] == ['street']


def test_unknown_domains_give_one_row():
    truth = truth_of((0, 3, 0, 2), domains=('', '', ''))
    assert len(evaluate_rows(FOUND, truth, SPACE, PLAIN)) == 1


def test_one_level():
    options = DetectionOptions(level='body', bootstrap=PLAIN.bootstrap)
    row = evaluate_row(FOUND, TRUTH, SPACE, options)
    assert tuple(row['metrics']) == metric_keys(['body'])


def test_body_detections_of_their_own():
    body = SPACE.body_of[3]
    own = {'action': FOUND, 'body': predictions((0, body, 0, 2, 0.3))}
    row = evaluate_row(own, TRUTH, SPACE, PLAIN)
    expected = evaluate_row(FOUND, TRUTH, SPACE, PLAIN)['metrics']
    assert row['metrics']['action/mAP'] == expected['action/mAP']
    assert row['metrics']['body/mAP'] == pytest.approx(100 / 3)


def test_intervals():
    truth = truth_of(
        *[(v, 3, 0, 2) for v in range(5)],
        domains=('lab',) * 5,
        subjects=['a', 'b', 'c', 'd', 'e'],
    )
    options = DetectionOptions(bootstrap=BootstrapOptions(resamples=40))
    row = evaluate_row(FOUND, truth, SPACE, options)
    assert row['intervals']['unit'] == 'subject'
    assert 'centred' in row['intervals']['method']
    for key, (low, high) in row['intervals']['bounds'].items():
        assert low <= row['metrics'][key] <= high
    ((low, high),) = row['per_class']['action']['AP_bounds']
    assert 0 <= low < row['per_class']['action']['AP'][0] < high <= 100
    json.dumps(row, allow_nan=False)


def test_profile_and_segment_map():
    found = match_levels(FOUND, TRUTH.instances, SPACE)
    profile = profile_levels(found, TRUTH)
    assert set(profile['action']['sensitivity']) == {'length', 'coverage', 'instances'}
    assert profile['body']['rule'] == 'own class first'
    assert profile_levels(found, TRUTH, legacy=True)['body']['rule'] == 'nearest truth'
    json.dumps(profile, allow_nan=False)
    maps = segment_maps(found, TRUTH)
    assert set(maps) == {'action/segment_mAP', 'body/segment_mAP'}
    assert all(50 < value < 100 for value in maps.values())


def test_options_are_recorded():
    record = DetectionOptions(preset='mac', body_rule='head').record()
    assert record['thresholds'] == [0.2, 0.5, 0.7]
    assert record['body_detections'] == BODY_RULES['head']


@pytest.mark.parametrize(
    ('option', 'text'),
    [
        (dict(preset='mma'), "unknown preset 'mma'"),
        (dict(level='actions'), "unknown level 'actions'.*Did you mean 'action'"),
        (dict(body_rule='nms'), "unknown body rule 'nms'"),
    ],
)
def test_bad_options(option, text):
    with pytest.raises(ValueError, match=text):
        DetectionOptions(**option)
