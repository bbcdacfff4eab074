from mmma.reporting.fusion import fusion_summary, fusion_table
from mmma.reporting.tables import COLUMNS


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


def row(value, bounds=None):
    keys = COLUMNS.values()
    found = {'metrics': dict.fromkeys(keys, value)}
    if bounds:
        found['intervals'] = {
            'resamples': 9,
            'units': 4,
            'unit': 'clip',
            'bounds': dict.fromkeys(keys, bounds),
        }
    return found


METRICS = {
    'clips': 4,
    'subsets': {'val': 3, 'test': 1},
    'weights_fitted_on_them': 0,
    'options': {'class_set': 'present', 'body_scores': 'sum'},
    'inputs': [row(10.0), row(20.0)],
    'fused': row(30.0),
}


def test_summary_of_given_weights():
    assert fusion_summary(record()).splitlines() == [
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
    lines = fusion_summary(record(learnt=learnt, body_fusion=0.5)).splitlines()
    assert lines[2] == '  0.2500  b.npz  (val: d.npz, alone 2.0000 nats)'
    assert lines[3] == (
        'learnt on 5 val clips (3 lab, 2 street): 0.5000 nats per clip, equal weights '
        '0.7500; at most 1.0e-08 above the best'
    )
    assert lines[4] == 'then fused with body scores, weight 0.5'


def test_table_without_intervals():
    lines = fusion_table(record(metrics=METRICS)).splitlines()
    assert lines[0].startswith('4 clips (3 val, 1 test), percent')
    assert lines[1].startswith('+')
    assert lines[-2].split('|')[1:4] == [' fused  ', '        ', ' 30.00 ']


def test_table_says_what_it_shows():
    metrics = METRICS | {'fused': row(30.0, (1, 2)), 'weights_fitted_on_them': 3}
    text = fusion_table(record(metrics=metrics, simulated=True))
    assert text.startswith('SIMULATED DATA')
    assert 'intervals: 95 %, 9 resamples of 4 clips' in text
    assert 'fitted on 3 of these clips: the fused row flatters' in text
    assert '30.00 [1.00, 2.00]' in text
