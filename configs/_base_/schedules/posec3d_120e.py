# 120 epochs on heatmaps of joints or limbs, for PoseC3D.
# Numbers: MMAction2, configs/skeleton/posec3d, its fine-tuning for HMDB51 and UCF101:
# SGD with momentum, 0.01 for a batch of 128, weight decay 3e-4, gradients clipped at
# 40, a tenth from epochs 90 and 110 of 120 (published: 12 over data repeated 10 times).
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=3e-4),
    clip_grad=dict(max_norm=40, norm_type=2),
)
auto_scale_lr = dict(enable=True, base_batch_size=128)

param_scheduler = [
    dict(
        type='MultiStepLR',
        begin=0,
        end=120,
        by_epoch=True,
        milestones=[90, 110],
        gamma=0.1,
    )
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=120, val_interval=10)
