"""Backbones: clips to features."""

from mmma.models.backbones.hub_encoder import HubVideoEncoder
from mmma.models.backbones.shift_resnet import ShiftResNet
from mmma.models.backbones.skeleton import SkeletonSlowOnly, SkeletonSTGCN, SkeletonTCN
from mmma.models.backbones.videomae import VideoMAEViT
from mmma.models.backbones.videomae_tia import VideoMAETIA

__all__ = [
    'HubVideoEncoder',
    'ShiftResNet',
    'SkeletonSTGCN',
    'SkeletonSlowOnly',
    'SkeletonTCN',
    'VideoMAETIA',
    'VideoMAEViT',
]
