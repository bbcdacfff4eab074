# The VideoMAE of 1 M parameters with LoRA of rank 8 beside every linear layer of its
# frozen blocks, 0.07 M parameters that learn, and the classifier.
# Reproduces nothing: it shows what few parameters do on two CPU cores. Nobody publishes
# weights of this size, so that it is started from a checkpoint of videomae-tiny or of
# its pre-training: --load-from CKPT. Learning rate 3e-3 for a batch of 8, our own; the
# rest is videomae-tiny's. TIA adapters instead: --cfg-options model.backbone.tia=True
# model.backbone.lora=None.
# Expected: – (real data not seen). Hardware: two CPU cores
_base_ = 'videomae-tiny_mma82_indomain.py'

model = dict(backbone=dict(lora=dict(rank=8, alpha=16.0), tia=False))
optim_wrapper = dict(optimizer=dict(lr=3e-3, weight_decay=0.0))
default_hooks = dict(trained_only=dict(type='TrainedOnlyHook'))
