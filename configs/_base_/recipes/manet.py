# MANet-R50 on MMA-82, 8 frames spread over the clip, 224 x 224.
# The paper has no such row; the recipe is the published one for MA-52 (61.33 top-1
# there, at epoch 40), from ImageNet weights as there, so that it stays MANet.
# To start from TSM on Kinetics-400 instead: --load-from with the URL in
# ../models/tsm-r50.py.
# Expected: – (real data not seen). Hardware: –. Hours: –
_base_ = [
    '../models/manet-r50.py',
    '../datasets/mma82_rgb_8x224.py',
    '../schedules/manet_80e.py',
    '../default_runtime.py',
]
