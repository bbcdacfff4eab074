# RGBPoseConv3D with a quarter of its width and 4 and 3 bottlenecks on MMA-82: the
# differences of 8 frames of 64 x 64, and 32 heatmaps of 31 joints, for two CPU cores;
# sizes are ours. 0.8 M parameters.
# Reproduces nothing: it shows that a run works, and is trained from scratch. It takes
# the differences of frames, as gctsm-tiny does, with its std.
# Our own numbers: AdamW at 2e-3 for a batch of 16, 30 epochs, three of warm-up, cosine
# to a hundredth.
# Expected: – (real data not seen). Hardware: two CPU cores; a training step of 16 clips
# takes about 0.5 s on one core.
_base_ = '../_base_/datasets/mma82_rgbpose_8x64.py'

protocol = dict(name='indomain')

model = dict(
    type='MMRecognizer3D',
    data_preprocessor=dict(
        type='MultiModalDataPreprocessor',
        preprocessors=dict(
            imgs=dict(
                type='FrameDifferencePreprocessor',
                num_frames=8,
                mean=[123.675, 116.28, 103.53],
                std=[19.465, 19.04, 19.125],
                format_shape='NCTHW',
            ),
            keypoint=dict(
                type='HeatmapPreprocessor',
                layout='wholebody65',
                joints='ends31',
                scale=0.5,
            ),
        ),
    ),
    backbone=dict(
        type='TwoStreamConv3D',
        layout='wholebody65',
        joints='ends31',
        rgb=dict(base_channels=16, stage_blocks=(1, 1, 1, 1)),
        pose=dict(
            base_channels=8,
            stage_blocks=(1, 1, 1),
            conv1_kernel=(1, 3, 3),
            conv1_stride_s=2,
        ),
    ),
    cls_head=dict(
        type='TwoStreamHead',
        num_classes=82,
        label_space='mma82',
        in_channels=(512, 128),
        loss_weights=(1.0, 1.0),
        dropout_ratio=0.2,
        label_smooth_eps=0.1,
    ),
)
pretrained = None

optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.05)
)
auto_scale_lr = dict(enable=True, base_batch_size=16)

param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.01,
        begin=0,
        end=3,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        eta_min_ratio=0.01,
        T_max=27,
        begin=3,
        end=30,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=30, val_interval=1)
