# MMA-82 clips as RGB, small, for two CPU cores: 16 frames spread over the clip,
# 112 x 112; 8 clips per step.
# Times, not frame numbers, are sampled: one random time in each of 16 equal parts, the
# middles in validation and testing (one view, centre crop).
# Random crops of at least half the picture and flips only: a few epochs from scratch
# leave nothing to regularise. Flips are safe: no action of MMA-82 names a side.
_base_ = '../default_runtime.py'

train_pipeline = [
    dict(type='OpenVideo'),
    dict(type='UniformFrames', clip_len=16),
    dict(type='DecodeFrames'),
    dict(type='Resize', scale=(-1, 128)),
    dict(type='RandomResizedCrop', area_range=(0.5, 1.0)),
    dict(type='Resize', scale=(112, 112), keep_ratio=False),
    dict(type='Flip', flip_ratio=0.5),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackClip'),
]
test_pipeline = [
    dict(type='OpenVideo'),
    dict(type='UniformFrames', clip_len=16, test_mode=True),
    dict(type='DecodeFrames'),
    dict(type='Resize', scale=(-1, 112)),
    dict(type='CenterCrop', crop_size=112),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackClip'),
]

train_dataloader = dict(batch_size=8, dataset=dict(pipeline=train_pipeline))
val_dataloader = test_dataloader = dict(
    batch_size=8, dataset=dict(pipeline=test_pipeline)
)
