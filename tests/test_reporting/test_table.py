"""Tables of results, of detection and of fusions."""

import pytest

from mmma.reporting.table import (
    COLUMNS,
    SIMULATED,
    Bold,
    Table,
    fusion_text,
    report_text,
    results_table,
    setting_title,
)

METRICS = dict.fromkeys(
    ['action/top1', 'action/top5', 'action/mca', 'action/macro_f1', 'body/top1',
     'body/mca', 'body/macro_f1', 'F1_mean'], 50.0,
)  # fmt: skip


def test_four_ways_to_write_a_table():
    titles = ['name', ('Top-1', 'val'), ('Top-1', 'test')]
    table = Table(titles, [['a|b', 1.234, Bold('2')], ['c', 5, '–']], breaks={0})
    text = table.text().splitlines()
    assert text[1].split('|')[1:4] == [' name ', ' Top-1 val ', ' Top-1 test ']
    assert text[3].split('|')[3:5] == ['      1.23 ', '        *2* ']
    assert text[4] == text[0]  # a break
    assert table.markdown() == [
        '| name | Top-1 val | Top-1 test |', '|:--|--:|--:|',
        '| a\\|b | 1.23 | **2** |', '| c | 5 | – |',
    ]  # fmt: skip
    assert table.csv() == 'name,Top-1 val,Top-1 test\na|b,1.234,2\nc,5,–'
    assert table.latex() == [
        r'\begin{tabular}{lrr}', r'\toprule',
        r'& \multicolumn{2}{c}{Top-1} \\', r'\cmidrule(lr){2-3}',
        r'name & val & test \\', r'\midrule',
        r'a\textbar{}b & 1.23 & \textbf{2} \\', r'\midrule', r'c & 5 & -- \\',
        r'\bottomrule', r'\end{tabular}',
    ]  # fmt: skip
    one = Table(['name', ('Top-1', 'test')], []).latex()
    assert one[2] == r'name & Top-1 \\'


def test_cells_that_a_spreadsheet_or_a_page_would_run():
    names = ['=A1', '+A1', '-A1', '@A1', '-1.5', '+2', 'a=b', '–', '<script>', 'p < 1']
    table = Table(['name', 'n'], [[name, -1.5e-5] for name in names])
    first = [line.partition(',')[0] for line in table.csv().splitlines()[1:]]
    assert first == ["'=A1", "'+A1", "'-A1", "'@A1", *names[4:]]
    assert all(line.endswith(',-1.5e-05') for line in table.csv().splitlines()[1:])
    assert '| &lt;script> | -0.00 |' in table.markdown()
    assert '| p < 1 | -0.00 |' in table.markdown()


def test_a_table_folds_into_a_narrow_terminal(monkeypatch):
    titles = ['model', 'protocol', *(f'metric {i}' for i in range(9))]
    rows = [['one', f'zero-shot, a long name of {i}', *range(9)] for i in range(2)]
    table = Table(titles, rows, left=2)
    whole = table.text()
    monkeypatch.setenv('COLUMNS', '70')
    assert table.text() == whole  # no terminal
    monkeypatch.setattr('sys.stdout.isatty', lambda: True, raising=False)
    assert table.text(fit=False) == whole
    lines = table.text().splitlines()
    assert max(map(len, lines)) <= 70
    assert lines[0] == 'model: one'
    shown = ' '.join(lines)
    assert all(shown.count(title) == 1 for title in titles[2:])
    monkeypatch.setenv('COLUMNS', '300')
    assert table.text() == whole


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


def test_the_prior_of_supports_is_told_from_that_of_a_whole_subset_by_its_shots():
    old = row(31.0, target='street', shots=0, control='prior')
    new = [
        row(31.0, target='street', shots=0, control='oracle-prior'),
        row(21.0, target='street', shots=5, run=0, control='prior'),
        row(23.0, target='street', shots=5, run=1, control='prior'),
    ]
    oracle = "zero-shot, target's whole class prior (oracle)"
    assert setting_title(old) == setting_title(new[0]) == oracle
    shown = results_table([{**FEWSHOT, 'runs': [*FEWSHOT['runs'], *new]}])
    assert oracle in shown
    (line,) = (s for s in shown.splitlines() if 'class prior of the 5-shot' in s)
    assert '(2 runs) ' in line
    assert '22.00 ± ' in line
    assert oracle in results_table([{**FEWSHOT, 'runs': [*FEWSHOT['runs'], old]}])


