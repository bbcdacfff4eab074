"""Four domains that differ, and people who do."""

import dataclasses

import numpy as np
import pytest

from mmma.simulation.domains import DOMAIN_STYLES, make_subject
from mmma.simulation.programs import load_rest
from mmma.taxonomy import DOMAINS


def test_one_style_per_domain_that_can_be_encoded():
    assert tuple(DOMAIN_STYLES) == DOMAINS
    for style in DOMAIN_STYLES.values():
        assert all(side % 16 == 0 for side in style.size)
        assert all(20 <= fps <= 30 for fps in style.fps)
        assert set(style.postures) <= set(load_rest())


def test_same_seed_same_person_others_differ():
    assert make_subject(7, 'lab') == make_subject(7, 'lab')
    crowd = [make_subject(seed, 'lab') for seed in range(10)]
    fields = ('height', 'arms', 'top', 'hand_rest', 'tempo', 'vigor', 'sway')
    assert {len({getattr(s, f) for s in crowd}) for f in fields} == {10}


def test_postures_are_those_of_the_domain():
    for domain, style in DOMAIN_STYLES.items():
        postures = {make_subject(seed, domain).posture for seed in range(30)}
        assert postures == set(style.postures), domain


def test_range_of_a_crowd():
    crowd = [make_subject(seed, 'street') for seed in range(300)]
    height = np.array([s.height for s in crowd])
    assert 1.45 < height.min() < height.max() < 1.95
    assert 0.8 < np.mean([s.right_handed for s in crowd]) < 0.95
    colours = [c for s in crowd for c in (s.skin, s.hair, s.top, s.bottom, s.shoes)]
    assert 0 <= np.min(colours) <= np.max(colours) <= 255
    kinds = {type(v) for v in dataclasses.asdict(crowd[0]).values()}
    assert kinds <= {int, float, str, bool, tuple}


def test_unknown_domain():
    with pytest.raises(ValueError, match=r"unknown domain 'lap'.*Did you mean 'lab'"):
        make_subject(0, 'lap')
