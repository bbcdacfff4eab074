import numpy as np
import pytest

from mmma.data.videos import Instance, Video
from mmma.evaluation.emotion import (
    cross_scores,
    emotion_row,
    make_model,
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
        ('0000', 'abcd', 2, 'all 4 videos have one emotion'),
        ('0101', 'abcd', 5, '5 folds of 4 videos: use --folds 2 to 4'),
        ('0101', 'aabb', 3, '4 videos are of 2 subjects, .* 3 folds: use --folds 2'),
        ('0101', 'aaaa', 2, 'of 1 subject, .* it would be in all of them'),
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
