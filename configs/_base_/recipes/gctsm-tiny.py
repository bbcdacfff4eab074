# A small GC-TSM on MMA-82, differences of 8 frames of 64 x 64, for two CPU cores.
# Reproduces nothing: it shows that a run works, and is trained from scratch.
# Expected: – (real data not seen). Hardware: two CPU cores.
_base_ = [
    '../models/gctsm-tiny.py',
    '../datasets/mma82_rgb_8x64.py',
    '../schedules/gctsm_tiny_30e.py',
    '../default_runtime.py',
]
