# TSM-R50 (Lin et al., ICCV 2019), 8 frames: 23.5 M parameters without the classifier.
# Numbers: MMAction2, configs/recognition/tsm, Kinetics-400, 8 frames: dropout 0.5,
# classifier started at 0.001. ImageNet mean and std, RGB.
model = dict(
    type='Recognizer2D',
    backbone=dict(type='ShiftResNet', num_segments=8, shift_div=8),
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
