"""Forward and backward pass of VideoMAE. attention: fused kernels against MMAction2,
which stores one number per pair of tokens and head. tia: that of AdaTAD, frozen, with
adapters over a whole window, with and without recomputing blocks."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import harness
import torch
from harness import count

from mmma.models.backbones.videomae import VideoMAEViT, find_arch
from mmma.models.backbones.videomae_tia import VideoMAETIA
from mmma.registry import MODELS

UPSTREAM = 'MMAction2 VisionTransformer'
CHECKPOINTED = 'mmma VideoMAEViT, with_cp'
TIA = 'mmma VideoMAETIA'
TIA_HALF = 'mmma VideoMAETIA, with_cp, frozen bfloat16'
WHAT = {
    'attention': (UPSTREAM, 'mmma VideoMAEViT', CHECKPOINTED),
    'tia': (TIA, 'mmma VideoMAETIA, with_cp', TIA_HALF),
}
"""Variants of each measurement; others are compared with the first."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    add = parser.add_argument
    add('--what', choices=list(WHAT), default='attention')
    add('--arch', default='small', help='tiny, small, base, ...')
    add('--batch-size', type=count, default=1)
    add('--steps', type=count, default=5, help='steps that are timed')
    add('--frames', type=count, help='tia: of a window (default: 256)')
    add('--size', type=count, help='tia: in pixels (default: 160)')
    add('--amp', action='store_true', help='bfloat16 autocast')
    harness.add_device(parser)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Each variant: time, memory of a fresh process, difference from the first.

    Raises:
        ValueError: An unknown architecture, no GPU for ``cuda``, or a size that
            MMAction2 cannot take.
    """
    clip = clip_of(args)
    device = harness.find_device(args.device)
    setting = [args.arch, [args.batch_size, 3, *clip], device, args.amp]
    names = WHAT[args.what]
    steps = [build_step(name, *setting) for name in names]
    cases = [
        harness.Case({'backbone': name}, step)
        for name, step in zip(names, steps, strict=True)
    ]
    rows = harness.time_cases(cases, args.steps, compare=differences)
    for row in rows:
        row.update(harness.fresh_process(__file__, row['backbone'], *setting))
    conditions = harness.conditions(args, device)
    return {**conditions, 'clip': 'x'.join(map(str, clip)), 'rows': rows}


def clip_of(args: argparse.Namespace) -> tuple[int, int, int]:
    """T, H, W of a clip or window."""
    arch = find_arch(args.arch)
    if args.what == 'tia':
        size = args.size or 160
        return args.frames or 256, size, size
    for name in ('frames', 'size'):
        if getattr(args, name):
            raise ValueError(
                f'--{name} is of --what tia: MMAction2 takes the clips of --arch only.'
            )
    return arch.num_frames, arch.img_size, arch.img_size


def differences(found: Any, expected: Any) -> dict[str, float]:
    """Largest ones of the features, and of the gradients of trained parameters."""
    (output, gradients), (first, first_gradients) = found, expected
    apart = [(g - first_gradients[k]).abs().max().item() for k, g in gradients.items()]
    largest = (output - first).abs().max().item()
    return {'output difference': largest, 'gradient difference': max(apart)}


def build_step(
    name: str, arch: str, shape: list[int], device: str, amp: bool
) -> Callable[[], tuple[Any, dict[str, Any]]]:
    """A forward and backward pass of one variant on fixed weights and clips.

    Args:
        name: One of ``WHAT``; all variants of a measurement have the same weights.
        arch: Architecture of ``VideoMAEViT``.
        shape: N, 3, T, H, W.
        device: ``cpu`` or ``cuda``.
        amp: Run under bfloat16 autocast.

    Returns:
        A function that runs one step and returns the features and the gradient of each
        trained parameter.
    """
    model = build_model(name, arch)
    clips = torch.randn(shape)
    model, clips = model.to(device), clips.to(device)
    weights: list[Any] = []
    precision = torch.autocast(device, torch.bfloat16) if amp else nullcontext()

    def step() -> tuple[Any, dict[str, Any]]:
        model.zero_grad()
        with precision:
            output = model(clips)
        if not weights:
            torch.manual_seed(0)
            weights.append(torch.randn(output.shape).to(output.device))
        (output * weights[0]).sum().backward()
        gradients = {k: p.grad for k, p in model.named_parameters() if p.requires_grad}
        return output.detach(), gradients

    return step


def build_model(name: str, arch: str) -> Any:
    """A variant, every parameter of a value that depends on its name's rank alone."""
    if name == UPSTREAM:
        model = MODELS.get('VisionTransformer')(**vars(find_arch(arch)))
    elif name in WHAT['attention']:
        model = VideoMAEViT(arch, with_cp=name == CHECKPOINTED)
    else:
        dtype = 'bfloat16' if name == TIA_HALF else 'float32'
        model = VideoMAETIA(arch, with_cp=name != TIA, frozen_dtype=dtype)
    torch.manual_seed(0)
    for key, parameter in sorted(model.named_parameters()):
        if 'norm' in key and key.endswith('weight'):
            torch.nn.init.ones_(parameter)
        else:
            value = torch.empty(parameter.shape)  # float32, whatever it is stored in
            parameter.data.copy_(torch.nn.init.normal_(value, std=0.02))
    return model


def alone(name: str, *setting: Any) -> dict[str, float]:
    """Memory before a step and at its peak, in MiB."""
    step = build_step(name, *setting)
    gpu = torch.cuda if setting[2] == 'cuda' else None
    before = gpu.memory_allocated() / 2**20 if gpu else harness.resident_mib()[0]
    step()
    peak = gpu.max_memory_allocated() / 2**20 if gpu else harness.resident_mib()[1]
    return {'peak MiB': peak, 'MiB before': before}


if __name__ == '__main__':
    sys.exit(harness.main(sys.modules[__name__]))
