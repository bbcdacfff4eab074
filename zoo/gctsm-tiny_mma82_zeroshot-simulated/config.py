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
        base_channels=16,
        context=dict(cdiv=4, s_use_bn=True),
        num_segments=8,
        shift_div=8,
        stage_blocks=(
            1,
            2,
            2,
            1,
        ),
        type='ShiftResNet'),
    cls_head=dict(
        average_clips='prob',
        dropout_ratio=0.2,
        in_channels=512,
        init_std=0.01,
        label_space='mma82',
        num_classes=82,
        num_segments=8,
        pooling='segments',
        type='ActionHead'),
    data_preprocessor=dict(
        format_shape='NCHW',
        mean=[
            123.675,
            116.28,
            103.53,
        ],
        num_frames=8,
        std=[
            19.465,
            19.04,
            19.125,
        ],
        type='FrameDifferencePreprocessor'),
    type='Recognizer2D')
optim_wrapper = dict(
    optimizer=dict(lr=0.002, type='AdamW', weight_decay=0.05),
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
        eta_min_ratio=0.01,
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
    batch_size=16,
    dataset=dict(
        data_root='data/mma82',
        domains=[
            'psychiatric',
            'street',
            'emotion',
        ],
        pipeline=[
            dict(type='OpenVideo'),
            dict(clip_len=8, test_mode=True, type='UniformFrames'),
            dict(type='DecodeFrames'),
            dict(interpolation='area', scale=(
                -1,
                72,
            ), type='Resize'),
            dict(crop_size=64, type='CenterCrop'),
            dict(input_format='NCHW', type='FormatShape'),
            dict(type='PackClip'),
        ],
        subset='test',
        test_mode=True,
        type='ClipDataset'),
    num_workers=2,
    persistent_workers=True,
    sampler=dict(shuffle=False, type='EpochSampler'))
test_evaluator = dict(type='RecognitionMetric')
test_pipeline = [
    dict(type='OpenVideo'),
    dict(clip_len=8, test_mode=True, type='UniformFrames'),
    dict(type='DecodeFrames'),
    dict(interpolation='area', scale=(
        -1,
        72,
    ), type='Resize'),
    dict(crop_size=64, type='CenterCrop'),
    dict(input_format='NCHW', type='FormatShape'),
    dict(type='PackClip'),
]
train_cfg = dict(max_epochs=30, type='EpochBasedTrainLoop', val_interval=1)
train_dataloader = dict(
    batch_size=16,
    dataset=dict(
        data_root='data/mma82',
        domains=[
            'lab',
        ],
        pipeline=[
            dict(type='OpenVideo'),
            dict(clip_len=8, type='UniformFrames'),
            dict(type='DecodeFrames'),
            dict(interpolation='area', scale=(
                -1,
                72,
            ), type='Resize'),
            dict(
                input_size=64,
                max_wh_scale_gap=1,
                num_fixed_crops=13,
                random_crop=False,
                scales=(
                    1,
                    0.875,
                    0.75,
                    0.66,
                ),
                type='MultiScaleCrop'),
            dict(keep_ratio=False, scale=(
                64,
                64,
            ), type='Resize'),
            dict(flip_ratio=0.5, type='Flip'),
            dict(input_format='NCHW', type='FormatShape'),
            dict(type='PackClip'),
        ],
        subset='train',
        type='ClipDataset'),
    num_workers=2,
    persistent_workers=True,
    sampler=dict(shuffle=True, type='EpochSampler'))
train_pipeline = [
    dict(type='OpenVideo'),
    dict(clip_len=8, type='UniformFrames'),
    dict(type='DecodeFrames'),
    dict(interpolation='area', scale=(
        -1,
        72,
    ), type='Resize'),
    dict(
        input_size=64,
        max_wh_scale_gap=1,
        num_fixed_crops=13,
        random_crop=False,
        scales=(
            1,
            0.875,
            0.75,
            0.66,
        ),
        type='MultiScaleCrop'),
    dict(keep_ratio=False, scale=(
        64,
        64,
    ), type='Resize'),
    dict(flip_ratio=0.5, type='Flip'),
    dict(input_format='NCHW', type='FormatShape'),
    dict(type='PackClip'),
]
val_cfg = dict(type='ValLoop')
val_dataloader = dict(
    batch_size=16,
    dataset=dict(
        data_root='data/mma82',
        domains=[
            'lab',
        ],
        pipeline=[
            dict(type='OpenVideo'),
            dict(clip_len=8, test_mode=True, type='UniformFrames'),
            dict(type='DecodeFrames'),
            dict(interpolation='area', scale=(
                -1,
                72,
            ), type='Resize'),
            dict(crop_size=64, type='CenterCrop'),
            dict(input_format='NCHW', type='FormatShape'),
            dict(type='PackClip'),
        ],
        subset='val',
        test_mode=True,
        type='ClipDataset'),
    num_workers=2,
    persistent_workers=True,
    sampler=dict(shuffle=False, type='EpochSampler'))
val_evaluator = dict(type='RecognitionMetric')
visualizer = dict(
    type='Visualizer', vis_backends=[
        dict(type='LocalVisBackend'),
    ])
