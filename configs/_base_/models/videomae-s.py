# VideoMAE ViT-S/16, 16x224x224, 22 M parameters.
# Numbers: VideoMAE's fine-tuning recipe for Kinetics-400 (MCG-NJU/VideoMAE, scripts of
# commit 14ef8d85): label smoothing 0.1, mixup 0.8 or cutmix 1.0 on every batch, drop
# path 0.1, classifier started at 0.02 * 0.001. ImageNet mean and std, RGB.
# OpenMMLab publishes no VideoMAE ViT-S; the start is VideoMAE V2's, which has the same
# weights by name and shape. VideoMAE's own ViT-S loads too, from the Hugging Face Hub:
# --load-from the file of MCG-NJU/videomae-small-finetuned-kinetics.
model = dict(
    type='Recognizer3D',
    backbone=dict(type='VideoMAEViT', arch='small', drop_path_rate=0.1),
    cls_head=dict(
        type='ActionHead',
        pooling='none',
        num_classes=82,
        in_channels=384,
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
        'https://download.openmmlab.com/mmaction/v1.0/recognition/videomaev2/'
        'vit-small-p16_videomaev2-vit-g-dist-k710-pre_16x4x1_kinetics-400/'
        'vit-small-p16_videomaev2-vit-g-dist-k710-pre'
        '_16x4x1_kinetics-400_20230510-25c748fd.pth'
    ),
    sha8='25c748fd',
    data='kinetics-710, kinetics-400',
    note='VideoMAE V2 ViT-S, distilled from ViT-g on K710, tuned on K400: 83.6 top-1',
)
