# AdaTAD with VideoMAE V2 ViT-g/14 on untrimmed MMA-82: windows of 17 s, 256 frames, 154
# x 154. The backbone of 1.01 B parameters is frozen, with TIA adapters behind every
# block (44.7 M that learn). The paper has no such row.
# +model.backbone.frozen_dtype=bfloat16 keeps the frozen matrices in half the memory.
# It is the backbone of the best detections published on the multi-label sets, average
# mAP of AdaTAD: MultiTHUMOS 48.73 at 1536 frames of 224 px (adapters behind the last 20
# blocks), 46.74 at 768 of 160; Charades 37.56 at 512 of 160.
# Numbers: OpenTAD's AdaTAD for MultiTHUMOS with this backbone (cba8f01a): adapters at
# 1e-4; the rest as adatad_videomae-b_mma82.py, whose head tells what is ours.
# The weights, vit_g_hybrid_pt_1200e_k710_ft.pth, are given to who fills in the form of
# OpenGVLab/VideoMAEv2, docs/MODEL_ZOO.md. Then
#   python tools/convert_weights.py FILE vit-g.pth --from videomae
#   python tools/train.py adatad_videomaev2-g_mma82 --load-from vit-g.pth
# They were never seen here: names and shapes were checked against the authors' code.
# Checkpoints hold the backbone, too, for the recipe names no place to have it again.
# Expected: – (real data not seen). Hardware: –. Hours: –
_base_ = '../_base_/datasets/mma82_det_rgb_256x154.py'

protocol = dict(name='indomain')

model = dict(
    type='SegmentDetector',
    backbone=dict(
        type='VideoMAETIA',
        arch='giant',
        drop_path_rate=0.1,
        with_cp=True,
    ),
    projection=dict(
        type='Conv1DTransformerProj', in_channels=1408, arch=(3, 0, 5), path_drop=0.1
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
# Behind a form: see above.
pretrained = None

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.05),
    paramwise_cfg=dict(
        flat_decay_mult=0,
        custom_keys={'.adapter.': dict(lr_mult=1.0), '.scale': dict(decay_mult=0)},
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
