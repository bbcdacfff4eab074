# GC-TSM-R50 (Hao et al., CVPR 2022), 8 frames: TSM-R50 with the four gates of group
# contextualization on every block, 24.8 M parameters without the classifier.
# Numbers: haoyanbin918/Group-Contextualization, commit b99be50a: four groups (cdiv),
# all channels gated, no rotation of groups. The released code defines a BN of the
# spatial gate and never calls it; here it is called, as in the other three gates. For
# the released weights set s_use_bn=False. ImageNet mean and std, RGB.
# The start is TSM's on Kinetics-400: it lacks the gates, which start near 0.5.
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
