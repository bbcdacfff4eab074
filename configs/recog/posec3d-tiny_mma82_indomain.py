# PoseC3D from 16 channels with one block per stage on MMA-82 skeletons, 16 frames of 31
# joints, for two CPU cores; sizes are ours.
# Reproduces nothing: it shows that a run works, and is trained from scratch. The first
# convolution is small and has stride 2: at full size it is most of the work.
# Our own numbers: AdamW at 2e-3 for a batch of 32, 20 epochs, two of warm-up, cosine to
# 0.
# Expected: – (real data not seen). Hardware: two CPU cores; a step of 32 clips takes
# about 0.4 s of one core.
_base_ = '../_base_/datasets/mma82_heatmap_u16.py'

protocol = dict(name='indomain')

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
        label_space='mma82',
        in_channels=256,
        dropout_ratio=0.3,
        label_smooth_eps=0.1,
    ),
)
pretrained = None

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.05),
    clip_grad=dict(max_norm=40, norm_type=2),
)
auto_scale_lr = dict(enable=True, base_batch_size=32)

param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.01,
        begin=0,
        end=2,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        eta_min=0,
        T_max=18,
        begin=2,
        end=20,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=20, val_interval=5)
