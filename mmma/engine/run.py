"""A resolved run: config, protocol, data root, label space and folder."""

import copy
import importlib.util
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

from mmma import compat
from mmma.config import load_config, model_name
from mmma.data.clips import Clip
from mmma.data.emotions import labelled_root
from mmma.data.joints import JointLayout, read_layout
from mmma.data.root import INFO_FILE, DataRoot, missing_root
from mmma.evaluation.recognition import as_mac
from mmma.files import only_writer
from mmma.processes import loaders_per_process
from mmma.protocols import Protocol, make_protocol
from mmma.taxonomy import SUBSETS, LabelSpace

FAST_DEV_ITERATIONS = 2
_RECOGNITION_ONLY = ('views', 'crops', 'class_set', 'body_scores')
OF_WORKERS = (
    'persistent_workers', 'prefetch_factor', 'timeout', 'multiprocessing_context',
)  # fmt: skip
"""Settings of a loader that torch refuses where it has no workers."""
_KEPT = ('num_classes', 'in_channels', 'num_segments', 'average_clips')


@dataclass(frozen=True)
class Run:
    """A run that commands resolve once and hand down.

    Attributes:
        cfg: The ``mmengine.Config`` as it runs; nobody changes it.
        protocol: The one that is written in it.
    """

    cfg: Any
    protocol: Protocol
    root: DataRoot

    @property
    def task(self) -> str:
        """``rec`` or ``det``."""
        return self.cfg.task

    @property
    def name(self) -> str:
        """Name of the recipe, without its protocol."""
        info = self.root.info
        return model_name(self.cfg.filename, info.label_space, info.name)

    @property
    def work_dir(self) -> Path:
        """Folder of logs, checkpoints and results."""
        return Path(self.cfg.work_dir)

    @property
    def body_groups(self) -> str:
        """Whose body groups count where the root gives none."""
        return self.cfg.test_dataloader.dataset.get('body_groups', 'taxonomy')

    @property
    def space(self) -> LabelSpace:
        """The root's label space, with the body groups of the run."""
        return self.root.label_space(self.body_groups)

    @contextmanager
    def held(self, *files: str | Path | None) -> Iterator[None]:
        """Be the ``only_writer`` of the work dir and of files; rank 0 holds them."""
        rank = os.environ.get('RANK') or os.environ.get('SLURM_PROCID') or '0'
        with ExitStack() as stack:
            if self.cfg.launcher == 'none' or rank == '0':
                stack.enter_context(only_writer(self.work_dir))
                for file in filter(None, files):
                    stack.enter_context(only_writer(Path(file), file=True))
            yield

    def clips(self) -> list[Clip]:
        """All clips of the root."""
        return self.root.read_rec(self.body_groups)

    @cached_property
    def layout(self) -> JointLayout | None:
        """Joints that the model sees, which must be there; None for video."""
        dataset = (self.cfg.get('test_dataloader') or {}).get('dataset') or {}
        if 'Pose' not in dataset.get('modality', 'RGB'):
            return None
        return read_layout(self.root.path / 'skeletons')