def test_simulated_numbers_are_marked_in_the_head_and_in_every_row():
    text = results_table([FEWSHOT])
    assert text.startswith(SIMULATED)
    rows = [line for line in text.splitlines() if '| a_mma82' in line]
    assert len(rows) == 3
    assert all('(simulated)' in line for line in rows)
    real = results_table([result('indomain', [], simulated=False)])
    assert SIMULATED not in real
    assert 'was trained on simulated data' in real
    short = results_table([result('indomain', [], options={'fast_dev_run': True})])
    assert 'FAST DEV RUN: a few clips only, no result.' in short


def test_zero_shot_is_explained_and_a_target_seen_in_training_is_named():
    runs = [row(10.0, target='street')]
    assert 'not unseen' in results_table([result('zeroshot', runs)])
    seen = results_table([result('zeroshot', runs, target_seen=['street'])])
    assert 'was trained on street' in seen
    unknown = results_table([result('zeroshot', runs, target_seen=None)])
    assert 'does not say which domains' in unknown


def test_sources_and_choices_of_checkpoints_are_told():
    told = result('zeroshot', [row(10, target='street'), row(20, target='emotion')])
    text = results_table([told])
    assert 'which validation chose its checkpoint is unknown' in text
    assert '| zeroshot |' in text
    told['selected_on'] = {'by': 'last'}
    told['protocol'] = {'name': 'zeroshot', 'source': 'rest', 'target': ['street']}
    text = results_table([told])
    assert 'a_mma82: its checkpoint is the last of its training' in text
    assert text.count('zeroshot, from rest') == 2
    told['selected_on'] = {'domains': ['lab', 'street']}
    assert 'val clips of the target chose its checkpoint' in results_table([told])
    told['selected_on'] = {'by': 'source-val', 'domains': ['lab']}
    assert 'checkpoint' not in results_table([told])


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


def test_shared_subjects_of_ma52_are_named():
    val = result('indomain', [row(50.0, domain='all')], simulated=False)
    val |= {'data': {'name': 'MA-52', 'simulated': False}, 'options': {'subset': 'val'}}
    assert 'share all 186 subjects' in results_table([val])
    val['options'] = {'subset': 'test'}
    assert 'share all' not in results_table([val])


