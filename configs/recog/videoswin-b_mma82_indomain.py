# Video Swin-B on MMA-82, 88 M parameters; drop path 0.3 and weight decay 0.05, as
# published, the rest is T's.
# Expected: – (real data not seen). Hardware: –. Hours: –
_base_ = 'videoswin-t_mma82_indomain.py'

model = dict(
    backbone=dict(arch='base', drop_path_rate=0.3), cls_head=dict(in_channels=1024)
)
pretrained = dict(
    url=(
        'https://download.openmmlab.com/mmaction/v1.0/recognition/swin/'
        'swin-base-p244-w877_in1k-pre_8xb8-amp-32x2x1-30e_kinetics400-rgb/'
        'swin-base-p244-w877_in1k-pre_8xb8-amp-32x2x1-30e_kinetics400-rgb'
        '_20220930-182ec6cc.pth'
    ),
    sha8='182ec6cc',
    data='imagenet-1k, kinetics-400',
    note='Video Swin-B, ImageNet-1K, tuned on K400: 80.57 top-1',
)
optim_wrapper = dict(optimizer=dict(weight_decay=0.05))
