# 16 frames of 31 joints (body, big toes, heels, fingertips) in a square around the
# person, 32 x 32 in training and 36 x 36 in testing, for compact heatmap models. One
# view.
_base_ = '../default_runtime.py'

train_pipeline = [
    dict(type='LoadSkeleton', layout='wholebody65', joints='ends31'),
    dict(type='UniformSkeletonFrames', clip_len=16),
    dict(type='SkeletonCompact', padding=0.25, threshold=10, hw_ratio=1.0),
    dict(type='Resize', scale=(36, 36), keep_ratio=False),
    dict(type='RandomResizedCrop', area_range=(0.56, 1.0)),
    dict(type='Resize', scale=(32, 32), keep_ratio=False),
    dict(type='SkeletonFlip'),
    dict(type='FormatKeypoints'),
    dict(type='PackClip'),
]
val_pipeline = [
    dict(type='LoadSkeleton', layout='wholebody65', joints='ends31'),
    dict(type='UniformSkeletonFrames', clip_len=16, test_mode=True),
    dict(type='SkeletonCompact', padding=0.25, threshold=10, hw_ratio=1.0),
    dict(type='Resize', scale=(36, 36), keep_ratio=False),
    dict(type='FormatKeypoints'),
    dict(type='PackClip'),
]

train_dataloader = dict(
    batch_size=32, dataset=dict(modality='Pose', pipeline=train_pipeline)
)
val_dataloader = test_dataloader = dict(
    batch_size=64, dataset=dict(modality='Pose', pipeline=val_pipeline)
)
