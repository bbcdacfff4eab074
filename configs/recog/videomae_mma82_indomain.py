# VideoMAE ViT-B/16 on MMA-82, 16 frames spread over the clip, 224 x 224; 86 M
# parameters. The paper has no such row.
# Numbers: VideoMAE's fine-tuning for Kinetics-400 (MCG-NJU/VideoMAE, scripts of commit
# 14ef8d85): label smoothing 0.1, mixup 0.8 or cutmix 1.0 on every batch, drop path 0.1,
# classifier started at 0.02 * 0.001; each clip twice in a step and an epoch; AdamW,
# learning rate 5e-4 * batch / 256, where the batch counts clips (512 samples are 256),
# weight decay 0.05 (none on biases and norms), layer decay 0.75, warm-up of 5 epochs
# from 1e-6 and a cosine to 1e-6. Both ends are fractions of 5e-4 here, since they scale
# with batch and layer there too. ImageNet mean and std, RGB.
# The number of epochs is our choice (there 75 to 150): the start is OpenMMLab's weights
# that were tuned on Kinetics-400.
# Expected: – (real data not seen). Hardware: –. Hours: –
_base_ = '../_base_/datasets/mma82_rgb_16x224.py'

protocol = dict(name='indomain')

model = dict(
    type='Recognizer3D',
    backbone=dict(type='VideoMAEViT', arch='base', drop_path_rate=0.1),
    cls_head=dict(
        type='ActionHead',
        pooling='none',
        num_classes=82,
        label_space='mma82',
        in_channels=768,
        dropout_ratio=0.0,
        init_std=2e-5,
        label_smooth_eps=0.1,
        average_clips='prob',
    ),
    data_preprocessor=dict(
        type='ActionDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        format_shape='NCTHW',
        blending=dict(
            type='RandomBatchAugment',  # one of the two for every batch, half and half
            augments=[
                dict(type='MixupBlending', alpha=0.8, num_classes=82),
                dict(type='CutmixBlending', alpha=1.0, num_classes=82),
            ],
        ),
    ),
)
pretrained = dict(
    url=(
        'https://download.openmmlab.com/mmaction/v1.0/recognition/videomae/'
        'vit-base-p16_videomae-k400-pre'
        '_16x4x1_kinetics-400_20221013-860a3cd3.pth'
    ),
    sha8='860a3cd3',
    data='kinetics-400',
    note='VideoMAE ViT-B, pre-trained and tuned on K400: 81.3 top-1',
)

optim_wrapper = dict(
    type='OptimWrapper',
    constructor='LayerDecayOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=5e-4, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(decay_rate=0.75),
)
auto_scale_lr = dict(enable=True, base_batch_size=512)

param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=2e-3,
        begin=0,
        end=5,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        eta_min_ratio=2e-3,
        T_max=45,
        begin=5,
        end=50,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=50, val_interval=1)
