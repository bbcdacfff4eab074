"""Checkpoints without the weights that training left as they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper

from mmma.checkpoints.frozen import frozen_names, frozen_sha256
from mmma.engine.weights import StartFrom, Weights, with_frozen
from mmma.registry import HOOKS


@HOOKS.register_module()
class TrainedOnlyHook(Hook):
    """Saves what is trained; frozen weights come from the recipe's file again.

    Their hash is noted in ``meta['frozen']`` (``sha256``, ``count``, ``source``), and
    whoever loads the checkpoint compares it. Where a run did not start from the
    recipe's ``pretrained`` weights, or nothing is frozen, all is saved.
    """

    priority = 'LOW'  # behind averages, before all is made plain

    def __init__(self) -> None:
        self._frozen: dict[str, Any] | None = None
        self._resumed = False

    def before_train(self, runner: Any) -> None:
        """Find out whether the frozen weights can be had again."""
        starts = [h.weights for h in runner.hooks if isinstance(h, StartFrom)]
        again = any(w.of_recipe or w.meta.get('frozen') for w in starts)
        model = _unwrapped(runner)
        names = frozen_names(model)
        if again and names and not self._resumed:
            self._frozen = {
                'sha256': frozen_sha256(model),
                'count': len(names),
                'source': runner.cfg.pretrained.url.rsplit('/', 1)[-1],
            }

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Leave the frozen weights out, and say which they were."""
        if self._frozen is None:
            return
        for name in frozen_names(_unwrapped(runner)):
            del checkpoint['state_dict'][name]
        checkpoint['meta']['frozen'] = dict(self._frozen)

    def after_load_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Put them back when a run goes on.

        Raises:
            ValueError: The recipe has no such weights, or others.
        """
        if not runner._resume:
            return
        self._resumed = True
        self._frozen = (checkpoint.get('meta') or {}).get('frozen')
        weights = Weights(Path('the checkpoint to resume'), checkpoint, '')
        whole = with_frozen(_unwrapped(runner), weights, runner.cfg)
        checkpoint['state_dict'] = whole.content['state_dict']


def _unwrapped(runner: Any) -> Any:
    model = runner.model
    return model.module if is_model_wrapper(model) else model
