"""Heads: features to scores and losses."""

from mmma.models.heads.action_head import ActionHead
from mmma.models.heads.actionformer_head import ActionFormerHead
from mmma.models.heads.manet_head import MANetHead
from mmma.models.heads.tridet_head import TriDetHead

__all__ = ['ActionFormerHead', 'ActionHead', 'MANetHead', 'TriDetHead']
