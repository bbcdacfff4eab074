# TSM-R50 (Lin et al., ICCV 2019) on MMA-82, 8 frames spread over the clip, 224 x 224:
# 23.5 M parameters without the classifier. The paper has no such row; MANet's authors
# report TSM on MA-52 (56.75 top-1).
# Numbers: MMAction2, configs/recognition/tsm, Kinetics-400, 8 frames: dropout 0.5,
# classifier started at 0.001; SGD, 0.02 for a batch of 128, weight decay 1e-4,
# gradients clipped at 20, five epochs of warm-up from a tenth, a tenth from epochs 25
# and 45 of 50; biases learn twice as fast, the classifier 5 and 10 times. ImageNet mean
# and std, RGB. The start is its Kinetics-400 weights: 23 thousand clips of upper bodies
# are few, and those weights know people moving.
# Expected: – (real data not seen). Hardware: –. Hours: –
_base_ = '../_base_/datasets/mma82_rgb_8x224.py'

protocol = dict(name='indomain')

model = dict(
    type='Recognizer2D',
    backbone=dict(type='ShiftResNet', num_segments=8, shift_div=8),
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
    optimizer=dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=1e-4),
    paramwise_cfg=dict(
        bias_lr_mult=2,
        bias_decay_mult=0,
        norm_decay_mult=0,
        flat_decay_mult=0,
        custom_keys={
            'cls_head.fc_cls.weight': dict(lr_mult=5),
            'cls_head.fc_cls.bias': dict(lr_mult=10, decay_mult=0),
            'cls_head.fc_body.weight': dict(lr_mult=5),
            'cls_head.fc_body.bias': dict(lr_mult=10, decay_mult=0),
        },
    ),
    clip_grad=dict(max_norm=20, norm_type=2),
)
auto_scale_lr = dict(enable=True, base_batch_size=128)

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
        milestones=[25, 45],
        gamma=0.1,
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=50, val_interval=5)
