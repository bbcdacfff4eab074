# ActionFormer on features of VideoMAE-S of untrimmed MMA-82: windows of 17 s, 256
# positions.
# The paper has no such row (see ../models and ../schedules for each number).
# Expected: – (real data not seen). Hardware: –. Hours: –
_base_ = [
    '../models/actionformer_videomae-s-features.py',
    '../datasets/mma82_det_features_videomae-s.py',
    '../schedules/actionformer_35e.py',
    '../default_runtime.py',
]
task = 'det'
default_hooks = dict(
    checkpoint=dict(save_best='action/mAP'),
    ema=dict(type='TrainedEMAHook', decay=0.999),
)
