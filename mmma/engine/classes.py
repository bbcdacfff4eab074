"""Telling a model which classes the data have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from mmma.registry import HOOKS

_TRUTH = ('labels', 'truth')


def tell_classes(
    model: nn.Module, dataset_meta: Mapping[str, Any], training: bool = False
) -> None:
    """Call ``set_classes`` of every part of a model that has it.

    Args:
        model: Wrapped or not.
        dataset_meta: ``metainfo`` of the data set.
        training: Pass on ``labels``, from which losses count the clips of a class. In
            testing they, and ``truth`` of untrimmed videos, stay away from the model.

    Raises:
        ValueError: The model is built for other classes.
    """
    meta = {k: v for k, v in dataset_meta.items() if training or k not in _TRUTH}
    for module in model.modules():
        if hasattr(module, 'set_classes'):
            module.set_classes(meta)


@HOOKS.register_module()
class ClassInfoHook(Hook):
    """Before training, tells the model the classes of the training set.

    Counts are of the clips of the data set that is trained on, its domains and
    supports, without withheld labels. A sampler that repeats rare classes or domains
    does not change them.
    """

    priority = 'NORMAL'

    def before_train(self, runner: Runner) -> None:
        """Pass on the metainfo of the training set."""
        dataset = runner.train_dataloader.dataset
        tell_classes(runner.model, getattr(dataset, 'metainfo', {}), training=True)
