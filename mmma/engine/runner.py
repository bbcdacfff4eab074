"""MMEngine's runner as runs use it: what a console shows, split models, optimizers."""

import copy
import itertools
import logging
import math
import re
import shutil
import time
from pathlib import Path
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.logging import MMLogger
from mmengine.model import BaseDataPreprocessor, is_model_wrapper
from mmengine.runner import Runner

from mmma.engine import sharding
from mmma.taxonomy import own_table

_RUNS = itertools.count(1)
_CONSOLE = {
    key: re.compile(text) for key, text in own_table('compat')['console'].items()
}


class _ConsoleLines(logging.Formatter):
    """What of a log a console shows: a formatter that filters as well.

    Progress within 20 seconds, or a twentieth of the time so far, is left out.
    """

    _began, _last = time.monotonic(), -math.inf

    def filter(self, record: logging.LogRecord) -> bool:
        text, now = record.getMessage(), time.monotonic()
        if not _CONSOLE['progress'].match(text):
            return not _CONSOLE['log_only'].match(text)
        if due := now - self._last >= max(20, (now - self._began) / 20):
            self._last = now
        return due

    def format(self, record: logging.LogRecord) -> str:
        if record.levelno > logging.INFO:
            return f'{record.levelname.lower()}: {record.getMessage()}'
        line = super().format(record)
        if 'Epoch(' in line:
            parts = re.split(r'\s{2,}', f'{line}  ')
            line = '  '.join(p for p in parts if not _CONSOLE['left_out'].match(p))
            width = shutil.get_terminal_size((100, 24)).columns
            line = line[:width].rpartition('  ')[0]
        return line


class ConsoleRunner(Runner):
    """MMEngine's runner; its environment, config and hooks stay in the log file.

    Runs that begin in one second would share a log and the best score: MMEngine knows
    them by their names, which have a number here.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        file = getattr(kwargs.get('cfg'), 'filename', None) or 'run'
        name = kwargs.get('experiment_name') or Path(file).stem
        kwargs['experiment_name'] = f'{name}_{next(_RUNS)}'
        super().__init__(*args, **kwargs)

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Build the logger of MMEngine."""
        logger = super().build_logger(*args, **kwargs)
        lines = _ConsoleLines('%(asctime)s %(message)s', '%H:%M:%S')
        logger.handlers[0].setFormatter(lines)
        logger.handlers[0].addFilter(lines)
        return logger

    def build_model(self, model: Any) -> Any:
        """Build the model; what loaders have pinned goes to a GPU without waiting."""
        built = super().build_model(model)
        for module in built.modules():
            if isinstance(module, BaseDataPreprocessor):
                module._non_blocking = True
        return built

    def wrap_model(self, wrapper: Any, model: Any) -> Any:
        """Wrap the model, or split it among processes."""
        if not self.cfg.get('shard'):
            return super().wrap_model(wrapper, model)
        model = model.to(get_device())
        model.init_weights()  # the same in each process
        return sharding.shard(model)

    @property
    def sharded(self) -> bool:
        """The model is split among processes."""
        return hasattr(self.model, 'unshard')

    def _init_model_weights(self) -> None:
        if not self.sharded:
            super()._init_model_weights()

    def _maybe_compile(self, target: str) -> None:
        """Compile the backbone alone: a train step has what torch cannot compile."""
        if given := self.cfg.get('compile'):
            options = {} if given is True else given.to_dict()
            unwrapped(self.model).backbone.compile(**options)

    def build_optim_wrapper(self, optim_wrapper: Any) -> Any:
        """Build the optimizer of whole or of split weights; on GPUs in one kernel."""
        given = optim_wrapper.get('optimizer') if isinstance(optim_wrapper, dict) else 0
        kind = given.get('type') if isinstance(given, dict) else None
        if torch.cuda.is_available() and kind in ('Adam', 'AdamW', 'SGD'):
            optim_wrapper = copy.deepcopy(optim_wrapper)
            optim_wrapper['optimizer'].setdefault('fused', True)
        built = super().build_optim_wrapper(optim_wrapper)
        if self.sharded:
            sharding.shard_optimizer(built.optimizer)
        return built

    def save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        """Save the whole model; one process writes it."""
        owners = [self.model, self.optim_wrapper]
        owners += [hook for hook in self.hooks if hasattr(hook, 'state_dict')]
        with sharding.gathered(*owners if self.sharded else ()):
            super().save_checkpoint(*args, **kwargs)


def unwrapped(model: Any) -> Any:
    """The model within the wrapper that trains it in several processes, if any."""
    return model.module if is_model_wrapper(model) else model
