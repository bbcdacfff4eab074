# VideoMAE ViT-S/16 on MMA-82, 22 M parameters; the rest is ViT-B's.
# OpenMMLab publishes no VideoMAE ViT-S; the start is VideoMAE V2's, which has the same
# weights by name and shape. VideoMAE's own ViT-S loads too, from the Hugging Face Hub:
# --load-from the file of MCG-NJU/videomae-small-finetuned-kinetics.
# Expected: – (real data not seen). Hardware: –. Hours: –
_base_ = 'videomae_mma82_indomain.py'

model = dict(backbone=dict(arch='small'), cls_head=dict(in_channels=384))
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
