import math

import pytest
import torch

from mmma.models.projections.pyramid import PyramidProjection, sinusoid_table


def test_without_layers_the_channels_stay():
    with pytest.raises(ValueError, match='cannot turn 4 channels into 8'):
        PyramidProjection(4, 8, 0, [], [])


def test_sinusoid_by_hand():
    table = sinusoid_table(3, 4)
    assert table.shape == (1, 4, 3)
    angles = (2.0, 2.0, 0.02, 0.02)
    wanted = [f(a) for f, a in zip((math.sin, math.cos) * 2, angles, strict=True)]
    assert table[0, :, 2].tolist() == pytest.approx(wanted)


def test_places_are_added_and_stretched():
    projection = PyramidProjection(4, 4, 0, [], [], max_seq_len=6)
    mask = torch.arange(6)[None] < 5
    levels, _ = projection(torch.zeros(1, 4, 6), mask)
    torch.testing.assert_close(levels[0][..., :5], sinusoid_table(6, 4)[..., :5] / 2)
    assert levels[0][..., 5].abs().sum() == 0
    levels, _ = projection(torch.zeros(1, 4, 12), torch.ones(1, 12).bool())
    assert levels[0][0, 1, 0] == 0.5  # cosine of the first place, by the root of 4


def test_input_dropout_takes_whole_channels():
    projection = PyramidProjection(64, 64, 0, [], [], input_drop=0.5)
    levels, _ = projection(torch.ones(1, 64, 8), torch.ones(1, 8).bool())
    kept = levels[0][0]
    assert set(kept.flatten().tolist()) == {0.0, 2.0}
    assert (kept == kept[:, :1]).all()
