"""Windows of untrimmed videos."""

import numpy as np
import pytest

from mmma.datasets.windows import TRIALS, Window, WindowOptions

NONE = np.zeros((0, 2))


def options(**kwargs):
    return WindowOptions(**{'positions': 40, 'rate': 10.0, 'crop': None, **kwargs})


@pytest.mark.parametrize('overlap', [0.0, 0.25, 0.5, 0.9])
def test_tiles_cover_every_position_and_differ(overlap):
    for length in range(1, 130):
        windows = options(overlap=overlap).tile(length / 10)
        places = [round(w.start_sec * 10) + np.arange(w.valid) for w in windows]
        assert set(np.concatenate(places)) == set(range(length))
        assert len({w.start_sec for w in windows}) == len(windows)
        assert all(w.valid == min(40, length) for w in windows)


def test_times():
    window = Window(2.0, positions=8, valid=3, rate=4.0, video_sec=2.75)
    assert window.times_sec().tolist() == [2.0, 2.25, 2.5]
    assert window.times_sec(scale=2).tolist() == [2, 2.125, 2.25, 2.375, 2.5, 2.625]
    assert window.end_sec == 2.75


def test_truth_is_cut_and_what_shows_too_little_is_dropped():
    window = Window(2.0, positions=40, valid=40, rate=10.0, video_sec=20)  # to 6.0
    segments = np.array([[1, 5], [1, 4.9], [5, 7], [2.5, 3], [7, 9], [5.25, 6.25]])
    found, labels = window.truth(segments, np.arange(6), min_visible=0.75)
    assert labels.tolist() == [0, 3, 5]  # 75 %, 74 %, 50 %, all, none, 75 %
    assert found.tolist() == [[0, 3], [0.5, 1], [3.25, 4]]
    assert found.dtype == np.float32


def test_training_windows_show_an_instance():
    segments = np.array([[50.0, 52.0], [3.0, 4.0]])
    np.random.seed(0)
    starts = []
    for _ in range(100):
        window = options().draw(60.0, segments)
        starts.append(window.start_sec)
        assert len(window.truth(segments, np.arange(2), 0.75)[0])
        assert window.valid == 40
        assert (window.start_sec * 10) % 1 == pytest.approx(0, abs=1e-6)
    assert min(starts) < 10 < 40 < max(starts)


def test_trials_are_bounded():
    segments = np.array([[0.0, 60.0]])  # no window shows three quarters of it
    np.random.seed(0)
    options().draw(60.0, segments)
    after = np.random.random()
    np.random.seed(0)
    for _ in range(TRIALS):
        np.random.randint(561)
    assert np.random.random() == after


def test_without_instances_any_window_will_do():
    np.random.seed(0)
    starts = {options().draw(60.0, NONE).start_sec for _ in range(20)}
    assert len(starts) > 10


def test_short_videos_are_cropped():
    np.random.seed(0)
    windows = [options(crop=(0.9, 1.0)).draw(3.0, NONE) for _ in range(200)]
    assert {w.valid for w in windows} == {27, 28, 29, 30}
    assert max(w.start_sec for w in windows) > 0
    assert all(w.end_sec <= 3.0 + 1e-9 for w in windows)
    assert options().draw(3.0, NONE) == Window(0.0, 40, 30, 10.0, 3.0)
    long = options(crop=(0.9, 1.0)).draw(5.0, NONE)
    assert long.valid == 40  # longer than a window: not cropped


def test_draws_depend_on_numpys_generator_alone():
    segments = np.array([[10.0, 12.0]])

    def draw():
        np.random.seed(5)
        return options().draw(30.0, segments)

    assert draw() == draw()


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        ({'positions': 0}, 'window of 0 positions.*at least 1 position'),
        ({'rate': 0}, 'rate 0: use .* above 0'),
        ({'rate': float('nan')}, 'rate nan'),
        ({'overlap': 1.0}, 'overlap 1.0 must be from 0, below 1'),
        ({'min_visible': 0}, 'min_visible 0 above 0'),
        ({'crop': (0.9, 1.1)}, r'crop \(0.9, 1.1\): use two shares'),
        ({'crop': (1.0, 0.5)}, 'the smaller first'),
    ],
)
def test_bad_options(kwargs, message):
    with pytest.raises(ValueError, match=message):
        options(**kwargs)


def test_another_length_than_the_tables():
    window = options().tile(10.0)[0]
    window.check_length(10.4, 'v.mp4')
    window.check_length(10.8, 'v.mp4', tolerance_sec=0.5)
    with pytest.raises(
        ValueError, match=r'v.mp4 is 8.00 s long, but det.json says 10.00 s: its times'
    ):
        window.check_length(8.0, 'v.mp4')
