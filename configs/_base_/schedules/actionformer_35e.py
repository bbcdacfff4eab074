# 35 epochs on features, for ActionFormer and TriDet.
# Numbers: ActionFormer for THUMOS14: AdamW at 1e-4, weight decay 0.05 (none on biases,
# norms and scales), warm-up of 5 epochs, cosine to 1e-8 over 30, clip 1. The batch of
# 16 is our choice (there 2).
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.05),
    paramwise_cfg=dict(flat_decay_mult=0, custom_keys={'.scale': dict(decay_mult=0)}),
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
        T_max=30,
        begin=5,
        end=35,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=35, val_interval=5)
