# A VideoMAE of 1 M parameters on MMA-82, 16 frames of 112 x 112, for two CPU cores.
# Reproduces nothing: it shows that a run works, and is trained from scratch.
# Expected: – (real data not seen). Hardware: two CPU cores.
_base_ = [
    '../models/videomae-tiny.py',
    '../datasets/mma82_rgb_16x112.py',
    '../schedules/videomae_tiny_20e.py',
    '../default_runtime.py',
]
