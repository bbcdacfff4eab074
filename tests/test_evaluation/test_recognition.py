import json
from dataclasses import replace

import numpy as np
import pytest

from mmma.evaluation.functional.intervals import BootstrapOptions
from mmma.evaluation.functional.recognition import METRIC_KEYS
from mmma.evaluation.recognition import (
    EvaluationOptions,
    Truth,
    across_domains,
    evaluate_row,
    evaluate_rows,
)
from mmma.evaluation.scores import ScoreTable
from mmma.layout.rec import Clip
from mmma.taxonomy import load_label_space

FEW = EvaluationOptions(bootstrap=BootstrapOptions(resamples=20))
NONE = EvaluationOptions(bootstrap=BootstrapOptions(resamples=0))


def test_hand_worked_row(table, truth, space):
    row = evaluate_row(table, truth, space, NONE)
    metrics = row['metrics']
    assert metrics.keys() == set(METRIC_KEYS)
    assert metrics['action/top1'] == metrics['action/micro_f1'] == 50  # a, c, e
    assert metrics['action/top5'] == 100
    # recalls 2/2, 0/1, 1/3 of the classes with truth
    assert metrics['action/mca'] == pytest.approx(100 * (1 + 0 + 1 / 3) / 3)
    # F1 4/6, 0, 2/4
    assert metrics['action/macro_f1'] == pytest.approx(100 * (4 / 6 + 0 + 2 / 4) / 3)
    # sums of groups: all right but c, where 0.6 of head beats 0.4 of hand
    assert metrics['body/top1'] == pytest.approx(100 * 5 / 6)
    assert row['counts'] == {
        'clips': 6,
        'classes_present': 3,
        'bodies_present': 2,
        'subjects': 4,  # subject 1 of the lab is not subject 1 of the street
    }
    assert 'intervals' not in row


def test_all_class_sets_are_stored_and_one_is_chosen(table, truth, space):
    rows = {
        name: evaluate_row(table, truth, space, replace(NONE, class_set=name))
        for name in ('present', 'union', 'all')
    }
    for name, row in rows.items():
        assert row['class_sets'] == rows['present']['class_sets']
        for key, value in row['class_sets'][name].items():
            assert row['metrics'][key] == value
    sets = rows['present']['class_sets']
    # clap has no truth but is predicted: four classes instead of three
    assert sets['union']['action/mca'] == pytest.approx(
        sets['present']['action/mca'] * 3 / 4
    )
    assert sets['all'] == sets['union']


def test_all_body_scores_are_stored_and_one_is_chosen(table, truth, space):
    own = replace(table, body_scores=np.eye(2)[truth.bodies])
    rows = {
        name: evaluate_row(own, truth, space, replace(NONE, body_scores=name))
        for name in ('sum', 'top1', 'head')
    }
    for name, row in rows.items():
        assert row['body_scores'] == rows['sum']['body_scores']
        for key, value in row['body_scores'][name].items():
            assert row['metrics'][key] == value
    # f: 0.4 for nod beats 0.3 for wave, but 0.6 of hand beats 0.4 of head
    top1 = {k: v['body/top1'] for k, v in rows['sum']['body_scores'].items()}
    assert top1 == pytest.approx({'sum': 500 / 6, 'top1': 500 / 6, 'head': 100})
    assert rows['head']['per_class']['body']['hits'] == [3, 3]
    assert 'head' not in evaluate_row(table, truth, space, NONE)['body_scores']


def test_logits_have_no_sum(table, truth, space):
    logits = replace(table, scores=np.log(table.scores + 1e-9))
    row = evaluate_row(logits, truth, space, replace(NONE, body_scores='top1'))
    assert row['body_scores'].keys() == {'top1'}
    with pytest.raises(ValueError, match='give probabilities'):
        evaluate_row(logits, truth, space, NONE)


def test_rows_by_domain_add_up(table, truth, space):
    rows = evaluate_rows(table, truth, space, FEW)
    assert [r['domain'] for r in rows] == ['all', 'lab', 'street']
    assert [r['counts']['clips'] for r in rows] == [6, 4, 2]
    for column in ('support', 'predicted', 'hits', 'top5_hits'):
        pooled, *parts = (np.array(r['per_class']['action'][column]) for r in rows)
        assert (pooled == sum(parts)).all()
    across = rows[0]['across_domains']
    assert across['mean']['action/top1'] == 50
    assert across['worst']['body/top1'] == 75
    assert across['worst_domain']['body/top1'] == 'lab'
    assert 'across_domains' not in rows[1]


