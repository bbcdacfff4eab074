# MMA-82 clips as RGB for Video Swin: 32 frames spread over the clip, 224 x 224; 8 clips
# per GPU.
# Times, not frame numbers, are sampled: one random time in each of 32 equal parts, the
# middles in validation and testing (one view, centre crop). A clip of MMA-82 lasts 2.6
# s, 32 frames two apart 2.1 s.
# Augmentation is that of MMAction2's configs/recognition/swin, with crops of at least
# half the picture, for hands and feet leave an .08 crop. Flips are safe: no action of
# MMA-82 names a side.
_base_ = '../default_runtime.py'

train_pipeline = [
    dict(type='OpenVideo'),
    dict(type='UniformFrames', clip_len=32),
    dict(type='DecodeFrames'),
    dict(type='Resize', scale=(-1, 256)),
    dict(type='RandomResizedCrop', area_range=(0.5, 1.0)),
    dict(type='Resize', scale=(224, 224), keep_ratio=False),
    dict(type='Flip', flip_ratio=0.5),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackClip'),
]
test_pipeline = [
    dict(type='OpenVideo'),
    dict(type='UniformFrames', clip_len=32, test_mode=True),
    dict(type='DecodeFrames'),
    dict(type='Resize', scale=(-1, 256)),
    dict(type='CenterCrop', crop_size=224),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackClip'),
]

train_dataloader = dict(batch_size=8, dataset=dict(pipeline=train_pipeline))
val_dataloader = test_dataloader = dict(
    batch_size=8, dataset=dict(pipeline=test_pipeline)
)
