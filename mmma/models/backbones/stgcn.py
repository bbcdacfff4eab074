"""ST-GCN++ on any joint layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmaction.models.backbones import STGCN
from torch import Tensor

from mmma.models.graphs import graph_layout
from mmma.registry import MODELS


@MODELS.register_module()
class SkeletonSTGCN(STGCN):
    """MMAction2's ``STGCN`` with its graph made from a joint layout, by name.

    Names of weights are upstream's. With ``gcn_adaptive='init'``,
    ``gcn_with_res=True`` and ``tcn_type='mstcn'`` it is ST-GCN++.

    Args:
        layout: A joint layout: its name or its fields.
        joints: The joints of the input, as given to ``LoadSkeleton``.
        in_channels: C of the input.
        num_person: M of the input.
        stack_frames: Frames that make one step of the network, side by side as
            channels: a cheap model sees every frame and works at a fraction of T.
        **kwargs: As upstream's.

    Raises:
        ValueError: An unknown layout, set or joint; T is no multiple of
            ``stack_frames``.

    Source: PYSKL, arXiv 2205.09443.
    """

    def __init__(
        self,
        layout: str | Mapping[str, Any] = 'wholebody65',
        joints: str | Sequence[str] = 'all',
        in_channels: int = 3,
        num_person: int = 1,
        stack_frames: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            graph_cfg=dict(layout=graph_layout(layout, joints), mode='spatial'),
            in_channels=in_channels * stack_frames,
            num_person=num_person,
            **kwargs,
        )
        self.stack_frames = stack_frames

    def forward(self, x: Tensor) -> Tensor:
        """Features of skeletons.

        Args:
            x: (N, M, T, V, C).

        Returns:
            (N, M, C', T', V).
        """
        if self.stack_frames > 1:
            if x.shape[2] % self.stack_frames:
                raise ValueError(
                    f'{x.shape[2]} frames are no multiple of stack_frames '
                    f'{self.stack_frames}: choose another clip_len.'
                )
            x = x.unflatten(2, (-1, self.stack_frames))
            x = x.transpose(3, 4).flatten(4)  # (N, M, T', S, V, C) -> (N, M, T', V, SC)
        return super().forward(x)
