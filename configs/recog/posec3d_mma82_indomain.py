# PoseC3D (arXiv 2104.13586) on MMA-82 skeletons, 48 frames: SlowOnly-R50 of 3 stages
# over heatmaps of 17 body joints, drawn on the device. 2.0 M parameters, as published.
# The paper reports PoseC3D and gives no recipe.
# Numbers: MMAction2, configs/skeleton/posec3d, its fine-tuning for HMDB51 and UCF101:
# the schedule, and crops of 48 in training, 56 in testing.
# Ours: the start, NTU60 (of 4, 6, 3 blocks) rather than Kinetics-400 (3, 4, 6), for its
# clips are daily actions before a fixed camera, as the lab's are.
# From scratch NTU60's own schedule fits: 0.2, cosine to 0 at every step, 240 epochs,
# crops of 56 and 64.
# Expected: – (real data not seen). Hardware: –. Hours: –
_base_ = [
    '../_base_/datasets/mma82_heatmap_u48.py',
    '../_base_/schedules/posec3d_120e.py',
]

protocol = dict(name='indomain')

model = dict(
    type='Recognizer3D',
    data_preprocessor=dict(
        type='HeatmapPreprocessor', layout='wholebody65', joints='body17'
    ),
    backbone=dict(type='SkeletonSlowOnly', layout='wholebody65', joints='body17'),
    cls_head=dict(
        type='ActionHead',
        pooling='clip',
        num_classes=82,
        label_space='mma82',
        in_channels=512,
        dropout_ratio=0.5,
    ),
)
pretrained = dict(
    url=(
        'https://download.openmmlab.com/mmaction/v1.0/skeleton/posec3d/'
        'slowonly_r50_8xb16-u48-240e_ntu60-xsub-keypoint/'
        'slowonly_r50_8xb16-u48-240e_ntu60-xsub-keypoint_20220815-38db104b.pth'
    ),
    sha8='38db104b',
    data='ntu60-xsub',
    note='PoseC3D on NTU60 XSub, 17 joints of COCO: 93.6 top-1',
)
