"""Weights that training leaves as they were, and checkpoints without them.

A module tells them by ``frozen_names()``, names in its own state dict.
"""

from __future__ import annotations

import hashlib
from typing import Any


def frozen_names(model: Any) -> list[str]:
    """Names in a model's state dict that training does not change."""
    return [
        f'{prefix}.{name}' if prefix else name
        for prefix, module in model.named_modules()
        if hasattr(module, 'frozen_names')
        for name in module.frozen_names()
    ]


def frozen_sha256(model: Any) -> str:
    """SHA-256 of names, types, shapes and bytes of a model's frozen weights."""
    import torch

    state = model.state_dict()
    digest = hashlib.sha256()
    for name in sorted(frozen_names(model)):
        value = state[name].detach().cpu().contiguous()
        digest.update(f'{name} {value.dtype} {tuple(value.shape)};'.encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def frozen_state(model: Any, sha256: str, source: str) -> dict[str, Any]:
    """A model's frozen weights, to go with weights that were trained on them.

    Args:
        model: With the frozen weights in place.
        sha256: Of those that the others were trained on.
        source: Name of the checkpoint, for the error.

    Raises:
        ValueError: They are others.
    """
    found = frozen_sha256(model)
    if found != sha256:
        raise ValueError(
            f'{source} was trained on other frozen weights (SHA-256 {sha256[:8]}...) '
            f'than the recipe now gives ({found[:8]}...). Test it with the config that '
            'it was trained with: the same pretrained weights, arch and frozen_dtype.'
        )
    state = model.state_dict()
    return {name: state[name] for name in frozen_names(model)}
