"""Heads: features to scores and losses."""

from mmma.models.heads import action_head, dense_head, segment_heads

__all__ = ['action_head', 'dense_head', 'segment_heads']
