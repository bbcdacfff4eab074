"""Telling which clips could not be read in training."""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.dist import all_gather_object
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmma.registry import HOOKS


@HOOKS.register_module()
class BrokenClipHook(Hook):
    """After each epoch, warns of clips that were replaced because they are broken.

    ``ClipDataset`` puts another clip in the place of one that it cannot read and sets
    ``broken`` of the sample to the name of the unreadable one.
    """

    priority = 'LOW'

    def __init__(self) -> None:
        self._names: set[str] = set()

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Note the batch's replaced clips."""
        samples: Sequence = (data_batch or {}).get('data_samples', ())
        broken = (sample.metainfo.get('broken') for sample in samples)
        self._names.update(name for name in broken if name)

    def after_train_epoch(self, runner: Runner) -> None:
        """Warn of the distinct clips of all processes."""
        self._report(runner, f'epoch {runner.epoch + 1}')

    def after_train(self, runner: Runner) -> None:
        """Warn of what came after the last epoch's end, if anything did."""
        self._report(runner, 'training')

    def _report(self, runner: Runner, when: str) -> None:
        names = sorted(set().union(*all_gather_object(self._names)))
        self._names.clear()
        if not names:
            return
        more = ', ...' if len(names) > 5 else ''
        runner.logger.warning(
            f'{len(names)} broken clips were replaced in {when}: '
            f'{", ".join(names[:5])}{more}; `tools/data/check.py ROOT --decode` says '
            'what is wrong with them'
        )
