# Temporal detection on MMA-82 skeletons for two CPU cores: residual temporal
# convolutions over bones at half the rate of the window, a pyramid of five levels and
# the head of ActionFormer with 128 channels, 1.8 M parameters; sizes are ours. The
# paper has no such model, and this reproduces nothing.
# Our own numbers: AdamW at 1e-3 for a batch of 16, 30 epochs from scratch, three of
# warm-up, cosine to 0.
# Expected: – (real data not seen). Hardware: two CPU cores; simulated, scale small,
# lab: 0.5 seconds of one core per step of 16 windows, 18 steps per epoch, 30 epochs.
_base_ = '../_base_/datasets/mma82_det_skeleton_p256.py'

protocol = dict(name='indomain')

model = dict(
    type='SegmentDetector',
    pooling='graph',
    backbone=dict(
        type='SkeletonTCN',
        layout='wholebody65',
        joints='ends31',
        in_channels=4,
        channels=(128, 128, 192, 256),
        strides=(1, 2, 1),
    ),
    projection=dict(
        type='Conv1DTransformerProj',
        in_channels=256,
        out_channels=128,
        arch=(1, 0, 4),
        num_heads=4,
        window=19,
        path_drop=0.1,
    ),
    neck=dict(type='FPNIdentity', in_channels=128, num_levels=5),
    head=dict(
        type='ActionFormerHead',
        num_classes=82,
        label_space='mma82',
        in_channels=128,
        feat_channels=128,
        num_convs=1,
        num_levels=5,
        targets='union',
    ),
)
pretrained = None

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),
    clip_grad=dict(max_norm=1.0),
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
        eta_min=0,
        T_max=27,
        begin=3,
        end=30,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=30, val_interval=10)
