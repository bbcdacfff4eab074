import itertools

import pytest

from mmma.structures.windows import grid_length, window_starts, window_starts_sec


@pytest.mark.parametrize('window', [1, 4, 7])
@pytest.mark.parametrize('share', [0.25, 0.5, 0.75, 1.0])
def test_windows_cover_everything_once(window, share):
    stride = max(1, int(window * share))
    for length in range(1, 3 * window + 1):
        starts = window_starts(length, window, stride)
        assert starts == sorted(set(starts))
        assert starts[0] == 0
        assert starts[-1] == max(0, length - window)
        steps = [b - a for a, b in itertools.pairwise(starts)]
        assert all(0 < step <= stride for step in steps)
        covered = {p for start in starts for p in range(start, start + window)}
        assert covered >= set(range(length))


def test_worked_windows():
    assert window_starts(256, 256, 128) == [0]
    assert window_starts(257, 256, 128) == [0, 1]
    assert window_starts(512, 256, 128) == [0, 128, 256]  # the last one only once
    assert window_starts(500, 256, 128) == [0, 128, 244]


@pytest.mark.parametrize(
    ('numbers', 'message'),
    [
        ((0, 4, 2), 'length 0: use at least 1 position'),
        ((9, 0, 2), 'window 0: use at least 1 position'),
        ((9, 4, 0), 'stride 0: use at least 1 position'),
        ((9, 4, 5), 'stride 5 leaves gaps between windows of 4: use at most 4'),
    ],
)
def test_bad_windows_are_refused(numbers, message):
    with pytest.raises(ValueError, match=message):
        window_starts(*numbers)


@pytest.mark.parametrize(
    ('duration_sec', 'rate', 'length'),
    [(10, 15, 150), (10.01, 15, 151), (1.1, 10, 11), (0.01, 15, 1), (0.3, 30, 9)],
)
def test_positions_start_before_the_end(duration_sec, rate, length):
    assert grid_length(duration_sec, rate) == length


@pytest.mark.parametrize(
    ('numbers', 'message'),
    [
        ((0, 15), 'duration_sec 0: use a number above 0'),
        ((float('nan'), 15), 'duration_sec nan: use'),
        ((3, float('inf')), 'rate inf: use a number above 0'),
    ],
)
def test_bad_grids_are_refused(numbers, message):
    with pytest.raises(ValueError, match=message):
        grid_length(*numbers)


def test_windows_in_seconds():
    assert window_starts_sec(12, 256, 15.0) == [0]
    assert window_starts_sec(30, 256, 15.0) == pytest.approx([0, 128 / 15, 194 / 15])
    assert window_starts_sec(30, 256, 15.0, overlap=0) == pytest.approx([0, 194 / 15])
    assert window_starts_sec(3, 10, 10.0, overlap=0.9)[:2] == pytest.approx([0, 0.1])
    with pytest.raises(ValueError, match=r'overlap 1: use a share from 0, below 1'):
        window_starts_sec(30, 256, 15.0, overlap=1)
