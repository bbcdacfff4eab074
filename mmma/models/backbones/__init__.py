"""Backbones: clips to features."""

from mmma.models.backbones.skeleton_tcn import SkeletonTCN
from mmma.models.backbones.stgcn import SkeletonSTGCN
from mmma.models.backbones.videomae import VideoMAEViT

__all__ = ['SkeletonSTGCN', 'SkeletonTCN', 'VideoMAEViT']
