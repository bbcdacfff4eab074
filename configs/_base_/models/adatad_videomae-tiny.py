# AdaTAD at 1.5 M parameters for two CPU cores: VideoMAE of depth 4 and 128 channels
# with TIA adapters, windows of 128 frames at 64 x 64, five levels. It reproduces no
# published model. Nobody publishes weights of this size, so nothing is frozen.
# ImageNet mean and std, RGB.
model = dict(
    type='SegmentDetector',
    backbone=dict(type='VideoMAETIA', arch='tiny', frozen=False),
    projection=dict(
        type='Conv1DTransformerProj',
        in_channels=128,
        out_channels=128,
        arch=(1, 0, 4),
        path_drop=0.0,
    ),
    neck=dict(type='FPNIdentity', in_channels=128, num_levels=5),
    head=dict(
        type='ActionFormerHead',
        num_classes=82,
        in_channels=128,
        feat_channels=128,
        num_convs=1,
        num_levels=5,
        targets='union',
    ),
    data_preprocessor=dict(
        type='ActionDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        format_shape='NCTHW',
    ),
)

pretrained = None
