"""Names of weights: from the original VideoMAE files to this toolbox's recognizers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_RENAMES = (
    (r'patch_embed\.proj\.(.+)', r'backbone.patch_embed.projection.\1'),
    (r'(blocks\.\d+\.mlp)\.fc1\.(.+)', r'backbone.\1.layers.0.0.\2'),
    (r'(blocks\.\d+\.mlp)\.fc2\.(.+)', r'backbone.\1.layers.1.\2'),
    (r'(blocks\.\d+\.(?:norm1|norm2|attn)\..+)', r'backbone.\1'),
    (r'(fc_norm\..+|pos_embed)', r'backbone.\1'),
    (r'head\.(.+)', r'cls_head.fc_cls.\1'),
)
# Pre-training only. Fine-tuning starts with a fresh fc_norm, not with encoder.norm.
_DROPPED = re.compile(r'norm\..+|decoder\..+|encoder_to_decoder\..+|mask_token')


def from_original(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Rename the weights of an original VideoMAE file.

    Args:
        checkpoint: A fine-tuned file (weights under ``module``), a pre-training file
            (under ``model``, names with ``encoder.``), or the weights themselves.

    Returns:
        Weights of a recognizer with ``VideoMAEViT`` and ``LinearHead``, in the same
        order; the decoder, the mask token and ``encoder.norm`` are left out.

    Raises:
        ValueError: A name that VideoMAE does not have, or no weights of an encoder.

    Source: MCG-NJU/VideoMAE, run_class_finetuning.py, 14ef8d85.
    """
    weights = checkpoint
    for container in ('module', 'model'):
        if isinstance(checkpoint.get(container), Mapping):
            weights = checkpoint[container]
            break
    renamed, unknown = {}, []
    for name, value in weights.items():
        short = name.removeprefix('encoder.').removeprefix('backbone.')
        if _DROPPED.fullmatch(short):
            continue
        new = _rename(short)
        if new is None:
            unknown.append(name)
        else:
            renamed[new] = value
    if unknown or not any(name.startswith('backbone.blocks.') for name in renamed):
        what = f'{len(unknown)} unknown names, first {", ".join(unknown[:5])}'
        raise ValueError(
            'not an original VideoMAE file: '
            f'{what if unknown else "it has no weights of transformer blocks"}.'
        )
    return renamed


def _rename(name: str) -> str | None:
    for pattern, target in _RENAMES:
        match = re.fullmatch(pattern, name)
        if match:
            return match.expand(target)
    return None
