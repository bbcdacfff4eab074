# Video Swin-S on MMA-82, 50 M parameters; drop path 0.2, as published, the rest is T's.
# Expected: – (real data not seen). Hardware: –. Hours: –
_base_ = 'videoswin-t_mma82_indomain.py'

model = dict(backbone=dict(arch='small', drop_path_rate=0.2))
pretrained = dict(
    url=(
        'https://download.openmmlab.com/mmaction/v1.0/recognition/swin/'
        'swin-small-p244-w877_in1k-pre_8xb8-amp-32x2x1-30e_kinetics400-rgb/'
        'swin-small-p244-w877_in1k-pre_8xb8-amp-32x2x1-30e_kinetics400-rgb'
        '_20220930-e91ab986.pth'
    ),
    sha8='e91ab986',
    data='imagenet-1k, kinetics-400',
    note='Video Swin-S, ImageNet-1K, tuned on K400: 80.54 top-1',
)
