# Frames and joints of the same clip, cut to the same square around the person and
# mirrored alike: 8 frames of 224 x 224, and 32 of 17 joints, whose heatmaps the model's
# preprocessor draws at a quarter of that. One view in validation, ten in testing.
# Numbers: MMAction2, configs/skeleton/posec3d/rgbpose_conv3d, NTU60. Ours: clips that
# are shorter than 32 frames repeat neighbours, where it starts again from the first
# frame; a missing joint has score 0, there x or y of 0.
_base_ = '../default_runtime.py'

train_pipeline = [
    dict(type='LoadSkeleton', layout='wholebody65', joints='body17'),
    dict(type='UniformSkeletonFrames', clip_len=32),
    dict(type='OpenVideo'),
    dict(type='UniformFrames', clip_len=8),
    dict(type='DecodeFrames'),
    dict(type='SkeletonCompact', padding=0.25, threshold=10, hw_ratio=1.0),
    dict(type='Resize', scale=(256, 256), keep_ratio=False),
    dict(type='RandomResizedCrop', area_range=(0.56, 1.0)),
    dict(type='Resize', scale=(224, 224), keep_ratio=False),
    dict(type='SkeletonFlip'),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='FormatKeypoints'),
    dict(type='PackClip', collect_keys=('imgs', 'keypoint')),
]
val_pipeline = [
    dict(type='LoadSkeleton', layout='wholebody65', joints='body17'),
    dict(type='UniformSkeletonFrames', clip_len=32, test_mode=True),
    dict(type='OpenVideo'),
    dict(type='UniformFrames', clip_len=8, test_mode=True),
    dict(type='DecodeFrames'),
    dict(type='SkeletonCompact', padding=0.25, threshold=10, hw_ratio=1.0),
    dict(type='Resize', scale=(256, 256), keep_ratio=False),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='FormatKeypoints'),
    dict(type='PackClip', collect_keys=('imgs', 'keypoint')),
]
test_pipeline = [
    dict(type='LoadSkeleton', layout='wholebody65', joints='body17'),
    dict(type='UniformSkeletonFrames', clip_len=32, views=10, test_mode=True),
    dict(type='OpenVideo'),
    dict(type='UniformFrames', clip_len=8, views=10, test_mode=True),
    dict(type='DecodeFrames'),
    dict(type='SkeletonCompact', padding=0.25, threshold=10, hw_ratio=1.0),
    dict(type='Resize', scale=(256, 256), keep_ratio=False),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='FormatKeypoints'),
    dict(type='PackClip', collect_keys=('imgs', 'keypoint')),
]

train_dataloader = dict(
    batch_size=6,
    dataset=dict(modality='RGB+Pose', pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=6,
    dataset=dict(modality='RGB+Pose', pipeline=val_pipeline),
)
test_dataloader = dict(  # clips of 10 views
    batch_size=1,
    dataset=dict(modality='RGB+Pose', pipeline=test_pipeline),
)
