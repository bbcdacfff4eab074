# A small ST-GCN++ on MMA-82 skeletons, 48 frames of 31 joints, for two CPU cores.
# Reproduces nothing; skeletontcn-tiny learns the simulated corpus better and faster.
# Expected: – (real data not seen). Hardware: two CPU cores.
_base_ = [
    '../models/stgcnpp-tiny.py',
    '../datasets/mma82_skeleton_u48.py',
    '../schedules/stgcnpp_tiny_20e.py',
    '../default_runtime.py',
]
