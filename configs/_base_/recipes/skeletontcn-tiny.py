# Temporal convolutions on MMA-82 skeletons, 48 frames of 31 joints, for two CPU cores.
# Reproduces nothing; it is the model of `make quickstart`. Why not stgcnpp-tiny: see
# the note below.
# Expected: – (real data not seen). Hardware: two CPU cores.
_base_ = [
    '../models/skeletontcn-tiny.py',
    '../datasets/mma82_skeleton_u48.py',
    '../schedules/skeletontcn_40e.py',
    '../default_runtime.py',
]
protocol_overrides = dict(fewshot=dict())
