# MMA-82 clips as RGB for 2D networks: 8 frames spread over the clip, 224 x 224; 16
# clips per GPU.
# One random time in each of 8 equal parts (TSN's segments), the middles in validation
# and testing: one view, centre crop. More views (`views=2`, ThreeCrop) stand one after
# the other, 8 frames each, and the head averages them.
# Augmentation is TSM's for Kinetics-400 (MMAction2, configs/recognition/tsm): short
# side 256, 13 fixed crops of 4 scales, flip. Flips are safe: no action of MMA-82 names
# a side.
_base_ = '../default_runtime.py'

train_pipeline = [
    dict(type='OpenVideo'),
    dict(type='UniformFrames', clip_len=8),
    dict(type='DecodeFrames'),
    dict(type='Resize', scale=(-1, 256)),
    dict(
        type='MultiScaleCrop',
        input_size=224,
        scales=(1, 0.875, 0.75, 0.66),
        random_crop=False,
        max_wh_scale_gap=1,
        num_fixed_crops=13,
    ),
    dict(type='Resize', scale=(224, 224), keep_ratio=False),
    dict(type='Flip', flip_ratio=0.5),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='PackClip'),
]
test_pipeline = [
    dict(type='OpenVideo'),
    dict(type='UniformFrames', clip_len=8, test_mode=True),
    dict(type='DecodeFrames'),
    dict(type='Resize', scale=(-1, 256)),
    dict(type='CenterCrop', crop_size=224),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='PackClip'),
]

train_dataloader = dict(batch_size=16, dataset=dict(pipeline=train_pipeline))
val_dataloader = test_dataloader = dict(
    batch_size=16, dataset=dict(pipeline=test_pipeline)
)
