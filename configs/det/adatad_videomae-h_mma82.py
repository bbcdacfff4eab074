# AdaTAD with VideoMAE ViT-H/16 on untrimmed MMA-82 (29.6 M parameters that learn); the
# adapters learn at 1e-4, the rest is ViT-B's.
# The file is on the Hugging Face Hub, under CC BY-NC 4.0, and was never downloaded
# here: its hash is unknown.
# Expected: AVG 23.07 (action mAP 16.08, body mAP 30.05) in the paper; – here (real data
# not seen). Hardware: –. Hours: –
_base_ = 'adatad_videomae-b_mma82.py'

model = dict(backbone=dict(arch='huge'), projection=dict(in_channels=1280))
pretrained = dict(
    url=(
        'https://huggingface.co/MCG-NJU/videomae-huge-finetuned-kinetics/resolve/'
        'fb1e058bba7d50fb2be1a6823721ec35d6740834/pytorch_model.bin'
    ),
    sha8='',
    data='kinetics-400',
    note='VideoMAE ViT-H, pre-trained and tuned on K400; hash unknown: unverified',
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'.adapter.': dict(lr_mult=1.0)}))
