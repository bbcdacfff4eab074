# VideoMAE's pre-training of ViT-S/16 without labels, 24 M parameters with the decoder;
# the rest is ViT-B's. It starts videomae-s_mma82.
# Decoder of 4 blocks, 192 channels and 3 heads: MCG-NJU/VideoMAE, 14ef8d85.
# Expected: – (real data not seen). Hardware: –. Hours: –
_base_ = 'videomae-b_mma82.py'

model = dict(
    backbone=dict(arch='small'), decoder=dict(embed_dims=192, depth=4, num_heads=3)
)
