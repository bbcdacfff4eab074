"""Backbones: clips to features."""

from mmma.models.backbones import (
    hub_encoder,
    shift_effnet,
    shift_resnet,
    skeleton,
    videomae,
    videomae_masked,
    videomae_tia,
)

__all__ = ['hub_encoder', 'shift_effnet', 'shift_resnet', 'skeleton', 'videomae']
__all__ += ['videomae_masked', 'videomae_tia']
