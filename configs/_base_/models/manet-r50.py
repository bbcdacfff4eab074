# MANet-R50 (Guo et al., TCSVT 2024), 8 frames: TSM-R50 with a squeeze-and-excitation
# gate before every shift, 31.5 M parameters without the head, and label vectors as a
# second target.
# Numbers: VUT-HFUT/Micro-Action, commit e38d2417: reduction 4, dropout 0.5, linear
# layers of the head started at 0.001, 50 * MSE. The label vectors are our own: the
# published table covers MA-52 and its source is not told (mmma/models/heads/
# label_vectors.py). ImageNet mean and std, RGB.
# The start is ImageNet, as published; it lacks the gates.
model = dict(
    type='Recognizer2D',
    backbone=dict(type='ShiftResNet', num_segments=8, shift_div=8, squeeze=4),
    cls_head=dict(
        type='MANetHead',
        num_segments=8,
        num_classes=82,
        in_channels=2048,
        dropout_ratio=0.5,
        embedding_weight=50.0,
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
    url='https://download.pytorch.org/models/resnet50-0676ba61.pth',
    sha8='0676ba61',
    size=102530333,
    data='imagenet-1k',
    note='ResNet-50 of torchvision, IMAGENET1K_V1: 76.13 top-1',
)
