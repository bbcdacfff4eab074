# V-JEPA 2 ViT-L/16, frozen, with a linear classifier on MMA-82, 16 frames spread over
# the clip, 256 x 256. The paper has no such row; encoder and optimizer are those of
# V-JEPA 2's probes (../models and ../schedules have the numbers).
# Expected: – (real data not seen). Hardware: –. Hours: –
_base_ = [
    '../models/vjepa2-l.py',
    '../datasets/mma82_rgb_16x256.py',
    '../schedules/vjepa2_20e.py',
    '../default_runtime.py',
]
