"""Names of weights: from published ResNet, TSM, GC and MANet to ``ShiftResNet``."""

from __future__ import annotations

import re
from collections.abc import Iterable

_BLOCK = r'(layer\d+\.\d+)'
_GATES = {'1': 'l', '2': 't', '3': 's', '4': 'g'}
_RENAMES = (
    (r'conv1\.weight', 'conv1.conv.weight'),
    (r'bn1\.(\w+)', r'conv1.bn.\1'),
    (rf'{_BLOCK}\.conv1\.(?:net\.|conv\.)?weight', r'\1.conv1.conv.net.weight'),
    (rf'{_BLOCK}\.conv([23])\.weight', r'\1.conv\2.conv.weight'),
    (rf'{_BLOCK}\.bn([123])\.(\w+)', r'\1.conv\2.bn.\3'),
    (rf'{_BLOCK}\.downsample\.0\.(\w+)', r'\1.downsample.conv.\2'),
    (rf'{_BLOCK}\.downsample\.1\.(\w+)', r'\1.downsample.bn.\2'),
)
_CONTEXT = re.compile(rf'{_BLOCK}\.eft([1-4])\.(conv|bn)1?\.(\w+)')
_UNUSED = 'action_p2_'  # MANet builds three convolutions that it never runs
_HEAD = 'new_fc.'  # of TSM and Group-Contextualization


def adapted_names(names: Iterable[str], prefix: str) -> dict[str, str | None]:
    """New names of the weights that other programs name otherwise.

    Args:
        names: Of a file's weights, without ``module.``: of torchvision, of MMAction2
            (``ResNet``, ``ResNetTSM``), of TSM and Group-Contextualization (under
            ``base_model.``), of MANet; under ``prefix`` or bare.
        prefix: Of the backbone in the model, ``backbone.`` or empty.

    Returns:
        New name by old one, of the names that change; None for weights to drop.

    Source: mit-han-lab/temporal-shift-module; haoyanbin918/Group-Contextualization,
    b99be50a; VUT-HFUT/Micro-Action, e38d2417.
    """
    found: dict[str, str | None] = {}
    for name in names:
        own = name.removeprefix(prefix)
        short = own.removeprefix('base_model.')
        new = _rename(short)
        if _UNUSED in name:
            found[name] = None
        elif name.startswith(_HEAD):
            found[name] = f'cls_head.fc_cls.{name.removeprefix(_HEAD)}'
        elif new != own:
            found[name] = f'{prefix}{new}'
    return found


def _rename(name: str) -> str:
    context = _CONTEXT.fullmatch(name)
    if context:
        block, number, part, kind = context.groups()
        return f'{block}.gc.{_GATES[number]}.{part}.{kind}'
    for pattern, target in _RENAMES:
        match = re.fullmatch(pattern, name)
        if match:
            return match.expand(target)
    return name
