# Video Swin-T (MMAction2's SwinTransformer3D) on MMA-82, 32 frames spread over the
# clip, 224 x 224; 28 M parameters. The paper has no such row; the starter kit of the
# Micro-Action Challenge uses Video Swin.
# Numbers: MMAction2's configs/recognition/swin, Kinetics-400 (4d6c9347): AdamW at 1e-3
# for a batch of 64, the backbone at a tenth, weight decay 0.02 (none on norms and
# tables of relative positions), warm-up of 2.5 epochs from a tenth, cosine to 0, drop
# path 0.1, dropout 0.5. ImageNet mean and std, RGB. Frames there are 32, two apart.
# Ours: the start is the weights that were tuned on Kinetics-400 (there ImageNet), and
# one view (there 4 clips x 3 crops). --amp, as there, halves the memory.
# Expected: – (real data not seen). Hardware: –. Hours: –
_base_ = '../_base_/datasets/mma82_rgb_32x224.py'

protocol = dict(name='indomain')

model = dict(
    type='Recognizer3D',
    backbone=dict(
        type='SwinTransformer3D',
        arch='tiny',
        pretrained=None,
        pretrained2d=False,
        patch_size=(2, 4, 4),
        window_size=(8, 7, 7),
        drop_path_rate=0.1,
    ),
    cls_head=dict(
        type='ActionHead',
        num_classes=82,
        label_space='mma82',
        in_channels=768,
        dropout_ratio=0.5,
        init_std=0.01,
        average_clips='prob',
    ),
    data_preprocessor=dict(
        type='ActionDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        format_shape='NCTHW',
    ),
)
pretrained = dict(
    url=(
        'https://download.openmmlab.com/mmaction/v1.0/recognition/swin/'
        'swin-tiny-p244-w877_in1k-pre_8xb8-amp-32x2x1-30e_kinetics400-rgb/'
        'swin-tiny-p244-w877_in1k-pre_8xb8-amp-32x2x1-30e_kinetics400-rgb'
        '_20220930-241016b2.pth'
    ),
    sha8='241016b2',
    data='imagenet-1k, kinetics-400',
    note='Video Swin-T, ImageNet-1K, tuned on K400: 78.90 top-1',
)

optim_wrapper = dict(
    type='OptimWrapper',
    constructor='SwinOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.999), weight_decay=0.02),
    paramwise_cfg=dict(
        relative_position_bias_table=dict(decay_mult=0.0),
        norm=dict(decay_mult=0.0),
        backbone=dict(lr_mult=0.1),
    ),
)
auto_scale_lr = dict(enable=True, base_batch_size=64)

param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.1,
        begin=0,
        end=2.5,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        eta_min=0,
        T_max=30,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=30, val_interval=1)
