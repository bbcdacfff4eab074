import json
from dataclasses import replace

import numpy as np
import pytest
from detection_problems import metric_keys, predictions

from mmma.data.clips import Clip
from mmma.data.videos import Instance, Video
from mmma.evaluation.recognition import METRIC_KEYS
from mmma.evaluation.rows import (
    BODY_RULES,
    DetectionOptions,
    EvaluationOptions,
    across_domains,
    detection_row,
    domain_rows,
    people,
    recognition_row,
    true_labels,
)
from mmma.evaluation.scores import ScoreTable
from mmma.structures.segments import Segments
from mmma.taxonomy import load_label_space

FEW = EvaluationOptions(resamples=20)
NONE = EvaluationOptions(resamples=0)


def test_hand_worked_row(table, clips, space):
    row = recognition_row(table, clips, space, NONE)
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


def test_all_class_sets_are_stored_and_one_is_chosen(table, clips, space):
    rows = {
        name: recognition_row(table, clips, space, replace(NONE, class_set=name))
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


def test_all_body_scores_are_stored_and_one_is_chosen(table, clips, space):
    own = replace(table, body_scores=np.eye(2)[[clip.body for clip in clips]])
    rows = {
        name: recognition_row(own, clips, space, replace(NONE, body_scores=name))
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
    assert 'head' not in recognition_row(table, clips, space, NONE)['body_scores']


def test_logits_have_no_sum(table, clips, space):
    logits = replace(table, scores=np.log(table.scores + 1e-9))
    row = recognition_row(logits, clips, space, replace(NONE, body_scores='top1'))
    assert row['body_scores'].keys() == {'top1'}
    with pytest.raises(ValueError, match='give probabilities'):
        recognition_row(logits, clips, space, NONE)


def test_rows_by_domain_add_up(table, clips, space):
    rows = domain_rows(table, clips, space, FEW)
    assert [r['domain'] for r in rows] == ['all', 'lab', 'street']
    assert [r['counts']['clips'] for r in rows] == [6, 4, 2]
    own = domain_rows(table, clips, space, FEW, ('street', 'lab', 'none'))
    assert [r['domain'] for r in own] == ['all', 'street', 'lab']
    assert [r['domain'] for r in domain_rows(table, clips, space, FEW, ())] == [
        'all', 'lab', 'street'
    ]  # fmt: skip
    for column in ('support', 'predicted', 'hits', 'top5_hits'):
        pooled, *parts = (np.array(r['per_class']['action'][column]) for r in rows)
        assert (pooled == sum(parts)).all()
    across = rows[0]['across_domains']
    assert across['mean']['action/top1'] == 50
    assert across['worst']['body/top1'] == 75
    assert across['worst_domain']['body/top1'] == 'lab'
    assert 'across_domains' not in rows[1]


def test_one_domain_has_no_mean_over_domains(table, clips, space):
    rows = domain_rows(table, clips[:2], space, NONE)
    assert [r['domain'] for r in rows] == ['all', 'lab']
    assert 'across_domains' not in rows[0]
    assert rows[0]['metrics'] == rows[1]['metrics']
    across = across_domains({'lab': {'k': 1.0}, 'street': {'k': 1.0}})
    assert across['worst_domain'] == {'k': 'lab'}  # of equals the first


def test_rows_are_plain_and_percent(table, clips, space):
    rows = domain_rows(table, clips, space, FEW)
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows
    assert rows[0]['intervals']['unit'] == 'clip'
    low, high = rows[0]['intervals']['bounds']['action/top1']
    assert 0 <= low < 50 < high <= 100
    assert domain_rows(table.select(list('fbadce')), clips, space, FEW) == rows


@pytest.mark.parametrize(
    ('counts', 'basis', 'groups'),
    [
        ((300, 100, 20, 0), 'train', ['head', 'medium', 'tail', 'tail']),
        (None, 'truth', ['tail'] * 4),
    ],
)
def test_head_medium_tail(table, clips, space, counts, basis, groups):
    row = recognition_row(table, clips, space, replace(NONE, train_counts=counts))
    assert row['per_class']['action']['group'] == groups
    assert row['groups']['basis'] == basis
    tail = row['groups']['tail']
    assert tail['classes'] == groups.count('tail')
    if basis == 'truth':
        no_clips = {'classes': 0, 'classes_present': 0, 'clips': 0}
        assert row['groups']['head'] == no_clips
    else:  # of three clips of wave one is found
        assert (tail['clips'], tail['classes_present']) == (3, 1)
        assert tail['action/top1'] == tail['action/mca'] == pytest.approx(100 / 3)
        assert row['groups']['head']['action/mca'] == 100


def test_published_counts_decide_where_training_counts_are_unknown():
    space = load_label_space('mma82')
    scores = ScoreTable(('x',), np.full((1, 82), 1 / 82))
    row = recognition_row(scores, [clip('x', 6)], space, NONE)
    assert row['groups']['basis'] == 'published'
    sizes = [row['groups'][g]['classes'] for g in ('head', 'medium', 'tail')]
    assert sizes == [26, 34, 22]


def test_results_of_the_full_test_subset_stay_small():
    space = load_label_space('mma82')
    rng = np.random.default_rng(0)
    domains = ('lab', 'psychiatric', 'street', 'emotion') * 100
    names, actions = tuple(map(str, range(400))), rng.integers(0, 82, 400)
    clips = [
        Clip(name, '', 'test', domain, name, action, space.body_of[action])
        for name, domain, action in zip(names, domains, actions, strict=True)
    ]
    rows = domain_rows(ScoreTable(names, rng.random((400, 82))), clips, space, FEW)
    assert len(json.dumps(rows)) < 60_000


def clip(name: str, action: int | None) -> Clip:
    body = None if action is None else 0
    return Clip(name, '', 'test', 'lab', 's1', action, body)


def test_truth_of_clips(clips):
    actions, bodies = true_labels(clips)
    assert actions.tolist() == [0, 1, 2, 2, 0, 2]
    assert bodies.tolist() == [0, 0, 1, 1, 0, 1]
    assert people(clips)[2:5] == ['lab/2', '', 'street/1']
    with pytest.raises(ValueError, match=r"1 of 2 clips .* 'y': their truth is withh"):
        true_labels([clip('x', 1), clip('y', None)])


def test_head_scores_must_be_there(table, clips, space):
    with pytest.raises(ValueError, match='without any of a body head; use one of'):
        recognition_row(table, clips, space, replace(NONE, body_scores='head'))


SPACE = load_label_space('mma82')
PLAIN = DetectionOptions(resamples=0)


def videos_of(*rows, domains=('lab', 'lab', 'street'), subjects=None):
    """Videos with instances of (video, label, start, end)."""
    found = []
    for i, domain in enumerate(domains):
        own = tuple(Instance(start, end, k) for v, k, start, end in rows if v == i)
        person = subjects[i] if subjects else ''
        found.append(Video(f'v{i}', '', 'test', domain, person, 30, 600, 20.0, own))
    return found


TRUTH = videos_of((0, 3, 0, 2), (0, 4, 0, 2), (1, 3, 5, 6), (2, 3, 1, 2))
FOUND = predictions(
    (0, 3, 0, 2, 0.9), (0, 4, 0, 2, 0.8), (2, 3, 8, 9, 0.7), (2, 3, 1, 2, 0.6)
)


def test_a_row_by_hand():
    assert SPACE.body_of[3] == SPACE.body_of[4]
    row = detection_row(FOUND, TRUTH, SPACE, PLAIN)
    frames = 'action/frame_mAP', 'body/frame_mAP'
    assert tuple(row['metrics']) == (*metric_keys(), *frames)
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
        # Of 60 true moments 30 come first, 15 after as many false ones, 15 at last.
        'frame_AP': [round(100 * (30 + 15 * 45 / 60 + 15 * 60 / 900) / 60, 4), 100],
    }
    assert row['frames']['of'] == 'segments'
    assert row['frequent']['classes'] == {'action': 0, 'body': 0}
    assert row['frequent']['metrics']['AVG'] == 0
    assert row['recall']['action'] == pytest.approx(
        {'1': 25, '5': 75, '10': 75, '50': 75, '100': 75}
    )
    assert row['presets']['mac']['AVG'] == pytest.approx(row['metrics']['AVG'])
    json.dumps(row, allow_nan=False)


def test_rows_of_domains():
    rows = domain_rows(FOUND, TRUTH, SPACE, PLAIN)
    assert [r['domain'] for r in rows] == ['all', 'lab', 'street']
    assert rows[2]['metrics']['action/mAP'] == pytest.approx(50)
    assert rows[2]['counts']['predictions'] == 2
    assert rows[0]['across_domains']['worst_domain']['action/mAP'] == 'street'


def test_domains_without_truth_and_without_names():
    rows = domain_rows(FOUND, videos_of((0, 3, 0, 2)), SPACE, PLAIN)
    assert [r['domain'] for r in rows] == ['all', 'lab']
    assert rows[0]['counts']['domains_without_truth'] == ['street']
    unknown = videos_of((0, 3, 0, 2), domains=('', '', ''))
    assert len(domain_rows(FOUND, unknown, SPACE, PLAIN)) == 1


def test_one_level():
    options = DetectionOptions(level='body', resamples=0)
    row = detection_row(FOUND, TRUTH, SPACE, options)
    assert tuple(row['metrics']) == (*metric_keys(['body']), 'body/frame_mAP')


def test_body_detections_of_their_own():
    body = SPACE.body_of[3]
    own = {'action': FOUND, 'body': predictions((0, body, 0, 2, 0.3))}
    row = detection_row(own, TRUTH, SPACE, PLAIN)
    expected = detection_row(FOUND, TRUTH, SPACE, PLAIN)['metrics']
    assert row['metrics']['action/mAP'] == expected['action/mAP']
    assert row['metrics']['body/mAP'] == pytest.approx(100 / 3)


def test_intervals():
    truth = videos_of(
        *[(v, 3, 0, 2) for v in range(5)],
        domains=('lab',) * 5,
        subjects=['a', 'b', 'c', 'd', 'e'],
    )
    options = DetectionOptions(resamples=40)
    row = detection_row(FOUND, truth, SPACE, options)
    assert row['intervals']['unit'] == 'subject'
    assert 'centred' in row['intervals']['method']
    for key, (low, high) in row['intervals']['bounds'].items():
        assert low <= row['metrics'][key] <= high
    ((low, high),) = row['per_class']['action']['AP_bounds']
    assert 0 <= low < row['per_class']['action']['AP'][0] < high <= 100
    json.dumps(row, allow_nan=False)


def test_options_are_recorded():
    record = DetectionOptions(preset='mac', body_rule='head').record()
    assert record['thresholds'] == [0.2, 0.5, 0.7]
    assert record['body_detections'] == BODY_RULES['head']


@pytest.mark.parametrize(
    ('kind', 'option', 'text'),
    [
        (EvaluationOptions, dict(class_set='presnt'), "class set 'presnt'.* 'present'"),
        (EvaluationOptions, dict(body_scores='mean'), "unknown body scores 'mean'"),
        (DetectionOptions, dict(preset='mma'), "unknown preset 'mma'"),
        (DetectionOptions, dict(level='actions'), "level 'actions'.*mean 'action'"),
        (DetectionOptions, dict(body_rule='nms'), "unknown body rule 'nms'"),
    ],
)
def test_bad_options(kind, option, text):
    with pytest.raises(ValueError, match=text):
        kind(**option)


def test_rows_without_body_groups_have_the_action_level_alone(space, clips, table):
    plain = replace(space, bodies=(), body_of=())
    own = [replace(clip, body=None) for clip in clips]
    row = recognition_row(table, own, plain, replace(NONE, resamples=20))
    whole = recognition_row(table, clips, space, replace(NONE, resamples=20))
    kept = {k: v for k, v in whole['metrics'].items() if k.startswith('action/')}
    assert row['metrics'] == kept
    assert row['class_sets']['all'].keys() == {'action/mca', 'action/macro_f1'}
    assert (row['body_scores'], [*row['per_class']]) == ({}, ['action'])
    assert row['intervals']['bounds'].keys() == kept.keys()
    assert 'bodies_present' not in row['counts']
    withheld = [replace(own[0], action=None), *own[1:]]
    with pytest.raises(ValueError, match='1 of 6 clips have no action'):
        recognition_row(table, withheld, plain, NONE)


def test_detection_without_body_groups(space):
    plain = replace(space, bodies=(), body_of=())
    found = Segments([[0.0, 1.0]], [0.9], [1], [0], names=('v',))
    entry = ('v', '', 'test', 'lab', 's', 10, 20, 2.0)
    videos = [Video(*entry, (Instance(0.0, 1.0, 1),))]
    row = detection_row(found, videos, plain)
    assert row['metrics']['action/mAP'] == 100
    assert not [key for key in row['metrics'] if 'body' in key or key == 'AVG']
    with pytest.raises(ValueError, match="level body: label space 'toy' has no body"):
        detection_row(found, videos, plain, DetectionOptions(level='body'))
