# What every run shares: environment, hooks, and loaders of recognition, to which each
# file in datasets/ adds pipelines and batch. Randomness: samplers and SeedHook derive
# it from the seed that the protocol writes, so that it depends on neither workers nor
# resuming. The protocol also writes subset and domains of each data set.
default_scope = 'mmma'
task = 'rec'
label_space = 'mma82'
data_root = 'data/mma82'

# num_workers None: as many loaders as there are cores for each process, at most 16.
train_dataloader = dict(
    num_workers=None,
    persistent_workers=True,
    sampler=dict(type='EpochSampler', shuffle=True),
    dataset=dict(type='ClipDataset', data_root=data_root, subset='train'),
)
val_dataloader = dict(
    num_workers=None,
    persistent_workers=True,
    sampler=dict(type='EpochSampler', shuffle=False),
    dataset=dict(type='ClipDataset', data_root=data_root, subset='val', test_mode=True),
)
test_dataloader = dict(
    val_dataloader, dataset=dict(val_dataloader['dataset'], subset='test')
)
val_evaluator = test_evaluator = dict(type='RecognitionMetric')

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
randomness = dict(seed=0)

default_hooks = dict(
    runtime_info=dict(type='RuntimeInfoHook'),
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=20, ignore_last=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='PlainCheckpointHook',
        interval=1,
        max_keep_ckpts=1,
        save_best='action/top1',
        rule='greater',
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
)
# SyncBuffersHook: ranks keep their own batch statistics, which a checkpoint of one rank
# would lose.
custom_hooks = [
    dict(type='SeedHook'),
    dict(type='SyncBuffersHook'),
    dict(type='ClassInfoHook'),
    dict(type='BrokenClipHook'),
]

log_processor = dict(type='LogProcessor', window_size=20, by_epoch=True)
visualizer = dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')])
log_level = 'INFO'
load_from = None
resume = False

val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

# Few-shot, one of three (mmma/engine/fewshot.py, finetune.py); none was ever tuned on
# any domain.
# linear: the classifier is refitted to the supports, held near the source's by
# `proximity`.
# prototype: the cosine with the mean features of each class, over `temperature`.
# finetune: `iters` steps of `train` (all, head, or last: head and last block), from the
# learning rate `lr`, None for a tenth of the recipe's.
fewshot = dict(
    adapt='linear', proximity=0.1, temperature=0.1, train='all', iters=200, lr=None
)

# Adaptation without labels (mmma/engine/adapt.py): `method` is bn, t3a, tent, pseudo,
# several of them, or all that fit the model. None was ever tuned on any domain.
# on: the target's train subset, or test: the tested clips themselves.
# control: subset of the source that the control adapts to.
# batch_size: of bn, tent, and t3a on test; None for that of the tests.
# t3a: `supports` per class (None: all). tent: learning rate `lr`. pseudo: clips with a
# score of `confidence` or more, near the source's classifier by `proximity`.
adapt = dict(
    method='all', on='train', control='val', batch_size=None, supports=20, lr=1e-3,
    confidence=0.9, proximity=0.1,
)  # fmt: skip
