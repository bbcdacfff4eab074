"""A whole training step of recipes, ours beside MMAction2's own modules.

From a random batch of the recipe's shape in the machine's memory: preprocessor on the
device, forward pass, losses, backward pass, optimizer. The variants of a recipe take
turns. Clips of detection are windows. TFLOP/s are those of the model alone, without
what is computed twice to save memory; their share is of the product of two large
matrices in the same run.
"""

from __future__ import annotations

import argparse
import copy
import gc
import json
import sys
import traceback
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import harness
import numpy as np
import torch
from harness import Case, count, time_cases
from mmaction.structures import ActionDataSample
from mmengine.config import ConfigDict
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mmma.config import config_folders, load_config
from mmma.data.joints import joint_tree
from mmma.models.backbones.skeleton import PUBLISHED
from mmma.models.backbones.videomae import find_arch
from mmma.models.preprocessors import heatmap_channels
from mmma.registry import MODELS
from mmma.structures.samples import SegmentSample
from mmma.taxonomy import check_choice

CONFIGS = config_folders()[0]
FILES = {
    path.name.partition('_mma82')[0]: path
    for pattern in ('recog/*_indomain.py', 'det/adatad_*.py')
    for path in sorted(CONFIGS.glob(pattern))
}
DEFAULT = (
    *('videomae', 'videomae-s', 'videomae-l', 'gctsm', 'posec3d', 'stgcnpp'),
    *('adatad_videomae-s', 'adatad_videomae-b', 'adatad_videomae-l'),
)
WARM_UP = 4  # batches: one is counted, two show the memory, one is before the clock


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    add = parser.add_argument
    text = 'names of recipes; NAME:N sets the batch of one (default: %(default)s)'
    add('recipes', metavar='NAME', nargs='*', default=DEFAULT, help=text)
    add('--batch-size', type=count, help="default: the recipe's")
    add('--steps', type=count, default=10, help='steps that are timed')
    add('--amp', action='store_true', help='bfloat16 autocast')
    add('--compile', action='store_true', help='our backbone compiled, too')
    add('--keep', action='store_true', help='our blocks not computed twice, too')
    add('--channels-last', action='store_true', help='our convolutions so, too')
    add('--size', type=count, help="pictures of so many pixels, not the recipe's")
    add('--matrix', type=count, help='rows of the matrices (GPU: 8192, CPU: 1024)')
    harness.add_device(parser)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """All variants of each recipe.

    Raises:
        ValueError: An unknown recipe, a bad batch, or no GPU for ``cuda``.
    """
    device = harness.find_device(args.device)
    wanted = [parse(text, args) for text in args.recipes]
    init_default_scope('mmma')
    rate = matrix_rate(device, args.amp, args.matrix)
    told = {**harness.conditions(args, device), 'matrix TFLOP/s': rate / 1e12}
    rows: list[dict[str, Any]] = []
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel('ERROR')  # else a line of each parameter
    try:
        for own in wanted:
            rows += measure_recipe(*own, device, rate, args)
            if args.json:  # so far: a limit of time may end the rest
                print(json.dumps({**told, 'rows': rows}), file=sys.stderr, flush=True)
    finally:
        logger.setLevel(level)
    return {**told, 'rows': rows}


def parse(text: str, args: argparse.Namespace) -> tuple[str, Any, int]:
    """Name, config and batch size of a recipe as it was given.

    Raises:
        ValueError: An unknown recipe, or a batch that is no number from 1.
    """
    name, _, own = text.partition(':')
    cfg = load_config(str(FILES[check_choice('recipe', name, tuple(FILES))]))
    if own and not (own.isdecimal() and int(own)):
        raise ValueError(f'{text}: write NAME:N with a batch of N clips, at least 1.')
    for step in cfg.train_dataloader.dataset.pipeline if args.size else ():
        if step.type == 'Resize':
            step.scale = (args.size, args.size)
    return name, cfg, int(own or args.batch_size or cfg.train_dataloader.batch_size)


def matrix_rate(device: str, amp: bool, side: int | None) -> float:
    """Operations per second in the product of two square matrices."""
    side = side or (8192 if device == 'cuda' else 1024)
    kind = dict(device=device, dtype=torch.bfloat16 if amp else torch.float32)
    left, right = torch.randn(2, side, side, **kind)
    (row,) = time_cases([Case({}, lambda: left @ right)], 20)
    return 2 * side**3 / (row['median ms'] / 1000)


