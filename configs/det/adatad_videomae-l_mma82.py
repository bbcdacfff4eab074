# AdaTAD with VideoMAE ViT-L/16 on untrimmed MMA-82 (14.2 M parameters that learn); the
# adapters learn at 2e-4, the rest is ViT-B's.
# Expected: AVG 23.41 (action mAP 14.98, body mAP 31.83) in the paper; – here (real data
# not seen). Hardware: –. Hours: –
_base_ = 'adatad_videomae-b_mma82.py'

model = dict(backbone=dict(arch='large'), projection=dict(in_channels=1024))
pretrained = dict(
    url=(
        'https://download.openmmlab.com/mmaction/v1.0/recognition/videomae/'
        'vit-large-p16_videomae-k400-pre'
        '_16x4x1_kinetics-400_20221013-229dbb03.pth'
    ),
    sha8='229dbb03',
    data='kinetics-400',
    note='VideoMAE ViT-L, pre-trained and tuned on K400: 85.3 top-1',
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'.adapter.': dict(lr_mult=2.0)}))
