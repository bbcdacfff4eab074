"""Hooks: checkpoints, averages, classes, seeds, unreadable clips."""

import logging
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from mmengine.dist import all_gather_object, get_rank, is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook, Hook
from mmengine.logging import HistoryBuffer, print_log
from mmengine.runner import EpochBasedTrainLoop

from mmma import __version__
from mmma.checkpoints import to_plain
from mmma.checkpoints.files import frozen_names, weights_sha256
from mmma.datasets import samplers
from mmma.engine import sharding
from mmma.engine.run import Run, describe_data
from mmma.engine.runner import unwrapped
from mmma.engine.weights import StartFrom, Weights, with_frozen
from mmma.evaluation.calibration import fit
from mmma.files import flush, write_file
from mmma.models import losses
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
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Note the batch's replaced clips."""
        samples: Sequence = (data_batch or {}).get('data_samples', ())
        broken = (sample.metainfo.get('broken') for sample in samples)
        self._names.update(name for name in broken if name)

    def after_train_epoch(self, runner: Any) -> None:
        """Warn of the distinct clips of all processes."""
        self._report(runner, f'epoch {runner.epoch + 1}')

    def after_train(self, runner: Any) -> None:
        """Warn of what came after the last epoch's end, if anything did."""
        self._report(runner, 'training')

    def _report(self, runner: Any, when: str) -> None:
        names = sorted(set().union(*all_gather_object(self._names)))
        self._names.clear()
        if names:
            told = f'{len(names)} broken clips were replaced in {when}: '
            told += ', '.join(names[:5]) + ', ...' * (len(names) > 5)
            hint = '`tools/data/check.py ROOT --decode` says what is wrong with them'
            runner.logger.warning(f'{told}; {hint}')


_CLASS_KEYS = ('label_space', 'classes', 'bodies', 'body_of', 'unlabelled')
_TRUTH = ('labels', 'truth')
_PREFIX = 'module.'  # as MMEngine's averaged models have it


