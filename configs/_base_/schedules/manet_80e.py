# 80 epochs of MANet: SGD, 0.00125 for a batch of 10, weight decay 1e-4, gradients
# clipped at 20, a tenth from epochs 30 and 60, no warm-up.
# The fast layer (5 times, its bias 10 times) is fc_emb_t, as in every published number
# of MANet: MMAction2 takes the last linear layer for the classifier.
# Source: VUT-HFUT/Micro-Action, commit e38d2417, MA-52.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.00125, momentum=0.9, weight_decay=1e-4),
    paramwise_cfg=dict(
        bias_lr_mult=2,
        bias_decay_mult=0,
        norm_decay_mult=0,
        flat_decay_mult=0,
        custom_keys={
            'cls_head.fc_emb_t.weight': dict(lr_mult=5),
            'cls_head.fc_emb_t.bias': dict(lr_mult=10, decay_mult=0),
        },
    ),
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
