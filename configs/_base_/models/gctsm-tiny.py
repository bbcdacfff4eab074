# A GC-TSM of 0.7 M parameters for two CPU cores, 8 x 112 x 112: GC-TSM-R50 with a
# quarter of its width and 6 bottlenecks. It reproduces no published model: it shows
# that a run works, and learns from scratch.
# A training step of 8 clips takes about 0.5 s on one core. ImageNet mean and std, RGB.
model = dict(
    type='Recognizer2D',
    backbone=dict(
        type='ShiftResNet',
        stage_blocks=(1, 2, 2, 1),
        base_channels=16,
        num_segments=8,
        shift_div=8,
        context=dict(cdiv=4, s_use_bn=True),
    ),
    cls_head=dict(
        type='ActionHead',
        pooling='segments',
        num_segments=8,
        num_classes=82,
        in_channels=512,
        dropout_ratio=0.2,
        init_std=0.01,
        average_clips='prob',
    ),
    data_preprocessor=dict(
        type='ActionDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        format_shape='NCHW',
    ),
)

# Nobody publishes weights of this size.
pretrained = None
