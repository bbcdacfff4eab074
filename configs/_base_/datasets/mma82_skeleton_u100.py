# 100 frames of 65 joints: x, y and score (the published joint stream). One view in
# validation, ten in testing.
data_root = 'data/mma82'

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
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='EpochSampler', shuffle=True),
    dataset=dict(
        type='ClipDataset',
        modality='Pose',
        data_root=data_root,
        subset='train',
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='EpochSampler', shuffle=False),
    dataset=dict(
        type='ClipDataset',
        modality='Pose',
        data_root=data_root,
        subset='val',
        pipeline=val_pipeline,
        test_mode=True,
    ),
)
test_dataloader = dict(
    val_dataloader, dataset=dict(val_dataloader['dataset'], subset='test')
)
val_evaluator = test_evaluator = dict(type='RecognitionMetric')