@dataclass(frozen=True)
class TrainOptions:
    """Choices in training; what is said of them is the command's help.

    Attributes:
        work_dir (DIR): default: work_dirs/<model>_<data>/<protocol>
        launcher: how several processes were started
        load_from (CKPT): start from these weights: path, URL, or name in the model zoo
            (download.py --list)
        resume: go on from the latest in the work dir
        amp: mixed precision (bf16 where the GPU has it)
        device_augment: resize and change the frames of training on the model's device
            instead of in loaders, where cores cannot feed a GPU
        shard: split weights, gradients and the optimizer's state among the processes
            (FSDP), for models that are too large for one GPU
        pretrained: train from scratch
        trust: load weights even if they are a pickle that can run code
        allow_simulated: start from weights trained on simulated data on real data
        allow_changed_config: resume though more than epochs, workers and paths differs
            from the config so far
        fast_dev_run: two iterations each of train, validate and test, to a results.json
            in the folder fast-dev-run of the work dir
        log: also log there, beside the files: losses, rates and validation
        preset: keep what the MAC challenge ranks first on val: best F1_mean, or mAP at
            tIoU 0.2, 0.5 and 0.7
    """

    work_dir: str | None = None
    launcher: Literal['none', 'pytorch', 'slurm'] = 'none'
    load_from: str | None = None
    resume: bool = False
    amp: bool = False
    device_augment: bool = False
    shard: bool = False
    pretrained: bool = True
    trust: bool = False
    allow_simulated: bool = False
    allow_changed_config: bool = False
    fast_dev_run: bool = False
    log: Literal['tensorboard', 'wandb', 'mlflow'] | None = None
    preset: Literal['mac'] | None = None

    def write(self, cfg: Any, root: DataRoot, folder: Path) -> None:
        """Write them into the config of a run that is opened."""
        place = Path(self.work_dir or cfg.get('work_dir') or folder)
        if self.fast_dev_run:  # a trial must not touch what a training resumes from
            if self.resume:
                raise ValueError(
                    '--fast-dev-run tries a training out in a folder of its own: '
                    'there is nothing to --resume. Leave one of them out.'
                )
            place /= 'fast-dev-run'
        cfg.work_dir = str(place)
        cfg.resume = self.resume
        if self.log:
            if importlib.util.find_spec(self.log) is None:
                told = f'there is no package {self.log}: pip install {self.log}'
                raise ValueError(f'--log {self.log}: {told}, or leave it out')
            kind = {'wandb': 'Wandb', 'mlflow': 'MLflow'}.get(self.log, 'Tensorboard')
            cfg.visualizer.vis_backends.append({'type': f'{kind}VisBackend'})
        set_environment(cfg, self.launcher)
        if self.amp:
            import torch

            if not torch.cuda.is_available():
                raise ValueError('--amp needs a GPU; torch sees none: leave it out.')
            bf16 = torch.cuda.is_bf16_supported()
            cfg.optim_wrapper.type = 'AmpOptimWrapper'
            cfg.optim_wrapper.dtype = 'bfloat16' if bf16 else 'float16'
            if bf16:  # has the range of float32: no losses that are scaled
                cfg.optim_wrapper.loss_scale = {'enabled': False}
        if self.shard:
            if self.launcher == 'none':
                raise ValueError(
                    '--shard splits a model among several processes: start them with '
                    'torchrun or Slurm and --launcher (docs/clusters.md), or leave it '
                    'out.'
                )
            cfg.shard = True
        if self.device_augment:
            from mmma.models.augment import augment_on_device

            augment_on_device(cfg)
        if self.preset:
            _rank_as_mac(cfg, root, {}, 'val_evaluator', 'test_evaluator')
            cfg.preset = self.preset
            best = 'F1_mean' if cfg.task == 'rec' else 'action/mAP'
            cfg.default_hooks.checkpoint.save_best = best
        if cfg.get('val_dataloader'):
            _validate_on_truth(cfg, root)
        if self.fast_dev_run:
            _shorten(cfg, root)


