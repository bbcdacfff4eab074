"""Heads: features to scores and losses."""

from mmma.models.heads.linear_head import LinearHead

__all__ = ['LinearHead']
