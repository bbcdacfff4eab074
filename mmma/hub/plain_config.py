"""Configs as they lie in checkpoints: read without running them, and made portable."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from mmma.hub.scrubbing import Scrubber

# What a run sets for its machine and itself; the leaf says what a new run begins with.
_OF_A_RUN = (
    *('work_dir', 'load_from', 'resume', 'launcher', 'pretrain_data', 'seen_before'),
    *('env_cfg', 'model_wrapper_cfg'),
)
DATA_ROOT = 'data/mma82'
_MEASURED_BY = ('model', 'test_dataloader.dataset.pipeline', 'test_evaluator')
_NAMES = {'inf': math.inf, 'nan': math.nan}


def parse_config(text: str, source: str) -> dict[str, Any]:
    """Read a resolved config without running it.

    Args:
        text: Assignments of literals and of ``dict(...)``, as ``Config.pretty_text``.
        source: Whose config it is, for the error.

    Raises:
        ValueError: It has anything else in it.
    """
    found = {}
    try:
        for node in ast.parse(text).body:
            if not isinstance(node, ast.Assign) or len(node.targets) != 1:
                raise ValueError(ast.unparse(node)[:60])
            found[node.targets[0].id] = _value(node.value)  # type: ignore[attr-defined]
    except (
        SyntaxError,
        ValueError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:
        raise ValueError(
            f'{source}: its config is not one of plain values ({error}), and is not '
            'run. Train with a config of mmma.'
        ) from None
    return found


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'dict':
        if node.args or not all(k.arg for k in node.keywords):
            raise ValueError(ast.unparse(node)[:60])
        return {str(k.arg): _value(k.value) for k in node.keywords}
    if isinstance(node, ast.Dict):
        if None in node.keys:
            raise ValueError(ast.unparse(node)[:60])
        pairs = zip(node.keys, node.values, strict=True)
        return {ast.literal_eval(k): _value(v) for k, v in pairs}
    if isinstance(node, (ast.List, ast.Tuple)):
        kind = list if isinstance(node, ast.List) else tuple
        return kind(_value(item) for item in node.elts)
    if isinstance(node, ast.Name) and node.id in _NAMES:
        return _NAMES[node.id]
    return ast.literal_eval(node)


def portable(
    cfg: Mapping[str, Any], leaf: Mapping[str, Any] | None, scrubber: Scrubber
) -> dict[str, Any]:
    """A resolved config without what belongs to one run on one machine.

    Args:
        cfg: As trained or tested.
        leaf: The config it came from, resolved; None where that is not known.
        scrubber: For what is left.
    """
    if leaf is None:
        kept = {key: cfg[key] for key in ('env_cfg',) if key in cfg}
        leaf = {'data_root': DATA_ROOT, 'launcher': 'none', 'load_from': None, **kept}
    roots = (str(cfg.get('data_root', DATA_ROOT)), str(leaf['data_root']))
    kept = {k: _moved(v, *roots) for k, v in cfg.items() if k not in _OF_A_RUN}
    own = {key: leaf[key] for key in _OF_A_RUN if key in leaf}
    return scrubber.value({**kept, **own})


def _moved(value: Any, old: str, new: str) -> Any:
    """A value with one folder in place of another."""
    if isinstance(value, str):
        inside = value == old or value.startswith(f'{old.rstrip("/")}/')
        return new + value[len(old.rstrip('/')) :] if inside else value
    if isinstance(value, Mapping):
        return {key: _moved(inner, old, new) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_moved(inner, old, new) for inner in value)
    return value


def measured_otherwise(
    cfg: Mapping[str, Any], other: Mapping[str, Any]
) -> Iterator[str]:
    """Keys that make a number, and in which two configs differ.

    Yields:
        Dotted keys below the model, the test pipeline and the evaluation.
    """
    for key in _MEASURED_BY:
        left, right = (_as_json(_get(c, key)) for c in (cfg, other))
        yield from _differing(left, right, key)


def _differing(left: Any, right: Any, where: str) -> Iterator[str]:
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted({*left, *right}):
            yield from _differing(left.get(key), right.get(key), f'{where}.{key}')
    elif left != right:
        yield where


def _as_json(value: Any) -> Any:
    """With lists in place of tuples, as results files have them."""
    return json.loads(json.dumps(value))


def _get(cfg: Any, key: str) -> Any:
    for part in key.split('.'):
        cfg = (cfg or {}).get(part)
    return cfg
