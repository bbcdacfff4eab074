# VideoMAE ViT-H/16 on MMA-82, 632 M parameters; drop path 0.2 and dropout 0.5 before
# the classifier, as VideoMAE has them; the rest is ViT-L's.
# OpenMMLab publishes no VideoMAE ViT-H; this one is on the Hugging Face Hub, named as
# in the transformers library, which VideoMAEViT understands. It was never downloaded
# here: names and shapes were checked against that library's own model, the hash is
# unknown. CC BY-NC 4.0; the commit is of 2023-04-22, the file has 2.53 GB.
# Expected: – (real data not seen). Hardware: –. Hours: –
_base_ = 'videomae-l_mma82_indomain.py'

model = dict(
    backbone=dict(arch='huge', drop_path_rate=0.2),
    cls_head=dict(in_channels=1280, dropout_ratio=0.5),
)
pretrained = dict(
    url=(
        'https://huggingface.co/MCG-NJU/videomae-huge-finetuned-kinetics/resolve/'
        'fb1e058bba7d50fb2be1a6823721ec35d6740834/pytorch_model.bin'
    ),
    sha8='',
    data='kinetics-400',
    note='VideoMAE ViT-H, pre-trained and tuned on K400; hash unknown: unverified',
)
