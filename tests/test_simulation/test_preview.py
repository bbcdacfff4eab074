"""Contact sheets."""

import numpy as np

from mmma.simulation.preview import (
    contact_sheet,
    pick_frames,
)


def tile(value, width=20, height=10):
    return np.full((height, width, 3), value, np.uint8)


def test_frames_are_spread():
    assert pick_frames(8, 4).tolist() == [1, 3, 5, 7]
    assert pick_frames(1, 3).tolist() == [0, 0, 0]
    assert pick_frames(9, 1).tolist() == [4]


def test_sheet_keeps_time_order_and_columns():
    strips = [('a', [tile(10), tile(60)]), ('b', []), ('c', [tile(90)])]
    sheet = contact_sheet(strips, columns=2, height=20)
    cell_height, wide, narrow = 20 + 18, 2 * 40 + 4, 20 + 4
    assert sheet.shape == (2 * cell_height, wide + narrow, 3)
    row = sheet[24]
    assert (row[5, 0], row[45, 0]) == (10, 60)
    assert sheet[24 + cell_height, 5, 0] == 90


def test_title_adds_a_line():
    strips = [('a', [tile(10)])]
    with_title = contact_sheet(strips, 1, 20, title='simulated')
    assert len(with_title) == len(contact_sheet(strips, 1, 20)) + 18
    assert with_title[:18].min() < 200
