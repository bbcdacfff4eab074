"""Killed at any change of a file and given again, commands end as if they were not."""

import random

import pytest
from crash.cases import CASES
from crash.killing import Victim
from crash.tracer import why_not

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or '-')
SEED = 0


@pytest.mark.parametrize('case', CASES, ids=lambda case: case.name.replace('/', '-'))
def test_killed_and_given_again(case, tmp_path):
    with Victim(case, tmp_path) as victim:
        numbers = [point.number for point in victim.points]
        chosen = random.Random(SEED).sample(numbers, min(case.sample, len(numbers)))
        faults = {number: [*victim.faults(number)] for number in sorted(chosen)}
    assert not {victim.points[n - 1]: told for n, told in faults.items() if told}
