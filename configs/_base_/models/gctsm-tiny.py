# A GC-TSM of 0.7 M parameters for two CPU cores, 8 x 64 x 64: GC-TSM-R50 with a quarter
# of its width and 6 bottlenecks. It reproduces no published model, and takes the
# differences of frames: from scratch and on few clips it learns nothing from the frames
# themselves. A training step of 16 clips takes about 0.4 s on one core.
# std: a third of ImageNet's, as differences are small.
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
        type='FrameDifferencePreprocessor',
        num_frames=8,
        mean=[123.675, 116.28, 103.53],
        std=[19.465, 19.04, 19.125],
        format_shape='NCHW',
    ),
)

# Nobody publishes weights of this size.
pretrained = None
