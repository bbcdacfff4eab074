"""Four domains that differ."""

import dataclasses
import itertools

import numpy as np
import pytest

from mmma.simulation.domains import DOMAIN_STYLES, make_subject
from mmma.simulation.programs import load_rest
from mmma.taxonomy import DOMAINS


def test_one_style_per_domain():
    assert tuple(DOMAIN_STYLES) == DOMAINS
    assert all(style.name == name for name, style in DOMAIN_STYLES.items())


@pytest.mark.parametrize('domain', DOMAINS)
def test_pictures_can_be_encoded(domain):
    style = DOMAIN_STYLES[domain]
    assert all(side % 16 == 0 for side in style.size)
    assert all(20 <= fps <= 30 for fps in style.fps)
    assert set(style.postures) <= set(load_rest())


@pytest.mark.parametrize('pair', [*itertools.combinations(DOMAINS, 2)], ids='-'.join)
@pytest.mark.parametrize('part', ['camera', 'picture', 'extractor', 'size'])
def test_domains_differ(pair, part):
    a, b = (getattr(DOMAIN_STYLES[domain], part) for domain in pair)
    assert a != b


def test_character():
    lab, psychiatric, street, emotion = DOMAIN_STYLES.values()
    assert lab.size[0] * lab.size[1] > psychiatric.size[0] * psychiatric.size[1]
    assert psychiatric.camera.yaw[0] > lab.camera.yaw[0]
    assert psychiatric.picture.light[1] < lab.picture.light[0]
    assert street.camera.shake > 0
    assert lab.camera.shake == 0
    assert emotion.camera.cuts_per_sec > 0
    assert emotion.camera.view_height[1] < lab.camera.view_height[0]


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
