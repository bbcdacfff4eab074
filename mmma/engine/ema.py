"""Averages of what is trained."""

from __future__ import annotations

import logging
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper

from mmma.registry import HOOKS

_PREFIX = 'module.'  # as MMEngine's averaged models have it


@HOOKS.register_module()
class TrainedEMAHook(Hook):
    """Exponential moving average of the trained parameters alone.

    Validation and tests within a run have the averages. Checkpoints are as MMEngine's
    ``EMAHook`` writes them: averages in ``state_dict``, the last weights in
    ``ema_state_dict``. Unlike there, frozen parameters are neither copied nor saved
    twice. Buffers are not averaged.

    Args:
        decay: Share of the average that an iteration keeps.

    Raises:
        ValueError: ``decay`` is not between 0 and 1.
    """

    priority = 'NORMAL'

    def __init__(self, decay: float = 0.999) -> None:
        if not 0 < decay < 1:
            raise ValueError(
                f'decay of TrainedEMAHook is {decay}: use a number between 0 and 1, '
                'such as 0.999.'
            )
        self.decay = decay
        self._trained: dict[str, torch.Tensor] = {}
        self._averages: dict[str, torch.Tensor] = {}

    def before_train(self, runner: Any) -> None:
        """Start from the weights that training starts from, or go on."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        self._trained = {
            name: p.data for name, p in model.named_parameters() if p.requires_grad
        }
        self._averages = {
            name: self._averages.get(name, value).to(value.device).clone()
            for name, value in self._trained.items()
        }

    @torch.no_grad()
    def after_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        """Move the averages towards the weights."""
        torch._foreach_lerp_(
            list(self._averages.values()),
            list(self._trained.values()),
            1 - self.decay,
        )

    def before_val_epoch(self, runner: Any) -> None:
        """Validate the averages."""
        self._swap()

    def after_val_epoch(self, runner: Any, metrics: Any = None) -> None:
        """Go on with the weights."""
        self._swap()

    before_test_epoch = before_val_epoch
    after_test_epoch = after_val_epoch

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Save both."""
        state = checkpoint['state_dict']
        checkpoint['ema_state_dict'] = {
            f'{_PREFIX}{name}': state[name] for name in self._averages
        }
        state.update({name: value.cpu() for name, value in self._averages.items()})

    def after_load_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Go on with both when a run is resumed."""
        if not runner._resume:
            return
        if 'ema_state_dict' not in checkpoint:
            print_log(
                'the checkpoint to resume has no averages: they start from its weights',
                logger='current',
                level=logging.WARNING,
            )
        state = checkpoint['state_dict']
        for key, value in checkpoint.get('ema_state_dict', {}).items():
            if key.startswith(_PREFIX):
                name = key.removeprefix(_PREFIX)
                self._averages[name], state[name] = state[name].clone(), value

    @torch.no_grad()
    def _swap(self) -> None:
        for name, average in self._averages.items():
            value = self._trained[name]
            kept = value.clone()
            value.copy_(average)
            average.copy_(kept)