def test_worst_domain_of_equals_is_the_first():
    across = across_domains({'lab': {'k': 1.0}, 'street': {'k': 1.0}})
    assert across['worst_domain'] == {'k': 'lab'}


def test_one_domain_has_no_mean_over_domains(table, truth, space):
    rows = evaluate_rows(table, truth.select([0, 1]), space, NONE)
    assert [r['domain'] for r in rows] == ['all', 'lab']
    assert 'across_domains' not in rows[0]
    assert rows[0]['metrics'] == rows[1]['metrics']


def test_rows_are_plain_and_percent(table, truth, space):
    rows = evaluate_rows(table, truth, space, FEW)
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows
    assert rows[0]['intervals']['unit'] == 'clip'
    low, high = rows[0]['intervals']['bounds']['action/top1']
    assert 0 <= low < 50 < high <= 100


def test_order_of_the_score_table_does_not_matter(table, truth, space):
    rows = evaluate_rows(table, truth, space, FEW)
    assert evaluate_rows(table.select(list('fbadce')), truth, space, FEW) == rows


@pytest.mark.parametrize(
    ('counts', 'basis', 'groups'),
    [
        ((300, 100, 20, 0), 'train', ['head', 'medium', 'tail', 'tail']),
        (None, 'truth', ['tail'] * 4),
    ],
)
def test_head_medium_tail(table, truth, space, counts, basis, groups):
    row = evaluate_row(table, truth, space, replace(NONE, train_counts=counts))
    assert row['per_class']['action']['group'] == groups
    assert row['groups']['basis'] == basis
    tail = row['groups']['tail']
    assert tail['classes'] == groups.count('tail')
    if basis == 'train':  # of three clips of wave one is found
        assert (tail['clips'], tail['classes_present']) == (3, 1)
        assert tail['action/top1'] == tail['action/mca'] == pytest.approx(100 / 3)
        assert row['groups']['head']['action/mca'] == 100


def test_group_without_clips_has_no_metrics(table, truth, space):
    row = evaluate_row(table, truth, space, NONE)
    assert row['groups']['head'] == {'classes': 0, 'classes_present': 0, 'clips': 0}


def test_published_counts_decide_where_training_counts_are_unknown():
    space = load_label_space('mma82')
    truth = Truth(('x',), np.array([6]), np.array([1]), ('lab',), ('',))
    row = evaluate_row(ScoreTable(('x',), np.full((1, 82), 1 / 82)), truth, space, NONE)
    assert row['groups']['basis'] == 'published'
    assert [row['groups'][g]['classes'] for g in ('head', 'medium', 'tail')] == [
        26,
        34,
        22,
    ]


def test_results_of_the_full_test_subset_stay_small(space):
    space = load_label_space('mma82')
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 82, 400)
    names = tuple(f'{i}' for i in range(400))
    domains = ('lab', 'psychiatric', 'street', 'emotion') * 100
    truth = Truth(names, labels, np.array(space.body_of)[labels], domains, names)
    rows = evaluate_rows(ScoreTable(names, rng.random((400, 82))), truth, space, FEW)
    assert len(json.dumps(rows)) < 60_000


def clip(name: str, action: int | None) -> Clip:
    body = None if action is None else 0
    return Clip(name, '', 'test', 'lab', 's1', action, body)


def test_truth_of_clips():
    truth = Truth.from_clips([clip('x', 1), clip('y', 0)])
    assert truth.names == ('x', 'y')
    assert truth.labels.tolist() == [1, 0]
    assert truth.people() == ['lab/s1', 'lab/s1']


def test_withheld_truth_is_refused():
    with pytest.raises(
        ValueError, match=r"1 of 2 clips .* 'y': their truth is withheld"
    ):
        Truth.from_clips([clip('x', 1), clip('y', None)])


def test_columns_of_truth_must_fit():
    with pytest.raises(ValueError, match=r'columns of \[1, 1, 1, 1\] rows for 2 clips'):
        Truth(('x', 'y'), np.array([0]), np.array([0]), ('lab',), ('',))


@pytest.mark.parametrize(
    ('change', 'text'),
    [
        ({'class_set': 'presnt'}, "unknown class set 'presnt'.*Did you mean 'present'"),
        ({'body_scores': 'mean'}, "unknown body scores 'mean'"),
    ],
)
def test_unknown_options(change, text):
    with pytest.raises(ValueError, match=text):
        EvaluationOptions(**change)


def test_head_scores_must_be_there(table, truth, space):
    with pytest.raises(
        ValueError, match=r'without any of a body head; use .*sum, top1'
    ):
        evaluate_row(table, truth, space, replace(NONE, body_scores='head'))
