# A VideoMAE of 1 M parameters for two CPU cores, 16x112x112: depth 4, 128 channels, 4
# heads. It reproduces no published model: it shows that a run works, and learns the
# simulated corpus from scratch. A training step of 8 clips takes about 0.25 s.
# No mixup, cutmix or label smoothing, and the classifier starts at 0.02: a few epochs
# from scratch leave nothing to regularise. ImageNet mean and std, RGB.
model = dict(
    type='Recognizer3D',
    backbone=dict(type='VideoMAEViT', arch='tiny'),
    cls_head=dict(
        type='ActionHead',
        pooling='none',
        num_classes=82,
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
