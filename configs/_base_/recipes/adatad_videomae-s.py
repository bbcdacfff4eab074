# AdaTAD with VideoMAE ViT-S on untrimmed MMA-82: windows of 17 s, 256 frames, 160 x
# 160.
# The paper (arXiv 2606.14096) has this row but not its hyper-parameters: structure is
# OpenTAD's AdaTAD, window, epochs and batch are our choice (see ../models, ../datasets
# and ../schedules for each number). The adapters learn at 4e-4, the detector at 1e-4.
# Expected: AVG 18.77 (action mAP 12.09, body mAP 25.44) in the paper; – here (real data
# not seen). Hardware: –. Hours: –
_base_ = [
    '../models/adatad_videomae-s.py',
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
