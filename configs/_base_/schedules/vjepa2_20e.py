# 20 epochs for a classifier on a frozen V-JEPA 2, or on one whose last blocks adapt.
# Numbers: the probes of facebookresearch/vjepa2 (configs/eval/vitl, Something-Something
# v2): AdamW, 20 epochs, batch 256, no warm-up, cosine to 0. There 20 probes share a
# run, learning rates 1e-4 to 5e-3 by weight decays 0.01 to 0.8; 1e-3 and 0.01 are the
# middle and the low end, our choice, not tuned.
# Layer decay 0.75 is VideoMAE's; it counts only where blocks are trained.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='LayerDecayOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.999), weight_decay=0.01),
    paramwise_cfg=dict(decay_rate=0.75),
)
auto_scale_lr = dict(enable=True, base_batch_size=256)

param_scheduler = [
    dict(
        type='CosineAnnealingLR',
        eta_min=0,
        T_max=20,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=20, val_interval=1)
