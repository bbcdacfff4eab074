# ActionFormer on features of VideoMAE-S (384 numbers) of untrimmed MMA-82: windows of
# 17 s, 256 positions, six levels. The paper has no such row.
# Numbers: ActionFormer for THUMOS14 (Zhang et al., ECCV 2022): 2 convolutions and 2
# transformer blocks at full rate, 512 channels, 4 heads, windows of 19 positions, drop
# path 0.1.
# Expected: – (real data not seen). Hardware: –. Hours: –
_base_ = [
    '../_base_/datasets/mma82_det_features_videomae-s.py',
    '../_base_/schedules/actionformer_35e.py',
]

protocol = dict(name='indomain')

model = dict(
    type='SegmentDetector',
    projection=dict(
        type='Conv1DTransformerProj',
        in_channels=384,
        arch=(2, 2, 5),
        window=19,
        path_drop=0.1,
    ),
    neck=dict(type='FPNIdentity', num_levels=6),
    head=dict(
        type='ActionFormerHead',
        num_classes=82,
        label_space='mma82',
        num_levels=6,
        targets='shortest',
    ),
)
pretrained = None

default_hooks = dict(ema=dict(type='TrainedEMAHook', decay=0.999))
