"""Registries of scope ``mmma``, children of MMAction2's; the only door to it.

Importing this module repairs what MMAction2 1.2 lacks on today's stack
(:mod:`mmma.compat`), then makes every component of both packages available:
``dict(type='TSN-like name')`` is looked up here first, then in MMAction2, then in
MMEngine.
"""

from mmma import compat

compat.install()

import mmaction.registry as _parent  # noqa: E402
from mmengine.registry import Registry  # noqa: E402


def _child(name: str, *locations: str) -> Registry:
    parent = getattr(_parent, name)
    return Registry(parent.name, parent=parent, scope='mmma', locations=list(locations))


DATASETS = _child('DATASETS', 'mmma.datasets')
DATA_SAMPLERS = _child('DATA_SAMPLERS', 'mmma.datasets')
TRANSFORMS = _child('TRANSFORMS', 'mmma.datasets')
MODELS = _child('MODELS', 'mmma.models')
METRICS = _child('METRICS', 'mmma.evaluation.metrics')
HOOKS = _child('HOOKS', 'mmma.engine.hooks')
OPTIM_WRAPPER_CONSTRUCTORS = _child('OPTIM_WRAPPER_CONSTRUCTORS', 'mmma.engine.train')

# Nothing of our own is in these, but a scope that lacks one makes MMEngine warn.
EVALUATOR = _child('EVALUATOR')
INFERENCERS = _child('INFERENCERS')
LOG_PROCESSORS = _child('LOG_PROCESSORS')
LOOPS = _child('LOOPS')
MODEL_WRAPPERS = _child('MODEL_WRAPPERS')
OPTIMIZERS = _child('OPTIMIZERS')
OPTIM_WRAPPERS = _child('OPTIM_WRAPPERS')
PARAM_SCHEDULERS = _child('PARAM_SCHEDULERS')
RUNNERS = _child('RUNNERS')
TASK_UTILS = _child('TASK_UTILS')
VISBACKENDS = _child('VISBACKENDS')
VISUALIZERS = _child('VISUALIZERS')
WEIGHT_INITIALIZERS = _child('WEIGHT_INITIALIZERS')
