# 100 frames of 65 joints: x, y and score (the published joint stream). One view in
# validation, ten in testing, as published.
_base_ = '../default_runtime.py'

train_pipeline = [
    dict(type='LoadSkeleton', layout='wholebody65', joints='all'),
    dict(type='SkeletonFlip'),
    dict(type='UniformSkeletonFrames', clip_len=100),
    dict(type='NormalizeSkeleton'),
    dict(type='SkeletonFeatures', streams=['joint']),
    dict(type='FormatGCNInput', num_person=1),
    dict(type='PackClip'),
]
val_pipeline = [
    dict(type='LoadSkeleton', layout='wholebody65', joints='all'),
    dict(type='UniformSkeletonFrames', clip_len=100, test_mode=True),
    dict(type='NormalizeSkeleton'),
    dict(type='SkeletonFeatures', streams=['joint']),
    dict(type='FormatGCNInput', num_person=1),
    dict(type='PackClip'),
]
test_pipeline = [
    dict(type='LoadSkeleton', layout='wholebody65', joints='all'),
    dict(type='UniformSkeletonFrames', clip_len=100, views=10, test_mode=True),
    dict(type='NormalizeSkeleton'),
    dict(type='SkeletonFeatures', streams=['joint']),
    dict(type='FormatGCNInput', num_person=1),
    dict(type='PackClip'),
]

train_dataloader = dict(
    batch_size=128,
    dataset=dict(modality='Pose', pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=128, dataset=dict(modality='Pose', pipeline=val_pipeline)
)
test_dataloader = dict(  # clips of 10 views
    batch_size=16, dataset=dict(modality='Pose', pipeline=test_pipeline)
)
