# RGBPoseConv3D (PoseC3D, arXiv 2104.13586, section 3.3) on MMA-82: SlowOnly-R50 on 8
# frames beside PoseC3D on 32 heatmaps of 17 body joints, drawn on the device; each
# stream gets the other's features twice, each has its loss, and the score is the mean
# of both. 36.2 M parameters, as published.
# Reproduces nothing of MMA-82: its paper has no model of both.
# Numbers: MMAction2, configs/skeleton/posec3d/rgbpose_conv3d: sizes, loss weights of 1,
# heatmaps with a sigma of 0.7, and the last step of its three, 20 epochs at 0.0075 for
# a batch of 48, a tenth from epochs 12 and 16. The start is its own: both streams
# trained apart on NTU60, without what joins them.
# Published for NTU60 XSub, 10 views: frames 96.4, heatmaps 96.2, both 96.8; both apart
# and then averaged 96.2.
# Expected: – (real data not seen). Hardware: –. Hours: –
_base_ = '../_base_/datasets/mma82_rgbpose_8x224.py'

protocol = dict(name='indomain')

model = dict(
    type='MMRecognizer3D',
    data_preprocessor=dict(
        type='MultiModalDataPreprocessor',
        preprocessors=dict(
            imgs=dict(
                type='ActionDataPreprocessor',
                mean=[123.675, 116.28, 103.53],
                std=[58.395, 57.12, 57.375],
                format_shape='NCTHW',
            ),
            keypoint=dict(
                type='HeatmapPreprocessor',
                layout='wholebody65',
                joints='body17',
                sigma=0.7,
                scale=0.25,
            ),
        ),
    ),
    backbone=dict(type='TwoStreamConv3D', layout='wholebody65', joints='body17'),
    cls_head=dict(
        type='TwoStreamHead',
        num_classes=82,
        label_space='mma82',
        in_channels=(2048, 512),
        loss_weights=(1.0, 1.0),
        dropout_ratio=0.5,
    ),
)
pretrained = dict(
    url=(
        'https://download.openmmlab.com/mmaction/v1.0/skeleton/posec3d/'
        'rgbpose_conv3d/rgbpose_conv3d_init_20230228-09b7684b.pth'
    ),
    sha8='09b7684b',
    data='ntu60-xsub',
    note='both streams of RGBPoseConv3D, trained apart on NTU60 XSub',
)

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.0075, momentum=0.9, weight_decay=1e-4),
    clip_grad=dict(max_norm=40, norm_type=2),
)
auto_scale_lr = dict(enable=True, base_batch_size=48)

param_scheduler = [
    dict(
        type='MultiStepLR',
        begin=0,
        end=20,
        by_epoch=True,
        milestones=[12, 16],
        gamma=0.1,
    )
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=20, val_interval=1)
