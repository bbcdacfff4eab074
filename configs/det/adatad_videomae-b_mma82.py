# AdaTAD with VideoMAE ViT-B/16 on untrimmed MMA-82: windows of 17 s, 256 frames, 160 x
# 160. The backbone is frozen, with TIA adapters behind every block (4.0 M parameters
# that learn), over windows in chunks of 16 frames; convolutions and transformer to six
# levels, ActionFormer's head.
# The paper (arXiv 2606.14096) has this row but not its hyper-parameters.
# Numbers: OpenTAD's AdaTAD for MultiTHUMOS, its multi-label data set (cd0ca96f): 3
# convolutions and no transformer at full rate, 512 channels, full attention, drop path
# 0.1; the 2000 best pairs above 0.001; AdamW at 1e-4, weight decay 0.05 (none on
# biases, norms and scales of the detector), warm-up of 5 epochs from 0, cosine to 1e-8,
# clip 1. Blocks are recomputed in the backward pass. ImageNet mean and std, RGB.
# Ours: window, rate, 2000 segments kept per video (there 8000), 40 epochs, and batch (2
# windows on each of 8 GPUs). The adapters learn at 4e-4, the detector at 1e-4.
# Expected: AVG 21.36 (action mAP 13.59, body mAP 29.13) in the paper; – here (real data
# not seen). Hardware: –. Hours: –
_base_ = '../_base_/datasets/mma82_det_rgb_256x160.py'

protocol = dict(name='indomain')

model = dict(
    type='SegmentDetector',
    backbone=dict(type='VideoMAETIA', arch='base', drop_path_rate=0.1, with_cp=True),
    projection=dict(
        type='Conv1DTransformerProj', in_channels=768, arch=(3, 0, 5), path_drop=0.1
    ),
    neck=dict(type='FPNIdentity', num_levels=6),
    head=dict(
        type='ActionFormerHead',
        num_classes=82,
        label_space='mma82',
        num_levels=6,
        targets='shortest',
        test_cfg=dict(score_thr=0.001, top_k=2000),
    ),
    data_preprocessor=dict(
        type='ActionDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        format_shape='NCTHW',
    ),
)
pretrained = dict(
    url=(
        'https://download.openmmlab.com/mmaction/v1.0/recognition/videomae/'
        'vit-base-p16_videomae-k400-pre'
        '_16x4x1_kinetics-400_20221013-860a3cd3.pth'
    ),
    sha8='860a3cd3',
    data='kinetics-400',
    note='VideoMAE ViT-B, pre-trained and tuned on K400: 81.3 top-1',
)

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.05),
    paramwise_cfg=dict(
        flat_decay_mult=0,
        custom_keys={'.adapter.': dict(lr_mult=4.0), '.scale': dict(decay_mult=0)},
    ),
    clip_grad=dict(max_norm=1.0),
)
auto_scale_lr = dict(enable=True, base_batch_size=16)

param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=1e-6,
        begin=0,
        end=5,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        eta_min_ratio=1e-4,
        T_max=35,
        begin=5,
        end=40,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(
    type='EpochBasedTrainLoop', max_epochs=40, val_begin=20, val_interval=5
)

default_hooks = dict(
    ema=dict(type='TrainedEMAHook', decay=0.999),
    trained_only=dict(type='TrainedOnlyHook'),
)
