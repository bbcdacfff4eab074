import numpy as np
import pytest

from mmma.pose.tracking import PersonPlaces, box_overlap, joint_box


def person(x, size=10, score=1.0):
    return np.array([[x, 0], [x + size, size]], float), np.full(2, score)


def assign(places, *people):
    keypoints, scores = zip(*people, strict=True)
    return places.assign(np.stack(keypoints), np.stack(scores))


def test_the_largest_is_first_and_everybody_keeps_the_place():
    places = PersonPlaces(2, fps=10)
    assert assign(places, person(0), person(50, 20)) == [1, 0]
    assert assign(places, person(52, 20), person(1)) == [0, 1]
    assert assign(places, person(2), person(90, 40)) == [1, None]


@pytest.mark.parametrize(('frames', 'place'), [(5, None), (12, 0)])
def test_a_place_is_free_after_a_second(frames, place):
    places = PersonPlaces(1, fps=10)
    assign(places, person(0))
    for _ in range(frames):
        places.assign(np.zeros((0, 2, 2)), np.zeros((0, 2)))
    assert assign(places, person(80)) == [place]


def test_boxes_leave_doubtful_joints_out():
    keypoints = np.array([[0, 0], [4, 2], [99, 99]])
    assert joint_box(keypoints, np.array([1, 0.5, 0.1])).tolist() == [0, 0, 4, 2]
    assert joint_box(keypoints, np.zeros(3)).tolist() == [0, 0, 99, 99]


def test_overlap():
    boxes = np.array([[0, 0, 2, 2], [5, 5, 5, 5]])
    others = np.array([[1, 0, 3, 2], [5, 5, 5, 5]])
    assert box_overlap(boxes, others) == pytest.approx(np.array([[1 / 3, 0], [0, 0]]))
