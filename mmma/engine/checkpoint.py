"""Checkpoints of plain types that say what they are and resume exactly."""

from __future__ import annotations

import logging
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.logging import HistoryBuffer, print_log
from mmengine.runner import EpochBasedTrainLoop

from mmma import __version__
from mmma.checkpoints import to_plain
from mmma.engine.skeleton_origin import extractor_of
from mmma.layout.paths import atomic_write
from mmma.layout.root import DataRoot
from mmma.protocols import make_protocol
from mmma.registry import HOOKS

_CLASS_KEYS = ('label_space', 'classes', 'bodies', 'body_of')


class AtomicLocalBackend(LocalBackend):
    """Local files that are there whole or not at all."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes beside the file, then put them in its place."""
        with atomic_write(Path(filepath), 'wb') as file:
            file.write(obj)


register_backend('AtomicLocal', AtomicLocalBackend, force=True)


@HOOKS.register_module()
class PlainCheckpointHook(CheckpointHook):
    """MMEngine's ``CheckpointHook``, with files that load with ``weights_only=True``.

    A run that is stopped at any time and resumed goes on as if it had not been
    stopped: files are written whole, an old one goes only after the new one is there,
    validation that the stop prevented is made up for, and random states are kept.

    Beside what MMEngine writes (``epoch``, ``iter``, ``seed``, and the resolved config
    as ``cfg``), ``meta`` has ``mmma_version``, ``config_name``, ``label_space``,
    ``classes``, ``bodies``, ``body_of``, ``protocol`` with its ``train_domains``,
    ``seen_domains`` (those, and what the weights it started from had seen), ``data``
    (``name``, ``fingerprint``, ``simulated``, ``source``, and ``extractor`` of
    skeletons),
    ``pretrain_data``, ``selected_on`` (``subset``, ``domains``, ``metric``; None for
    the last of a run), ``validated`` and ``random_state``.

    Args:
        kwargs: As for ``CheckpointHook``.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault('backend_args', {'backend': 'AtomicLocal'})
        super().__init__(*args, **kwargs)
        # Upstream deletes the oldest file before it writes the next.
        self._keep, self.max_keep_ckpts = self.max_keep_ckpts, -1
        self._unvalidated = False
        self._selecting = False
        self._random_state: dict[str, Any] | None = None
        self._data: dict[str, Any] | None = None

    def before_train(self, runner: Any) -> None:
        """Restore random states, and validate what the stopped run could not."""
        runner.logger.addFilter(_is_news)
        super().before_train(runner)
        if self._random_state is not None and is_main_process():
            set_random_state(self._random_state)
        self._random_state = None
        if self._unvalidated and runner.val_loop is not None:
            runner.val_loop.run()

    def after_val_epoch(self, runner: Any, metrics: dict[str, float]) -> None:
        """Save the best, then note in the last file that it has been validated."""
        pending, self._unvalidated = self._unvalidated, False
        super().after_val_epoch(runner, metrics)
        if pending:
            step = runner.epoch if self.by_epoch else runner.iter
            meta = {'epoch': runner.epoch, 'iter': runner.iter}
            self._save_checkpoint_with_step(runner, step, meta)

    def _save_checkpoint(self, runner: Any) -> None:
        self._unvalidated = _validation_follows(runner, self.by_epoch)
        super()._save_checkpoint(runner)

    def _save_best_checkpoint(self, runner: Any, metrics: dict[str, float]) -> None:
        self._selecting = True
        try:
            super()._save_best_checkpoint(runner, metrics)
        finally:
            self._selecting = False

    def _save_checkpoint_with_step(self, runner: Any, step: int, meta: dict) -> None:
        self._selecting = False
        hub = runner.message_hub
        known = 'keep_ckpt_ids' in hub.runtime_info
        steps = list(hub.get_info('keep_ckpt_ids')) if known else []
        steps = [*(s for s in steps if s != step), step]
        keep = self._keep if self._keep > 0 else len(steps)
        hub.update_info('keep_ckpt_ids', steps[-keep:])
        super()._save_checkpoint_with_step(runner, step, meta)
        if is_main_process():
            for old in steps[:-keep]:
                Path(self.out_dir, self.filename_tmpl.format(old)).unlink(True)

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Say what the checkpoint is, and make all of it plain."""
        meta = checkpoint['meta']
        meta.update(self._origin(runner))
        metainfo = meta.pop('dataset_meta', None) or {}
        meta.update({key: metainfo[key] for key in _CLASS_KEYS if key in metainfo})
        meta['validated'] = not self._unvalidated
        meta['random_state'] = get_random_state()
        for part in ('runtime_info', 'resumed_keys'):
            checkpoint['message_hub'][part].pop('dataset_meta', None)
        plain = to_plain(checkpoint)
        checkpoint.clear()
        checkpoint.update(plain)

    def after_load_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Give MMEngine back the types that it works with."""
        meta = checkpoint.get('meta') or {}
        meta.pop('config', None)  # MMEngine would run this text as Python
        hub = checkpoint.get('message_hub') or {}
        scalars = hub.get('log_scalars', {})
        scalars.update({name: _history(value) for name, value in scalars.items()})
        if runner._resume:
            self._check_data(runner, meta)
            self._unvalidated = not meta.get('validated', True)
            self._random_state = meta.get('random_state')

    def _origin(self, runner: Any) -> dict[str, Any]:
        cfg = runner.cfg
        origin = {
            'mmma_version': __version__,
            'config_name': Path(cfg.filename).name if cfg.filename else None,
            'pretrain_data': cfg.get('pretrain_data'),
            'selected_on': None,
        }
        if 'protocol' in cfg:
            domains = list(make_protocol(cfg.protocol).train_domains)
            origin['protocol'] = {**cfg.protocol, 'train_domains': domains}
            origin['seen_domains'] = sorted({*domains, *cfg.get('seen_before', [])})
            if self._selecting:
                metric = ', '.join(self.key_indicators)
                origin['selected_on'] = {
                    'subset': 'val',
                    'domains': domains,
                    'metric': metric,
                }
        if 'data_root' in cfg:
            self._data = self._data or _data_of(cfg)
            origin['data'] = self._data
        return origin

    def _check_data(self, runner: Any, meta: dict[str, Any]) -> None:
        """Warn where a run goes on with other data than it began with."""
        # Compared here: MMEngine would compare every clip's name, pickled.
        metainfo = getattr(runner.train_dataloader.dataset, 'metainfo', None)
        meta['dataset_meta'] = metainfo
        if 'data_root' not in runner.cfg or 'data' not in meta:
            return
        now = _data_of(runner.cfg)
        if now != meta['data']:
            print_log(
                f'resuming on other data: the run began with {meta["data"]}, '
                f'now it is {now}',
                logger='current',
                level=logging.WARNING,
            )


def get_random_state() -> dict[str, Any]:
    """States of the random generators of this process, as plain types."""
    name, keys, *rest = np.random.get_state()
    return {
        'python': random.getstate(),
        'numpy': [name, torch.from_numpy(keys.astype('int64')), *rest],
        'torch': torch.get_rng_state(),
        'cuda': torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Put back what :func:`get_random_state` gave.

    The states of GPUs are put back where there are as many as there were.
    """
    random.setstate(state['python'])
    name, keys, *rest = state['numpy']
    np.random.set_state((name, keys.cpu().numpy().astype('uint32'), *rest))
    torch.set_rng_state(state['torch'].cpu())
    if state['cuda'] and len(state['cuda']) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([s.cpu() for s in state['cuda']])


def _is_news(record: logging.LogRecord) -> bool:
    """False for what MMEngine's own use of its own old functions makes it say."""
    text = str(record.msg)
    return not text.startswith(('"FileClient" will be', '"HardDiskBackend" is'))


def _validation_follows(runner: Any, by_epoch: bool) -> bool:
    """Whether the train loop validates right after the epoch or iteration ends."""
    loop = runner.train_loop
    if runner.val_loop is None or isinstance(loop, EpochBasedTrainLoop) != by_epoch:
        return False
    step = 1 + (loop.epoch if by_epoch else loop.iter)
    last = loop.max_epochs if by_epoch else loop.max_iters
    return step >= loop.val_begin and (step % loop.val_interval == 0 or step == last)


def _history(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    log, count = (value[key].cpu().numpy() for key in ('log', 'count'))
    return HistoryBuffer(log, count, value['max_length'])


def _data_of(cfg: Any) -> dict[str, Any]:
    root = DataRoot(cfg.data_root)
    data = {
        'name': root.info.name,
        'fingerprint': root.fingerprint(),
        'simulated': root.info.simulated,
        'source': root.info.source,
    }
    extractor = extractor_of(cfg)
    return data if extractor is None else {**data, 'extractor': extractor}
