# Residual temporal convolutions over bones at half the rate of the window, a pyramid
# of five levels and the head of ActionFormer with 128 channels, 1.8 M parameters; sizes
# are ours.
model = dict(
    type='SegmentDetector',
    pooling='graph',
    backbone=dict(
        type='SkeletonTCN',
        layout='wholebody65',
        joints='ends31',
        in_channels=4,
        channels=(128, 128, 192, 256),
        strides=(1, 2, 1),
    ),
    projection=dict(
        type='Conv1DTransformerProj',
        in_channels=256,
        out_channels=128,
        arch=(1, 0, 4),
        num_heads=4,
        window=19,
        path_drop=0.1,
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
)
pretrained = None
