# VideoMAE ViT-B/16 on MMA-82, 16 frames spread over the clip, 224 x 224.
# The paper has no such row; the recipe is VideoMAE's Kinetics-400 fine-tuning, from
# OpenMMLab's Kinetics-400 weights (see ../models and ../schedules for each number).
# Expected: – (real data not seen). Hardware: –. Hours: –
_base_ = [
    '../models/videomae-b.py',
    '../datasets/mma82_rgb_16x224.py',
    '../schedules/videomae_50e.py',
    '../default_runtime.py',
]
