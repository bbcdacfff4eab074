# AdaTAD with V-JEPA 2 ViT-L/16 of the transformers library (pip install 'mmma[hub]') on
# untrimmed MMA-82: windows of 17 s, 256 frames, 160 x 160, cut in chunks of 16 frames.
# The backbone is frozen, with TIA adapters behind every block (14.2 M parameters that
# learn). The paper has no such row, and none is published on the multi-label sets.
# Frozen as it is: --cfg-options model.backbone.tia=False. LoRA in their place or beside
# them: +model.backbone.lora.rank=8.
# Numbers: those of adatad_videomae-l_mma82.py, backbone and drop path aside; the sizes
# of facebook/vjepa2-vitl-fpc64-256. Positions are rotary, so that 160 pixels and 16
# frames need no other weights; that the file was trained at 256 is a disadvantage.
# Expected: – (real data not seen). Hardware: –. Hours: –
_base_ = 'adatad_videomae-l_mma82.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='HubVideoEncoder',
        config=dict(
            model_type='vjepa2',
            hidden_size=1024,
            num_hidden_layers=24,
            num_attention_heads=16,
            mlp_ratio=4,
            patch_size=16,
            tubelet_size=2,
            crop_size=160,
            drop_path_rate=0.0,
        ),
        output='map',
        chunk=16,
        freeze='all',
        tia=True,
        with_cp=True,
    ),
    pooling='clip',
)
pretrained = dict(
    _delete_=True,
    url=(
        'https://huggingface.co/facebook/vjepa2-vitl-fpc64-256/resolve/'
        'b3c1679b7c34d3255ef3547f27c7b226aefab26f/model.safetensors'
    ),
    sha8='25466aef',  # as public copies of the repository's pointers say
    size=1303947864,
    data='VideoMix22M',
    note='V-JEPA 2 ViT-L, self-supervised, 64 frames of 256',
)
