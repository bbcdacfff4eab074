# AdaTAD at tiny size from scratch, for two CPU cores: 128 frames at 64 x 64. The paper
# has no such model, and this reproduces nothing.
_base_ = [
    '../models/adatad_videomae-tiny.py',
    '../datasets/mma82_det_rgb_128x64.py',
    '../schedules/adatad_tiny_40e.py',
    '../default_runtime.py',
]
task = 'det'
default_hooks = dict(checkpoint=dict(save_best='action/mAP'))
