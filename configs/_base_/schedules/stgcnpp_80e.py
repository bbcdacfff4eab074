# 80 epochs (published: 16 over data repeated 5 times): SGD with Nesterov momentum, 0.1
# for a batch of 128, cosine to 0 at every step.
# Source: MMAction2, configs/skeleton/stgcnpp, joint stream of NTU60 in 2D.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True),
)
auto_scale_lr = dict(enable=True, base_batch_size=128)

param_scheduler = [
    dict(
        type='CosineAnnealingLR',
        eta_min=0,
        T_max=80,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=80, val_interval=5)
