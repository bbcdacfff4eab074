auto_scale_lr = dict(base_batch_size=64, enable=True)
custom_hooks = [
    dict(type='SeedHook'),
    dict(type='SyncBuffersHook'),
    dict(type='ClassInfoHook'),
    dict(type='BrokenClipHook'),
]
data_root = 'data/mma82'
default_hooks = dict(
    checkpoint=dict(
        interval=1,
        max_keep_ckpts=1,
        rule='greater',
        save_best='action/top1',
        type='PlainCheckpointHook'),
    logger=dict(ignore_last=False, interval=20, type='LoggerHook'),
    param_scheduler=dict(type='ParamSchedulerHook'),
    runtime_info=dict(type='RuntimeInfoHook'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    timer=dict(type='IterTimerHook'))
default_scope = 'mmma'
env_cfg = dict(
    cudnn_benchmark=False,
    dist_cfg=dict(backend='nccl'),
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0))
fewshot = dict(
    adapt='linear',
    iters=200,
    lr=None,
    proximity=0.1,
    temperature=0.1,
    train='all')
label_space = 'mma82'
load_from = None
log_level = 'INFO'
log_processor = dict(by_epoch=True, type='LogProcessor', window_size=20)
model = dict(
    backbone=dict(
        in_channels=4,
        joints='ends31',
        layout='wholebody65',
        type='SkeletonTCN'),
    cls_head=dict(
        dropout_ratio=0.3,
        in_channels=256,
        label_smooth_eps=0.1,
        label_space='mma82',
        num_classes=82,
        pooling='graph',
        type='ActionHead'),
    type='RecognizerGCN')
optim_wrapper = dict(
    optimizer=dict(lr=0.001, type='AdamW', weight_decay=0.05),
    type='OptimWrapper')
param_scheduler = [
    dict(
        begin=0,
        by_epoch=True,
        convert_to_iter_based=True,
        end=4,
        start_factor=0.01,
        type='LinearLR'),
    dict(
        T_max=36,
        begin=4,
        by_epoch=True,
        convert_to_iter_based=True,
        end=40,
        eta_min=0,
        type='CosineAnnealingLR'),
]
pretrained = None
protocol = dict(
    name='zeroshot', seed=0, target=[
        'psychiatric',
        'street',
        'emotion',
    ])
protocol_overrides = dict(fewshot=dict())
randomness = dict(seed=0)
resume = False
task = 'rec'
test_cfg = dict(type='TestLoop')
test_dataloader = dict(
    batch_size=128,
    dataset=dict(
        data_root='data/mma82',
        domains=[
            'psychiatric',
            'street',
            'emotion',
        ],
        modality='Pose',
        pipeline=[
            dict(joints='ends31', layout='wholebody65', type='LoadSkeleton'),
            dict(clip_len=48, test_mode=True, type='UniformSkeletonFrames'),
            dict(type='NormalizeSkeleton'),
            dict(
                score=False,
                streams=[
                    'bone',
                    'bone_motion',
                ],
                type='SkeletonFeatures'),
            dict(num_person=1, type='FormatGCNInput'),
            dict(type='PackClip'),
        ],
        subset='test',
        test_mode=True,
        type='ClipDataset'),
    num_workers=2,
    persistent_workers=True,
    sampler=dict(shuffle=False, type='EpochSampler'))
test_evaluator = dict(type='RecognitionMetric')
train_cfg = dict(max_epochs=40, type='EpochBasedTrainLoop', val_interval=10)
train_dataloader = dict(
    batch_size=64,
    dataset=dict(
        data_root='data/mma82',
        domains=[
            'lab',
        ],
        modality='Pose',
        pipeline=[
            dict(joints='ends31', layout='wholebody65', type='LoadSkeleton'),
            dict(type='SkeletonFlip'),
            dict(prob=0.3, type='SkeletonCrop'),
            dict(clip_len=48, type='UniformSkeletonFrames'),
            dict(type='NormalizeSkeleton'),
            dict(degrees=15, scale=0.2, shear=0.15, type='SkeletonJitter'),
            dict(degrees=5, leg_degrees=30, scale=0.1, type='SkeletonBend'),
            dict(
                score=False,
                streams=[
                    'bone',
                    'bone_motion',
                ],
                type='SkeletonFeatures'),
            dict(num_person=1, type='FormatGCNInput'),
            dict(type='PackClip'),
        ],
        subset='train',
        type='ClipDataset'),
    num_workers=2,
    persistent_workers=True,
    sampler=dict(shuffle=True, type='EpochSampler'))
train_pipeline = [
    dict(joints='ends31', layout='wholebody65', type='LoadSkeleton'),
    dict(type='SkeletonFlip'),
    dict(prob=0.3, type='SkeletonCrop'),
    dict(clip_len=48, type='UniformSkeletonFrames'),
    dict(type='NormalizeSkeleton'),
    dict(degrees=15, scale=0.2, shear=0.15, type='SkeletonJitter'),
    dict(degrees=5, leg_degrees=30, scale=0.1, type='SkeletonBend'),
    dict(
        score=False,
        streams=[
            'bone',
            'bone_motion',
        ],
        type='SkeletonFeatures'),
    dict(num_person=1, type='FormatGCNInput'),
    dict(type='PackClip'),
]
val_cfg = dict(type='ValLoop')
val_dataloader = dict(
    batch_size=128,
    dataset=dict(
        data_root='data/mma82',
        domains=[
            'lab',
        ],
        modality='Pose',
        pipeline=[
            dict(joints='ends31', layout='wholebody65', type='LoadSkeleton'),
            dict(clip_len=48, test_mode=True, type='UniformSkeletonFrames'),
            dict(type='NormalizeSkeleton'),
            dict(
                score=False,
                streams=[
                    'bone',
                    'bone_motion',
                ],
                type='SkeletonFeatures'),
            dict(num_person=1, type='FormatGCNInput'),
            dict(type='PackClip'),
        ],
        subset='val',
        test_mode=True,
        type='ClipDataset'),
    num_workers=2,
    persistent_workers=True,
    sampler=dict(shuffle=False, type='EpochSampler'))
val_evaluator = dict(type='RecognitionMetric')
val_pipeline = [
    dict(joints='ends31', layout='wholebody65', type='LoadSkeleton'),
    dict(clip_len=48, test_mode=True, type='UniformSkeletonFrames'),
    dict(type='NormalizeSkeleton'),
    dict(
        score=False,
        streams=[
            'bone',
            'bone_motion',
        ],
        type='SkeletonFeatures'),
    dict(num_person=1, type='FormatGCNInput'),
    dict(type='PackClip'),
]
visualizer = dict(
    type='Visualizer', vis_backends=[
        dict(type='LocalVisBackend'),
    ])
