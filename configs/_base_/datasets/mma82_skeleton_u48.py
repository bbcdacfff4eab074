# 48 frames of 31 joints (body, big toes, heels, fingertips) for compact models: bones
# and their change, x and y, no score. Bones are blind to where the person is and to
# camera shake; the score is left out because its spread tells domains apart.
_base_ = '../default_runtime.py'

train_pipeline = [
    dict(type='LoadSkeleton', layout='wholebody65', joints='ends31'),
    dict(type='SkeletonFlip'),
    dict(type='SkeletonCrop', prob=0.3),
    dict(type='UniformSkeletonFrames', clip_len=48),
    dict(type='NormalizeSkeleton'),
    dict(type='SkeletonJitter', degrees=15, scale=0.2, shear=0.15),
    dict(type='SkeletonBend', degrees=5, leg_degrees=30, scale=0.1),
    dict(type='SkeletonFeatures', streams=['bone', 'bone_motion'], score=False),
    dict(type='FormatGCNInput', num_person=1),
    dict(type='PackClip'),
]
val_pipeline = [
    dict(type='LoadSkeleton', layout='wholebody65', joints='ends31'),
    dict(type='UniformSkeletonFrames', clip_len=48, test_mode=True),
    dict(type='NormalizeSkeleton'),
    dict(type='SkeletonFeatures', streams=['bone', 'bone_motion'], score=False),
    dict(type='FormatGCNInput', num_person=1),
    dict(type='PackClip'),
]

train_dataloader = dict(
    batch_size=64, dataset=dict(modality='Pose', pipeline=train_pipeline)
)
val_dataloader = test_dataloader = dict(
    batch_size=128, dataset=dict(modality='Pose', pipeline=val_pipeline)
)
