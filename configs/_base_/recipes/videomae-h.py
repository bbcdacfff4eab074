# VideoMAE ViT-H/16 on MMA-82, 16 frames spread over the clip, 224 x 224.
# The paper has no such row; the recipe is VideoMAE's Kinetics-400 fine-tuning, from its
# Kinetics-400 weights on the Hugging Face Hub, under CC BY-NC 4.0 (see ../models and
# ../schedules for each number).
# Expected: – (real data not seen). Hardware: –. Hours: –
_base_ = [
    '../models/videomae-h.py',
    '../datasets/mma82_rgb_16x224.py',
    '../schedules/videomae_30e.py',
    '../default_runtime.py',
]
