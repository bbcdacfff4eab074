"""Names of weights: from OpenTAD's detectors to ``SegmentDetector``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_BACKBONE = 'backbone.model.backbone.'
_SAME = ('projection.', 'neck.', 'rpn_head.')
# A recognizer's parts that a detector does not run, and a norm that AdaTAD skips.
_DROPPED = (
    f'{_BACKBONE}fc_norm.',
    f'{_BACKBONE}norm.',
    'backbone.model.cls_head.',
    'backbone.model.data_preprocessor.',
)


def from_opentad(weights: Mapping[str, Any], adapters: bool = True) -> dict[str, Any]:
    """Rename the weights of a detector of OpenTAD.

    Args:
        weights: Of ActionFormer, TriDet or AdaTAD, without ``module.``.
        adapters: Take AdaTAD alone, which has adapters in its backbone.

    Returns:
        Weights of a ``SegmentDetector``, in the same order. The norm and the classifier
        behind the backbone are left out, the normalizer of losses is a float.

    Raises:
        ValueError: A name that these detectors do not have, or a part missing.

    Source: sming256/OpenTAD, cd0ca96f; vit_adapter.py, 01c58b9f.
    """
    renamed, unknown = {}, []
    for name, value in weights.items():
        if name.startswith(_DROPPED):
            continue
        if name.startswith(_BACKBONE):
            renamed[f'backbone.{name.removeprefix(_BACKBONE)}'] = value
        elif name.startswith(_SAME):
            whole = name == 'rpn_head.loss_normalizer' and hasattr(value, 'float')
            renamed[name] = value.float() if whole else value
        else:
            unknown.append(name)
    if unknown:
        raise ValueError(
            f'not a one-stage detector of OpenTAD: {len(unknown)} unknown names, first '
            f'{", ".join(unknown[:5])}.'
        )
    for part, mark in (('projection', 'projection.'), ('head', 'rpn_head.cls_head.')):
        if not any(name.startswith(mark) for name in renamed):
            raise ValueError(f'not a one-stage detector of OpenTAD: it has no {part}.')
    if adapters and not any('.adapter.' in name for name in renamed):
        raise ValueError(
            'not an AdaTAD of OpenTAD: no block of its backbone has an adapter.'
        )
    return renamed
