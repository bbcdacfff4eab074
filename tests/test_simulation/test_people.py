"""Who is filmed."""

import numpy as np
import pytest

from mmma.simulation.people import Person, cast, make_pools
from mmma.simulation.scales import ROWS, published_clips
from mmma.taxonomy import DOMAINS


@pytest.fixture(scope='module')
def pools():
    videos = np.rint(published_clips() * 11180 / 39816).astype(int)
    return make_pools(published_clips(), videos, seed=0)


@pytest.mark.parametrize(
    ('domain', 'count'), list(zip(DOMAINS, (229, 19, 26, 180), strict=True))
)
def test_published_pools(pools, domain, count):
    rows = [r for r, (d, _) in zip(pools.rec, ROWS, strict=True) if d == domain]
    assert len({person for row in rows for person in row}) == count


def test_nobody_is_in_two_rows(pools):
    names = [person.name for row in pools.rec for person in row]
    assert len(names) == len(set(names)) == 454
    assert len({person.seed for row in pools.rec for person in row}) == 454


def test_both_tasks_share_a_subset_per_person(pools):
    assert sum(map(len, pools.det)) == 434
    for rec, det in zip(pools.rec, pools.det, strict=True):
        assert set(det) <= set(rec)


def test_small_rows_have_few_persons():
    pools = make_pools(np.full(12, 8), np.full(12, 1), seed=0)
    assert max(map(len, pools.rec)) == 4
    assert {len(row) for row in pools.det} == {1}


def test_cast_uses_everybody():
    persons = tuple(Person(f'lab_p{i:03d}', i) for i in range(20))
    people = cast(persons, 50, np.random.default_rng(0))
    assert len(people) == 50
    assert set(people) == set(persons)
