# PoseC3D on MMA-82 skeletons, 48 frames, joint heatmaps of 17 body joints.
# The paper reports PoseC3D and gives no recipe; model and schedule are the published
# ones for NTU60 (see ../models and ../schedules), started from its weights.
# Expected: – (real data not seen). Hardware: –. Hours: –
_base_ = [
    '../models/posec3d.py',
    '../datasets/mma82_heatmap_u48.py',
    '../schedules/posec3d_240e.py',
    '../default_runtime.py',
]
