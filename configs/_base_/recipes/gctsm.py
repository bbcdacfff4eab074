# GC-TSM-R50 on MMA-82, 8 frames spread over the clip, 224 x 224: the RGB baseline of
# the paper, whose hyperparameters are not published. The recipe is that of the GC
# repository for Something-Something V1, with its augmentation without label remap.
# It starts from TSM's Kinetics-400 weights (the repository: ImageNet), since 23
# thousand clips are few; they lack the gates, hence the warm-up.
# Expected: – (real data not seen). Hardware: –. Hours: –
_base_ = [
    '../models/gctsm-r50.py',
    '../datasets/mma82_rgb_8x224.py',
    '../schedules/gctsm_50e.py',
    '../default_runtime.py',
]
