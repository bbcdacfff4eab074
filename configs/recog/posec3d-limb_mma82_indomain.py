# PoseC3D on MMA-82 skeletons, heatmaps of 17 limbs; the rest is that of joints. Its
# scores averaged with those of posec3d are PoseC3D's two-stream result.
# Expected: – (real data not seen). Hardware: –. Hours: –
_base_ = 'posec3d_mma82_indomain.py'

model = dict(data_preprocessor=dict(limbs='body17'), backbone=dict(limbs='body17'))
pretrained = dict(
    url=(
        'https://download.openmmlab.com/mmaction/v1.0/skeleton/posec3d/'
        'slowonly_r50_8xb16-u48-240e_ntu60-xsub-limb/'
        'slowonly_r50_8xb16-u48-240e_ntu60-xsub-limb_20220815-af2f119a.pth'
    ),
    sha8='af2f119a',
    data='ntu60-xsub',
    note='PoseC3D on NTU60 XSub, 17 limbs of COCO: 93.5 top-1',
)
