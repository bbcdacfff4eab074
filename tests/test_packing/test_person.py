import numpy as np
import pytest

from mmma.packing.person import Box, choose_person, join, person_box, square_pixels

# Left and small, right and large, and nobody.
POINTS = np.zeros((3, 5, 2, 2))
POINTS[0] = [[10, 10], [20, 20]]
POINTS[1] = [[60, 20], [90, 80]]
SCORES = np.stack([np.full((5, 2), 1.0), np.full((5, 2), 0.5), np.zeros((5, 2))])


@pytest.mark.parametrize(
    ('rule', 'expected'),
    [('largest', 1), ('left', 0), ('right', 1), (0, 0), (1, 1), (2, None), (7, None)],
)
def test_whom_to_follow(rule, expected):
    assert choose_person(POINTS, SCORES, rule) == expected


def test_largest_weighs_area_with_score():
    scores = SCORES.copy()
    scores[1] = 0.31
    points = POINTS.copy()
    points[1] = [[60, 20], [74, 40]]  # 280 x 0.31 against 100 x 1
    assert choose_person(points, scores, 'largest') == 0


def test_nobody():
    assert choose_person(POINTS, SCORES * 0, 'left') is None


def test_the_box_holds_all_frames_but_no_joint_that_jumps_once():
    points = np.tile(POINTS[1], (60, 1, 1))
    points[:100, :, 0] += 5  # moves right at a third of the way
    points[7, 0] = [0, 0]
    box = person_box(points, np.ones(points.shape[:2]), (100, 100))
    assert box == pytest.approx((0.60, 0.2, 0.95, 0.8), abs=0.011)


def test_several_rows_share_a_box():
    assert join([Box(0.1, 0.4, 0.3, 0.5), Box(0.2, 0.3, 0.6, 0.4)]) == (
        0.1,
        0.3,
        0.6,
        0.5,
    )


@pytest.mark.parametrize(
    ('box', 'margin', 'expected'),
    [
        (Box(0.4, 0.4, 0.6, 0.5), 0, (80, 70, 40, 40)),  # 40 x 20 in 200 x 200
        (Box(0.4, 0.4, 0.6, 0.5), 0.5, (60, 50, 80, 80)),
        (Box(0.0, 0.9, 0.2, 1.0), 0, (0, 160, 40, 40)),  # moved in at the edge
        (Box(0.0, 0.0, 1.0, 0.2), 0.1, (0, 0, 200, 200)),
        (Box(0.5, 0.5, 0.5, 0.5), 0, (84, 84, 32, 32)),
    ],
)
def test_the_square_stays_in_the_picture(box, margin, expected):
    assert square_pixels(box, (200, 200), margin) == expected
