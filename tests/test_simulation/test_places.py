"""Places of the body and the axes in which directions are given there."""

import dataclasses

import numpy as np
import pytest

from mmma.simulation.body import JOINT
from mmma.simulation.domains import DOMAIN_STYLES
from mmma.simulation.motion import simulate_motion
from mmma.simulation.places import find_place, locate, part_frame
from mmma.simulation.programs import load_table
from mmma.simulation.subjects import make_subject

LAB = dataclasses.replace(DOMAIN_STYLES['lab'], distraction=0.0)
EVERY = slice(None)


def pose(posture='seated'):
    subject = dataclasses.replace(make_subject(1, 'lab'), sway=0.0, posture=posture)
    return simulate_motion(subject, LAB, [], 0.1, 30, np.random.default_rng(0)).figure


FIGURE = pose()


def where(name, side=0, figure=FIGURE, posture='seated'):
    return locate(figure, find_place(name, side, posture), side, EVERY)[0][0]


def joint(name):
    return FIGURE.joints[0, JOINT[name]]


@pytest.mark.parametrize(
    ('name', 'near', 'within'),
    [
        ('nose', 'nose', 0.03),
        ('eye', 'left_eye', 0.03),
        ('ear', 'left_ear', 0.03),
        ('shoulder', 'left_shoulder', 0.12),
        ('knee', 'left_knee', 0.1),
        ('foot', 'left_heel', 0.1),
    ],
)
def test_places_lie_where_their_name_says(name, near, within):
    assert np.linalg.norm(where(name) - joint(near)) < within


@pytest.mark.parametrize('name', ['eye', 'shoulder', 'thigh', 'knee', 'waist'])
def test_sides(name):
    left, right, other = where(name, 0), where(name, 1), where(f'{name}.other', 0)
    assert left[0] > right[0]
    np.testing.assert_allclose(other, right, atol=1e-9)


def test_order_of_the_face():
    heights = [where(n)[1] for n in ('forehead', 'nose', 'philtrum', 'lips', 'chin')]
    assert heights == sorted(heights, reverse=True)


@pytest.mark.parametrize('part', ['forearm', 'upper_arm', 'hand'])
def test_a_hand_goes_to_the_other_arm(part):
    name = {'hand': 'back_of_hand'}.get(part, part)
    assert find_place(name, 0, 'seated').side == 1


@pytest.mark.parametrize(
    ('posture', 'forward', 'up'),
    [('seated', (0, 0, 1), (0, 1, 0)), ('standing', (0, -1, 0), (0, 0, 1))],
)
def test_axes_of_a_thigh(posture, forward, up):
    axes = part_frame(pose(posture), 'thigh', 0, 0, EVERY)[1][0]
    assert axes[:, 2] @ forward > 0.85
    assert axes[:, 1] @ up > 0.85


@pytest.mark.parametrize('side', [0, 1])
@pytest.mark.parametrize('part', ['head', 'chest', 'pelvis', 'thigh', 'shank', 'foot'])
def test_outward_points_away_from_the_body(part, side):
    axes = part_frame(FIGURE, part, side, side, EVERY)[1][0]
    assert axes[0, 0] * (1, -1)[side] > 0.5


def test_some_places_lie_elsewhere_when_standing():
    standing = pose('standing')
    lap = where('lap', 0, standing, 'standing') - standing.joints[0, JOINT['pelvis']]
    assert lap[1] < 0.02
    assert (where('lap') - joint('pelvis'))[1] > 0.08
    assert 'standing' in load_table('places')['lap']
