# Frames and joints of the same clip, cut to the same square around the person and
# mirrored alike, small, for two CPU cores: 8 frames of 64 x 64, and 32 of 31 joints
# (body, big toes, heels, fingertips), whose heatmaps the model's preprocessor draws at
# half of that; 72 x 72 in testing, one view.
# As mma82_rgbpose_8x224, smaller. Shrunk by areas: points alias, and differences show
# it.
_base_ = '../default_runtime.py'

train_pipeline = [
    dict(type='LoadSkeleton', layout='wholebody65', joints='ends31'),
    dict(type='UniformSkeletonFrames', clip_len=32),
    dict(type='OpenVideo'),
    dict(type='UniformFrames', clip_len=8),
    dict(type='DecodeFrames'),
    dict(type='SkeletonCompact', padding=0.25, threshold=10, hw_ratio=1.0),
    dict(type='RandomResizedCrop', area_range=(0.56, 1.0)),
    dict(type='Resize', scale=(64, 64), keep_ratio=False, interpolation='area'),
    dict(type='SkeletonFlip'),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='FormatKeypoints'),
    dict(type='PackClip', collect_keys=('imgs', 'keypoint')),
]
test_pipeline = [
    dict(type='LoadSkeleton', layout='wholebody65', joints='ends31'),
    dict(type='UniformSkeletonFrames', clip_len=32, test_mode=True),
    dict(type='OpenVideo'),
    dict(type='UniformFrames', clip_len=8, test_mode=True),
    dict(type='DecodeFrames'),
    dict(type='SkeletonCompact', padding=0.25, threshold=10, hw_ratio=1.0),
    dict(type='Resize', scale=(72, 72), keep_ratio=False, interpolation='area'),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='FormatKeypoints'),
    dict(type='PackClip', collect_keys=('imgs', 'keypoint')),
]

train_dataloader = dict(
    batch_size=16,
    dataset=dict(modality='RGB+Pose', pipeline=train_pipeline),
)
val_dataloader = test_dataloader = dict(
    batch_size=16,
    dataset=dict(modality='RGB+Pose', pipeline=test_pipeline),
)
