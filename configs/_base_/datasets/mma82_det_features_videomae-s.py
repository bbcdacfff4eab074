# Untrimmed MMA-82 as features of VideoMAE-S: windows of 256 positions, 15 per second
# (17 s), interpolated from one feature of 384 numbers per two frames at 15 per second;
# 16 windows per step. `tools/data/features.py` extracts them; features of another
# stride, rate or size are refused.
# Training draws one window of each video per epoch; testing covers each video with
# windows that overlap by half.
_base_ = '../default_runtime.py'
task = 'det'
window = dict(positions=256, rate=15.0, overlap=0.5, min_visible=0.75, crop=(0.9, 1.0))

train_pipeline = test_pipeline = [
    dict(type='LoadFeatures', name='videomae-s', stride_sec=2 / 15, dim=384, fps=15.0),
    dict(type='WindowFeatures'),
    dict(type='PackWindow', padding='zero'),
]

train_dataloader = dict(
    batch_size=16,
    dataset=dict(
        type='UntrimmedDataset',
        modality='Feature',
        window=window,
        pipeline=train_pipeline,
    ),
)
val_dataloader = test_dataloader = dict(
    batch_size=16,
    dataset=dict(
        type='UntrimmedDataset',
        modality='Feature',
        window=window,
        pipeline=test_pipeline,
    ),
)
val_evaluator = test_evaluator = dict(
    type='DetectionMetric', join_sec=window['positions'] / window['rate']
)
default_hooks = dict(checkpoint=dict(save_best='action/mAP'))