class AtomicLocalBackend(LocalBackend):
    """Local files that are there whole or not at all; old ones go after the next."""

    _stale: ClassVar[set[Path]] = set()

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes beside the file, then put them in its place."""
        path, stale = Path(filepath), {*self._stale} - {Path(filepath)}
        self._stale.clear()  # they stay where the next cannot be written
        write_file(path, obj)
        flush(path.parent)
        for old in stale:
            old.unlink(missing_ok=True)

    def remove(self, filepath: str | Path) -> None:
        """Remove a file when the next is written; MMEngine asks for it before."""
        self._stale.add(Path(filepath))


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
    ``class_power`` (:func:`class_power`), ``seen_domains`` (those, and what the weights
    it started from had seen), ``data`` (``describe_data``), ``pretrain_data``, where
    labels are not read ``unlabelled`` (subsets of domains), ``selected_on``
    (``subset``, ``domains``, ``metric``; None for the last of a run),
    ``calibration`` of the best (``evaluation.calibration``),
    ``validated`` and ``random_state``.

    Attributes:
        run: What is trained, from whoever builds the runner.
    """

    run: Run | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault('backend_args', {'backend': 'AtomicLocal'})
        super().__init__(*args, **kwargs)
        self._unvalidated = False
        self._selecting = False
        self._random_state: dict[str, Any] | None = None
        self._data: dict[str, Any] | None = None

    def before_train(self, runner: Any) -> None:
        """Restore random states, and validate what the stopped run could not."""
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
        # Does the train loop validate right after this epoch or iteration?
        loop, by_epoch, self._unvalidated = runner.train_loop, self.by_epoch, False
        fits = isinstance(loop, EpochBasedTrainLoop) == by_epoch
        if runner.val_loop is not None and fits:
            step = 1 + (loop.epoch if by_epoch else loop.iter)
            last = loop.max_epochs if by_epoch else loop.max_iters
            due = step % loop.val_interval == 0 or step == last
            self._unvalidated = step >= loop.val_begin and due
        super()._save_checkpoint(runner)

    def _save_best_checkpoint(self, runner: Any, metrics: dict[str, float]) -> None:
        self._selecting = True
        try:
            super()._save_best_checkpoint(runner, metrics)
        finally:
            self._selecting = False

    def _save_checkpoint_with_step(self, runner: Any, step: int, meta: dict) -> None:
        self._selecting = False
        super()._save_checkpoint_with_step(runner, step, meta)
        if is_main_process():  # a name, so that the folder can be moved
            name = self.filename_tmpl.format(step)
            write_file(Path(runner.work_dir, 'last_checkpoint'), name)

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Say what the checkpoint is, and make all of it plain."""
        meta = checkpoint['meta']
        meta.update(self._origin(runner))
        metainfo = meta.pop('dataset_meta', None) or {}
        meta.update({key: metainfo[key] for key in _CLASS_KEYS if key in metainfo})
        if 'unlabelled' in meta:  # of other domains as well, if asked for
            seen = {*meta.get('seen_domains', ()), *metainfo['domains']}
            meta['seen_domains'] = sorted(seen)
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
        for name, value in (scalars := hub.get('log_scalars', {})).items():
            if isinstance(value, dict):
                log, count = (value[key].cpu().numpy() for key in ('log', 'count'))
                scalars[name] = HistoryBuffer(log, count, value['max_length'])
        if runner._resume:
            info = hub.get('runtime_info', {})
            for key in info if self.out_dir is None else ():
                if key.startswith('best_ckpt'):  # the folder may have been moved
                    info[key] = str(Path(runner.work_dir, Path(info[key]).name))
            # Compared here: MMEngine would compare every clip's name, pickled.
            dataset = runner.train_dataloader.dataset
            meta['dataset_meta'] = getattr(dataset, 'metainfo', None)
            now = describe_data(self.run) if self.run and 'data' in meta else None
            if now and 'arrays' not in meta['data']:  # older checkpoints lack them
                now.pop('arrays', None)
            if now and now != meta['data']:
                told = f'the run began with {meta["data"]}, now it is {now}'
                print_log(f'resuming on other data: {told}', 'current', logging.WARNING)
            self._unvalidated = not meta.get('validated', True)
            self._random_state = meta.get('random_state')

    def _origin(self, runner: Any) -> dict[str, Any]:
        cfg = runner.cfg
        name = Path(cfg.filename).name if cfg.filename else None
        origin = {'mmma_version': __version__, 'config_name': name}
        origin |= {'pretrain_data': cfg.get('pretrain_data'), 'selected_on': None}
        if cfg.get('changed_config'):
            origin['changed_config'] = list(cfg.changed_config)
        if self.run:
            domains = list(self.run.protocol.train_domains)
            origin['protocol'] = {**cfg.protocol, 'train_domains': domains}
            if (cfg.get('model') or {}).get('cls_head'):
                origin['class_power'] = class_power(cfg)
            origin['seen_domains'] = sorted({*domains, *cfg.get('seen_before', [])})
            self._data = self._data or describe_data(self.run)
            origin['data'] = self._data
            if self._selecting:
                metric = ', '.join(self.key_indicators)
                selected = {'subset': 'val', 'domains': domains, 'metric': metric}
                as_mac = {'preset': cfg.preset} if cfg.get('preset') else {}
                origin['selected_on'] = selected | as_mac
                place = f'val of {", ".join(domains)} of {self._data["name"]}'
                origin['calibration'] = _calibration(runner, place)
        return origin


def _calibration(runner: Any, place: str) -> dict[str, Any]:
    """Calibration by the validation, of a place, that has just ended."""
    metric, ways = runner.val_loop.evaluator.metrics[0], []
    for subset in ('val', 'test') if hasattr(metric, 'scored') else ():
        evaluator = runner.cfg[f'{subset}_evaluator']
        pipeline = runner.cfg[f'{subset}_dataloader'].dataset.pipeline
        keys = ('nms', 'bodies', 'max_candidates', 'join_sec')
        ways.append((pipeline, [evaluator.get(key) for key in keys]))
    if not ways or ways[0] != ways[1]:
        return {'why_not': f'{place} is seen in another way than tests are'}
    return fit(*metric.scored, place)


def class_power(cfg: Mapping[str, Any]) -> float | None:
    """Power of clips per class in a prior: 1 plain, 0 balanced, None where unknown."""
    loss = cfg['model']['cls_head'].get('loss_cls') or {'type': 'CrossEntropyLoss'}
    loader = cfg.get('train_dataloader') or {}
    sampler = loader.get('sampler') or {'type': 'DefaultSampler'}
    moved, drawn = losses.class_power(loss), samplers.class_power(sampler)
    return None if moved is None or drawn is None else drawn + moved


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
    """Put back what :func:`get_random_state` gave; of GPUs, if they are as many."""
    random.setstate(state['python'])
    name, keys, *rest = state['numpy']
    np.random.set_state((name, keys.cpu().numpy().astype('uint32'), *rest))
    torch.set_rng_state(state['torch'].cpu())
    if state['cuda'] and len(state['cuda']) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([s.cpu() for s in state['cuda']])


def tell_classes(
    model: torch.nn.Module, dataset_meta: Mapping[str, Any], training: bool = False
) -> None:
    """Call ``set_classes`` of every part of a model that has it, with the ``metainfo``.

    ``training`` passes on ``labels``, from which losses count the clips of a class. In
    testing they, and ``truth`` of untrimmed videos, stay away from the model. A model
    that is built for other classes raises ValueError.
    """
    meta = {k: v for k, v in dataset_meta.items() if training or k not in _TRUTH}
    for module in model.modules():
        if hasattr(module, 'set_classes'):
            module.set_classes(meta)


@HOOKS.register_module()
class ClassInfoHook(Hook):
    """Before training, tells the model the classes and domains of the training set.

    Parts that have ``attach`` are given the model.

    Counts are of the clips of the data set that is trained on, its domains and
    supports, without withheld labels. A sampler that repeats rare classes or domains
    does not change them.
    """

    priority = 'NORMAL'

    def before_train(self, runner: Any) -> None:
        """Pass on the metainfo of the training set."""
        dataset = runner.train_dataloader.dataset
        model = unwrapped(runner.model)
        tell_classes(model, getattr(dataset, 'metainfo', {}), training=True)
        for part in [m for m in model.modules() if hasattr(m, 'attach')]:
            part.attach(model)


@HOOKS.register_module()
class TrainedEMAHook(Hook):
    """Exponential moving average of the trained parameters alone.

    Validation and tests within a run have the averages. Checkpoints are as MMEngine's
    ``EMAHook`` writes them: averages in ``state_dict``, the last weights in
    ``ema_state_dict``. Unlike there, frozen parameters are neither copied nor saved
    twice. Buffers are not averaged. ``decay``, between 0 and 1, is the share of the
    average that an iteration keeps.
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
        named = unwrapped(runner.model).named_parameters()
        self._trained = {name: p.data for name, p in named if p.requires_grad}
        self._averages = {
            name: sharding.like(value, average.to(value.device)).clone()
            for name, value in self._trained.items()
            for average in [self._averages.get(name, value)]
        }

    @torch.no_grad()
    def after_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        """Move the averages towards the weights."""
        torch._foreach_lerp_(
            list(self._averages.values()), list(self._trained.values()), 1 - self.decay
        )

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Save both."""
        state = checkpoint['state_dict']
        last = {f'{_PREFIX}{name}': state[name] for name in self._averages}
        checkpoint['ema_state_dict'] = last
        state.update(self.state_dict())

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The averages, on the CPU; of a split model all processes have to ask."""
        whole = sharding.whole(self._averages)
        return {name: value.cpu() for name, value in whole.items()}

    def after_load_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Go on with both when a run is resumed."""
        if not runner._resume:
            return
        if 'ema_state_dict' not in checkpoint:
            told = 'has no averages: they start from its weights'
            print_log(f'the checkpoint to resume {told}', 'current', logging.WARNING)
        state = checkpoint['state_dict']
        for key, value in checkpoint.get('ema_state_dict', {}).items():
            if key.startswith(_PREFIX):
                name = key.removeprefix(_PREFIX)
                self._averages[name], state[name] = state[name].clone(), value

    @torch.no_grad()
    def _swap(self, runner: Any, metrics: Any = None) -> None:
        for name, average in self._averages.items():
            value = self._trained[name]
            kept = value.clone()
            value.copy_(average)
            average.copy_(kept)

    # Validation and tests see the averages; then training goes on with the weights.
    before_val_epoch = after_val_epoch = before_test_epoch = after_test_epoch = _swap


@HOOKS.register_module()
class SeedHook(Hook):
    """Seed python, numpy and torch before every training iteration; None: the runner's.

    What is drawn outside the data loader (drop path, mixing of clips) then depends on
    the seed, the rank and the iteration alone, so that a resumed run draws the same.
    """

    priority = 'VERY_HIGH'

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed

    def before_train_iter(self, runner: Any, *_: Any, **__: Any) -> None:
        """Seed from the seed, the rank and the iteration."""
        seed = runner.seed if self.seed is None else self.seed
        seed_everything(seed, get_rank(), runner.iter)


def seed_everything(*keys: int) -> None:
    """Seed python, numpy and torch (every device) from whole numbers from 0."""
    # The length tells (0,) from (0, 0), which are one to SeedSequence.
    words = np.random.SeedSequence((len(keys), *keys)).generate_state(4)
    random.seed(int(words[0]))
    np.random.seed(int(words[1]))
    torch.manual_seed(int(words[2]) << 31 ^ int(words[3]))


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
        model = unwrapped(runner.model)
        names = frozen_names(model)
        if again and names and not self._resumed:
            self._frozen = {
                'sha256': weights_sha256(model.state_dict(), names),
                'count': len(names),
                'source': runner.cfg.pretrained.url.rsplit('/', 1)[-1],
            }

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Leave the frozen weights out, and say which they were."""
        if self._frozen is None:
            return
        for name in frozen_names(unwrapped(runner.model)):
            del checkpoint['state_dict'][name]
        checkpoint['meta']['frozen'] = dict(self._frozen)

    def after_load_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Put them back when a run goes on; raises as ``with_frozen``."""
        if not runner._resume:
            return
        self._resumed = True
        self._frozen = (checkpoint.get('meta') or {}).get('frozen')
        weights = Weights(Path('the checkpoint to resume'), checkpoint, '')
        whole = with_frozen(unwrapped(runner.model), weights, runner.cfg)
        checkpoint['state_dict'] = whole.content['state_dict']
