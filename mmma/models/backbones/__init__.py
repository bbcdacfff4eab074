"""Backbones: clips to features."""

from mmma.models.backbones import (
    hub_encoder,
    shift_resnet,
    skeleton,
    videomae,
    videomae_tia,
)

__all__ = ['hub_encoder', 'shift_resnet', 'skeleton', 'videomae', 'videomae_tia']
