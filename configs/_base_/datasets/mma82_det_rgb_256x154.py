# Untrimmed MMA-82 as RGB for backbones with patches of 14 pixels: as
# mma82_det_rgb_256x160.py, at 154 x 154. OpenTAD gives such a backbone 160 x 160, of
# which its patches cover 154 x 154; ours wants what it sees. 1 window per GPU.
_base_ = '../default_runtime.py'
task = 'det'
window = dict(positions=256, rate=15.0, overlap=0.5, min_visible=0.75, crop=(0.9, 1.0))

train_pipeline = [
    dict(type='OpenVideo'),
    dict(type='WindowFrames'),
    dict(type='DecodeFrames'),
    dict(type='Resize', scale=(-1, 176)),
    dict(type='RandomResizedCrop', area_range=(0.5, 1.0)),
    dict(type='Resize', scale=(154, 154), keep_ratio=False),
    dict(type='ClipRandAugment', num_ops=2),
    dict(type='Flip', flip_ratio=0.5),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackWindow'),
]
test_pipeline = [
    dict(type='OpenVideo'),
    dict(type='WindowFrames'),
    dict(type='DecodeFrames'),
    dict(type='Resize', scale=(-1, 154)),
    dict(type='CenterCrop', crop_size=154),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackWindow'),
]

train_dataloader = dict(
    batch_size=1,
    dataset=dict(type='UntrimmedDataset', window=window, pipeline=train_pipeline),
)
val_dataloader = test_dataloader = dict(
    batch_size=1,
    dataset=dict(type='UntrimmedDataset', window=window, pipeline=test_pipeline),
)
val_evaluator = test_evaluator = dict(
    type='DetectionMetric',
    nms=dict(max_per_video=2000),
    join_sec=window['positions'] / window['rate'],
)
default_hooks = dict(checkpoint=dict(save_best='action/mAP'))
