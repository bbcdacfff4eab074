"""Numbers that were changed by hand contradict what they follow from."""

import copy

import pytest
from zoo_folders import det_results, rec_results

from mmma.reporting.zoo_audit import check_results, run_label

KIND = {'name': 'tiny_set', 'simulated': True}


@pytest.fixture(scope='module')
def measured():
    return {'rec': rec_results(simulated=True), 'det': det_results(KIND)}


@pytest.mark.parametrize('task', ['rec', 'det'])
def test_what_was_measured_agrees_with_itself(measured, task):
    check_results(measured[task], 'r.json')


def put(section, key, value):
    def change(run):
        place = run
        for part in section.split('.'):
            place = place[part]
        place[key] = value

    return change


def lists(section, key, value):
    def change(run):
        level, _, name = section.partition('.')
        run['per_class'][level][name][key] = value

    return change


@pytest.mark.parametrize(
    ('task', 'change', 'message'),
    [
        ('rec', put('metrics', 'action/top1', 99.0), 'action/top1 is 99.0, but the o'),
        ('rec', put('metrics', 'F1_mean', 99.0), 'F1_mean is 99.0'),
        ('rec', put('metrics', 'body/mca', float('nan')), 'body/mca is nan'),
        ('rec', put('counts', 'clips', 47), 'action clips is 47, but .* give 48'),
        ('rec', put('counts', 'classes_present', 9), 'classes present is 9'),
        ('rec', put('counts', 'bodies_present', 9), 'bodies present is 9'),
        ('rec', lists('action.predicted', 0, 40), 'action predictions is'),
        ('rec', lists('body.top5_hits', 0, 99), 'body classes with more hits'),
        ('rec', lists('action.hits', 1, 3), 'action hits is'),
        ('det', put('metrics', 'action/mAP@0.20', 13.0), r'action/mAP@0.20 is 13.0'),
        ('det', put('metrics', 'action/mAP@0.30', 13.0), 'action/mAP is 7.5, but'),
        ('det', put('metrics', 'AVG', 50.0), 'AVG is 50.0, but .* give 16.25'),
        ('det', put('counts.classes', 'body', 3), 'body classes is 3'),
        ('det', lists('body.AP', 0, 90.0), 'body/mAP is 25.0'),
    ],
)
def test_a_number_changed_by_hand_is_refused(measured, task, change, message):
    edited = copy.deepcopy(measured[task])
    change(edited['runs'][0])
    with pytest.raises(ValueError, match=f'^r.json: all: {message}'):
        check_results(edited, 'r.json')


def test_a_consistent_row_must_still_fit_the_row_of_all(measured):
    edited = copy.deepcopy(measured['rec'])
    edited['runs'][1] = {**edited['runs'][2], 'domain': 'lab'}
    with pytest.raises(ValueError, match=r'all: action .* are not the sum of those'):
        check_results(edited, 'r.json')
    del edited['runs'][1]
    with pytest.raises(ValueError, match=r'all: 48 clips, but .* add up to 36'):
        check_results(edited, 'r.json')


def test_rows_without_what_is_behind_them_are_refused(measured):
    edited = copy.deepcopy(measured['det'])
    del edited['runs'][0]['per_class']
    with pytest.raises(ValueError, match=r"all: KeyError.'per_class'. is missing"):
        check_results(edited, 'r.json')


def test_rows_are_named_by_their_labels():
    assert run_label({'target': 'street', 'shots': 5, 'run': 0}) == (
        'street, shots 5, run 0'
    )
