"""Names of weights: from other VideoMAE files to this toolbox's recognizers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch

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
        Weights of a recognizer with ``VideoMAEViT`` and ``ActionHead``, in the same
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


_HUB_BLOCK = (
    ('layernorm_before', 'norm1'),
    ('layernorm_after', 'norm2'),
    ('attention.output.dense', 'attn.proj'),
    ('intermediate.dense', 'mlp.layers.0.0'),
    ('output.dense', 'mlp.layers.1'),
)
_HUB_RENAMES = (
    (r'embeddings\.patch_embeddings\.(projection\..+)', r'patch_embed.\1'),
    (r'(fc_norm\..+)', r'\1'),
    # q_bias in published files, query.bias in those of transformers 5.
    (
        r'encoder\.layer\.(\d+)\.attention\.attention\.(q|v)(?:uery\.|alue\.|_)bias',
        r'blocks.\1.attn.\2_bias',
    ),
    *(
        (
            rf'encoder\.layer\.(\d+)\.{re.escape(old)}\.(weight|bias)',
            rf'blocks.\1.{new}.\2',
        )
        for old, new in _HUB_BLOCK
    ),
)
_HUB_NAME = re.compile(
    r'videomae\.|embeddings\.|encoder\.|layernorm\.|fc_norm\.|classifier\.|decoder\.|'
    r'encoder_to_decoder\.|mask_token'
)
_HUB_QUERY = re.compile(
    r'((?:videomae\.)?encoder\.layer\.(\d+)\.attention\.attention)\.query\.weight'
)


def from_hub(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Rename the weights of a VideoMAE of the transformers library.

    Args:
        weights: Of a ``VideoMAEForVideoClassification``, ``VideoMAEModel`` or
            ``VideoMAEForPreTraining``, as its files name them.

    Returns:
        Weights of a ``VideoMAEViT``; queries, keys and values are joined. Classifier,
        decoder, mask token and a last norm of tokens are left out. Empty where no block
        of such a model is found.
    """
    renamed: dict[str, Any] = {}
    for name, value in weights.items():
        match = _HUB_QUERY.fullmatch(name)
        if match:
            parts = [f'{match.group(1)}.{part}.weight' for part in ('key', 'value')]
            if all(part in weights for part in parts):
                joined = torch.cat([value, *(weights[part] for part in parts)])
                renamed[f'blocks.{match.group(2)}.attn.qkv.weight'] = joined
            continue
        new = _rename(name.removeprefix('videomae.'), _HUB_RENAMES)
        if new is not None:
            renamed[new] = value
    found = any(name.startswith('blocks.') for name in renamed)
    return renamed if found else {}


def adopt_hub_names(
    state_dict: dict[str, Any], prefix: str, unexpected: list[str]
) -> None:
    """Let weights of the transformers library load into a ``VideoMAEViT``.

    Args:
        state_dict: What is being loaded; their names are replaced in place.
        prefix: Of the backbone in the model.
        unexpected: Names not understood so far; theirs are taken off.
    """
    inside = {name.removeprefix(prefix): value for name, value in state_dict.items()}
    renamed = from_hub(inside)
    if not renamed:
        return
    old = [n for n in state_dict if _HUB_NAME.match(n.removeprefix(prefix))]
    for name in old:
        del state_dict[name]
    state_dict.update({f'{prefix}{name}': value for name, value in renamed.items()})
    unexpected[:] = [name for name in unexpected if name not in old]


def _rename(name: str, renames: tuple[tuple[str, str], ...] = _RENAMES) -> str | None:
    for pattern, target in renames:
        match = re.fullmatch(pattern, name)
        if match:
            return match.expand(target)
    return None
