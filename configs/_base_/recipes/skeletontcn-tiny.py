# Temporal convolutions on MMA-82 skeletons, 48 frames of 31 joints, for two CPU cores.
# Reproduces nothing; it is the compact model for a quick start. Chosen over ST-GCN++:
# with equal data, features (joint, bone, joint motion, score) and 12 epochs on the
# simulated lab, Top-1 on lab val is 82 against 60 for ST-GCN++ of 4 stages, and the
# networks take 30 against 208 seconds of one core.
# Expected: – (real data not seen). Hardware: two CPU cores; simulated, scale small,
# lab, 40 epochs: 290 seconds of processor time, loading and validation included.
_base_ = [
    '../models/skeletontcn-tiny.py',
    '../datasets/mma82_skeleton_u48.py',
    '../schedules/skeletontcn_40e.py',
    '../default_runtime.py',
]
