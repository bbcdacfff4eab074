"""People differ, and stay the same."""

import dataclasses

import numpy as np
import pytest

from mmma.simulation.domains import DOMAIN_STYLES
from mmma.simulation.subjects import make_subject


def test_same_seed_same_person():
    assert make_subject(7, 'lab') == make_subject(7, 'lab')
    assert make_subject(7, 'lab') != make_subject(8, 'lab')


@pytest.mark.parametrize('domain', DOMAIN_STYLES)
def test_posture_is_one_of_the_domain(domain):
    postures = {make_subject(seed, domain).posture for seed in range(30)}
    assert postures == set(DOMAIN_STYLES[domain].postures)


@pytest.mark.parametrize(
    'field', ['height', 'arms', 'top', 'hand_rest', 'tempo', 'vigor', 'sway']
)
def test_people_differ(field):
    values = {getattr(make_subject(seed, 'lab'), field) for seed in range(10)}
    assert len(values) == 10


def test_range_of_a_crowd():
    crowd = [make_subject(seed, 'street') for seed in range(300)]
    height = np.array([s.height for s in crowd])
    assert height.min() > 1.45
    assert height.max() < 1.95
    assert 0.8 < np.mean([s.right_handed for s in crowd]) < 0.95
    colours = [c for s in crowd for c in (s.skin, s.hair, s.top, s.bottom, s.shoes)]
    assert np.min(colours) >= 0
    assert np.max(colours) <= 255


def test_plain_types_only():
    kinds = {type(v) for v in dataclasses.asdict(make_subject(0, 'lab')).values()}
    assert kinds <= {int, float, str, bool, tuple}


def test_unknown_domain():
    with pytest.raises(ValueError, match=r"unknown domain 'lap'.*Did you mean 'lab'"):
        make_subject(0, 'lap')
