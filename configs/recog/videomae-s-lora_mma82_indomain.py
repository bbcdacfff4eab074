# VideoMAE ViT-S/16 on MMA-82, adapted with few parameters: LoRA of rank 8 beside every
# linear layer of the frozen blocks, 0.59 M parameters that learn, and the classifier.
# Checkpoints hold these alone, and the hash of what is frozen.
# TIA adapters instead, which mix tokens over time as AdaTAD's do (1.0 M):
# --cfg-options model.backbone.tia=True model.backbone.lora=None. Both may be there.
# Numbers: rank 8 is that of the RoBERTa rows of Hu et al. (LoRA, 2022; there beside
# queries and values, alpha 8), all linear layers those of Dettmers et al. (QLoRA,
# 2023). Ours, not tuned: alpha 16, learning rate 1e-3 * batch / 256, the same for every
# layer, and no weight decay. The rest is videomae-s's.
# Expected: – (real data not seen). Hardware: –. Hours: –
_base_ = 'videomae-s_mma82_indomain.py'

model = dict(backbone=dict(lora=dict(rank=8, alpha=16.0), tia=False))
optim_wrapper = dict(
    optimizer=dict(lr=1e-3, weight_decay=0.0), paramwise_cfg=dict(decay_rate=1.0)
)
default_hooks = dict(trained_only=dict(type='TrainedOnlyHook'))
