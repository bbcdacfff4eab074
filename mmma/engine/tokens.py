"""Tokens of clips: a recipe changed so that its classifier sees them one by one."""

from __future__ import annotations

from mmengine.config import ConfigDict
from torch import Tensor

from mmma.models.heads.action_head import POOLINGS, ActionHead
from mmma.registry import MODELS

_KEPT = ('num_classes', 'in_channels', 'num_segments', 'average_clips')
_MAPS = {
    'VideoMAEViT': dict(return_feat_map=True),
    'HubVideoEncoder': dict(output='map'),
}
"""How backbones that pool their tokens are told not to."""


@MODELS.register_module()
class TokenHead(ActionHead):
    """``ActionHead`` that averages over space and persons, but not over time.

    A clip's tokens take the place of its views: features are (N * views * T', D), and
    scores are averaged over tokens. The options are those of ``ActionHead``, but for
    pooling ``none``, which leaves nothing to average.
    """

    def pool(self, x: Tensor, num_segs: int | None = None) -> Tensor:
        """Tokens (N * views * T', D), in order of time within a view.

        Args:
            x: Features of the backbone, of the shape that ``pooling`` takes.
            num_segs: Unused, as in ``ActionHead``.

        Raises:
            ValueError: ``x`` has another shape.
        """
        if x.ndim != POOLINGS[self.pooling] or self.pooling == 'none':
            raise ValueError(
                f'features of shape {tuple(x.shape)} hold no tokens for pooling '
                f'{self.pooling!r}: the backbone must give a map of them.'
            )
        if self.pooling == 'segments':
            return x.mean(dim=(2, 3))  # (N*S, D, H, W) -> (N*S, D)
        if self.pooling == 'clip':
            x = x.mean(dim=(3, 4))  # (N, D, T, H, W) -> (N, D, T)
        else:
            x = x.mean(dim=(1, 4))  # (N, M, D, T, V) -> (N, D, T)
        return x.transpose(1, 2).flatten(0, 1)  # (N, D, T) -> (N*T, D)


def show_tokens(model: ConfigDict) -> None:
    """Change the config of a recognizer so that its classifier sees tokens, in place.

    Args:
        model: ``cfg.model`` of a recipe.

    Raises:
        ValueError: Its head is no ``ActionHead``, or its backbone pools its tokens and
            is not known to give them.
    """
    head, kind = model.cls_head, model.backbone.type
    if 'pooling' not in head:
        raise ValueError(
            f'{head.type}: tokens are taken from recipes whose head is an ActionHead '
            'with a pooling. Use a linear probe, or pooled features.'
        )
    pooling = head.pooling
    if pooling == 'none':
        if kind not in _MAPS:
            raise ValueError(
                f'{kind} gives one feature per clip, and is not known to give tokens '
                f'(known: {", ".join(_MAPS)}). Use a linear probe, or pooled features.'
            )
        model.backbone.update(_MAPS[kind])
        pooling = 'clip'
    kept = {key: head[key] for key in _KEPT if key in head}
    space = {'label_space': head.label_space} if 'label_space' in head else {}
    model.cls_head = ConfigDict(type='TokenHead', pooling=pooling, **kept, **space)
