"""What a training at the published size asks of GPUs, by recipe: counted, not measured.

Operations of a forward and a backward pass are counted on tensors without data, and so
is what the backward pass needs; hours follow from the rate that a GPU is assumed to
reach (--tflops). Clips are those of all domains' train sets; of detection, a window of
as large a share of the videos, as their split is not published. Communication and
validation are left out; memory is of float32, of which bfloat16 (--amp) saves up to
half.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any
from unittest import mock

import harness
import torch
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from recipes import OURS, Step, Variant, count_flops, parse, total
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from mmma.taxonomy import load_statistics

DEFAULT = (
    *('videomae-s', 'videomae', 'videomae-l', 'videomae-h', 'videoswin-t', 'gctsm'),
    *('posec3d', 'stgcnpp', 'adatad_videomae-s', 'adatad_videomae-b'),
    *('adatad_videomae-l', 'adatad_videomae-h', 'adatad_videomaev2-g'),
)
GPUS = (8, 64)
STATE = 16  # bytes of a parameter that learns: weight, gradient, two of the optimizer
GIB, MIB = 2**30, 2**20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    add = parser.add_argument
    add('recipes', metavar='NAME', nargs='*', default=DEFAULT, help='%(default)s')
    add('--tflops', type=float, default=200.0, help='reached by a GPU (%(default)s)')


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """One row per recipe.

    Raises:
        ValueError: An unknown recipe.
    """
    init_default_scope('mmma')
    args.size, args.batch_size, args.steps, args.amp = None, None, 0, False
    MMLogger.get_current_instance().setLevel('ERROR')  # else a line of each parameter
    rows = [plan(name, args) for name in args.recipes]
    return {'TFLOP/s of a GPU (assumed)': args.tflops, 'rows': rows}


def plan(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """One recipe."""
    _, cfg, batch = parse(name, args)
    step = Step(Variant(OURS, cfg.model), cfg, 2, 'cpu', args)
    loader = cfg.train_dataloader
    size = load_statistics()
    clips = size['rec']['all']['train']
    if cfg.task == 'det':
        clips *= size['det']['videos'] / size['rec']['all']['clips']
    clips *= loader.sampler.get('repeats', 1) * cfg.train_cfg.max_epochs
    flops = count_flops(step) / 2
    if cfg.model.backbone.get('with_cp'):
        flops *= 4 / 3  # forward passes are done twice
    learned = sum(p.numel() for p in step.model.parameters() if p.requires_grad)
    stored = sum(p.nbytes for p in step.model.parameters() if not p.requires_grad)
    hours = flops * clips / (args.tflops * 1e12) / 3600
    state = (STATE * learned + stored) / GIB
    kept = activations(step) / 2 / MIB
    return {
        'recipe': name,
        'M parameters': sum(p.numel() for p in step.model.parameters()) / 1e6,
        'that learn': learned / 1e6,
        'clips in all': clips,
        'GFLOP a clip': flops / 1e9,
        'clips per s': args.tflops * 1e12 / flops,
        'GPU hours': hours,
        **{f'hours on {n}': hours / n for n in GPUS},
        'GiB of states': state,
        'MiB a clip': kept,
        'batch': batch,
        'GiB a GPU': state + batch * kept / 1024,
    }


class Fused(torch.autograd.Function):
    """Attention as fused kernels keep it: query, key, value and result."""

    @staticmethod
    def forward(ctx: Any, *parts: Any) -> Any:
        found = parts[2] * 1
        ctx.save_for_backward(*parts, found)
        return found

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return (grad,) * 3


def activations(step: Step) -> float:
    """Bytes that a forward pass keeps for the backward pass.

    Where blocks are recomputed, their inputs and what one of them keeps.
    """
    inputs = step.prepared()['inputs'].to('meta')
    model = step.model.to('meta')
    own = {p.untyped_storage()._cdata for p in model.parameters()}
    found = [kept(model, inputs, own)]
    if getattr(model.backbone, 'with_cp', False):
        model.backbone.with_cp = False
        found.append(kept(model, inputs, own) / len(model.backbone.blocks))
    return sum(found)


def kept(model: nn.Module, inputs: Any, own: set[int]) -> float:
    """Bytes of what is saved, each storage once, without parameters."""
    sizes: dict[int, Any] = {}

    def pack(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        sizes[storage._cdata] = storage  # held, so that no other has its number
        return tensor

    attention = 'torch.nn.functional.scaled_dot_product_attention'
    fused = mock.patch(attention, lambda q, k, v, **_: Fused.apply(q, k, v))
    with fused, saved_tensors_hooks(pack, lambda tensor: tensor):
        if hasattr(model, 'rpn_head'):
            total(model(inputs, mode='tensor'))
        else:
            total(model.extract_feat(inputs, stage='head')[0])
    return sum(s.nbytes() for key, s in sizes.items() if key not in own)


if __name__ == '__main__':
    sys.exit(harness.main(sys.modules[__name__]))
