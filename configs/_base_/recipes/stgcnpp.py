# ST-GCN++ at published size on MMA-82 skeletons, 100 frames of 65 joints, joint stream.
# The paper has no such row; model and schedule are PYSKL's for NTU60 in 2D, as in
# MMAction2 (see ../models and ../schedules). Ours: all 65 joints, one person, flips,
# body-centred coordinates.
# Expected: – (real data not seen). Hardware: –. Hours: –
_base_ = [
    '../models/stgcnpp.py',
    '../datasets/mma82_skeleton_u100.py',
    '../schedules/stgcnpp_80e.py',
    '../default_runtime.py',
]
