import numpy as np
import pytest

from mmma.layout.same_video import candidates, compare, difference_hash, same_moments


def scene(seed, frames=24, camera=0):
    """Marks of somebody who moves before a camera that stands still."""
    room = np.random.default_rng(camera).uniform(60, 200, (16, 16))
    rng = np.random.default_rng(1000 + seed)
    path = 7 + np.cumsum(rng.normal(0, 0.5, (frames, 2)), 0)
    y, x = np.mgrid[:16, :16]
    marks = [room + 20 * np.exp(-((y - a) ** 2 + (x - b) ** 2) / 4) for a, b in path]
    return np.array(marks, np.float16)


def noisy(marks, sigma, seed=5):
    return marks + np.random.default_rng(seed).normal(0, sigma, marks.shape)


def pairs(left, right):
    return [(same.left, same.right) for same in same_moments(left, right)]


def test_a_copy_is_found_and_another_take_is_not():
    left = {'a': scene(0), 'b': scene(1), 'c': scene(2, camera=1)}
    right = {
        'copy': noisy(left['b'], 0.5),
        'take': scene(3),
        'room': scene(2, camera=2),
    }
    assert ('a', 'take') in candidates(left, right)  # the same still picture
    assert pairs(left, right) == [('b', 'copy')]


def test_a_part_is_found_with_its_place():
    whole = scene(0, 40)
    agreement, shift_sec, decided = compare(noisy(whole[9:20], 0.3), whole)
    assert agreement > 0.9
    assert decided
    assert shift_sec == pytest.approx(9 / 8)


def test_a_part_between_two_marks():
    whole = scene(0, 40).astype(float)
    between = ((whole[1:] + whole[:-1]) / 2)[5:20]
    agreement, shift_sec, _ = compare(between, whole)
    assert agreement > 0.99
    assert shift_sec == pytest.approx(5.5 / 8)


def test_lamps_that_flicker_are_no_motion():
    flicker = 10 * np.random.default_rng(0).normal(0, 1, (24, 1, 1))
    a, b = scene(0) + flicker, scene(1) + flicker
    assert compare(a, b)[0] < 0.5


@pytest.mark.parametrize(
    ('frames', 'brighter', 'found'),
    [(24, 0, [('a', 'b')]), (25, 0, [('a', 'b')]), (40, 0, []), (24, 5, [])],
)
def test_too_still_to_tell_is_said(frames, brighter, found):
    room = scene(0)[:1]
    left = {'a': np.repeat(room, 24, 0)}
    right = {'b': np.repeat(room + brighter, frames, 0)}
    same = list(same_moments(left, right))
    assert [(s.left, s.right) for s in same] == found
    assert not any(s.decided for s in same)


def test_short_or_missing_videos_match_nothing():
    assert compare(scene(0)[:5], scene(0)) is None
    assert pairs({}, {'a': scene(0)}) == []


def test_the_hash_leaves_flat_places_open():
    assert difference_hash(np.full((16, 16), 90)).tolist() == [0] * 64
    ramp = np.tile(np.arange(16) * 4.0, (16, 1))
    assert difference_hash(ramp).tolist() == [1] * 64
