"""Training a recipe, and its layer-wise learning rates."""

import copy
import ctypes
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.runner import Runner
from torch import nn

from mmma.checkpoints import check_simulated
from mmma.checkpoints.files import frozen_names, last_checkpoint
from mmma.config import parse_config
from mmma.engine.hooks import PlainCheckpointHook
from mmma.engine.run import OF_WORKERS, Run, TrainOptions, check_data
from mmma.engine.runner import ConsoleRunner, unwrapped
from mmma.engine.sharding import WholeInValidation
from mmma.engine.weights import (
    FROM_SCRATCH,
    StartFrom,
    Weights,
    read_checkpoint,
    starting_weights,
)
from mmma.files import SHOWN
from mmma.hub.published import differing
from mmma.hub.zoo import checkpoint_path
from mmma.registry import OPTIM_WRAPPER_CONSTRUCTORS
from mmma.taxonomy import check_choice


def train(run: Run, options: TrainOptions) -> Run:
    """Train a model in a run that was opened with the same options.

    Returns the run as it was trained, which tells what its weights had seen before.

    Raises:
        ValueError: Weights that do not fit.
        FileNotFoundError: Data or weights are missing.
    """
    check_data(run, 'train', 'val')
    with run.held():
        resuming = last_checkpoint(run.work_dir) if options.resume else None
        if resuming:
            start = read_checkpoint(resuming)
        else:
            given = options.load_from and str(checkpoint_path(options.load_from))
            start = starting_weights(run.cfg, given, options.pretrained, options.trust)
        if start:
            check_simulated(start.meta, run.root.info, options.allow_simulated)
        run = replace(run, cfg=copy.deepcopy(run.cfg))
        run.cfg.pretrain_data = start.pretrain_data if start else FROM_SCRATCH
        run.cfg.seen_before = (start.meta.get('seen_domains') or []) if start else []
        if resuming and (changed := _changes(start, run.cfg, options)):
            run.cfg.changed_config = changed
        runner = build_trainer(run)
        if not start and options.pretrained and frozen_names(unwrapped(runner.model)):
            raise ValueError(
                'the recipe trains a part of its model, names no pretrained weights '
                'for the rest, and random ones would stay so: --load-from a checkpoint '
                'of the same arch, or --no-pretrained if random ones are meant.'
            )
        if options.resume and not resuming:
            print_log(
                f'nothing to resume in {run.work_dir}: training starts', 'current'
            )
        if start and not resuming:
            runner.register_hook(StartFrom(start))
        runner.train()
    return run


_TRAINED_BY = (
    *('model', 'protocol', 'train_dataloader', 'val_dataloader', 'optim_wrapper'),
    *('param_scheduler', 'auto_scale_lr', 'custom_hooks', 'randomness', 'preset'),
)
_FREE = (*OF_WORKERS, 'num_workers', 'pin_memory', 'data_root')


def _changes(start: Weights, cfg: Any, options: TrainOptions) -> list[str]:
    """In what a run that goes on differs from what it was, from its first time on.

    Has the config tell what weights had seen before the run, not in it.

    Raises:
        ValueError: In anything but length, workers and places, and it is not allowed.
    """
    told = start.meta.get('cfg') or ''
    told = parse_config(told, str(start.path)) if isinstance(told, str) else told
    cfg.seen_before = dict(told).get('seen_before', cfg.seen_before)
    found = [
        f'{key} was {old!r:.60}, now {new!r:.60}'
        for key, old, new in differing(told, cfg.to_dict() if told else {})
        if key.split('.')[0] in _TRAINED_BY and key.split('.')[-1] not in _FREE
    ]
    if found and not options.allow_changed_config:
        more = f' and {len(found) - SHOWN} more' * (len(found) > SHOWN)
        raise ValueError(
            f'{start.path} was trained with another config: '
            f'{"; ".join(found[:SHOWN])}{more}. Resume with that config, train into '
            'another --work-dir, or go on with --allow-changed-config, which '
            'checkpoints and results then tell.'
        )
    return [*(start.meta.get('changed_config') or []), *found]


def _keep_memory() -> None:
    """Have glibc keep what is freed: a step on a CPU asks for the same again.

    Else the system zeroes each large tensor anew, a quarter of the time of wide layers.
    """
    with suppress(AttributeError, OSError, TypeError):  # other systems
        for threshold in (-1, -3):  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
            ctypes.CDLL(None).mallopt(threshold, 1 << 30)


