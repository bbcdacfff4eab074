# 40 epochs from scratch for the tiny AdaTAD. Our own numbers: AdamW at 1e-3 for a batch
# of 2, adapters as all else, four epochs of warm-up, cosine to a hundredth, clip 1.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),
    paramwise_cfg=dict(
        flat_decay_mult=0,
        custom_keys={'.adapter.': dict(lr_mult=1.0), '.scale': dict(decay_mult=0)},
    ),
    clip_grad=dict(max_norm=1.0),
)
auto_scale_lr = dict(enable=True, base_batch_size=2)

param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.01,
        begin=0,
        end=4,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        eta_min_ratio=0.01,
        T_max=36,
        begin=4,
        end=40,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=40, val_interval=10)
