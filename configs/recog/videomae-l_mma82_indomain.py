# VideoMAE ViT-L/16 on MMA-82, 304 M parameters; the rest is ViT-B's. Blocks are
# recomputed in the backward pass.
# The learning rate 5e-4 * batch / 256 and 30 epochs are our choice (there 1e-3 to 2e-3
# and 35 to 50): the start is OpenMMLab's weights that were tuned on Kinetics-400.
# Expected: – (real data not seen). Hardware: –. Hours: –
_base_ = 'videomae_mma82_indomain.py'

model = dict(backbone=dict(arch='large', with_cp=True), cls_head=dict(in_channels=1024))
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

param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=2e-3,
        begin=0,
        end=5,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        eta_min_ratio=2e-3,
        T_max=25,
        begin=5,
        end=30,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(max_epochs=30)
