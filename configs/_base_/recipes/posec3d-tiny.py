# A small PoseC3D on MMA-82 skeletons, 16 frames of 31 joints, for two CPU cores.
# Reproduces nothing; it shows that a run works, and is trained from scratch.
# Expected: – (real data not seen). Hardware: two CPU cores.
_base_ = [
    '../models/posec3d-tiny.py',
    '../datasets/mma82_heatmap_u16.py',
    '../schedules/posec3d_tiny_20e.py',
    '../default_runtime.py',
]
