# VideoMAE's pre-training of the VideoMAE of 1 M parameters without labels, 16 frames of
# 112 x 112, for two CPU cores; it starts videomae-tiny_mma82.
# Reproduces nothing: it shows that a run works. The objective is VideoMAE's (see
# videomae-b_mma82.py), the decoder has 2 blocks of 64 channels.
# Our own numbers: AdamW at 1e-3 for a batch of 16 samples of 4 clips, 20 epochs, one of
# warm-up, cosine to a fifteenth.
# Expected: – (real data not seen). Hardware: two CPU cores.
_base_ = '../_base_/datasets/mma82_unlabelled_16x112.py'

protocol = dict(name='indomain')

model = dict(
    type='MaskedVideoModel',
    backbone=dict(type='VideoMAEViT', arch='tiny'),
    decoder=dict(embed_dims=64, depth=2, num_heads=2),
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
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.95), weight_decay=0.05),
    paramwise_cfg=dict(
        flat_decay_mult=0.0, custom_keys=dict(mask_token=dict(decay_mult=0.0))
    ),
)
auto_scale_lr = dict(enable=True, base_batch_size=16)

param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=1e-3,
        begin=0,
        end=1,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        eta_min_ratio=1 / 15,
        T_max=19,
        begin=1,
        end=20,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=20)
