"""Heads: features to scores and losses."""

from mmma.models.heads.action_head import ActionHead, MANetHead
from mmma.models.heads.segment_heads import ActionFormerHead, TriDetHead

__all__ = ['ActionFormerHead', 'ActionHead', 'MANetHead', 'TriDetHead']
