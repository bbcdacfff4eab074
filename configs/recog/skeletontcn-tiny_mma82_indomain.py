# Residual temporal convolutions over bones on MMA-82 skeletons, 48 frames of 31 joints,
# for two CPU cores: 0.79 M parameters; sizes are ours.
# Reproduces nothing; it is the compact model for a quick start. Chosen over ST-GCN++:
# with equal data, features (joint, bone, joint motion, score) and 12 epochs on the
# simulated lab, Top-1 on lab val is 82 against 60 for ST-GCN++ of 4 stages, and the
# networks take 30 against 208 seconds of one core.
# Our own numbers: AdamW at 1e-3 for a batch of 64, 40 epochs from scratch, four of
# warm-up, cosine to 0.
# Expected: – (real data not seen). Hardware: two CPU cores; simulated, scale small,
# lab, 40 epochs: 290 seconds of processor time, loading and validation included. One
# step of 64 clips takes about 0.08 s on one core.
_base_ = '../_base_/datasets/mma82_skeleton_u48.py'

protocol = dict(name='indomain')

model = dict(
    type='RecognizerGCN',
    backbone=dict(
        type='SkeletonTCN', layout='wholebody65', joints='ends31', in_channels=4
    ),
    cls_head=dict(
        type='ActionHead',
        pooling='graph',
        num_classes=82,
        label_space='mma82',
        in_channels=256,
        dropout_ratio=0.3,
        label_smooth_eps=0.1,
    ),
)
pretrained = None

optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05)
)
auto_scale_lr = dict(enable=True, base_batch_size=64)

param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.01,
        begin=0,
        end=4,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        eta_min=0,
        T_max=36,
        begin=4,
        end=40,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=40, val_interval=10)
