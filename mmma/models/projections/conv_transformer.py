"""The projection of ActionFormer and AdaTAD."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmma.models.projections.attention import TransformerBlock
from mmma.models.projections.pyramid import PyramidProjection
from mmma.registry import MODELS


@MODELS.register_module()
class Conv1DTransformerProj(PyramidProjection):
    """Convolutions, then a pyramid of transformer blocks.

    Args:
        in_channels: D, channels of the features.
        out_channels: C.
        arch: Convolutions, blocks at full rate, blocks that halve the positions; the
            last number plus 1 is the number of levels.
        num_heads: Heads of attention.
        window: Positions of its own level that one sees, or one number per level; odd,
            -1 for all.
        path_drop: Share of branches dropped in training; above 0 they are also scaled
            per channel, from 1e-4.
        input_drop: Share of input channels dropped in training.
        max_seq_len: Longest window of the absolute position encoding; 0 leaves it out.

    Raises:
        ValueError: Windows for another number of levels.

    Source: Zhang et al., 'ActionFormer', ECCV 2022; Liu et al., 'End-to-End Temporal
        Action Detection with 1B Parameters Across 1000 Frames' (AdaTAD), CVPR 2024,
        which has full attention (window -1) where ActionFormer has 19.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int = 512,
        arch: Sequence[int] = (2, 2, 5),
        num_heads: int = 4,
        window: int | Sequence[int] = -1,
        path_drop: float = 0.1,
        **kwargs: Any,
    ) -> None:
        convs, stem, branch = arch
        windows = [window] * (branch + 1) if isinstance(window, int) else list(window)
        if len(windows) != branch + 1:
            raise ValueError(
                f'{len(windows)} attention windows for {branch + 1} levels of arch '
                f'{tuple(arch)}: give one per level, or one number.'
            )

        def block(stride: int, level: int) -> TransformerBlock:
            sees = windows[level]
            return TransformerBlock(out_channels, num_heads, stride, sees, path_drop)

        super().__init__(
            in_channels,
            out_channels,
            convs,
            stem=[block(1, 0) for _ in range(stem)],
            branch=[block(2, level + 1) for level in range(branch)],
            **kwargs,
        )
