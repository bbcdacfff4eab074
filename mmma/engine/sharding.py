"""A model that is split among processes (FSDP), saved and loaded as if it were whole.

MMEngine's flexible runner shards by the older ``FullyShardedDataParallel``, writes a
file per process, and is a second runner. ``fully_shard`` leaves the model and its names
as they are: the runner, hooks and checkpoints stay those of every other training.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from torch import Tensor, nn

from mmma.checkpoints.files import frozen_names


def shard(model: nn.Module) -> nn.Module:
    """Split the parameters of a model, which is initialised, among all processes.

    Raises:
        ValueError: Torch is too old, or the model has no blocks to split by, or parts
            that are frozen, of which nothing but the weights could be split.
    """
    blocks = getattr(getattr(model, 'backbone', None), 'blocks', None)
    if not isinstance(blocks, nn.ModuleList) or frozen_names(model):
        raise ValueError(
            '--shard is for transformers that are trained as a whole: this model has '
            f'{"frozen weights" if blocks else "no blocks to split by"}. Leave it out.'
        )
    try:
        from torch.distributed.fsdp import fully_shard
    except ImportError:
        told = f'--shard needs torch 2.6 or newer, and this is {torch.__version__}.'
        raise ValueError(told) from None
    for block in (*blocks, model):
        fully_shard(block)
    for module in model.modules():
        if any(True for _ in module.parameters(recurse=False)):
            module.register_load_state_dict_pre_hook(_split)
    model.register_state_dict_post_hook(lambda _, s, *__: s.update(whole(s)))
    return model


def shard_optimizer(optimizer: torch.optim.Optimizer) -> None:
    """Have the state of a split model's optimizer saved and loaded as if whole."""
    optimizer.register_state_dict_post_hook(lambda _, state: whole(state))
    optimizer.register_load_state_dict_pre_hook(_split_state)


@contextmanager
def gathered(*owners: Any) -> Iterator[None]:
    """Gather what ``state_dict()`` of each gives; in the block one process has it."""
    states = [owner.state_dict() for owner in owners]
    for owner, state in zip(owners, states, strict=True):
        owner.__dict__['state_dict'] = lambda *_, state=state, **__: state
    try:
        yield
    finally:
        for owner in owners:
            del owner.__dict__['state_dict']


class WholeInValidation(Hook):
    """Has each process hold the whole model in validation and tests.

    They see different numbers of batches, and would else wait for one another.
    """

    priority = 'VERY_LOW'  # when averages of weights are in their place

    def _unshard(self, runner: Any, metrics: Any = None) -> None:
        for module in _sharded(runner.model):
            module.set_reshard_after_forward(False, recurse=False)
            module.unshard()

    def _reshard(self, runner: Any, metrics: Any = None) -> None:
        for module in _sharded(runner.model):
            module.set_reshard_after_forward(module is not runner.model, recurse=False)
            module.reshard()

    before_val_epoch = before_test_epoch = _unshard
    after_val_epoch = after_test_epoch = _reshard


def _sharded(model: nn.Module) -> Iterator[Any]:
    return (module for module in model.modules() if hasattr(module, 'unshard'))


def whole(value: Any) -> Any:
    """Nested dicts and lists with split tensors gathered, on the CPU of one process."""
    if isinstance(value, dict):
        return {key: whole(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [whole(inner) for inner in value]
    if not hasattr(value, 'full_tensor'):
        return value
    found = value.full_tensor()  # of all processes; the others need it no more
    return found.cpu() if is_main_process() else found.new_empty(0)


def like(own: Any, value: Any) -> Any:
    """Split a whole tensor as a parameter is, if it has its shape."""
    if not hasattr(own, 'full_tensor') or hasattr(value, 'full_tensor'):
        return value
    if not isinstance(value, Tensor) or value.shape != own.shape:
        return value
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value.to(own.device), own.device_mesh, own.placements)


def _split(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    for name, own in module.named_parameters(recurse=False):
        if f'{prefix}{name}' in state:
            state[f'{prefix}{name}'] = like(own, state[f'{prefix}{name}'])


def _split_state(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> dict:
    own = [p for group in optimizer.param_groups for p in group['params']]
    numbers = [n for group in state['param_groups'] for n in group['params']]
    found = {
        n: {key: like(p, value) for key, value in state['state'].get(n, {}).items()}
        for n, p in zip(numbers, own, strict=True)
    }
    return {**state, 'state': found}
