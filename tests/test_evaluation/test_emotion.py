import json

import numpy as np
import pytest
from emotion_roots import ACTIONS, EMOTIONS, PLANTED, make_emotion_root
from scipy.stats import binom, false_discovery_control, fisher_exact

from mmma.data.root import DataRoot
from mmma.data.videos import Instance, Video
from mmma.evaluation.emotion import (
    StudyOptions,
    ablate,
    associate,
    chance,
    cross_scores,
    emotion_row,
    make_model,
    read_study,
    split_folds,
    video_features,
)
from mmma.taxonomy import load_label_space

SPACE = load_label_space('mma82')


def video(name, *events, duration=10.0, **more):
    instances = tuple(Instance(*event) for event in events)
    place = ('', 'test', 'emotion', '')
    return Video(name, *place, 25.0, 250, duration, instances, **more)


def test_features_by_hand():
    one = video('a', (0.0, 2.0, 3), (1.0, 4.0, 3), (9.0, 10.0, 5))
    two = video('b')
    expected = {'presence': (1, 1), 'count': (2, 1), 'share': (0.4, 0.1)}
    for kind, values in {**expected, 'rate': (12, 6)}.items():
        table = video_features([one, two], SPACE, kind)
        assert table.shape == (2, 82)
        assert table[0, [3, 5]] == pytest.approx(values)
        assert np.count_nonzero(table) == 2


def test_features_that_cannot_be_had():
    with pytest.raises(
        ValueError, match="length of 'a' is unknown: use --features pre"
    ):
        video_features([video('a', duration=float('nan'))], SPACE, 'rate')
    with pytest.raises(
        ValueError, match=r"1 of 2 videos are withheld \(the first: 'b'"
    ):
        video_features([video('a'), video('b', withheld=True)], SPACE, 'count')
    with pytest.raises(ValueError, match="features 'counts'"):
        video_features([video('a')], SPACE, 'counts')
    with pytest.raises(ValueError, match="model 'trees'"):
        make_model('trees')


def test_groups_test_once_and_emotions_are_spread():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], 20)
    for groups in (
        [str(i) for i in range(60)],
        [str(i) for i in rng.integers(12, size=60)],
    ):
        folds = list(split_folds(y, groups, 4, 0))
        assert sorted(np.concatenate([test for _, test in folds])) == list(range(60))
        for train, test in folds:
            assert not {groups[i] for i in train} & {groups[i] for i in test}
        if len(set(groups)) == 60:
            assert all((np.bincount(y[test]) == 5).all() for _, test in folds)


