# Untrimmed MMA-82 as skeletons: windows of 256 positions, 15 per second (17 s), of 31
# joints (body, big toes, heels, fingertips); 16 windows per step.
# Bones and their change, x and y, no score, as for clips: blind to where the person is
# and to camera shake, so that one origin for a window of several actions does no harm.
# Size is that of the window's limbs. Training draws one window of each video per epoch;
# testing covers each video with windows that overlap by half.
_base_ = '../default_runtime.py'
task = 'det'
window = dict(positions=256, rate=15.0, overlap=0.5, min_visible=0.75, crop=(0.9, 1.0))

train_pipeline = [
    dict(type='LoadSkeleton', layout='wholebody65', joints='ends31', task='det'),
    dict(type='WindowSkeleton'),
    dict(type='SkeletonFlip'),
    dict(type='SkeletonCrop', prob=0.3),
    dict(type='NormalizeSkeleton'),
    dict(type='SkeletonJitter', degrees=15, scale=0.2, shear=0.15),
    dict(type='SkeletonBend', degrees=5, leg_degrees=30, scale=0.1),
    dict(type='SkeletonFeatures', streams=['bone', 'bone_motion'], score=False),
    dict(type='PackWindow'),
]
test_pipeline = [
    dict(type='LoadSkeleton', layout='wholebody65', joints='ends31', task='det'),
    dict(type='WindowSkeleton'),
    dict(type='NormalizeSkeleton'),
    dict(type='SkeletonFeatures', streams=['bone', 'bone_motion'], score=False),
    dict(type='PackWindow'),
]

train_dataloader = dict(
    batch_size=16,
    dataset=dict(
        type='UntrimmedDataset', modality='Pose', window=window, pipeline=train_pipeline
    ),
)
val_dataloader = test_dataloader = dict(
    batch_size=16,
    dataset=dict(
        type='UntrimmedDataset', modality='Pose', window=window, pipeline=test_pipeline
    ),
)
val_evaluator = test_evaluator = dict(
    type='DetectionMetric', join_sec=window['positions'] / window['rate']
)
default_hooks = dict(checkpoint=dict(save_best='action/mAP'))
