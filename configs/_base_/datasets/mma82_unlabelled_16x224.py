# Clips without labels for VideoMAE's pre-training: 16 frames spread over the clip,
# 224 x 224; 8 clips per GPU, each of them four times in a step.
# Taken are train and val of the domains that the protocol trains on. Of other domains,
# and of test, nothing is seen unless it is asked for, and then checkpoints and results
# say so: train_dataloader.dataset.other_domains=[train], .subsets=[train,val,test]; of
# untrimmed videos pieces of some seconds: .untrimmed_sec=3.
# Crops and mask are VideoMAE's: 13 places, sides of 1 to .66, no flip; nine tenths of
# the places hidden at all times. A clip comes four times in a row, each time with other
# times, crop and mask, as in VideoMAE V2 (its num_sample; VideoMAE has none here).
# Ours: times are spread over the clip (there every fourth frame of 64).
# There is no validation, and so no best checkpoint: the last counts.
_base_ = '../default_runtime.py'
pretraining = True

train_pipeline = [
    dict(type='OpenVideo'),
    dict(type='UniformFrames', clip_len=16),
    dict(type='DecodeFrames'),
    dict(type='Resize', scale=(-1, 256)),
    dict(
        type='MultiScaleCrop',
        input_size=224,
        scales=(1, 0.875, 0.75, 0.66),
        num_fixed_crops=13,
    ),
    dict(type='Resize', scale=(224, 224), keep_ratio=False),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='TubeMask', ratio=0.9),
    dict(type='PackClip'),
]

train_dataloader = dict(
    batch_size=32,
    sampler=dict(repeats=4),
    dataset=dict(
        type='UnlabelledDataset',
        subsets=['train', 'val'],
        other_domains=[],
        untrimmed_sec=None,
        pipeline=train_pipeline,
    ),
)
val_dataloader = val_cfg = val_evaluator = None
default_hooks = dict(checkpoint=dict(save_best=None, rule=None))
