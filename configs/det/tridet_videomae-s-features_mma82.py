# TriDet on features of VideoMAE-S (384 numbers) of untrimmed MMA-82: windows of 17 s,
# 256 positions, six levels. The paper has no such row.
# Numbers: TriDet for THUMOS14 (Shi et al., CVPR 2023, and OpenTAD): 2 convolutions and
# 2 SGP blocks at full rate, 512 channels, perceptrons of 768, wide kernels of factor 5,
# 16 bins, IoU power 0.2, drop path 0.1. Each class has its own segment at a point, so
# targets are the union of what overlaps there.
# Ours: depthwise weights of SGP blocks start at std 0.1, TriDet's for HACS (THUMOS14:
# 0, at which the gates never move; ActivityNet: 0.2).
# The IoU that weights the classes' loss passes no gradient (there it does).
# The schedule is ActionFormer's: weight decay 0.05 and 5 of 35 epochs of warm-up
# (TriDet: 0.025, 20 of 40), and no noise of 5e-4 on the input.
# Expected: – (real data not seen). Hardware: –. Hours: –
_base_ = [
    '../_base_/datasets/mma82_det_features_videomae-s.py',
    '../_base_/schedules/actionformer_35e.py',
]

protocol = dict(name='indomain')

model = dict(
    type='SegmentDetector',
    projection=dict(
        type='TriDetProj',
        in_channels=384,
        arch=(2, 2, 5),
        hidden=768,
        k=5,
        path_drop=0.1,
    ),
    neck=dict(type='FPNIdentity', num_levels=6),
    head=dict(
        type='TriDetHead',
        num_classes=82,
        label_space='mma82',
        num_levels=6,
        num_bins=16,
        iou_power=0.2,
        targets='union',
    ),
)
pretrained = None

default_hooks = dict(ema=dict(type='TrainedEMAHook', decay=0.999))
