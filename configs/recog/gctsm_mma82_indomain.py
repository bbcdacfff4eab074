# GC-TSM-R50 (Hao et al., CVPR 2022) on MMA-82, 8 frames spread over the clip, 224 x
# 224: the RGB baseline of the paper, whose hyperparameters are not published. TSM-R50
# with the four gates of group contextualization on every block, 24.8 M parameters
# without the classifier.
# Numbers: haoyanbin918/Group-Contextualization, commit b99be50a, Something-Something
# V1: four groups (cdiv), all channels gated, no rotation of groups; augmentation
# without its label remap; SGD, 0.01 for a batch of 32, weight decay 1e-4, gradients
# clipped at 20, a tenth from epochs 20 and 40 of 50; gates learn 5 times as fast,
# biases twice, the classifier at the plain rate. The released code defines a BN of the
# spatial gate and never calls it; here it is called, as in the other three gates. For
# the released weights set s_use_bn=False. ImageNet mean and std, RGB.
# Ours: the start, TSM's Kinetics-400 weights (the repository: ImageNet), since 23
# thousand clips are few; and the warm-up, five epochs from a tenth: those weights lack
# the gates, which start near 0.5 and halve the features that the weights expect.
# Expected: – (real data not seen). Hardware: –. Hours: –
_base_ = '../_base_/datasets/mma82_rgb_8x224.py'

protocol = dict(name='indomain')

model = dict(
    type='Recognizer2D',
    backbone=dict(
        type='ShiftResNet',
        num_segments=8,
        shift_div=8,
        context=dict(cdiv=4, s_use_bn=True),
    ),
    cls_head=dict(
        type='ActionHead',
        pooling='segments',
        num_segments=8,
        num_classes=82,
        label_space='mma82',
        in_channels=2048,
        dropout_ratio=0.5,
        init_std=0.001,
        average_clips='prob',
    ),
    data_preprocessor=dict(
        type='ActionDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        format_shape='NCHW',
    ),
)
pretrained = dict(
    url=(
        'https://download.openmmlab.com/mmaction/v1.0/recognition/tsm/'
        'tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_kinetics400-rgb/'
        'tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_kinetics400-rgb'
        '_20220831-64d69186.pth'
    ),
    sha8='64d69186',
    data='imagenet-1k + kinetics-400',
    note='TSM-R50, 8 frames, tuned on K400: 73.18 top-1',
)

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4),
    paramwise_cfg=dict(
        bias_lr_mult=2,
        bias_decay_mult=0,
        norm_decay_mult=0,
        flat_decay_mult=0,
        custom_keys={
            '.gc.': dict(lr_mult=5),
            '.gc.l.bn.': dict(lr_mult=5, decay_mult=0),
            '.gc.t.bn.': dict(lr_mult=5, decay_mult=0),
            '.gc.s.bn.': dict(lr_mult=5, decay_mult=0),
            '.gc.g.bn.': dict(lr_mult=5, decay_mult=0),
        },
    ),
    clip_grad=dict(max_norm=20, norm_type=2),
)
auto_scale_lr = dict(enable=True, base_batch_size=32)

param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.1,
        begin=0,
        end=5,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
    dict(
        type='MultiStepLR',
        begin=0,
        end=50,
        by_epoch=True,
        milestones=[20, 40],
        gamma=0.1,
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=50, val_interval=5)
