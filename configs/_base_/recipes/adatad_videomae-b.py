# AdaTAD with VideoMAE ViT-B on untrimmed MMA-82: windows of 17 s, 256 frames, 160 x
# 160.
# The paper (arXiv 2606.14096) has this row but not its hyper-parameters: structure is
# OpenTAD's AdaTAD, window, epochs and batch are our choice (see ../models, ../datasets
# and ../schedules for each number). The adapters learn at 4e-4, the detector at 1e-4.
# Expected: AVG 21.36 (action mAP 13.59, body mAP 29.13) in the paper; – here (real data
# not seen). Hardware: –. Hours: –
_base_ = [
    '../models/adatad_videomae-b.py',
    '../datasets/mma82_det_rgb_256x160.py',
    '../schedules/adatad_40e.py',
    '../default_runtime.py',
]
task = 'det'
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'.adapter.': dict(lr_mult=4.0)}))
default_hooks = dict(
    checkpoint=dict(save_best='action/mAP'),
    ema=dict(type='TrainedEMAHook', decay=0.999),
    trained_only=dict(type='TrainedOnlyHook'),
)
