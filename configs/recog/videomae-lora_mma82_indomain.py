# VideoMAE ViT-B/16 on MMA-82 with LoRA of rank 8 beside every linear layer of the
# frozen blocks, 1.2 M parameters that learn, and the classifier; TIA adapters
# (4.0 M) and the choice of numbers as in videomae-s-lora_mma82_indomain.py. The rest is
# videomae's.
# Expected: – (real data not seen). Hardware: –. Hours: –
_base_ = 'videomae_mma82_indomain.py'

model = dict(backbone=dict(lora=dict(rank=8, alpha=16.0), tia=False))
optim_wrapper = dict(
    optimizer=dict(lr=1e-3, weight_decay=0.0), paramwise_cfg=dict(decay_rate=1.0)
)
default_hooks = dict(trained_only=dict(type='TrainedOnlyHook'))
