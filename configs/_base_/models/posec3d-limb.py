# PoseC3D (arXiv 2104.13586): SlowOnly-R50 of 3 stages over heatmaps of 17 limbs, drawn
# on the device. 2.0 M parameters, as published.
# Start: NTU60 rather than PYSKL's Kinetics-400, for its file comes over https and names
# its hash, and its clips are daily actions before a fixed camera, as the lab's are.
model = dict(
    type='Recognizer3D',
    data_preprocessor=dict(
        type='HeatmapPreprocessor',
        layout='wholebody65',
        joints='body17',
        limbs='body17',
    ),
    backbone=dict(
        type='SkeletonSlowOnly',
        layout='wholebody65',
        joints='body17',
        limbs='body17',
    ),
    cls_head=dict(
        type='ActionHead',
        pooling='clip',
        num_classes=82,
        in_channels=512,
        dropout_ratio=0.5,
    ),
)
pretrained = dict(
    url=(
        'https://download.openmmlab.com/mmaction/v1.0/skeleton/posec3d/'
        'slowonly_r50_8xb16-u48-240e_ntu60-xsub-limb/'
        'slowonly_r50_8xb16-u48-240e_ntu60-xsub-limb_20220815-af2f119a.pth'
    ),
    sha8='af2f119a',
    data='ntu60-xsub',
    note='PoseC3D on NTU60 XSub, 17 limbs of COCO: 93.5 top-1',
)