def measure_recipe(
    name: str, cfg: Any, size: int, device: str, rate: float, args: argparse.Namespace
) -> list[dict[str, Any]]:
    """One row per variant; what went wrong with one is told in its row."""
    rows, cases = [], []
    for variant in variants(cfg, args):
        row: dict[str, Any] = {'recipe': name, 'code': variant.label, 'batch': size}
        before = memory(device)
        try:
            step = Step(variant, cfg, size, device, args)
            row['FLOPs'] = count_flops(step)
            if device == 'cuda':
                torch.cuda.reset_peak_memory_stats()
            if not step().isfinite():
                raise ValueError('the first loss is not finite')
            step()  # with the optimizer's state
            row['peak MiB'] = peak(device, before)
            cases.append(Case({'code': variant.label}, step))
        except Exception as error:
            row['told'] = tell(error)
        step = None  # of one that failed
        free(device)
        rows.append(row)
    times: dict[str, float] = {}
    try:
        times = medians(cases, args.steps)
    except Exception as error:
        for row in rows:
            row.setdefault('told', tell(error))
    cases.clear()
    free(device)
    return [describe(row, rows[0], times, rate) for row in rows]


def describe(
    row: dict[str, Any], first: dict[str, Any], times: dict[str, float], rate: float
) -> dict[str, Any]:
    """A row of the table; ``first`` is MMAction2's, if it has a peer."""
    ms, size = times.get(row['code']), row['batch']
    other = times.get(first['code']) if first['code'] != OURS else None
    mib, most = row.get('peak MiB'), first.get('peak MiB') if other else None
    reached = row['FLOPs'] / (ms / 1000) if ms else None
    return {
        **{key: row[key] for key in ('recipe', 'code', 'batch')},
        'ms per step': ms,
        'clips per s': 1000 * size / ms if ms else None,
        'peak MiB': mib,
        'times faster': other / ms if other and ms else None,
        'memory': mib / most if mib and most else None,
        'TFLOP/s': reached and reached / 1e12,
        'share (%)': reached and 100 * reached / rate,
        'told': row.get('told', ''),
    }


def medians(cases: list[Case], steps: int) -> dict[str, float]:
    """Milliseconds of a step by variant; one by one where all do not fit together."""
    try:
        found = time_cases(cases, steps) if cases else []
    except torch.cuda.OutOfMemoryError:
        free('cuda')
        found = [row for case in cases for row in time_cases([case], steps)]
    return {row['code']: row['median ms'] for row in found}


def tell(error: Exception) -> str:
    """A few words for the table; all of it, but for memory, on the standard error."""
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return 'out of memory'
    traceback.print_exception(error)
    words = ' '.join(str(error).split())
    return f'{type(error).__name__}: {words}'[:60]


def memory(device: str) -> float:
    """What tensors take on a GPU, in MiB."""
    return torch.cuda.memory_allocated() / 2**20 if device == 'cuda' else 0.0


def peak(device: str, before: float) -> float | None:
    """The most that one variant has taken so far, beside what was there."""
    if device != 'cuda':
        return None
    return torch.cuda.max_memory_allocated() / 2**20 - before


def free(device: str) -> None:
    """Give back what is no longer needed."""
    gc.collect()
    if device == 'cuda':
        torch.cuda.empty_cache()


OURS = 'mmma'


@dataclass(frozen=True)
class Variant:
    """A model that is trained on the clips of a recipe.

    Attributes:
        label: Its name in the table.
        model: Its config.
        own: Ours, with the recipe's layer-wise rates and a fused optimizer on a GPU.
        parts: Samples that each clip makes.
        heatmaps: Samples are volumes instead of joints.
        compiled, channels_last: What is done to the model.
    """

    label: str
    model: Any
    own: bool = True
    parts: int = 1
    heatmaps: bool = False
    compiled: bool = False
    channels_last: bool = False


def variants(cfg: Any, args: argparse.Namespace) -> list[Variant]:
    """MMAction2's, if it has one, ours, and ours in the ways asked for."""
    found = [own for own in (peer_of(cfg),) if own]
    found.append(Variant(OURS, cfg.model))
    if args.channels_last and 'arch' not in cfg.model.backbone:
        found.append(Variant(f'{OURS}, channels last', cfg.model, channels_last=True))
    if args.keep and cfg.model.backbone.get('with_cp'):
        kept = copy.deepcopy(cfg.model)
        kept.backbone.with_cp = False
        found.append(Variant(f'{OURS}, all kept', kept))
    if args.compile:
        found.append(Variant(f'{OURS}, compiled', cfg.model, compiled=True))
    return found


def peer_of(cfg: Any) -> Variant | None:
    """MMAction2's own modules for the clips of a recipe; None: it has none."""
    kind = cfg.model.backbone.type
    narrow = kind == 'ShiftResNet' and 'base_channels' in cfg.model.backbone
    if kind not in PEERS or narrow:  # MMAction2's ResNet has one width
        return None
    label, model, how = PEERS[kind](cfg, cfg.model.backbone)
    model.setdefault('data_preprocessor', cfg.model.get('data_preprocessor'))
    model['cls_head'] |= dict(num_classes=82)
    return Variant(f'MMAction2 {label}', ConfigDict(model), own=False, **how)


