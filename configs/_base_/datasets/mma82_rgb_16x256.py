# MMA-82 clips as RGB: 16 frames spread over the clip, 256 x 256; 8 clips per GPU.
# Times, not frame numbers, are sampled: one random time in each of 16 equal parts, the
# middles in validation and testing (one view, centre crop).
# Augmentation is that of V-JEPA 2's probes (facebookresearch/vjepa2 071444e,
# evals/video_classification_frozen), RandAugment and erasing, with two changes: crops
# of at least half the picture (there .08), for hands and feet leave a smaller one, and
# flips (there none), for no action of MMA-82 names a side. Testing takes the whole
# height; there a margin of an eighth is cut away.
_base_ = '../default_runtime.py'

train_pipeline = [
    dict(type='OpenVideo'),
    dict(type='UniformFrames', clip_len=16),
    dict(type='DecodeFrames'),
    dict(type='Resize', scale=(-1, 288)),
    dict(type='RandomResizedCrop', area_range=(0.5, 1.0)),
    dict(type='Resize', scale=(256, 256), keep_ratio=False),
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
    dict(type='Resize', scale=(-1, 256)),
    dict(type='CenterCrop', crop_size=256),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackClip'),
]

train_dataloader = dict(batch_size=8, dataset=dict(pipeline=train_pipeline))
val_dataloader = test_dataloader = dict(
    batch_size=8, dataset=dict(pipeline=test_pipeline)
)