@dataclass(frozen=True)
class TestOptions:
    """Choices in testing; what is said of them is the command's help.

    Attributes:
        work_dir (DIR): default: work_dirs/<model>_<data>/<protocol>
        launcher: how several processes were started
        subset: Clips or videos that are tested.
        adapt (METHOD): fewshot: refit the classifier (linear, default), compare with
            class means (prototype), or finetune; adapt: bn, t3a, tent, pseudo, or all
        cache: fewshot, adapt, --rerank: neither use nor keep features on disk
        rerank (K): let a small network look again at the K likeliest actions of a clip,
            trained on the source's train clips; val chooses its weight
        class_set: classes of MCA and macro F1: with truth (default), with truth or
            prediction, all
        body_scores: body scores: sum of a group's actions (default), group of the top
            action, or the model's own
        skip_broken: leave out clips or videos that cannot be read; the results name
            them
        trust: load the checkpoint even if it is a pickle that can run code
        allow_simulated: test weights that were trained on simulated data on real data
        allow_extractor: test on skeletons of another extractor than the weights were
            trained on
        preset: as the MAC challenge ranks: --class-set union --body-scores top1; in
            detection the mean over tIoU 0.2, 0.5 and 0.7
    """

    __test__ = False  # not a pytest class

    work_dir: str | None = None
    launcher: Literal['none', 'pytorch', 'slurm'] = 'none'
    subset: Literal['test', 'val'] = 'test'
    adapt: str | None = None
    cache: bool = True
    rerank: int | None = None
    class_set: Literal['present', 'union', 'all'] | None = None
    body_scores: Literal['sum', 'top1', 'head'] | None = None
    skip_broken: bool = False
    trust: bool = False
    allow_simulated: bool = False
    allow_extractor: bool = False
    preset: Literal['mac'] | None = None

    def write(self, cfg: Any, root: DataRoot, folder: Path) -> None:
        """Write them into the config of a run that is opened."""
        for key in ('class_set', 'body_scores'):
            if getattr(self, key):
                cfg.test_evaluator[key] = getattr(self, key)
        if self.preset:
            _rank_as_mac(cfg, root, vars(self), 'test_evaluator')
        if self.adapt:
            name = cfg.protocol.name
            if name not in ('fewshot', 'adapt'):
                raise ValueError(f'--adapt is no option of protocol {name!r}.')
            cfg[name]['adapt' if name == 'fewshot' else 'method'] = self.adapt
        _test_only(cfg, self.work_dir or folder / 'test', self)
        set_environment(cfg, self.launcher)
        cfg.test_dataloader.dataset.subset = self.subset


@dataclass(frozen=True)
class BackboneOptions:
    """Where a backbone's weights come from, and how clips are read.

    Attributes:
        checkpoint: Path or URL of the weights; None takes the recipe's.
        pretrained: features of random weights, and say so in the results
        tokens: See tokens instead of pooled features.
        trust: load checkpoints even if they are pickles that can run code
        allow_simulated: use weights that were trained on simulated data on real data
        skip_broken: leave out what cannot be read, and name it
        work_dir: Folder of the logs; None names one after the config.
    """

    checkpoint: str | None = None
    pretrained: bool = True
    tokens: bool = False
    trust: bool = False
    allow_simulated: bool = False
    skip_broken: bool = False
    work_dir: str | None = None

    def write(self, cfg: Any, root: DataRoot, folder: Path) -> None:
        """Write them into the config of a run that is opened: no body classifier."""
        _test_only(cfg, self.work_dir or folder / 'frozen', self)
        set_environment(cfg, 'none')
        if cfg.model.cls_head.get('body'):
            cfg.model.cls_head.body = None
        if self.tokens:
            show_tokens(cfg.model)


def _test_only(cfg: Any, place: str | Path, options: Any) -> None:
    cfg.work_dir, cfg.load_from, cfg.resume = str(place), None, False
    broken = 'skip' if options.skip_broken else 'raise'
    cfg.test_dataloader.dataset.on_broken = broken


