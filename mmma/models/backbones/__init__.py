"""Backbones: clips to features."""

from mmma.models.backbones.hub_encoder import HubVideoEncoder
from mmma.models.backbones.shift_resnet import ShiftResNet
from mmma.models.backbones.skeleton_slowonly import SkeletonSlowOnly
from mmma.models.backbones.skeleton_tcn import SkeletonTCN
from mmma.models.backbones.stgcn import SkeletonSTGCN
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
