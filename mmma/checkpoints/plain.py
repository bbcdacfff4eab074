"""Tensors and plain types: all that a checkpoint of this toolbox is made of."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any


def to_plain(value: Any, where: str = 'checkpoint') -> Any:
    """Turn a value into tensors, dicts, lists, tuples and scalars.

    Args:
        value: Anything a training run keeps: also arrays and scalars of numpy, paths,
            enums, config dicts, MMEngine's ``HistoryBuffer``.
        where: Name of the value, for the error.

    Raises:
        ValueError: A value has no plain form.
    """
    import numpy as np
    import torch

    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, torch.Tensor):
        return value.detach()
    if isinstance(value, Mapping):
        return _plain_mapping(value, where)
    if isinstance(value, tuple):
        return tuple(to_plain(v, f'{where}.{i}') for i, v in enumerate(value))
    if isinstance(value, (list, deque)):
        return [to_plain(v, f'{where}.{i}') for i, v in enumerate(value)]
    if isinstance(value, (set, frozenset)):
        return to_plain(sorted(value), where)
    if isinstance(value, np.ndarray):
        return _plain_array(value, where)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Enum):
        return to_plain(value.value, where)
    if isinstance(value, (Path, torch.device, torch.dtype, str)):
        return str(value)
    if type(value).__name__ == 'HistoryBuffer':
        log, count = (torch.from_numpy(np.array(data)) for data in value.data)
        return {'log': log, 'count': count, 'max_length': value.max_length}
    raise ValueError(
        f'{where}: a {type(value).__name__} has no form of tensors and plain types.'
    )


def _plain_mapping(value: Mapping[Any, Any], where: str) -> dict[Any, Any]:
    kind = OrderedDict if isinstance(value, OrderedDict) else dict
    plain = kind(
        (to_plain(k, where), to_plain(v, f'{where}.{k}')) for k, v in value.items()
    )
    if hasattr(value, '_metadata'):  # of Module.state_dict, read when loading
        plain._metadata = to_plain(value._metadata, where)  # type: ignore[attr-defined]
    return plain


def _plain_array(value: Any, where: str) -> Any:
    import torch

    if value.dtype.kind in 'bif' or value.dtype == 'uint8':
        return torch.from_numpy(value.copy())
    return to_plain(value.tolist(), where)
