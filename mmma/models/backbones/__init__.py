"""Backbones: clips to features."""

from mmma.models.backbones.stgcn import SkeletonSTGCN
from mmma.models.backbones.videomae import VideoMAEViT

__all__ = ['SkeletonSTGCN', 'VideoMAEViT']
