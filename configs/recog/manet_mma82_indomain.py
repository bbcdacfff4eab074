# MANet-R50 (Guo et al., TCSVT 2024) on MMA-82, 8 frames spread over the clip, 224 x
# 224: TSM-R50 with a squeeze-and-excitation gate before every shift, 31.5 M parameters
# without the head, and label vectors as a second target. The paper has no such row.
# Numbers: VUT-HFUT/Micro-Action, commit e38d2417, MA-52 (61.33 top-1 there, at epoch
# 40): reduction 4, dropout 0.5, linear layers of the head started at 0.001, 50 * MSE;
# SGD, 0.00125 for a batch of 10, weight decay 1e-4, gradients clipped at 20, a tenth
# from epochs 30 and 60 of 80, no warm-up. ImageNet mean and std, RGB.
# The fast layer (5 times, its bias 10 times) is fc_emb_t, as in every published number
# of MANet: MMAction2 takes the last linear layer for the classifier.
# The start is ImageNet, as published, so that it stays MANet; it lacks the gates. To
# start from TSM on Kinetics-400 instead: --load-from with the URL in
# tsm_mma82_indomain.py. The label vectors are our own: the published table covers MA-52
# and its source is not told (mmma/models/heads/action_head.py).
# Expected: – (real data not seen). Hardware: –. Hours: –
_base_ = '../_base_/datasets/mma82_rgb_8x224.py'

protocol = dict(name='indomain')

model = dict(
    type='Recognizer2D',
    backbone=dict(type='ShiftResNet', num_segments=8, shift_div=8, squeeze=4),
    cls_head=dict(
        type='MANetHead',
        num_segments=8,
        num_classes=82,
        label_space='mma82',
        in_channels=2048,
        dropout_ratio=0.5,
        embedding_weight=50.0,
        init_std=0.001,
        average_clips='prob',
    ),
    data_preprocessor=dict(
        type='ActionDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        format_shape='NCHW',
    ),
)
pretrained = dict(
    url='https://download.pytorch.org/models/resnet50-0676ba61.pth',
    sha8='0676ba61',
    size=102530333,
    data='imagenet-1k',
    note='ResNet-50 of torchvision, IMAGENET1K_V1: 76.13 top-1',
)

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
    )
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=80, val_interval=5)
