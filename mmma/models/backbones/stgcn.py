"""ST-GCN++ on any joint layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmaction.models.backbones import STGCN

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
        num_person: M of the input.
        **kwargs: As upstream's.

    Raises:
        ValueError: An unknown layout, set or joint.

    Source: PYSKL, arXiv 2205.09443.
    """

    def __init__(
        self,
        layout: str | Mapping[str, Any] = 'wholebody65',
        joints: str | Sequence[str] = 'all',
        num_person: int = 1,
        **kwargs: Any,
    ) -> None:
        graph_cfg = dict(layout=graph_layout(layout, joints), mode='spatial')
        super().__init__(graph_cfg=graph_cfg, num_person=num_person, **kwargs)
