"""Registries of scope ``mmma``, children of MMAction2's; the only door to it.

Importing this module repairs what MMAction2 1.2 lacks on today's stack
(``mmma.compat``), then makes every component of both packages available:
``dict(type='TSN-like name')`` is looked up here first, then in MMAction2, then in
MMEngine. :func:`as_data` decides what is built of a config that somebody else wrote.
"""

import functools
import itertools
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from mmma import compat

compat.install()

import mmaction.registry as _parent  # noqa: E402
from mmengine.registry import FUNCTIONS, DefaultScope, Registry  # noqa: E402
from mmengine.registry import registry as _lookup  # noqa: E402
from mmengine.utils import get_object_from_string  # noqa: E402

from mmma.foreign import shown  # noqa: E402

# MMEngine would import a module of any name that no registry has: a file beside you.
_lookup.get_object_from_string = lambda path: (
    get_object_from_string(path) if '.' in path else None
)


def _child(name: str, *locations: str) -> Registry:
    parent = getattr(_parent, name)
    return Registry(parent.name, parent=parent, scope='mmma', locations=list(locations))


DATASETS = _child('DATASETS', 'mmma.datasets')
DATA_SAMPLERS = _child('DATA_SAMPLERS', 'mmma.datasets')
TRANSFORMS = _child('TRANSFORMS', 'mmma.datasets')
MODELS = _child('MODELS', 'mmma.models')
METRICS = _child('METRICS', 'mmma.evaluation.metrics')
HOOKS = _child('HOOKS', 'mmma.engine.hooks')
OPTIM_WRAPPER_CONSTRUCTORS = _child(
    # MMAction2 imports its own, as Video Swin's, only where they are named.
    *('OPTIM_WRAPPER_CONSTRUCTORS', 'mmma.engine.train', 'mmaction.engine.optimizers')
)

_OTHERS = (
    *('EVALUATOR', 'LOG_PROCESSORS', 'LOOPS', 'MODEL_WRAPPERS', 'OPTIMIZERS'),
    *('OPTIM_WRAPPERS', 'PARAM_SCHEDULERS', 'TASK_UTILS', 'VISBACKENDS', 'VISUALIZERS'),
    *('WEIGHT_INITIALIZERS', 'INFERENCERS', 'RUNNERS'),
)
# Nothing of our own is in these, but a scope that lacks one makes MMEngine warn.
_CHILDREN = [_child(name) for name in _OTHERS]

_PARTS = (
    *(DATASETS, DATA_SAMPLERS, TRANSFORMS, MODELS, METRICS, HOOKS, FUNCTIONS),
    *(OPTIM_WRAPPER_CONSTRUCTORS, *_CHILDREN[:-2]),
)
"""What a config of others may name; inferencers, runners, tokenizers fetch weights."""
_SCOPES = ('mmma', 'mmaction', 'mmengine', 'mmcv')
_TYPES = ('type', 'constructor')  # keys by whose values MMEngine looks something up
_LOADS = re.compile(
    r'init_cfg|load_from|lfb_\w+|clip_arch|\w*pretrained\w*|trust_remote_code'
    r'|custom_imports|_base_|backend_args|file_client_args|filename_tmpl'
    r'|\w+_(dir|path)'
)
"""Keys by which something is loaded, imported, or written elsewhere."""
_LOCAL = [{'type': 'LocalVisBackend'}]
_MOST, _DEEPEST = 50_000, 40  # values of a config, and dots of a key; ours have 2,000


class _RealNumbers(TorchFunctionMode):
    """Rates of stochastic depth that are read as numbers (SwinTransformer3D)."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        more = {'device': 'cpu'} if func is torch.linspace else {}
        return func(*args, **(more | (kwargs or {})))


@contextmanager
def shapes_only() -> Iterator[None]:
    """Build models on the meta device, where they have shapes and no numbers."""
    scope = DefaultScope.overwrite_default_scope('mmma')
    with scope, torch.device('meta'), _RealNumbers():
        yield


@functools.cache
def part_names() -> frozenset[str]:
    """Names that are registered in mmma, MMAction2, MMEngine and MMCV."""
    names: set[str] = set()
    for registry in _PARTS:
        while registry is not None:
            registry.import_from_location()
            names.update(registry.module_dict)
            registry = registry.parent
    return frozenset(names)


def as_data(
    config: Mapping[str, Any], source: str, left_out: list[str] | None = None
) -> dict[str, Any]:
    """What may be built of a config that comes with a checkpoint, zoo or results file.

    It loads nothing, and runs nothing but what registered names stand for; ``left_out``
    takes the keys that would load or write something, ``source`` is for errors.

    Raises:
        ValueError: It names something that is not registered, such as an import path;
            a URL; another scope; or it has values that are not plain, or too many.
    """
    seen = itertools.count(1)
    left = [] if left_out is None else left_out

    def refuse(what: str, where: str) -> None:
        raise ValueError(f'{source}: its config names {what} ({where})')

    def visit(value: Any, where: str, used: bool = True) -> Any:
        if next(seen) > _MOST or where.count('.') > _DEEPEST:
            raise ValueError(
                f'{source}: its config is larger or deeper than any model needs'
            )
        for text in value if isinstance(value, Mapping) else [value]:
            if isinstance(text, str) and shown(text, lines=True) != text:
                refuse(f'{shown(text)!r}, which has control characters', where)
        if isinstance(value, Mapping):
            kept = {}
            for key, inner in value.items():
                place = f'{where}.{key}'.lstrip('.')
                tells = key == 'vis_backends' and inner != _LOCAL  # others upload
                named = not isinstance(key, str) or _LOADS.fullmatch(key)
                out = bool(inner and (tells or named))
                left.extend([place] if out and used else [])
                if key in _TYPES:
                    scope, dot, name = str(inner).rpartition('.')
                    if (dot and scope not in _SCOPES) or name not in part_names():
                        kind = 'model' if place.startswith('model') else 'part'
                        refuse(f'{inner}, which is no {kind} of mmma', place)
                if key in ('_scope_', 'default_scope') and inner not in _SCOPES:
                    refuse(f'the package {inner!r}, which nothing is taken from', place)
                kept[key] = visit(inner, place, used and not out)
                if out:
                    del kept[key]
            return kept
        if isinstance(value, (list, tuple)):
            items = (visit(v, f'{where}.{i}', used) for i, v in enumerate(value))
            return type(value)(items) if type(value) in (list, tuple) else list(items)
        if value is not None and type(value) not in (bool, int, float, str):
            refuse(f'a {type(value).__name__}, which is no plain value', where)
        if used and isinstance(value, str) and '://' in value:
            refuse('a URL, and nothing is fetched for a config', where)
        return value

    if not isinstance(config, Mapping):
        raise ValueError(f'{source}: its config is a {type(config).__name__}')
    return visit(config, '')
