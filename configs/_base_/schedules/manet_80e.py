# 80 epochs of MANet: SGD, 0.00125 for a batch of 10, weight decay 1e-4, gradients
# clipped at 20, a tenth from epochs 30 and 60, no warm-up.
# legacy_fc_lr5: the fast layer (5 times, its bias 10 times) is fc_emb_t, as in every
# published number of MANet: MMAction2 takes the last linear layer for the classifier.
# fc_lr5 instead makes it the classifier.
# Source: VUT-HFUT/Micro-Action, commit e38d2417, MA-52.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='ShiftOptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=0.00125, momentum=0.9, weight_decay=1e-4),
    paramwise_cfg=dict(legacy_fc_lr5=True),
    clip_grad=dict(max_norm=20, norm_type=2),
)
auto_scale_lr = dict(enable=True, base_batch_size=10)

param_scheduler = [
    dict(
        type='MultiStepLR',
        begin=0,
        end=80,
        by_epoch=True,
        milestones=[30, 60],
        gamma=0.1,
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=80, val_interval=5)
