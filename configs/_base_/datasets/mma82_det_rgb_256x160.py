# Untrimmed MMA-82 as RGB for AdaTAD: windows of 256 positions, 15 per second (17 s, so
# that most videos fit one), 160 x 160; 2 windows per GPU.
# Times, not frame numbers, make the grid. Training draws one window of each video per
# epoch, in which an instance shows at least three quarters of itself; testing covers
# each video with windows that overlap by half.
# Crops of at least half the picture: hands and feet leave smaller ones. Flips are safe:
# no action of MMA-82 names a side. RandAugment, one draw for the whole window, stands
# where OpenTAD has ImgAug and ColorJitter. The 2000 best segments of a video are kept,
# as OpenTAD keeps for THUMOS14 (8000 for MultiTHUMOS, 1000 for Charades).
# 15 per second is our choice: a chunk of 16 frames lasts 1.07 s, where the clips that
# VideoMAE was tuned on, and OpenTAD's windows, last 2.13 s, so that motion looks half
# as fast to frozen weights. Pack large videos first
# (tools/data/pack.py): a window of full HD is 1.6 GB.
_base_ = '../default_runtime.py'
task = 'det'
window = dict(positions=256, rate=15.0, overlap=0.5, min_visible=0.75, crop=(0.9, 1.0))

train_pipeline = [
    dict(type='OpenVideo'),
    dict(type='WindowFrames'),
    dict(type='DecodeFrames'),
    dict(type='Resize', scale=(-1, 182)),
    dict(type='RandomResizedCrop', area_range=(0.5, 1.0)),
    dict(type='Resize', scale=(160, 160), keep_ratio=False),
    dict(type='ClipRandAugment', num_ops=2),
    dict(type='Flip', flip_ratio=0.5),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackWindow'),
]
test_pipeline = [
    dict(type='OpenVideo'),
    dict(type='WindowFrames'),
    dict(type='DecodeFrames'),
    dict(type='Resize', scale=(-1, 160)),
    dict(type='CenterCrop', crop_size=160),
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
    type='DetectionMetric',
    nms=dict(max_per_video=2000),
    join_sec=window['positions'] / window['rate'],
)
default_hooks = dict(checkpoint=dict(save_best='action/mAP'))
