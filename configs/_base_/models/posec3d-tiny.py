# PoseC3D from 16 channels with one block per stage, for two CPU cores; sizes are ours.
# The first convolution is small and has stride 2: at full size it is most of the work.
# One step of 32 clips takes about 0.4 s of one core.
model = dict(
    type='Recognizer3D',
    data_preprocessor=dict(
        type='HeatmapPreprocessor', layout='wholebody65', joints='ends31'
    ),
    backbone=dict(
        type='SkeletonSlowOnly',
        layout='wholebody65',
        joints='ends31',
        base_channels=16,
        stage_blocks=(1, 1, 1),
        conv1_kernel=(1, 3, 3),
        conv1_stride_s=2,
        with_pool1=False,
    ),
    cls_head=dict(
        type='ActionHead',
        pooling='clip',
        num_classes=82,
        in_channels=256,
        dropout_ratio=0.3,
        label_smooth_eps=0.1,
    ),
)
pretrained = None
