# VideoMAE ViT-L/16, 16x224x224, 304 M parameters; blocks are recomputed in the
# backward pass.
# Numbers: VideoMAE's fine-tuning recipe for Kinetics-400 (MCG-NJU/VideoMAE, scripts of
# commit 14ef8d85): label smoothing 0.1, mixup 0.8 or cutmix 1.0 on every batch, drop
# path 0.1, classifier started at 0.02 * 0.001. ImageNet mean and std, RGB.
model = dict(
    type='Recognizer3D',
    backbone=dict(type='VideoMAEViT', arch='large', drop_path_rate=0.1, with_cp=True),
    cls_head=dict(
        type='ActionHead',
        pooling='none',
        num_classes=82,
        in_channels=1024,
        dropout_ratio=0.0,
        init_std=2e-5,
        label_smooth_eps=0.1,
        average_clips='prob',
    ),
    data_preprocessor=dict(
        type='ActionDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        format_shape='NCTHW',
        blending=dict(
            type='RandomBatchAugment',  # one of the two for every batch, half and half
            augments=[
                dict(type='MixupBlending', alpha=0.8, num_classes=82),
                dict(type='CutmixBlending', alpha=1.0, num_classes=82),
            ],
        ),
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
