import pytest

from mmma.reporting import detections
from mmma.reporting.tables import SIMULATED


def report(**changes):
    metrics = {f'body/mAP{at}': 12.345 for at in ('@0.20', '@0.50', '@0.70', '')}
    row = {
        'domain': 'all',
        'counts': {'videos': 2, 'instances': 30},
        'metrics': metrics,
        'frequent': {'min_truths': 10, 'metrics': dict.fromkeys(metrics, 67.891)},
    }
    return {
        'subset': 'val',
        'simulated': False,
        'options': {
            'thresholds': [0.2, 0.5, 0.7],
            'level': 'body',
            'body_detections': 'as they are',
        },
        'counts': {'merged_truths': {'body': 3}, 'without_truth': {'body': 0}},
        'rows': [row],
        **changes,
    }


def test_summary_says_what_the_numbers_are():
    lines = detections.summary(report()).splitlines()
    assert lines == [
        'subset val, percent; mAP is the mean over 3 tIoU thresholds, 0.2 to 0.7',
        'body: as they are',
        'duplicate truths merged: 3 (body)',
    ]


def test_simulated_data_come_first():
    assert detections.summary(report(simulated=True)).splitlines()[0] == SIMULATED


def test_rows_show_the_levels_that_exist():
    text = detections.rows_table(report()['rows'])
    assert 'body .2' in text
    assert 'action' not in text
    assert 'AVG' not in text
    assert text.count('12.35') == text.count('67.89') == 4


@pytest.mark.parametrize('bounds', [None, [[1.0, 2.5], [3.0, 4.5]]])
def test_classes(bounds):
    columns = {'name': ['nodding', 'x'], 'truths': [1, 2], 'AP': [50.0, 33.333]}
    columns |= {'AP_bounds': bounds} if bounds else {}
    text = detections.per_class_tables({'action': columns})
    assert 'nodding' in text
    assert '33.33' in text
    assert ('1.00..2.50' in text) == bool(bounds)


def test_profile():
    found = {
        'kinds': ['true positive', 'double'],
        'slices': [[75.0, 25.0], [0.0, 100.0]],
        'predictions': [4, 3],
        'mAP_N': 40.0,
        'gain': {'double': 1.5},
        'sensitivity': {
            'length': [{'bin': '0..1', 'truths': 2, 'missed': 50.0, 'mAP_N': 7.0}]
        },
    }
    text = detections.profile_tables({'body': found})
    for part in ('first G of a class', '1G to 2G', '+1.50', 'body: length', '50.0'):
        assert part in text
