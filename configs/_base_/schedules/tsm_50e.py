# 50 epochs of TSM: SGD, 0.02 for a batch of 128, weight decay 1e-4, gradients clipped
# at 20, five epochs of warm-up from a tenth, a tenth from epochs 25 and 45. Biases
# learn twice as fast, the classifier 5 and 10 times.
# Source: MMAction2, configs/recognition/tsm, Kinetics-400, 8 frames.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=1e-4),
    paramwise_cfg=dict(
        bias_lr_mult=2,
        bias_decay_mult=0,
        norm_decay_mult=0,
        flat_decay_mult=0,
        custom_keys={
            'cls_head.fc_cls.weight': dict(lr_mult=5),
            'cls_head.fc_cls.bias': dict(lr_mult=10, decay_mult=0),
            'cls_head.fc_body.weight': dict(lr_mult=5),
            'cls_head.fc_body.bias': dict(lr_mult=10, decay_mult=0),
        },
    ),
    clip_grad=dict(max_norm=20, norm_type=2),
)
auto_scale_lr = dict(enable=True, base_batch_size=128)

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
        milestones=[25, 45],
        gamma=0.1,
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=50, val_interval=5)
