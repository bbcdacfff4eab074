"""Necks: levels to levels."""

from mmma.models.necks.fpn import FPNIdentity, TopDownFPN

__all__ = ['FPNIdentity', 'TopDownFPN']
