# Untrimmed MMA-82 as RGB, small, for two CPU cores: windows of 128 positions, 7.5 per
# second (17 s), 64 x 64; 2 windows per step.
# Training draws one window of each video per epoch; testing covers each video with
# windows that overlap by half. Crops and flips only: a few epochs from scratch leave
# nothing to regularise. Flips are safe: no action of MMA-82 names a side.
_base_ = '../default_runtime.py'
task = 'det'
window = dict(positions=128, rate=7.5, overlap=0.5, min_visible=0.75, crop=(0.9, 1.0))

train_pipeline = [
    dict(type='OpenVideo'),
    dict(type='WindowFrames'),
    dict(type='DecodeFrames'),
    dict(type='Resize', scale=(-1, 72)),
    dict(type='RandomResizedCrop', area_range=(0.5, 1.0)),
    dict(type='Resize', scale=(64, 64), keep_ratio=False),
    dict(type='Flip', flip_ratio=0.5),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackWindow'),
]
test_pipeline = [
    dict(type='OpenVideo'),
    dict(type='WindowFrames'),
    dict(type='DecodeFrames'),
    dict(type='Resize', scale=(-1, 64)),
    dict(type='CenterCrop', crop_size=64),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackWindow'),
]

train_dataloader = dict(
    batch_size=2,
    dataset=dict(type='UntrimmedDataset', window=window, pipeline=train_pipeline),
)
val_dataloader = test_dataloader = dict(
    batch_size=2,
    dataset=dict(type='UntrimmedDataset', window=window, pipeline=test_pipeline),
)
val_evaluator = test_evaluator = dict(
    type='DetectionMetric', join_sec=window['positions'] / window['rate']
)
default_hooks = dict(checkpoint=dict(save_best='action/mAP'))
