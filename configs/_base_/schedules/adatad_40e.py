# 40 epochs of AdaTAD.
# Numbers: OpenTAD's AdaTAD (cd0ca96f): AdamW at 1e-4, weight decay 0.05 (none on
# biases, norms and scales of the detector), warm-up of 5 epochs from 0, cosine to 1e-8,
# clip 1.
# Epochs and batch (2 windows on each of 8 GPUs) are our choice; recipes say how fast
# adapters learn, as a multiple of the rate.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.05),
    paramwise_cfg=dict(
        flat_decay_mult=0,
        custom_keys={'.adapter.': dict(lr_mult=1.0), '.scale': dict(decay_mult=0)},
    ),
    clip_grad=dict(max_norm=1.0),
)
auto_scale_lr = dict(enable=True, base_batch_size=16)

param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=1e-6,
        begin=0,
        end=5,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        eta_min_ratio=1e-4,
        T_max=35,
        begin=5,
        end=40,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(
    type='EpochBasedTrainLoop', max_epochs=40, val_begin=20, val_interval=5
)
