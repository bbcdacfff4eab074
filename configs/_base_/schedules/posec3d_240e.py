# 240 epochs (published: 24 over data repeated 10 times): SGD with momentum, 0.2 for a
# batch of 128, gradients clipped at 40, cosine to 0 at every step.
# Source: MMAction2, configs/skeleton/posec3d, NTU60.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.2, momentum=0.9, weight_decay=3e-4),
    clip_grad=dict(max_norm=40, norm_type=2),
)
auto_scale_lr = dict(enable=True, base_batch_size=128)

param_scheduler = [
    dict(
        type='CosineAnnealingLR',
        eta_min=0,
        T_max=240,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=240, val_interval=10)
