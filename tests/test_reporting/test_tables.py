import pytest

from mmma.reporting.tables import SIMULATED, results_table

METRICS = dict.fromkeys(
    ['action/top1', 'action/top5', 'action/mca', 'action/macro_f1', 'body/top1',
     'body/mca', 'body/macro_f1', 'F1_mean'], 50.0,
)  # fmt: skip

AT = ('@0.20', '@0.50', '@0.70', '')


def row(top1, **labels):
    metrics = {**METRICS, 'action/top1': top1}
    return {**labels, 'counts': {'clips': 10}, 'metrics': metrics}


def result(protocol, runs, simulated=True, **more):
    return {
        'task': 'rec',
        'name': 'a_mma82',
        'protocol': {'name': protocol},
        'data': {'name': 'x', 'simulated': simulated},
        'options': {},
        'checkpoint': {'simulated': True},
        'runs': runs,
        **more,
    }


FEWSHOT = result(
    'fewshot',
    [
        row(20.0, target='street', shots=0),
        row(25.0, target='street', shots=0, control='classes'),
        row(30.0, target='street', shots=5, run=0),
        row(40.0, target='street', shots=5, run=1),
    ],
)


def test_fewshot_rows_are_means_over_runs_beside_their_controls():
    text = results_table([FEWSHOT])
    assert '35.00 ± 63.53' in text  # 12.706 * 7.071 / sqrt(2)
    assert '±: half-width of the 95 % t-interval over support draws.' in text
    assert '5-shot (2 runs)' in text
    assert "target's classes only" in text


def test_simulated_numbers_are_marked_in_the_head_and_in_every_row():
    text = results_table([FEWSHOT])
    assert text.startswith(SIMULATED)
    rows = [line for line in text.splitlines() if '| a_mma82' in line]
    assert len(rows) == 3
    assert all('(simulated)' in line for line in rows)
    real = results_table([result('indomain', [], simulated=False)])
    assert SIMULATED not in real
    assert 'was trained on simulated data' in real


def test_zero_shot_is_explained_and_a_target_seen_in_training_is_named():
    runs = [row(10.0, target='street')]
    assert 'not unseen' in results_table([result('zeroshot', runs)])
    seen = results_table([result('zeroshot', runs, target_seen=['street'])])
    assert 'was trained on street' in seen
    unknown = results_table([result('zeroshot', runs, target_seen=None)])
    assert 'does not say which domains' in unknown


def test_several_results_share_one_table_if_measured_alike():
    indomain = result('indomain', [row(60.0, domain='all'), row(61.0, domain='lab')])
    text = results_table([indomain, FEWSHOT])
    assert '60.00' in text
    assert '35.00' in text
    with pytest.raises(ValueError, match='simulated differs'):
        results_table([indomain, result('indomain', [], simulated=False)])


def detection(runs, **more):
    options = {'thresholds': [0.2, 0.5, 0.7], 'body_detections': 'of the body head'}
    return result('zeroshot', runs, task='det', options=options, **more)


def test_detection_has_both_levels_and_says_where_bodies_come_from():
    keys = [f'{a}/mAP{at}' for a in ('action', 'body') for at in AT] + ['AVG']
    metrics = {key: float(i) for i, key in enumerate(keys)}
    run = {'target': 'street', 'counts': {'videos': 7}, 'metrics': metrics}
    text = results_table([detection([run])])
    *_, heading, _, cells, _ = text.splitlines()
    assert heading.split()[7:10] == ['videos', '|', 'action']
    values = ['7', *(f'{value:.2f}' for value in metrics.values())]
    assert [cell.strip() for cell in cells.split('|')][4:-1] == values
    assert 'mean over 3 tIoU thresholds, 0.2 to 0.7; body: of the body head' in text
    assert 'no video of the target domain' in text


def test_tasks_do_not_share_a_table():
    with pytest.raises(ValueError, match='task differs'):
        results_table([detection([]), FEWSHOT])


def test_shared_subjects_of_ma52_are_named():
    val = result('indomain', [row(50.0, domain='all')], simulated=False)
    val |= {'data': {'name': 'MA-52', 'simulated': False}, 'options': {'subset': 'val'}}
    assert 'share all 186 subjects' in results_table([val])
    val['options'] = {'subset': 'test'}
    assert 'share all' not in results_table([val])
