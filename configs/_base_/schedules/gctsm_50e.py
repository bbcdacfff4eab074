# 50 epochs of GC-TSM: SGD, 0.01 for a batch of 32, weight decay 1e-4, gradients
# clipped at 20, a tenth from epochs 20 and 40. Gates learn 5 times as fast, biases
# twice, the classifier at the plain rate.
# Source: haoyanbin918/Group-Contextualization, commit b99be50a, Something-Something V1.
# The warm-up, five epochs from a tenth, is ours: fresh gates halve the features that
# the TSM weights expect.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4),
    paramwise_cfg=dict(
        bias_lr_mult=2,
        bias_decay_mult=0,
        norm_decay_mult=0,
        flat_decay_mult=0,
        custom_keys={
            '.gc.': dict(lr_mult=5),
            '.gc.l.bn.': dict(lr_mult=5, decay_mult=0),
            '.gc.t.bn.': dict(lr_mult=5, decay_mult=0),
            '.gc.s.bn.': dict(lr_mult=5, decay_mult=0),
            '.gc.g.bn.': dict(lr_mult=5, decay_mult=0),
        },
    ),
    clip_grad=dict(max_norm=20, norm_type=2),
)
auto_scale_lr = dict(enable=True, base_batch_size=32)

param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.1,
        begin=0,
        end=5,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
    dict(
        type='MultiStepLR',
        begin=0,
        end=50,
        by_epoch=True,
        milestones=[20, 40],
        gamma=0.1,
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=50, val_interval=5)
