# A VideoMAE of 1 M parameters on MMA-82, 16 frames of 112 x 112, for two CPU cores:
# depth 4, 128 channels, 4 heads.
# Reproduces nothing: it shows that a run works, and learns the simulated corpus from
# scratch. No mixup, cutmix or label smoothing, and the classifier starts at 0.02: a few
# epochs from scratch leave nothing to regularise. ImageNet mean and std, RGB.
# Our own numbers: AdamW at 1e-3 for a batch of 8, the same for every layer, 20 epochs,
# one of warm-up, cosine to a hundredth.
# Expected: – (real data not seen). Hardware: two CPU cores; a training step of 8 clips
# takes about 0.25 s.
_base_ = '../_base_/datasets/mma82_rgb_16x112.py'

protocol = dict(name='indomain')

model = dict(
    type='Recognizer3D',
    backbone=dict(type='VideoMAEViT', arch='tiny'),
    cls_head=dict(
        type='ActionHead',
        pooling='none',
        num_classes=82,
        label_space='mma82',
        in_channels=128,
        dropout_ratio=0.0,
        init_std=0.02,
        average_clips='prob',
    ),
    data_preprocessor=dict(
        type='ActionDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        format_shape='NCTHW',
    ),
)

# Nobody publishes weights of this size.
pretrained = None

optim_wrapper = dict(
    type='OptimWrapper',
    constructor='LayerDecayOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(decay_rate=1.0),
)
auto_scale_lr = dict(enable=True, base_batch_size=8)

param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.01,
        begin=0,
        end=1,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        eta_min_ratio=0.01,
        T_max=19,
        begin=1,
        end=20,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=20, val_interval=1)
