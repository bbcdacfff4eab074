# VideoMAE ViT-H/16, 16x224x224, 632 M parameters; blocks are recomputed in the
# backward pass.
# Numbers: VideoMAE's fine-tuning recipe for Kinetics-400 (MCG-NJU/VideoMAE, scripts of
# commit 14ef8d85): label smoothing 0.1, mixup 0.8 or cutmix 1.0 on every batch, drop
# path 0.2, classifier started at 0.02 * 0.001. ImageNet mean and std, RGB.
# Dropout 0.5 before the classifier as there.
model = dict(
    type='Recognizer3D',
    backbone=dict(type='VideoMAEViT', arch='huge', drop_path_rate=0.2, with_cp=True),
    cls_head=dict(
        type='ActionHead',
        pooling='none',
        num_classes=82,
        in_channels=1280,
        dropout_ratio=0.5,
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

# OpenMMLab publishes no VideoMAE ViT-H; this one is on the Hugging Face Hub, named as
# in the transformers library, which VideoMAEViT understands. It was never downloaded
# here: names and shapes were checked against that library's own model, the hash is
# unknown. CC BY-NC 4.0; the commit is of 2023-04-22, the file has 2.53 GB.
pretrained = dict(
    url=(
        'https://huggingface.co/MCG-NJU/videomae-huge-finetuned-kinetics/resolve/'
        'fb1e058bba7d50fb2be1a6823721ec35d6740834/pytorch_model.bin'
    ),
    sha8='',
    data='kinetics-400',
    note='VideoMAE ViT-H, pre-trained and tuned on K400; hash unknown: unverified',
)
