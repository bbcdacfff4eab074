"""Four domains that differ."""

import itertools

import pytest

from mmma.simulation.domains import DOMAIN_STYLES
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
