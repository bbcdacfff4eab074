# AdaTAD at 1.5 M parameters from scratch, for two CPU cores: VideoMAE of depth 4 and
# 128 channels with TIA adapters, windows of 128 frames at 64 x 64, five levels. The
# paper has no such model, and this reproduces nothing. Nobody publishes weights of this
# size, so nothing is frozen. ImageNet mean and std, RGB.
# Our own numbers: AdamW at 1e-3 for a batch of 2, adapters as all else, 40 epochs, four
# of warm-up, cosine to a hundredth, clip 1.
_base_ = '../_base_/datasets/mma82_det_rgb_128x64.py'

protocol = dict(name='indomain')

model = dict(
    type='SegmentDetector',
    backbone=dict(type='VideoMAETIA', arch='tiny', frozen=False),
    projection=dict(
        type='Conv1DTransformerProj',
        in_channels=128,
        out_channels=128,
        arch=(1, 0, 4),
        path_drop=0.0,
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
    data_preprocessor=dict(
        type='ActionDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        format_shape='NCTHW',
    ),
)
pretrained = None

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),
    paramwise_cfg=dict(
        flat_decay_mult=0,
        custom_keys={'.adapter.': dict(lr_mult=1.0), '.scale': dict(decay_mult=0)},
    ),
    clip_grad=dict(max_norm=1.0),
)
auto_scale_lr = dict(enable=True, base_batch_size=2)

param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.01,
        begin=0,
        end=4,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        eta_min_ratio=0.01,
        T_max=36,
        begin=4,
        end=40,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=40, val_interval=10)