def open_run(
    config: Any,
    flags: Mapping[str, Any] | None = None,
    data_root: str | None = None,
    cfg_options: Iterable[str] = (),
    *,
    options: TrainOptions | TestOptions | BackboneOptions | None = None,
    views: int | None = None,
    crops: int | None = None,
) -> Run:
    """Resolve a run; no other place changes a config once it is loaded.

    Args:
        config: Path or name of a config file; or a loaded config, which stays as it
            is, and takes no flags.
        flags: As of :func:`mmma.config.load_config`, as the next two are.
        options: What the run is for; None leaves the config as it is loaded.
        views: Sets of times per tested clip; None keeps the recipe's.
        crops: Crops per tested picture; None keeps the recipe's.

    Raises FileNotFoundError (no config, no data), ValueError (what is not allowed).
    """
    compat.install()  # a config may inherit from one of MMAction2
    if isinstance(config, (str, Path)):
        given = dict(data_root=data_root, cfg_options=cfg_options)
        cfg = load_config(str(config), flags, **given)
    elif flags or data_root or cfg_options:
        raise ValueError('this config is loaded: give its options to load_config.')
    else:
        cfg = copy.deepcopy(config)
    own = {'views': views, 'crops': crops, **(vars(options) if options else {})}
    for key in _RECOGNITION_ONLY if cfg.task == 'det' else ():
        if own.get(key) is not None:
            raise ValueError(f'--{key.replace("_", "-")} is no option of detection.')
    dataset = cfg.test_dataloader.dataset
    # Before the slow imports.
    if not Path(cfg.data_root, INFO_FILE).is_file():
        seen = dataset.get('modality', 'RGB')
        raise FileNotFoundError(missing_root(Path(cfg.data_root), seen))
    root = labelled_root(cfg.data_root, cfg.get('label'))
    protocol = make_protocol(cfg.protocol, None, *root.domains)
    if views is not None or crops is not None:
        from mmma.datasets.transforms.rgb import with_views

        dataset.pipeline = with_views(dataset.pipeline, views, crops)
    if options:
        name = model_name(cfg.filename, root.info.label_space, root.info.name)
        if cfg.get('pretraining'):
            if not isinstance(options, TrainOptions):
                raise ValueError(
                    f'{cfg.filename} pre-trains without labels, and has no classes: '
                    'train a recipe of the same backbone --load-from its weights'
                )
            name += '-pretraining'
        folder = Path('work_dirs', name, protocol.tag())
        options.write(cfg, root, folder)
    for subset in SUBSETS:
        loader = cfg.get(f'{subset}_dataloader') or {}
        if loader.get('num_workers', 0) is None:
            loader.num_workers = loaders_per_process()
        workers = loader.get('num_workers', 0)
        if not isinstance(workers, int) or workers < 0:
            raise ValueError(
                f'{subset}_dataloader.num_workers is {workers!r}: use 0 (load in the '
                'process itself) or more.'
            )
        for key in OF_WORKERS if workers == 0 else ():
            loader.pop(key, None)
    return Run(cfg, protocol, root)


def check_data(run: Run, *subsets: str) -> list[Any]:
    """Data sets of a run: what they lack is told before weights are fetched."""
    from mmengine.registry import init_default_scope

    from mmma.registry import DATASETS

    init_default_scope('mmma')
    loaders = [run.cfg.get(f'{subset}_dataloader') for subset in subsets]
    return [DATASETS.build(loader.dataset) for loader in loaders if loader]


def describe_data(run: Run) -> dict[str, Any]:
    """Name, fingerprint, arrays and kind of a run's data; what found their joints."""
    info = run.root.info
    data = {'name': info.name, 'fingerprint': run.root.fingerprint()}
    data |= {'simulated': info.simulated, 'source': info.source}
    if arrays := run.root.arrays():
        data['arrays'] = arrays
    if told := run.root.incomplete(run.cfg.get('task', 'rec')):
        data['incomplete'] = told
    return {**data, 'extractor': run.layout.extractor} if run.layout else data


def set_environment(cfg: Any, launcher: str) -> None:
    """Set the launcher, and what this machine has: pinned memory or another backend."""
    import torch
    from mmengine.config import ConfigDict

    cfg.launcher = launcher
    cfg.pop('shard', None)  # of a dumped config: what was split is saved whole
    if torch.cuda.is_available():
        for name in filter(cfg.get, (f'{subset}_dataloader' for subset in SUBSETS)):
            cfg[name].setdefault('pin_memory', True)
    else:
        cfg.env_cfg.dist_cfg.backend = 'gloo'
        cfg.model_wrapper_cfg = ConfigDict(
            type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False
        )


