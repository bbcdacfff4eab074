# MMA-82 clips as RGB for 2D networks, small, for two CPU cores: 8 frames spread over
# the clip, 64 x 64; 16 clips per step.
# As mma82_rgb_8x224, smaller. Shrunk by areas: points alias, and differences show it.
_base_ = '../default_runtime.py'

train_pipeline = [
    dict(type='OpenVideo'),
    dict(type='UniformFrames', clip_len=8),
    dict(type='DecodeFrames'),
    dict(type='Resize', scale=(-1, 72), interpolation='area'),
    dict(
        type='MultiScaleCrop',
        input_size=64,
        scales=(1, 0.875, 0.75, 0.66),
        random_crop=False,
        max_wh_scale_gap=1,
        num_fixed_crops=13,
    ),
    dict(type='Resize', scale=(64, 64), keep_ratio=False),
    dict(type='Flip', flip_ratio=0.5),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='PackClip'),
]
test_pipeline = [
    dict(type='OpenVideo'),
    dict(type='UniformFrames', clip_len=8, test_mode=True),
    dict(type='DecodeFrames'),
    dict(type='Resize', scale=(-1, 72), interpolation='area'),
    dict(type='CenterCrop', crop_size=64),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='PackClip'),
]

train_dataloader = dict(batch_size=16, dataset=dict(pipeline=train_pipeline))
val_dataloader = test_dataloader = dict(
    batch_size=16, dataset=dict(pipeline=test_pipeline)
)
