# A GC-TSM of 0.7 M parameters on MMA-82, differences of 8 frames of 64 x 64, for two
# CPU cores: GC-TSM-R50 with a quarter of its width and 6 bottlenecks.
# Reproduces nothing: it shows that a run works, and is trained from scratch. It takes
# the differences of frames: from scratch and on few clips it learns nothing from the
# frames themselves. std: a third of ImageNet's, as differences are small.
# Our own numbers: AdamW at 2e-3 for a batch of 16, the same for every layer, 30 epochs,
# three of warm-up, cosine to a hundredth.
# Expected: – (real data not seen). Hardware: two CPU cores; a training step of 16 clips
# takes about 0.4 s on one core.
_base_ = '../_base_/datasets/mma82_rgb_8x64.py'

protocol = dict(name='indomain')

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
        label_space='mma82',
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

optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.05)
)
auto_scale_lr = dict(enable=True, base_batch_size=16)

param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.01,
        begin=0,
        end=3,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        eta_min_ratio=0.01,
        T_max=27,
        begin=3,
        end=30,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=30, val_interval=1)