def show_tokens(model: Any) -> None:
    """Have the classifier of a ``cfg.model`` see tokens; ValueError: it cannot."""
    from mmengine.config import ConfigDict

    from mmma.registry import MODELS

    head, kind = model.cls_head, model.backbone.type
    if 'pooling' not in head:
        raise ValueError(
            f'{head.type}: tokens are taken from recipes whose head is an ActionHead '
            'with a pooling. Use a linear probe, or pooled features.'
        )
    pooling = head.pooling
    if pooling == 'none':
        MODELS.import_from_location()
        own = {name: vars(kind) for name, kind in MODELS.module_dict.items()}
        maps = {n: v['token_options'] for n, v in own.items() if 'token_options' in v}
        if kind not in maps:
            raise ValueError(
                f'{kind} gives one feature per clip, and is not known to give tokens '
                f'(known: {", ".join(maps)}). Use a linear probe, or pooled features.'
            )
        model.backbone.update(maps[kind])
        pooling = 'clip'
    kept = {key: head[key] for key in _KEPT if key in head}
    space = {'label_space': head.label_space} if 'label_space' in head else {}
    model.cls_head = ConfigDict(type='TokenHead', pooling=pooling, **kept, **space)


def _rank_as_mac(
    cfg: Any, root: DataRoot, given: Mapping[str, Any], *evaluators: str
) -> None:
    if cfg.task == 'rec' and not root.label_space().bodies:
        raise ValueError(
            f'{root.path} has no body groups, by which the MAC challenge ranks: leave '
            '--preset mac out.'
        )
    for name in filter(cfg.get, evaluators):
        cfg[name].update(as_mac(given, cfg.task))


def _validate_on_truth(cfg: Any, root: DataRoot) -> None:
    """Leave withheld truth out of validation; without any, do not validate."""
    dataset, det = cfg.val_dataloader.dataset, cfg.task == 'det'
    noun = 'video' if det else 'clip'
    withheld = {
        getattr(r, noun): r.withheld if det else r.action is None
        for r in (root.read_det() if det else root.read_rec())
        if r.subset == dataset.subset and r.domain in dataset.domains
    }
    listed = dataset.get(f'{noun}s') or withheld
    known = [name for name in listed if not withheld.get(name)]
    domains = ', '.join(dataset.domains)
    if not known:
        print(
            f'{root.path}: no labelled val {noun} of {domains}: training is not '
            'validated, and its last checkpoint counts (selected_on: last)'
        )
        cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    elif len(known) < len(listed):
        print(
            f'{root.path}: {len(listed) - len(known)} of {len(listed)} val {noun}s of '
            f'{domains} are not labelled: validated without them'
        )
        dataset[f'{noun}s'] = known


def _shorten(cfg: Any, root: DataRoot) -> None:
    """Change a config to two iterations each of training, validation and testing."""
    if cfg.task == 'det':  # videos in which something happens
        rows = [(v, v.video) for v in root.read_det() if v.instances]
    else:
        kept = (c for c in root.read_rec() if (c.subset, c.action) != ('val', None))
        rows = [(clip, clip.clip) for clip in kept]
    names: dict[tuple[str, str], list[str]] = {}
    for row, name in rows:
        names.setdefault((row.subset, row.domain), []).append(name)
    for subset in SUBSETS:
        loader = cfg[f'{subset}_dataloader']
        if not loader:
            continue
        loader.update(batch_size=2, num_workers=0)
        if subset != 'train':  # a few, from each domain in turn
            lists = (names.get((subset, d), []) for d in loader.dataset.domains)
            turns = zip_longest(*lists)
            spread = [name for turn in turns for name in turn if name is not None]
            chosen = spread[: loader.batch_size * FAST_DEV_ITERATIONS]
            loader.dataset['videos' if cfg.task == 'det' else 'clips'] = chosen
    few = dict(max_iters=FAST_DEV_ITERATIONS, val_interval=FAST_DEV_ITERATIONS)
    cfg.train_cfg = dict(type='IterBasedTrainLoop', **few)
    cfg.param_scheduler = []
    cfg.log_processor.by_epoch = False
    cfg.default_hooks.logger.interval = 1
    cfg.default_hooks.checkpoint.update(by_epoch=False, interval=FAST_DEV_ITERATIONS)
    cfg.fast_dev_run = True
