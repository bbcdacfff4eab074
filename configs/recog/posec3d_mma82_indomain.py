# PoseC3D (arXiv 2104.13586) on MMA-82 skeletons, 48 frames: SlowOnly-R50 of 3 stages
# over heatmaps of 17 body joints, drawn on the device. 2.0 M parameters, as published.
# The paper reports PoseC3D and gives no recipe.
# Numbers: MMAction2, configs/skeleton/posec3d, its fine-tuning for HMDB51 and UCF101:
# SGD with momentum, 0.01 for a batch of 128, weight decay 3e-4, gradients clipped at
# 40, a tenth from epochs 90 and 110 of 120 (published: 12 over data repeated 10 times),
# crops of 48 in training, 56 in testing.
# Ours: the start, NTU60 (of 4, 6, 3 blocks) rather than Kinetics-400 (3, 4, 6), for its
# clips are daily actions before a fixed camera, as the lab's are.
# From scratch NTU60's own schedule fits: 0.2, cosine to 0 at every step, 240 epochs,
# crops of 56 and 64.
# Expected: – (real data not seen). Hardware: –. Hours: –
_base_ = '../_base_/datasets/mma82_heatmap_u48.py'

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

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=3e-4),
    clip_grad=dict(max_norm=40, norm_type=2),
)
auto_scale_lr = dict(enable=True, base_batch_size=128)

param_scheduler = [
    dict(
        type='MultiStepLR',
        begin=0,
        end=120,
        by_epoch=True,
        milestones=[90, 110],
        gamma=0.1,
    )
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=120, val_interval=10)
