"""Priors name what exists; tables meet their margins."""

import itertools
import json
from collections import Counter

import numpy as np
import pytest

from mmma.simulation.margins import (
    DOMAIN_WEIGHTS,
    PLANTED,
    ROWS,
    apportion,
    choose_emotions,
    corpus_size,
    domain_prior,
    fit_margins,
    integer_table,
    round_margins,
)
from mmma.taxonomy import DOMAINS, load_label_space

SPACE = load_label_space('mma82')
ACTIONS = PLANTED['emotion_actions']


def test_weights_name_what_exists():
    assert set().union(*DOMAIN_WEIGHTS.values()) <= {*SPACE.actions, *SPACE.bodies}
    assert set().union(*ACTIONS.values()) <= set(SPACE.actions)
    assert [*ACTIONS] == [*PLANTED['emotion_faces']]
    assert [len(own) for own in ACTIONS.values()] == [5] * 7
    assert ACTIONS['sad']['bowing head'] == 1 + 6 * 15  # pixels of the link


def test_action_overrides_body():
    street = domain_prior(SPACE)[DOMAINS.index('street')]
    assert street[SPACE.action_id('pointing')] == 3.5
    assert street[SPACE.action_id('tiptoe')] == 0.25
    assert street[SPACE.action_id('nodding')] == 1.0


def test_emotions_follow_actions_and_are_alike(rng):
    videos = [('nodding',), ('bowing head', 'waving'), ('arms akimbo', 'bowing head')]
    emotions = choose_emotions(videos * 70, rng)
    assert sorted(emotions) == sorted([*ACTIONS] * 30)
    found = [Counter(emotions[i::3]) for i in range(3)]
    assert {e for e, _ in found[0].most_common(2)} == {'fear', 'happy'}
    assert {e for e, _ in found[1].most_common(2)} == {'melancholy', 'sad'}
    assert found[2]['happy'] > found[1]['happy']
    assert choose_emotions([('waving',)], rng)[0] in ACTIONS


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def random_margins(rng, rows, columns):
    """A prior with zeros, and margins that some whole table with them has."""
    counts = rng.integers(0, 40, (rows, columns)) * (rng.random((rows, columns)) < 0.8)
    prior = (0.1 + rng.random((rows, columns))) * (counts > 0)
    return prior, counts.sum(axis=1), counts.sum(axis=0)


@pytest.mark.parametrize(
    ('total', 'weights', 'least', 'expected'),
    [
        (10, [1, 1, 2], 0, [3, 2, 5]),  # 2.5 2.5 5: the first of equal remainders
        (10, [5, 1, 1, 0], 1, [7, 1, 1, 1]),
        (7, [0, 1], [3, 0], [3, 4]),
        (3, [1, 1, 1], 1, [1, 1, 1]),
    ],
)
def test_apportion(total, weights, least, expected):
    assert apportion(total, np.array(weights), np.array(least)).tolist() == expected


def test_apportion_gives_back_whole_shares(rng):
    counts = rng.integers(1, 5000, 82)
    assert (apportion(counts.sum(), counts, 4 * (counts > 3)) == counts).all()


def test_apportion_refuses_too_little():
    with pytest.raises(ValueError, match='cannot share 2 units: 3 are needed'):
        apportion(2, np.ones(3), 1)


def test_fit_by_hand():
    # Odds ratio 4 is kept; with margins 3 3 and 3 3 the diagonal is twice the rest.
    table = fit_margins(np.array([[4.0, 1.0], [1.0, 1.0]]), [3, 3], [3, 3])
    assert table == pytest.approx(np.array([[2.0, 1.0], [1.0, 2.0]]))


def test_fit_meets_margins_and_keeps_zeros_and_rounding_is_exact():
    for trial in range(20):
        rng = np.random.default_rng(trial)
        prior, rows, columns = random_margins(rng, 12, 82)
        table = fit_margins(prior, rows, columns)
        assert table.sum(axis=1) == pytest.approx(rows)
        assert table.sum(axis=0) == pytest.approx(columns)
        assert (table[prior == 0] == 0).all()
        whole = round_margins(table, rng)
        assert (whole.sum(axis=1) == rows).all()
        assert (whole.sum(axis=0) == columns).all()
        assert np.abs(whole - table).max() < 1


def test_fit_refuses_different_totals():
    with pytest.raises(ValueError, match='row totals add up to 3, column totals to 4'):
        fit_margins(np.ones((2, 2)), [1, 2], [2, 2])


