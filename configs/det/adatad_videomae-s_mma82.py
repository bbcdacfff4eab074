# AdaTAD with VideoMAE ViT-S/16 on untrimmed MMA-82 (1.0 M parameters that learn); the
# rest is ViT-B's.
# The start is VideoMAE's own ViT-S, as AdaTAD's; its file is on the Hugging Face Hub,
# under CC BY-NC 4.0, and was never downloaded here. To start from VideoMAE V2's ViT-S
# (distilled, stronger: no longer the paper's row), --load-from the URL in
# videomae-s_mma82_indomain.py.
# Expected: AVG 18.77 (action mAP 12.09, body mAP 25.44) in the paper; – here (real data
# not seen). Hardware: –. Hours: –
_base_ = 'adatad_videomae-b_mma82.py'

model = dict(backbone=dict(arch='small'), projection=dict(in_channels=384))
pretrained = dict(
    url=(
        'https://huggingface.co/MCG-NJU/videomae-small-finetuned-kinetics/resolve/'
        'main/pytorch_model.bin'
    ),
    sha8='d6958590',  # as two public lists of files say
    size=88197173,
    data='kinetics-400',
    note='VideoMAE ViT-S, pre-trained and tuned on K400: 79.0 top-1',  # MODEL_ZOO.md
)
