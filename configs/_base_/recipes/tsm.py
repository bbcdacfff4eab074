# TSM-R50 on MMA-82, 8 frames spread over the clip, 224 x 224.
# The paper has no such row; MANet's authors report TSM on MA-52 (56.75 top-1). The
# recipe is MMAction2's for Kinetics-400, from its Kinetics-400 weights: 23 thousand
# clips of upper bodies are few, and those weights know people moving.
# Expected: – (real data not seen). Hardware: –. Hours: –
_base_ = [
    '../models/tsm-r50.py',
    '../datasets/mma82_rgb_8x224.py',
    '../schedules/tsm_50e.py',
    '../default_runtime.py',
]