def test_fit_refuses_unreachable_margins():
    with pytest.raises(ValueError, match='no table with these zeros has these margins'):
        fit_margins(np.eye(2), [1, 2], [2, 1])


def test_rounding_is_unbiased(rng):
    table = np.array([[0.3, 0.7, 1.0], [0.9, 0.6, 0.5], [0.8, 0.7, 0.5]])
    mean = np.mean([round_margins(table, rng) for _ in range(1000)], axis=0)
    assert mean == pytest.approx(table, abs=0.06)  # four standard errors


def test_rounding_refuses_broken_sums(rng):
    with pytest.raises(ValueError, match='needs whole row and column sums'):
        round_margins(np.array([[0.5, 0.5], [0.5, 0.4]]), rng)


def test_integer_table_keeps_least_cells(rng):
    least = np.array([[1, 1, 1], [0, 0, 0]])
    table = integer_table(np.ones((2, 3)), [5, 95], [1, 49, 50], least, rng)
    assert (table >= least).all()
    assert table.sum(axis=1).tolist() == [5, 95]
    assert table.sum(axis=0).tolist() == [1, 49, 50]


def test_integer_table_refuses_least_above_margin(rng):
    with pytest.raises(ValueError, match=r'exceed a margin: rows \[0\], columns \[\]'):
        integer_table(np.ones((2, 2)), [1, 5], [3, 3], np.array([[1, 1], [0, 0]]), rng)


LAB_TRAIN = ROWS.index(('lab', 'train'))


def size_of(task, scale, balanced=False, seed=0, space=SPACE):
    return corpus_size(task, scale, balanced, space, np.random.default_rng(seed))


def test_published_files_agree_cell_by_cell(shared_data):
    statistics = json.loads((shared_data / 'mma82_statistics.json').read_text())
    taxonomy = json.loads((shared_data / 'mma82_taxonomy.json').read_text())
    published = {
        (row['name'], task): row[f'{task}_instances']
        for row in taxonomy['actions']
        for task in ('rec', 'det')
    }
    (clips, rec), (videos, det) = (size_of(t, 'full') for t in ('rec', 'det'))
    found = {
        (name, task): counts[:, action].sum()
        for action, name in enumerate(SPACE.actions)
        for task, counts in (('rec', rec), ('det', det))
    }
    keys = {'lab': 'laboratory'}
    cells = [statistics['rec'][keys.get(d, d)][subset] for d, subset in ROWS]
    assert found == published
    assert clips.tolist() == cells
    assert videos.sum() == statistics['det']['videos']


def test_every_class_is_in_the_lab():
    for task, scale, balanced in itertools.product(
        ('rec', 'det'), ('tiny', 'small', 'full'), (False, True)
    ):
        lab = size_of(task, scale, balanced)[1][LAB_TRAIN : LAB_TRAIN + 3]
        assert (lab[:1] if scale == 'tiny' else lab).min() >= 1, (task, scale)


def test_small_keeps_the_long_tail():
    for task in ('rec', 'det'):
        counts = np.sort(size_of(task, 'small')[1].sum(axis=0))
        assert counts[-10:].sum() > 0.5 * counts.sum()
        assert counts[0] < 0.02 * counts[-1]


def test_balanced_classes_are_alike():
    for scale in ('tiny', 'small', 'full'):
        counts = size_of('rec', scale, balanced=True)[1].sum(axis=0)
        assert np.ptp(counts) <= 1


def test_domains_differ():
    share = size_of('rec', 'full')[1].reshape(4, 3, -1).sum(axis=1)
    share = share / share.sum(axis=1, keepdims=True)
    lab, psychiatric, street, emotion = share
    at = SPACE.action_id
    assert psychiatric[at('rubbing hands')] > 2 * lab[at('rubbing hands')]
    assert street[at('pointing')] > 2 * lab[at('pointing')]
    assert street[at('sitting straightly')] == 0
    assert emotion[at('covering mouth')] > 2 * lab[at('covering mouth')]


def test_unknown_scale():
    for task in ('rec', 'det'):
        with pytest.raises(ValueError, match=r"unknown scale 'smal'.*mean 'small'"):
            size_of(task, 'smal')


def test_needs_published_counts():
    with pytest.raises(ValueError, match='no published counts: use mma82'):
        size_of('rec', 'full', space=load_label_space('ma52'))
