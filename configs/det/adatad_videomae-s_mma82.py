# AdaTAD with VideoMAE ViT-S/16 on untrimmed MMA-82 (1.0 M parameters that learn); the
# rest is ViT-B's.
# AdaTAD starts from VideoMAE's own ViT-S, which OpenMMLab does not publish; this start
# is VideoMAE V2's of the same names and shapes.
# Expected: AVG 18.77 (action mAP 12.09, body mAP 25.44) in the paper; – here (real data
# not seen). Hardware: –. Hours: –
_base_ = 'adatad_videomae-b_mma82.py'

model = dict(backbone=dict(arch='small'), projection=dict(in_channels=384))
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