def test_models_find_what_is_there():
    rng = np.random.default_rng(0)
    y = np.arange(120) % 3
    x = np.c_[np.eye(3)[y], rng.random((120, 4)) < 0.5]
    groups = [str(i // 2) for i in range(120)]
    for kind in ('tree', 'linear'):
        scores = cross_scores(x, y, groups, make_model(kind), 5, 0)
        assert (scores.argmax(axis=1) == y).all()
        assert scores.sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize(
    ('y', 'groups', 'folds', 'told'),
    [
        ('0000', 'abcd', 2, '4 videos, all of one emotion'),
        ('0101', 'abcd', 5, '5 folds of 4 videos: use --folds 2 to 4'),
        (
            '0101',
            'aabb',
            3,
            '4 videos of 2 subjects cannot be parted into 3 folds: use --folds 2',
        ),
        ('0101', 'aaaa', 2, 'of 1 subject cannot .* it would be in all of them'),
        ('0011', 'aabb', 2, 'that train a fold have one emotion'),
    ],
)
def test_folds_that_cannot_be(y, groups, folds, told):
    labels = np.array([int(letter) for letter in y])
    with pytest.raises(ValueError, match=told):
        list(split_folds(labels, groups, folds, 0))


def test_a_row_by_hand():
    truth, scores = [0, 0, 0, 1], np.eye(2)[[0, 0, 1, 1]]
    row = emotion_row(truth, scores, list('abcd'), ('anger', 'fear'))
    assert row['counts'] == {'videos': 4, 'subjects': 4, 'emotions': 2}
    metrics = row['metrics']
    assert metrics['emotion/top1'] == 75.0
    assert metrics['emotion/mca'] == pytest.approx(100 * 5 / 6)
    assert metrics['emotion/macro_f1'] == pytest.approx(100 * (0.8 + 2 / 3) / 2)
    assert row['confusion'] == {'labels': ['anger', 'fear'], 'counts': [[2, 1], [0, 1]]}
    assert row['per_class']['emotion']['recall'] == [66.6667, 100.0]
    assert row['intervals']['unit'] == 'video'
    assert {*row['intervals']['bounds']} == {*metrics}
    twice = emotion_row(
        truth * 5, np.tile(scores, (5, 1)), list('abcdefghij') * 2, 'xy'
    )
    assert twice['intervals']['unit'] == 'subject'
    assert 'intervals' not in emotion_row(truth, scores, list('abcd'), 'xy', 0)


FAST = StudyOptions(shuffles=20, resamples=50)


def pairs(found, key):
    """(E, K) values of an association, in the order of the names."""
    told = (own['actions'] for own in found['association'].values())
    rows = ({row['action']: row[key] for row in own} for own in told)
    return np.array([[row[a] for a in ACTIONS] for row in rows])


def drawn(tmp_path, **more):
    study, names, notes = read_study(
        DataRoot(make_emotion_root(tmp_path, **more)), None, None, 0, 'presence'
    )
    assert not notes
    return study, names


def test_what_is_planted_is_found_and_shuffled_labels_find_nothing(tmp_path):
    study, names = drawn(tmp_path)
    assert names == ([*EMOTIONS], ACTIONS)
    found = associate(study, names, StudyOptions(resamples=50))
    hits = [
        len({*own['top']} & {*PLANTED[e]}) for e, own in found['association'].items()
    ]
    assert sum(hits) >= 13
    assert found['discoveries'] >= 8
    controls = found['controls']
    assert controls['any_discovery'] <= 0.1  # 0.05 and what 100 shuffles leave open
    assert controls['p_within_nominal'] <= 0.05
    for run in found['runs']:
        assert run['metrics']['emotion/mca'] > run['shuffled']['highest']
    first = found['association']['calm']['actions'][0]
    assert first['low'] < first['importance'] < first['high']


def test_p_and_q_are_those_of_scipy(tmp_path):
    study, names = drawn(tmp_path, rate=0.3)
    _, present, y, _ = study
    found = associate(study, names, StudyOptions(shuffles=1, resamples=0))
    assert found['test'] == "Fisher's exact test of videos"
    expected = [
        [
            fisher_exact(
                [
                    [(own[y == e] == 1).sum(), (own[y == e] == 0).sum()],
                    [(own[y != e] == 1).sum(), (own[y != e] == 0).sum()],
                ]
            ).pvalue
            for own in present.T
        ]
        for e in range(3)
    ]
    assert pairs(found, 'p') == pytest.approx(np.array(expected))
    q = false_discovery_control(np.ravel(expected)).reshape(3, -1)
    assert pairs(found, 'q') == pytest.approx(q)
    shares = [
        present[y == e].mean(axis=0) - present[y != e].mean(axis=0) for e in range(3)
    ]
    assert pairs(found, 'effect') == pytest.approx(100 * np.array(shares))


def test_subjects_who_repeat_are_exchanged_within_themselves():
    # Four subjects with a video of each emotion, the action in all of the first: 4 of 4
    # fair coins, and both ends count.
    y, present = np.array([0, 1] * 4), np.array([[1.0, 0.0]] * 4).reshape(-1, 1)
    study = present, present, y, [str(i // 2) for i in range(8)]
    how = (['a', 'b'], ['x']), StudyOptions(folds=2, shuffles=200, resamples=0)
    found = associate(study, *how)
    assert 'exchanged within subjects' in found['test']
    assert found['association']['a']['actions'][0]['p'] == pytest.approx(2 / 16)
    assert found['association']['a']['findable'] == 0
    assert found['association']['a']['smallest_p'] == pytest.approx(2 / 16)
    # Subjects of one emotion each are counted once, however many videos they have.
    groups = ['p', 'q', 'r', 's', 'p', 'q', 'r', 's']
    found = associate((present, present, y, groups), *how)
    assert found['test'].startswith("Fisher's exact test of subjects")
    p = found['association']['a']['actions'][0]['p']
    assert p == pytest.approx(fisher_exact([[2, 0], [0, 2]]).pvalue)


def test_choosing_by_all_videos_gives_an_order_where_there_is_none(tmp_path):
    study, names = drawn(tmp_path, rate=0.1, subjects=30)
    found = ablate(study, names, StudyOptions(folds=3, shuffles=3, resamples=0))
    told = {(r['selection'], r['experiment'][:3]): r['shuffled'] for r in found['runs']}
    by = {key: own['emotion/mca'] for key, own in told.items()}
    assert by['all videos', 'top'] > by['all videos', 'all'] > by['all videos', 'wit']
    assert by['all videos', 'top'] > by['nested', 'top']
    assert abs(by['nested', 'top'] - 100 / 3) < 12


def test_the_order_of_what_is_left_out_where_it_is_planted(tmp_path):
    study, names = drawn(tmp_path, rate=0.4)
    found = ablate(study, names, StudyOptions(folds=3, shuffles=1, resamples=0))
    for selection in ('nested', 'all videos'):
        runs = [r for r in found['runs'] if r['selection'] == selection]
        whole, without, only = (r['metrics']['emotion/mca'] for r in runs)
        assert only > whole - 5
        assert whole > without + 10
        assert 'p_against_all' not in runs[0]
        assert runs[1]['p_against_all'] < 0.05


def test_too_few_actions_or_people_to_choose(tmp_path):
    (x, present, y, groups), names = drawn(tmp_path)
    study = x[:, :5], present[:, :5], y, groups
    with pytest.raises(ValueError, match='all 5 micro-actions are among the five'):
        ablate(study, (names[0], names[1][:5]), FAST)
    study = x, present, y, [str(i % 2) for i in range(90)]
    with pytest.raises(ValueError, match=r'fold trains on one subject, .* of three'):
        ablate(study, names, StudyOptions(folds=2))


def test_features_with_many_values(tmp_path):
    root = DataRoot(make_emotion_root(tmp_path))
    for kind in ('share', 'rate', 'count'):
        study, names, _ = read_study(root, None, None, 0, kind)
        study = (
            study[0] + np.random.default_rng(0).random(study[0].shape) / 99,
            *study[1:],
        )
        found = associate(study, names, StudyOptions(model='tree', shuffles=1))
        top = found['association']['sad']['top']
        assert len({*top} & {*PLANTED['sad']}) >= 3


def test_predictions_take_the_place_of_truth(tmp_path, capsys):
    root = DataRoot(make_emotion_root(tmp_path))
    truth, _, _ = read_study(root, None, None, 0, 'presence')
    of_clips, _, _ = read_study(root, 'rec', None, 0, 'presence')
    assert (truth[0] == of_clips[0]).all()
    database = json.loads((tmp_path / 'det.json').read_text())['database']
    found = {
        name: [{**one, 'score': 0.9} for one in entry['annotations']]
        + [{'segment': [0, 1], 'label': 'action x', 'score': 0.2}]
        for name, entry in [*database.items()][:60]
    }
    pred = tmp_path / 'pred.json'
    pred.write_text(json.dumps({'results': found}))
    study, _, notes = read_study(root, None, pred, 0.3, 'presence')
    assert notes[0].startswith(
        '30 of the 90 videos that have an emotion have no predic'
    )
    assert (study[0] == truth[0][:60]).all()
    pred = tmp_path / 'scores.csv'
    clips = (tmp_path / 'rec.csv').read_text().splitlines()[1:]
    cells = [(line.split(',')[0], line.split(',')[5]) for line in clips]
    rows = [[c, *(str(0.9 if a == own else 0) for a in ACTIONS)] for c, own in cells]
    text = [','.join(row) for row in [['clip', *ACTIONS], *rows]]
    pred.write_text('\n'.join(text))
    study, _, notes = read_study(root, None, pred, 0.3, 'presence')
    assert not notes
    assert (study[1] == truth[1]).all()
    assert study[0].sum(axis=1) == pytest.approx(0.9)


def test_predictions_of_other_videos(tmp_path):
    root, pred = DataRoot(make_emotion_root(tmp_path)), tmp_path / 'pred.json'
    pred.write_text(json.dumps({'results': {'v1': [], 'w': []}}))
    with pytest.raises(ValueError, match=r"pred.json: 1 of 2 names are not in .*: 'w'"):
        read_study(root, None, pred, 0, 'presence')
    database = json.loads((tmp_path / 'det.json').read_text())['database']
    del database['v1']['emotion'], database['v2']['annotations']
    (tmp_path / 'det.json').write_text(json.dumps({'database': database}))
    pred.write_text(json.dumps({'results': {'v1': []}}))
    with pytest.raises(
        ValueError, match=r'pred.json: no prediction is of the 89 videos'
    ):
        read_study(root, None, pred, 0, 'presence')
    with pytest.raises(
        ValueError, match=r"1 of 89 videos are withheld .*'v2'.* --pred"
    ):
        read_study(root, 'det', None, 0, 'presence')


def test_what_is_better_than_chance():
    told = chance(np.arange(210) % 7)
    assert (told['one'], told['chance']) == pytest.approx((100 / 210, 100 / 7))
    right = round(2.1 * told['better'])
    assert binom.sf(right - 1, 210, 1 / 7) <= 0.05 < binom.sf(right - 2, 210, 1 / 7)


@pytest.mark.parametrize('key', ['shuffles', 'resamples', 'seed'])
def test_options_below_what_they_can_be(key):
    with pytest.raises(ValueError, match=f'--{key} -1: use [01] or more'):
        StudyOptions(**{key: -1})