def build_trainer(run: Run) -> Runner:
    """Build the runner of a run; its checkpoints tell of the run."""
    if not torch.cuda.is_available():
        _keep_memory()
    runner = ConsoleRunner.from_cfg(run.cfg)
    if runner.sharded:
        runner.register_hook(WholeInValidation())
    for hook in runner.hooks:
        if isinstance(hook, PlainCheckpointHook):
            hook.run = run
    return runner


def latest_checkpoint(work_dir: Path) -> str:
    """The last checkpoint that a run wrote.

    Raises:
        FileNotFoundError: It wrote none.
    """
    if found := last_checkpoint(work_dir):
        return found
    raise FileNotFoundError(f'{work_dir} holds no checkpoint.')


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """Layer-wise learning rate decay; biases and 1-D parameters get no weight decay.

    A parameter of layer i of a backbone with L layers learns at
    ``lr * decay_rate**(L + 1 - i)``: the embedding is layer 0, block k is layer k + 1,
    the last norm and all that is not in the backbone are layer L + 1. The backbone
    tells its layers by ``num_layers`` and ``layer_of(name)``, as ``VideoMAEViT`` does.

    Configured by ``optim_wrapper.constructor`` and
    ``optim_wrapper.paramwise_cfg = dict(decay_rate=0.75)``; the optimizer has to name
    ``lr`` and ``weight_decay``.

    Raises:
        ValueError: ``decay_rate``, ``lr`` or ``weight_decay`` is missing or out of
            range, an unknown option, or a backbone that does not tell its layers.

    Source: MCG-NJU/VideoMAE, optim_factory.py, 14ef8d85.
    """

    def _validate_cfg(self) -> None:
        for name in self.paramwise_cfg:
            where = 'optim_wrapper.paramwise_cfg of layer decay'
            check_choice('option', name, ('decay_rate',), where)
        rate = self.paramwise_cfg.get('decay_rate')
        if rate is None or not 0 < rate <= 1:
            raise ValueError(
                f'optim_wrapper.paramwise_cfg.decay_rate is {rate}: use a number above '
                '0 and up to 1, such as 0.75; 1 gives every layer the same rate.'
            )
        for name, value in (('lr', self.base_lr), ('weight_decay', self.base_wd)):
            if value is None:
                raise ValueError(
                    f'optim_wrapper.optimizer lacks {name}: layer decay gives every '
                    f'group its own, so write {name}=... (0 is allowed).'
                )

    def add_params(self, params: list[dict], module: nn.Module, **kwargs) -> None:
        """Append one group per layer and kind of weight decay to ``params``."""
        backbone = getattr(module, 'backbone', None)
        if not hasattr(backbone, 'layer_of'):
            raise ValueError(
                f'layer decay needs a model whose backbone tells its layers; '
                f'{type(backbone or module).__name__} has no layer_of(name). '
                'Use VideoMAEViT, or remove optim_wrapper.constructor.'
            )
        last = backbone.num_layers + 1
        groups: dict[str, dict] = {}
        for name, param in module.named_parameters():
            if not param.requires_grad:
                continue
            prefix, _, inner = name.partition('.')
            layer = backbone.layer_of(inner) if prefix == 'backbone' else last
            plain = param.ndim <= 1 or name.endswith('.bias')
            key = f'layer_{layer}_{"no_decay" if plain else "decay"}'
            if key not in groups:
                scale = self.paramwise_cfg['decay_rate'] ** (last - layer)
                groups[key] = dict(params=[], group_name=key, lr_scale=scale)
                groups[key]['lr'] = self.base_lr * scale
                groups[key]['weight_decay'] = 0.0 if plain else self.base_wd
            groups[key]['params'].append(param)
        params.extend(groups.values())
        smallest = min(group['lr_scale'] for group in groups.values())
        rates = f'learning rate from {smallest:.3g} to 1 times {self.base_lr}'
        print_log(f'layer decay: {len(groups)} parameter groups, {rates}', 'current')


@OPTIM_WRAPPER_CONSTRUCTORS.register_module(
    name=['ShiftOptimWrapperConstructor', 'AdapterOptimWrapperConstructor']
)
class RemovedConstructor(DefaultOptimWrapperConstructor):
    """Stands for the constructors of dumped configs that are older than their recipes.

    Raises:
        ValueError: Always. MMEngine's own does their work, and has other options.
    """

    def __init__(self, *_: object, **__: object) -> None:
        raise ValueError(
            'optim_wrapper.constructor of this config is gone, so that it can be '
            'tested but trains nothing: an older version dumped it. Use the config '
            'that comes with mmma, or copy its optim_wrapper (MMEngine makes the same '
            'groups from bias_lr_mult, norm_decay_mult and custom_keys).'
        )
