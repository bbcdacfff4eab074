"""Few-shot by training: all of a model, its last block and head, or its head.

The supports go through the recipe's training pipeline, loss, optimizer and parameter
groups. Number of steps and learning rate are constants of the config; the rate falls
linearly to 0. Running means of batch norms stay the source's, for a few supports make
poor statistics. All that is random follows from the seeds given.
"""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from mmengine.dist import get_rank, get_world_size
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmma.engine.classes import tell_classes
from mmma.engine.seeding import seed_everything

DEFAULT_SHARE = 0.1
"""Of the recipe's learning rate, where the config gives none."""
_BLOCK = re.compile(r'backbone\.(?:.+?\.)?\d+\.')


@contextmanager
def finetuned(
    runner: Runner,
    target: str,
    supports: Sequence[str],
    settings: Mapping[str, Any],
    seeds: Sequence[int],
) -> Iterator[None]:
    """A runner's model trained on supports, until the end of the ``with`` block.

    Args:
        runner: Its model holds the source's weights, and does again afterwards.
        target: Domain of the supports.
        supports: Clips of its train subset.
        settings: ``train``, ``iters`` and ``lr``, as in ``cfg.fewshot``.
        seeds: Whole numbers from 0 that all randomness follows from.

    Raises:
        ValueError: ``train`` is ``last`` and the backbone has no numbered blocks.
    """
    wrapped = is_model_wrapper(runner.model)
    model = runner.model.module if wrapped else runner.model
    source = copy.deepcopy(model.state_dict())
    trainable = {n: p.requires_grad for n, p in model.named_parameters()}
    try:
        chosen = trained_parameters(model, settings['train'])
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(trainable[name] and name in chosen)
        _train(runner, model, _loader(runner, target, supports, seeds), settings, seeds)
        yield
    finally:
        model.load_state_dict(source)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(trainable[name])
            parameter.grad = None


def trained_parameters(model: nn.Module, part: str) -> set[str]:
    """Names of the parameters that a part of a recognizer has.

    Args:
        model: A recognizer, not wrapped.
        part: ``all``; ``head``; or ``last``: the last numbered block of the backbone
            and all that comes after it.

    Raises:
        ValueError: The backbone has no numbered blocks.
    """
    names = [name for name, _ in model.named_parameters()]
    if part == 'all':
        return set(names)
    head = {name for name in names if name.startswith('cls_head.')}
    if part == 'head':
        return head
    found = [m.group() for m in map(_BLOCK.match, names) if m]
    if not found:
        raise ValueError(
            f"fewshot.train 'last': {type(model.backbone).__name__} has no numbered "
            "blocks; use 'all' or 'head'."
        )
    first = next(i for i, name in enumerate(names) if name.startswith(found[-1]))
    return set(names[first:]) | head


def _train(
    runner: Runner,
    model: nn.Module,
    loader: Any,
    settings: Mapping[str, Any],
    seeds: Sequence[int],
) -> None:
    tell_classes(model, loader.dataset.metainfo, training=True)
    optimizer = runner.build_optim_wrapper(copy.deepcopy(runner.cfg.optim_wrapper))
    _set_rates(runner, optimizer, settings['lr'])
    optimizer.initialize_count_status(model, 0, settings['iters'])
    rates = [group['lr'] for group in optimizer.param_groups]
    # Wrapped anew: the runner's wrapper waits for gradients of what is frozen now.
    options = copy.deepcopy(runner.cfg.get('model_wrapper_cfg'))
    trainee = runner.wrap_model(options, model)
    trainee.train()
    _freeze(model)
    for step, batch in enumerate(_batches(loader, settings['iters'])):
        seed_everything(*seeds, get_rank(), step)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group['lr'] = rate * (1 - step / settings['iters'])
        trainee.train_step(batch, optim_wrapper=optimizer)
    model.eval()


def _set_rates(runner: Runner, optimizer: Any, rate: float | None) -> None:
    """Scale every group's learning rate, so that groups keep their ratios."""
    factor = DEFAULT_SHARE
    if rate is None:
        runner.scale_lr(optimizer, runner.cfg.get('auto_scale_lr'))
    else:
        factor = rate / runner.cfg.optim_wrapper.optimizer.lr
    for group in optimizer.param_groups:
        group['lr'] *= factor


def _freeze(model: nn.Module) -> None:
    """No dropout in modules whose parameters are all frozen, no batch statistics."""
    for module in model.modules():
        own = list(module.parameters())
        frozen = own and not any(parameter.requires_grad for parameter in own)
        if frozen or isinstance(module, _BatchNorm):
            module.eval()


def _loader(
    runner: Runner, target: str, supports: Sequence[str], seeds: Sequence[int]
) -> Any:
    """Supports in the recipe's training pipeline, in batches of the recipe's size."""
    loader = runner.cfg.train_dataloader.to_dict()
    share = -(-len(supports) // get_world_size())
    loader['dataset'].update(
        subset='train',
        domains=[target],
        clips=list(supports),
        on_broken='replace',
        serialize_data=False,
    )
    loader.update(
        batch_size=min(loader['batch_size'], share),
        sampler=dict(type='EpochSampler', shuffle=True),
        batch_sampler=None,
        drop_last=False,
    )
    seed = int(np.random.SeedSequence(list(seeds)).generate_state(1)[0])
    return Runner.build_dataloader(loader, seed=seed)


def _batches(loader: Any, count: int) -> Iterator[Any]:
    """Epoch after epoch, until there were as many batches as asked."""
    for epoch in itertools.count():
        loader.sampler.set_epoch(epoch)
        for batch in loader:
            yield batch
            count -= 1
            if not count:
                return
