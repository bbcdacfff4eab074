"""Untrained checkpoints of small models for tests: the same weights each time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

RECIPES = {
    ('rec', 'RGB'): 'configs/recog/gctsm-tiny_mma82_zeroshot.py',
    ('rec', 'RGB+Pose'): 'configs/recog/rgbposeconv3d-tiny_mma82_zeroshot.py',
    ('rec', 'Pose'): 'configs/recog/skeletontcn-tiny_mma82_zeroshot.py',
    ('det', 'RGB'): 'configs/det/adatad_videomae-tiny_mma82.py',
    ('det', 'Pose'): 'configs/det/skeletondet-tiny_mma82.py',
}


def make_checkpoint(
    path: Path, config: str, label_space: str = 'mma82', **meta: Any
) -> str:
    """Write the weights of a model as they are before training.

    Args:
        path: File to write.
        config: Of the model.
        label_space: That it was trained for.
        **meta: What the checkpoint is to tell of itself, beside its classes.
    """
    import torch
    from mmengine.registry import init_default_scope

    from mmma import registry
    from mmma.apis import load_config
    from mmma.taxonomy import load_label_space

    cfg = load_config(config, cfg_options=[f'label_space={label_space}'])
    space = load_label_space(cfg.label_space)
    torch.manual_seed(0)
    init_default_scope('mmma')
    model = registry.MODELS.build(cfg.model)
    model.init_weights()
    for name, value in model.named_parameters():
        if name.endswith('fc_cls.weight'):
            value.data.mul_(100)  # scores that differ
    told = {
        'config_name': Path(config).name,
        'label_space': space.name,
        'classes': list(space.actions),
        'bodies': list(space.bodies),
        'body_of': list(space.body_of),
        'data': {'name': 'toy', 'simulated': False},
    }
    content = {'meta': {**told, **meta}, 'state_dict': model.state_dict()}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
    return str(path)
