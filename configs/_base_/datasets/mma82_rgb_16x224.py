# MMA-82 clips as RGB: 16 frames spread over the clip, 224 x 224; 8 clips per GPU, in
# training each of them twice.
# Times, not frame numbers, are sampled: one random time in each of 16 equal parts, the
# middles in validation and testing (one view, centre crop).
# Augmentation is VideoMAE's, repeated (its num_sample of 2): a step has a clip twice,
# differently cropped, changed and erased, and here of other times, too.
# Ours: crops of at least half the picture, for hands and feet leave an .08 crop;
# bilinear for bicubic; RandAugment after the crop (there before). Flips are safe: no
# action of MMA-82 names a side.
_base_ = '../default_runtime.py'

train_pipeline = [
    dict(type='OpenVideo'),
    dict(type='UniformFrames', clip_len=16),
    dict(type='DecodeFrames'),
    dict(type='Resize', scale=(-1, 256)),
    dict(type='RandomResizedCrop', area_range=(0.5, 1.0)),
    dict(type='Resize', scale=(224, 224), keep_ratio=False),
    dict(type='ClipRandAugment'),
    dict(type='Flip', flip_ratio=0.5),
    dict(type='ClipErasing'),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackClip'),
]
test_pipeline = [
    dict(type='OpenVideo'),
    dict(type='UniformFrames', clip_len=16, test_mode=True),
    dict(type='DecodeFrames'),
    dict(type='Resize', scale=(-1, 224)),
    dict(type='CenterCrop', crop_size=224),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackClip'),
]

train_dataloader = dict(
    batch_size=16,
    sampler=dict(repeats=2),
    dataset=dict(pipeline=train_pipeline),
)
val_dataloader = test_dataloader = dict(
    batch_size=8, dataset=dict(pipeline=test_pipeline)
)
