"""When things happen in untrimmed videos."""

import numpy as np
import pytest

from mmma.simulation.timeline import (
    conflict_table,
    deal_counts,
    interleave,
    lay_out,
    video_seconds,
)
from mmma.taxonomy import load_label_space

# Four actions: 0 and 1 move the head, 2 the hands, 3 the legs.
CONFLICTS = np.eye(4, dtype=bool)
CONFLICTS[0, 1] = CONFLICTS[1, 0] = True


@pytest.fixture(scope='module')
def timeline():
    rng = np.random.default_rng(0)
    counts = deal_counts(1000, 3560, rng)
    actions = interleave(rng.choice(4, 3560, p=[0.3, 0.1, 0.4, 0.2]), CONFLICTS, rng)
    seconds = video_seconds(counts, 15.1, rng)
    return counts, seconds, lay_out(counts, actions, seconds, CONFLICTS, 3.66, rng)


def overlaps(line):
    """(I, I) whether two instances of one video overlap; the diagonal is False."""
    start, end = line.start_sec, line.end_sec
    both = (start[:, None] < end) & (start < end[:, None])
    return both & (line.video[:, None] == line.video) & ~np.eye(len(start), dtype=bool)


def test_every_action_conflicts_with_itself_and_its_limb():
    space = load_label_space('mma82')
    table = conflict_table(space)
    at = space.action_id
    assert table.diagonal().all()
    assert (table == table.T).all()
    assert table[at('nodding'), at('shaking head')]
    assert table[at('touching nose'), at('clapping')]
    assert table[at('shrugging'), at('clapping')]  # shrugging spreads the hands
    assert not table[at('nodding'), at('touching nose')]
    assert not table[at('nodding'), at('shaking legs')]


def test_counts_add_up():
    counts = deal_counts(100, 356, np.random.default_rng(0))
    assert counts.sum() == 356
    assert counts.min() >= 1
    assert counts.max() > 6


def test_interleaving_keeps_actions_and_spreads_limbs():
    actions = np.repeat([0, 1, 2, 3], 25)
    mixed = interleave(actions, CONFLICTS, np.random.default_rng(0))
    assert (np.bincount(mixed) == 25).all()
    windows = mixed.reshape(-1, 4)
    assert ((windows <= 1).sum(axis=1) >= 1).all()  # each four have a head movement


def test_means(timeline):
    counts, seconds, line = timeline
    assert seconds.mean() == pytest.approx(15.1, rel=1e-3)
    assert (line.end_sec - line.start_sec).mean() == pytest.approx(3.66, rel=2e-3)
    assert np.corrcoef(counts, seconds)[0, 1] > 0.2


def test_instances_stay_inside(timeline):
    _, seconds, line = timeline
    assert line.start_sec.min() >= 0
    assert (line.end_sec <= seconds[line.video] + 0.005).all()
    assert (line.end_sec - line.start_sec).min() > 0.1


def test_one_limb_does_one_thing_at_a_time(timeline):
    _, _, line = timeline
    clash = overlaps(line) & CONFLICTS[line.action[:, None], line.action]
    assert not clash.any()


def test_most_instances_overlap_another(timeline):
    assert 0.8 < overlaps(timeline[2]).any(axis=1).mean() < 0.95
