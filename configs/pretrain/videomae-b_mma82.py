# VideoMAE's pre-training of ViT-B/16 without labels on the clips of a data root, 16
# frames of 224 x 224; 94.2 M parameters, of which the 86 M of the encoder start
# videomae_mma82 and what else has this backbone (--load-from).
# Numbers: VideoMAE's pre-training for Kinetics-400 (MCG-NJU/VideoMAE, scripts of commit
# 14ef8d85): tubes of 0.9, decoder of 4 blocks, 384 channels and 6 heads, pixels of each
# patch normalised, AdamW with betas of .9 and .95, learning rate 1.5e-4 for 256
# samples, weight decay 0.05 (none on biases, norms and the mask token), a warm-up from
# 0 and a cosine to a fifteenth. ImageNet mean and std, RGB.
# Each clip four times in a step: VideoMAE V2 (OpenGVLab/VideoMAEv2, 29eab1e). So an
# epoch is four of VideoMAE's: 400 epochs, our choice, show a clip 1600 times, 10 of
# them are its 40 of warm-up.
# The start is random. VideoMAE's own file of its pre-training on Kinetics-400 goes on
# with its decoder: --load-from FILE, by the original names or those of the Hub.
# Expected: – (real data not seen). Hardware: –. Hours: –
_base_ = '../_base_/datasets/mma82_unlabelled_16x224.py'

protocol = dict(name='indomain')

model = dict(
    type='MaskedVideoModel',
    backbone=dict(type='VideoMAEViT', arch='base'),
    decoder=dict(embed_dims=384, depth=4, num_heads=6),
    data_preprocessor=dict(
        type='ActionDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        format_shape='NCTHW',
    ),
)
pretrained = None

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1.5e-4, betas=(0.9, 0.95), weight_decay=0.05),
    paramwise_cfg=dict(
        flat_decay_mult=0.0, custom_keys=dict(mask_token=dict(decay_mult=0.0))
    ),
)
auto_scale_lr = dict(enable=True, base_batch_size=256)

param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=1e-6,
        begin=0,
        end=10,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        eta_min_ratio=1 / 15,
        T_max=390,
        begin=10,
        end=400,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=400)