def vision_transformer(cfg: Any, own: Any) -> tuple[str, dict, dict]:
    """Of clips, or of the chunks of a window, as MMAction2 has no AdaTAD."""
    arch, label, parts = find_arch(own.arch), 'VisionTransformer', 1
    sizes = {**vars(arch), 'img_size': picture_of(cfg)[0]}
    if cfg.task == 'det':
        parts = cfg.window.positions // arch.num_frames
        label += f', {parts} clips a window, all trained'
    rate = own.get('drop_path_rate', 0.0)
    model = dict(
        type='Recognizer3D',
        backbone=dict(type='VisionTransformer', drop_path_rate=rate, **sizes),
        cls_head=dict(type='TimeSformerHead', in_channels=arch.embed_dims),
    )
    return label, model, dict(parts=parts)


def shifted_resnet(cfg: Any, own: Any) -> tuple[str, dict, dict]:
    """TSM; MMAction2 has no gates of groups."""
    segments = own.num_segments
    shift = dict(num_segments=segments, shift_div=own.shift_div, pretrained2d=False)
    model = dict(
        type='Recognizer2D',
        backbone=dict(type='ResNetTSM', depth=50, **shift),
        cls_head=dict(type='TSMHead', in_channels=2048, num_segments=segments),
    )
    return 'ResNetTSM-50' + ', no gates' * ('context' in own), model, {}


def slow_only(cfg: Any, own: Any) -> tuple[str, dict, dict]:
    """PoseC3D, whose volumes the loaders draw; only their way to the device counts."""
    channels, _ = heatmap_channels(own.layout, own.joints, own.get('limbs'))
    sizes = {**PUBLISHED, **without(own, 'layout', 'joints', 'limbs')}
    sizes |= dict(type='ResNet3dSlowOnly', pretrained=None, in_channels=channels)
    model = dict(
        type='Recognizer3D',
        data_preprocessor=dict(type='ActionDataPreprocessor', format_shape='NCTHW'),
        backbone=sizes,
        cls_head=dict(type='I3DHead', in_channels=cfg.model.cls_head.in_channels),
    )
    return 'ResNet3dSlowOnly, heatmaps given', model, dict(heatmaps=True)


def graph_network(cfg: Any, own: Any) -> tuple[str, dict, dict]:
    """ST-GCN++ over the recipe's joints."""
    tree = joint_tree(own.layout, own.joints)
    layout = dict(num_node=len(tree.names), inward=tree.bones, center=tree.root)
    graph = dict(graph_cfg=dict(layout=layout, mode='spatial'))
    model = dict(
        type='RecognizerGCN',
        backbone={**without(own, 'layout', 'joints'), **graph, 'type': 'STGCN'},
        cls_head=dict(type='GCNHead', in_channels=cfg.model.cls_head.in_channels),
    )
    return 'STGCN', model, {}


def without(own: Any, *names: str) -> dict[str, Any]:
    """Arguments but some."""
    return {key: value for key, value in own.items() if key not in names}


PEERS = {
    'VideoMAEViT': vision_transformer,
    'VideoMAETIA': vision_transformer,
    'ShiftResNet': shifted_resnet,
    'SkeletonSlowOnly': slow_only,
    'SkeletonSTGCN': graph_network,
}


class Step:
    """A training step of a variant, each time with the same clips."""

    def __init__(
        self, variant: Variant, cfg: Any, size: int, device: str, args: Any
    ) -> None:
        torch.manual_seed(0)
        np.random.seed(0)
        self.model = MODELS.build(variant.model).to(device).train()
        optim = copy.deepcopy(cfg.optim_wrapper)
        if variant.own and device == 'cuda':
            optim.optimizer.fused = True
        if not variant.own:  # one rate for all, as its own recipes
            optim = without(optim, 'constructor', 'paramwise_cfg')
            # It takes accuracies by NumPy, which has no bfloat16.
            head = self.model.cls_head
            head.register_forward_hook(lambda _, __, logits: logits.float())
        self.optim = build_optim_wrapper(self.model, optim)
        forms = {4: torch.channels_last, 5: torch.channels_last_3d}
        for parameter in self.model.parameters() if variant.channels_last else ():
            if form := forms.get(parameter.ndim):
                parameter.data = parameter.data.contiguous(memory_format=form)
        self.inputs = make_inputs(cfg, variant, size)
        steps = WARM_UP + 2 * args.steps + 1
        # Blending writes into samples: each step has its own.
        own = [make_samples(cfg, variant, self.inputs) for _ in range(steps)]
        self.samples = iter(own)
        self.device, self.amp = device, args.amp
        if variant.compiled:
            self.model.backbone.compile()

    def __call__(self) -> Any:
        """The loss of one step."""
        with self.precision():
            losses = self.model(**self.prepared(), mode='loss')
        loss, _ = self.model.parse_losses(losses)
        self.optim.update_params(loss)
        return loss.detach()

    def precision(self) -> Any:
        """Where forward passes are."""
        half = torch.bfloat16
        return torch.autocast(self.device, half) if self.amp else nullcontext()

    def prepared(self) -> Any:
        """The next batch as the network takes it."""
        batch = dict(inputs=self.inputs, data_samples=next(self.samples))
        return self.model.data_preprocessor(batch, True)


