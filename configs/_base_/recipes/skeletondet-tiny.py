# Temporal detection on MMA-82 skeletons for two CPU cores: temporal convolutions on
# bones, a pyramid of five levels, the head of ActionFormer. The paper has no such
# model, and this reproduces nothing.
# Expected: – (real data not seen). Hardware: two CPU cores; simulated, scale small,
# lab: 0.5 seconds of one core per step of 16 windows, 18 steps per epoch, 30 epochs.
_base_ = [
    '../models/skeletondet-tiny.py',
    '../datasets/mma82_det_skeleton_p256.py',
    '../schedules/skeletondet_30e.py',
    '../default_runtime.py',
]
task = 'det'
default_hooks = dict(checkpoint=dict(save_best='action/mAP'))
