# AdaTAD: VideoMAE ViT-L/16, frozen, with TIA adapters behind every block (14.2 M
# parameters that learn), over windows of 256 frames in chunks of 16; convolutions and
# transformer to six levels, ActionFormer's head.
# Numbers: OpenTAD's AdaTAD for MultiTHUMOS, its multi-label data set (cd0ca96f): 3
# convolutions and no transformer at full rate, 512 channels, full attention, drop path
# 0.1; the 2000 best pairs above 0.001. Blocks are recomputed in the backward pass.
# ImageNet mean and std, RGB.
model = dict(
    type='SegmentDetector',
    backbone=dict(type='VideoMAETIA', arch='large', drop_path_rate=0.1, with_cp=True),
    projection=dict(
        type='Conv1DTransformerProj', in_channels=1024, arch=(3, 0, 5), path_drop=0.1
    ),
    neck=dict(type='FPNIdentity', num_levels=6),
    head=dict(
        type='ActionFormerHead',
        num_classes=82,
        num_levels=6,
        targets='shortest',
        test_cfg=dict(score_thr=0.001, top_k=2000),
    ),
    data_preprocessor=dict(
        type='ActionDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        format_shape='NCTHW',
    ),
)

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