def count_flops(step: Step) -> int:
    """Operations of a forward and backward pass, two in a multiply-add.

    They are those of tensors without data, where attention is matrix products, and
    nothing is computed twice.
    """
    inputs = step.prepared()['inputs'].to('meta')
    model = copy.deepcopy(step.model).to('meta')
    model.backbone.with_cp = False
    counter = FlopCounterMode(display=False)
    with counter, sdpa_kernel(SDPBackend.MATH):
        if hasattr(model, 'rpn_head'):
            found = model(inputs, mode='tensor')
        else:
            found = model.extract_feat(inputs, stage='head')[0]
        total(found).backward()
    return counter.get_total_flops()


def total(found: Any) -> Any:
    """Sum of all tensors in tuples, lists and dicts."""
    if isinstance(found, torch.Tensor):
        return found.sum() if found.is_floating_point() else 0
    inner = found.values() if isinstance(found, dict) else found
    return sum(total(part) for part in inner)


def make_inputs(cfg: Any, variant: Variant, size: int) -> list[Any]:
    """Random samples of a batch, as the training pipeline packs them."""
    draw = torch.Generator().manual_seed(0)
    shape, number = shape_of(cfg, variant), size * variant.parts
    if 'layout' not in cfg.model.backbone:
        how = dict(dtype=torch.uint8, generator=draw)
        return [torch.randint(0, 256, shape, **how) for _ in range(number)]
    found = torch.rand(number, *shape, generator=draw)
    if shape[-1] == 3 and len(picture_of(cfg)) == 2 and not variant.heatmaps:
        found *= torch.tensor([*picture_of(cfg), 1.0])  # x, y, score
    return list(found)


def shape_of(cfg: Any, variant: Variant) -> tuple[int, ...]:
    """Shape of a sample of the training pipeline."""
    own, steps = cfg.model.backbone, cfg.train_dataloader.dataset.pipeline
    picture = picture_of(cfg)[::-1]
    if cfg.task == 'det':
        length = cfg.window.positions // variant.parts
        return ((1,) if variant.parts > 1 else ()) + (3, length, *picture)
    length = next(step.clip_len for step in steps if 'clip_len' in step)
    if 'layout' not in own:
        form = next(s.input_format for s in steps if s.type == 'FormatShape')
        return (1, 3, length, *picture) if form == 'NCTHW' else (length, 3, *picture)
    if variant.heatmaps:
        return 1, variant.model.backbone.in_channels, length, *picture
    joints = len(joint_tree(own.layout, own.joints).names)
    return 1, 1, length, joints, own.get('in_channels', 3)


def picture_of(cfg: Any) -> tuple[int, ...]:
    """Width and height that the training pipeline resizes to; none of joints alone."""
    steps = cfg.train_dataloader.dataset.pipeline
    sizes = [tuple(step.scale) for step in steps if step.type == 'Resize']
    return sizes[-1] if sizes else ()


def make_samples(cfg: Any, variant: Variant, inputs: list[Any]) -> list[Any]:
    """Truth of a batch; windows have ten instances of a second each."""
    draw = np.random.default_rng(0)
    if cfg.task == 'det' and variant.parts == 1:
        window = cfg.window
        meta = dict(positions=window.positions, rate=window.rate)
        found = []
        for _ in inputs:
            starts = draw.random(10) * (window.positions / window.rate - 1)
            sample = SegmentSample(metainfo=meta)
            sample.gt_segments = np.stack([starts, starts + 1], 1)
            sample.gt_labels = draw.integers(82, size=10)
            sample.valid = window.positions
            found.append(sample)
        return found
    meta = dict(img_shape=picture_of(cfg)[::-1])
    labels = draw.integers(82, size=len(inputs)).tolist()
    return [ActionDataSample(metainfo=meta).set_gt_label(label) for label in labels]


if __name__ == '__main__':
    sys.exit(harness.main(sys.modules[__name__]))
