auto_scale_lr = dict(base_batch_size=16, enable=True)
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
        save_best='action/mAP',
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
        channels=(
            128,
            128,
            192,
            256,
        ),
        in_channels=4,
        joints='ends31',
        layout='wholebody65',
        strides=(
            1,
            2,
            1,
        ),
        type='SkeletonTCN'),
    head=dict(
        feat_channels=128,
        in_channels=128,
        label_space='mma82',
        num_classes=82,
        num_convs=1,
        num_levels=5,
        targets='union',
        type='ActionFormerHead'),
    neck=dict(in_channels=128, num_levels=5, type='FPNIdentity'),
    pooling='graph',
    projection=dict(
        arch=(
            1,
            0,
            4,
        ),
        in_channels=256,
        num_heads=4,
        out_channels=128,
        path_drop=0.1,
        type='Conv1DTransformerProj',
        window=19),
    type='SegmentDetector')
optim_wrapper = dict(
    clip_grad=dict(max_norm=1.0),
    optimizer=dict(lr=0.001, type='AdamW', weight_decay=0.05),
    type='OptimWrapper')
param_scheduler = [
    dict(
        begin=0,
        by_epoch=True,
        convert_to_iter_based=True,
        end=3,
        start_factor=0.01,
        type='LinearLR'),
    dict(
        T_max=27,
        begin=3,
        by_epoch=True,
        convert_to_iter_based=True,
        end=30,
        eta_min=0,
        type='CosineAnnealingLR'),
]
pretrained = None
protocol = dict(domain='all', name='indomain', seed=0)
randomness = dict(seed=0)
resume = False
task = 'det'
test_cfg = dict(type='TestLoop')
test_dataloader = dict(
    batch_size=16,
    dataset=dict(
        data_root='data/mma82',
        domains=[
            'lab',
            'psychiatric',
            'street',
            'emotion',
        ],
        modality='Pose',
        pipeline=[
            dict(
                joints='ends31',
                layout='wholebody65',
                task='det',
                type='LoadSkeleton'),
            dict(type='WindowSkeleton'),
            dict(type='NormalizeSkeleton'),
            dict(
                score=False,
                streams=[
                    'bone',
                    'bone_motion',
                ],
                type='SkeletonFeatures'),
            dict(type='PackWindow'),
        ],
        subset='test',
        test_mode=True,
        type='UntrimmedDataset',
        window=dict(
            crop=(
                0.9,
                1.0,
            ),
            min_visible=0.75,
            overlap=0.5,
            positions=256,
            rate=15.0)),
    num_workers=2,
    persistent_workers=True,
    sampler=dict(shuffle=False, type='EpochSampler'))
test_evaluator = dict(type='DetectionMetric')
test_pipeline = [
    dict(
        joints='ends31', layout='wholebody65', task='det',
        type='LoadSkeleton'),
    dict(type='WindowSkeleton'),
    dict(type='NormalizeSkeleton'),
    dict(
        score=False,
        streams=[
            'bone',
            'bone_motion',
        ],
        type='SkeletonFeatures'),
    dict(type='PackWindow'),
]
train_cfg = dict(max_epochs=30, type='EpochBasedTrainLoop', val_interval=10)
train_dataloader = dict(
    batch_size=16,
    dataset=dict(
        data_root='data/mma82',
        domains=[
            'lab',
            'psychiatric',
            'street',
            'emotion',
        ],
        modality='Pose',
        pipeline=[
            dict(
                joints='ends31',
                layout='wholebody65',
                task='det',
                type='LoadSkeleton'),
            dict(type='WindowSkeleton'),
            dict(type='SkeletonFlip'),
            dict(prob=0.3, type='SkeletonCrop'),
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
            dict(type='PackWindow'),
        ],
        subset='train',
        type='UntrimmedDataset',
        window=dict(
            crop=(
                0.9,
                1.0,
            ),
            min_visible=0.75,
            overlap=0.5,
            positions=256,
            rate=15.0)),
    num_workers=2,
    persistent_workers=True,
    sampler=dict(shuffle=True, type='EpochSampler'))
train_pipeline = [
    dict(
        joints='ends31', layout='wholebody65', task='det',
        type='LoadSkeleton'),
    dict(type='WindowSkeleton'),
    dict(type='SkeletonFlip'),
    dict(prob=0.3, type='SkeletonCrop'),
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
    dict(type='PackWindow'),
]
val_cfg = dict(type='ValLoop')
val_dataloader = dict(
    batch_size=16,
    dataset=dict(
        data_root='data/mma82',
        domains=[
            'lab',
            'psychiatric',
            'street',
            'emotion',
        ],
        modality='Pose',
        pipeline=[
            dict(
                joints='ends31',
                layout='wholebody65',
                task='det',
                type='LoadSkeleton'),
            dict(type='WindowSkeleton'),
            dict(type='NormalizeSkeleton'),
            dict(
                score=False,
                streams=[
                    'bone',
                    'bone_motion',
                ],
                type='SkeletonFeatures'),
            dict(type='PackWindow'),
        ],
        subset='val',
        test_mode=True,
        type='UntrimmedDataset',
        window=dict(
            crop=(
                0.9,
                1.0,
            ),
            min_visible=0.75,
            overlap=0.5,
            positions=256,
            rate=15.0)),
    num_workers=2,
    persistent_workers=True,
    sampler=dict(shuffle=False, type='EpochSampler'))
val_evaluator = dict(type='DetectionMetric')
visualizer = dict(
    type='Visualizer', vis_backends=[
        dict(type='LocalVisBackend'),
    ])
window = dict(
    crop=(
        0.9,
        1.0,
    ), min_visible=0.75, overlap=0.5, positions=256, rate=15.0)
