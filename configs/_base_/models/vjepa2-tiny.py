# A V-JEPA 2 of 0.9 M parameters of the transformers library, 16x112x112, for two CPU
# cores. It reproduces no published model: it shows that the recipe of vjepa2-l runs.
# Nothing is frozen, for nobody publishes weights of this size.
model = dict(
    type='Recognizer3D',
    backbone=dict(
        type='HubVideoEncoder',
        config=dict(
            model_type='vjepa2',
            hidden_size=128,
            num_hidden_layers=4,
            num_attention_heads=4,
            mlp_ratio=4,
            patch_size=16,
            tubelet_size=2,
            crop_size=112,
            drop_path_rate=0.0,
        ),
        freeze='none',
        with_cp=False,
    ),
    cls_head=dict(
        type='ActionHead',
        pooling='none',
        num_classes=82,
        in_channels=128,
        dropout_ratio=0.0,
        init_std=0.01,
        average_clips='prob',
    ),
    data_preprocessor=dict(
        type='ActionDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        format_shape='NCTHW',
    ),
)

pretrained = None
