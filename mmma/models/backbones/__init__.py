"""Backbones: clips to features."""

from mmma.models.backbones.videomae import VideoMAEViT

__all__ = ['VideoMAEViT']
