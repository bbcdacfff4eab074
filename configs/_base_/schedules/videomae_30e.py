# 30 epochs of VideoMAE fine-tuning, for ViT-L and ViT-H.
# Numbers: MCG-NJU/VideoMAE, Kinetics-400 scripts of commit 14ef8d85: AdamW, weight
# decay 0.05 (none on biases and norms), layer decay 0.75, warm-up of 5 epochs from 1e-6
# and a cosine to 1e-6. Both ends are fractions of the learning rate here, since they
# scale with batch and layer there too.
# The learning rate 5e-4 * batch / 256 and the number of epochs are our choice (there
# 1e-3 to 2e-3 and 35 to 50): runs start from weights that were tuned on Kinetics-400.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='LayerDecayOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=5e-4, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(decay_rate=0.75),
)
auto_scale_lr = dict(enable=True, base_batch_size=256)

param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=2e-3,
        begin=0,
        end=5,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        eta_min_ratio=2e-3,
        T_max=25,
        begin=5,
        end=30,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=30, val_interval=1)