def report(**changes):
    metrics = {f'body/mAP{at}': 12.345 for at in ('@0.20', '@0.50', '@0.70', '')}
    row = {
        'domain': 'all',
        'counts': {'videos': 2, 'instances': 30},
        'metrics': metrics,
        'frequent': {'min_truths': 10, 'metrics': dict.fromkeys(metrics, 67.891)},
    }
    return {
        'task': 'det',
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


def test_a_report_says_what_the_numbers_are():
    lines = report_text(report()).splitlines()
    assert lines[:3] == [
        'subset val, percent; mAP is the mean over 3 tIoU thresholds, 0.2 to 0.7',
        'body: as they are',
        'duplicate truths merged: 3 (body)',
    ]
    assert report_text(report(simulated=True)).splitlines()[0] == SIMULATED


def test_rows_show_the_levels_that_exist():
    text = report_text(report())
    assert 'body .2' in text
    assert 'action' not in text
    assert 'AVG' not in text
    assert text.count('12.35') == text.count('67.89') == 4


@pytest.mark.parametrize('bounds', [None, [[1.0, 2.5], [3.0, 4.5]]])
def test_classes(bounds):
    columns = {'name': ['nodding', 'x'], 'truths': [1, 2], 'AP': [50.0, 33.333]}
    columns |= {'AP_bounds': bounds} if bounds else {}
    told = report()
    told['rows'][0]['per_class'] = {'action': columns}
    text = report_text(told, per_class=True)
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
    text = report_text(report(profile={'body': found}))
    for part in ('first G of a class', '1G to 2G', '+1.50', 'body: length', '50.0'):
        assert part in text


def record(**changes):
    return {
        'clips': 4,
        'space': 'mean',
        'weights_from': 'given',
        'weights': [0.75, 0.25],
        'inputs': [{'file': 'a.npz'}, {'file': 'b.npz'}],
        'learnt': None,
        'body_fusion': None,
        'simulated': False,
    } | changes


def row_of_fusion(value, bounds=None):
    keys = COLUMNS['rec'].values()
    found = {'metrics': dict.fromkeys(keys, value)}
    if bounds:
        found['intervals'] = {
            'resamples': 9,
            'units': 4,
            'unit': 'clip',
            'bounds': dict.fromkeys(keys, bounds),
        }
    return found


METRICS_FUSION = {
    'clips': 4,
    'subsets': {'val': 3, 'test': 1},
    'weights_fitted_on_them': 0,
    'options': {'class_set': 'present', 'body_scores': 'sum'},
    'inputs': [row_of_fusion(10.0), row_of_fusion(20.0)],
    'fused': row_of_fusion(30.0),
}


def test_summary_of_given_weights():
    assert fusion_text(record()).splitlines() == [
        '4 clips, mean of 2 score files, given weights:',
        '  0.7500  a.npz',
        '  0.2500  b.npz',
    ]


def test_summary_of_learnt_weights():
    learnt = {
        'val_scores': [{'file': 'c.npz'}, {'file': 'd.npz'}],
        'single_nll': [1.0, 2.0],
        'clips': 5,
        'domains': {'lab': 3, 'street': 2},
        'nll': 0.5,
        'equal_nll': 0.75,
        'gap': 1e-8,
    }
    lines = fusion_text(record(learnt=learnt, body_fusion=0.5)).splitlines()
    assert lines[2] == '  0.2500  b.npz  (val: d.npz, alone 2.0000 nats)'
    assert lines[3] == (
        'learnt on 5 val clips (3 lab, 2 street): 0.5000 nats per clip, equal weights '
        '0.7500; at most 1.0e-08 above the best'
    )
    assert lines[4] == 'then fused with body scores, weight 0.5'


def test_table_without_intervals():
    lines = fusion_text(record(metrics=METRICS_FUSION)).splitlines()
    assert lines[3].startswith('4 clips (3 val, 1 test), percent')
    assert lines[4].startswith('+')
    assert lines[-2].split('|')[1:4] == [' fused  ', '        ', ' 30.00 ']


def test_table_says_what_it_shows():
    metrics = METRICS_FUSION | {
        'fused': row_of_fusion(30.0, (1, 2)),
        'weights_fitted_on_them': 3,
    }
    text = fusion_text(record(metrics=metrics, simulated=True))
    assert '\nSIMULATED DATA' in text
    assert 'intervals: 95 %, 9 resamples of 4 clips' in text
    assert 'fitted on 3 of these clips: the fused row flatters' in text
    assert '30.00 [1.00, 2.00]' in text


def test_every_table_says_that_not_all_clips_were_there():
    share = 'test: 9 of 10 clips of street'
    data = {'name': 'x', 'simulated': False, 'incomplete': [share]}
    rows = [row(20.0, domain='all'), row(25.0, domain='street')]
    whole = result('indomain', rows, simulated=False)
    part = result('indomain', rows, data=data)
    assert f'Not all source videos could be had: {share}.' in results_table([part])
    with pytest.raises(ValueError, match=r'data.incomplete differs.*same files are'):
        results_table([whole, part])
    assert share not in results_table([whole])
    checkpoint = {'simulated': False, 'incomplete': ['train: 3 of 4 clips of lab']}
    later = result('indomain', rows, simulated=False, checkpoint=checkpoint)
    text = 'a_mma82 was trained without all source videos: train: 3 of 4 clips of lab.'
    assert text in results_table([later])
    assert share in report_text(report(incomplete=[share])).splitlines()
