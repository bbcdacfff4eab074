# ST-GCN++ (PYSKL, arXiv 2205.09443) of published width: 10 stages from 64 channels.
# 1.39 M parameters at 17 joints and 60 classes, as published; 1.52 M as used here.
model = dict(
    type='RecognizerGCN',
    backbone=dict(
        type='SkeletonSTGCN',
        layout='wholebody65',
        joints='all',
        gcn_adaptive='init',
        gcn_with_res=True,
        tcn_type='mstcn',
    ),
    cls_head=dict(
        type='ActionHead',
        pooling='graph',
        num_classes=82,
        in_channels=256,
        dropout_ratio=0.0,
    ),
)
pretrained = None
