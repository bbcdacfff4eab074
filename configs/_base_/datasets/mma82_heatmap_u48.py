# 48 frames of 17 joints in a square around the person, for joint or limb heatmaps that
# the model's preprocessor draws: 48 x 48 in training, 56 x 56 in testing. One view in
# validation; in testing ten views and their mirror images.
# Numbers: PoseC3D's fine-tuning (MMAction2, configs/skeleton/posec3d, HMDB51; from
# scratch it takes 56 and 64). Ours: clips shorter than 48
# frames repeat neighbours, where PoseC3D starts again from the first frame; a missing
# joint has score 0, there x or y of 0.
_base_ = '../default_runtime.py'

train_pipeline = [
    dict(type='LoadSkeleton', layout='wholebody65', joints='body17'),
    dict(type='UniformSkeletonFrames', clip_len=48),
    dict(type='SkeletonCompact', padding=0.25, threshold=10, hw_ratio=1.0),
    dict(type='Resize', scale=(64, 64), keep_ratio=False),
    dict(type='RandomResizedCrop', area_range=(0.56, 1.0)),
    dict(type='Resize', scale=(48, 48), keep_ratio=False),
    dict(type='SkeletonFlip'),
    dict(type='FormatKeypoints'),
    dict(type='PackClip'),
]
val_pipeline = [
    dict(type='LoadSkeleton', layout='wholebody65', joints='body17'),
    dict(type='UniformSkeletonFrames', clip_len=48, test_mode=True),
    dict(type='SkeletonCompact', padding=0.25, threshold=10, hw_ratio=1.0),
    dict(type='Resize', scale=(56, 56), keep_ratio=False),
    dict(type='FormatKeypoints'),
    dict(type='PackClip'),
]
test_pipeline = [
    dict(type='LoadSkeleton', layout='wholebody65', joints='body17'),
    dict(type='UniformSkeletonFrames', clip_len=48, views=10, test_mode=True),
    dict(type='SkeletonCompact', padding=0.25, threshold=10, hw_ratio=1.0),
    dict(type='Resize', scale=(56, 56), keep_ratio=False),
    dict(type='MirrorViews'),
    dict(type='FormatKeypoints'),
    dict(type='PackClip'),
]

train_dataloader = dict(
    batch_size=16, dataset=dict(modality='Pose', pipeline=train_pipeline)
)
val_dataloader = dict(
    batch_size=32, dataset=dict(modality='Pose', pipeline=val_pipeline)
)
test_dataloader = dict(  # clips of 20 views
    batch_size=2, dataset=dict(modality='Pose', pipeline=test_pipeline)
)
