"""Courses in time."""

import numpy as np
import pytest

from mmma.simulation.generators import Draw, Ramp, draw_wave, idle_noise

TIME = np.linspace(0.0, 4.0, 401)


def course(spec, second=False, **kwargs):
    draw = Draw(np.random.default_rng(3), **kwargs)
    return draw_wave(spec, draw).values(TIME, second)


def turns(values):
    """How often a course passes its middle."""
    return int(
        (np.diff(np.sign(values - (values.max() + values.min()) / 2)) != 0).sum()
    )


def test_number_means_hold():
    np.testing.assert_array_equal(course(5), 5.0)
    assert 2 <= course([2, 3])[0] <= 3


@pytest.mark.parametrize(
    ('how', 'low', 'high'), [('oscillate', -2, 2), ('nod', 0, 2), ('flick', -0.9, 2)]
)
def test_extent(how, low, high):
    values = course({'how': how, 'size': 2, 'rate': 1})
    np.testing.assert_allclose([values.min(), values.max()], [low, high], atol=0.01)


@pytest.mark.parametrize('how', ['oscillate', 'nod'])
def test_rate_counts_cycles(how):
    assert turns(course({'how': how, 'size': 1, 'rate': 1.5})) == pytest.approx(
        12, abs=1
    )


def test_tempo_and_vigor():
    spec = {'how': 'oscillate', 'size': 1, 'rate': 1}
    assert turns(course(spec, tempo=2.0)) == pytest.approx(16, abs=1)
    assert course(spec, vigor=0.5).max() == pytest.approx(0.5, abs=0.01)


def test_count_ends_at_rest():
    values = course({'how': 'nod', 'size': 1, 'rate': 1, 'count': 2})
    assert values[TIME > 2.01].max() == 0.0
    assert values[:200].max() == pytest.approx(1.0)


def test_settle_overshoots_then_holds():
    values = course({'how': 'settle', 'size': 1, 'rate': 1})
    assert values.max() > 1.2
    assert values[-1] == pytest.approx(1.0, abs=0.02)


def test_wander_is_smooth_and_bounded():
    values = course({'how': 'wander', 'size': 1, 'rate': 1})
    assert 0.5 < np.abs(values).max() < 1.6
    assert np.abs(np.diff(values)).max() < 0.2


@pytest.mark.parametrize('how', ['oscillate', 'wander'])
def test_anti_moves_against(how):
    spec = {'how': how, 'size': 1, 'rate': 1, 'anti': True}
    np.testing.assert_allclose(course(spec, second=True), -course(spec), atol=1e-9)


def test_tracks_of_one_event_share_rate_and_phase():
    draw = Draw(np.random.default_rng(0))
    spec = {'how': 'oscillate', 'size': 1, 'rate': [1, 3]}
    first, second = draw_wave(spec, draw), draw_wave(spec, draw)
    assert (first.rate, first.phase) == (second.rate, second.phase)


def test_unknown_generator():
    with pytest.raises(ValueError, match=r"unknown generator 'jump': use one of hold"):
        course({'how': 'jump', 'size': 1})


def test_ramp():
    ramp = Ramp(start_sec=1.0, attack=0.5, end_sec=3.0, release=1.0)
    values = ramp.values(np.array([0.9, 1.25, 1.5, 2.0, 2.5, 3.1]))
    np.testing.assert_allclose(values, [0, 0.5, 1, 1, 0.5, 0], atol=1e-9)


def test_idle_noise_is_smooth_and_different_per_channel():
    noise = idle_noise(np.random.default_rng(0), TIME, 4, 0.5)
    assert noise.shape == (401, 4)
    assert np.abs(np.diff(noise, axis=0)).max() < 0.1
    assert np.abs(np.corrcoef(noise.T) - np.eye(4)).max() < 0.9
