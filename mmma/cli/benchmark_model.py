"""``benchmark model``: our attention against MMAction2's, with the same weights."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from mmma.cli.benchmark import (
    python_command,
    report,
    resident_mib,
    seconds_in_turns,
)

HELP = (
    'Forward and backward pass of VideoMAE: fused attention against MMAction2, which '
    'stores one number per pair of tokens and head.'
)
WHAT = ('attention',)
UPSTREAM = 'MMAction2 VisionTransformer'
OURS = 'mmma VideoMAEViT'
CHECKPOINTED = 'mmma VideoMAEViT, with_cp'
VARIANTS = (UPSTREAM, OURS, CHECKPOINTED)
COLUMNS = {
    'backbone': 'backbone',
    'seconds': 'median step (s)',
    'fastest_seconds': 'fastest (s)',
    'peak_mib': 'peak memory (MiB)',
    'start_mib': 'before the step',
    'output_difference': 'largest output difference',
    'gradient_difference': 'gradient difference',
}


@dataclass(frozen=True)
class Case:
    """What is measured.

    Attributes:
        arch: Architecture of ``VideoMAEViT``.
        batch_size: Clips per step.
        device: ``cpu`` or ``cuda``.
        steps: Steps that are timed.
    """

    arch: str
    batch_size: int
    device: str
    steps: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``benchmark model``."""
    parser.add_argument('--what', choices=WHAT, default=WHAT[0])
    parser.add_argument('--arch', default='small', help='tiny, small, base, ...')
    parser.add_argument('--batch-size', type=int, default=1)
    parser.add_argument('--steps', type=int, default=5, help='steps that are timed')
    parser.add_argument('--device', choices=('auto', 'cpu', 'cuda'), default='auto')


def run(args: argparse.Namespace) -> int:
    """Measure and print.

    Raises:
        ValueError: An unknown architecture, a number below 1, or no GPU for ``cuda``.
    """
    import torch

    from mmma.models.backbones.videomae import find_arch

    arch = find_arch(args.arch)
    for name in ('batch_size', 'steps'):
        if getattr(args, name) < 1:
            option = name.replace('_', '-')
            raise ValueError(f'--{option} {getattr(args, name)}: use at least 1.')
    gpu = torch.cuda.is_available()
    if args.device == 'cuda' and not gpu:
        raise ValueError('--device cuda: torch sees no GPU; use --device cpu.')
    device = args.device.replace('auto', 'cuda' if gpu else 'cpu')
    case = Case(args.arch, args.batch_size, device, args.steps)
    found = {
        'what': args.what,
        **asdict(case),
        'clip': f'{arch.num_frames}x{arch.img_size}x{arch.img_size}',
        'dtype': 'float32',
        'machine': torch.cuda.get_device_name() if device == 'cuda' else 'CPU',
        'threads': torch.get_num_threads(),
        'torch': torch.__version__,
        'rows': measure(case),
    }
    report(found, COLUMNS, args.json)
    return 0


def measure(case: Case) -> list[dict[str, Any]]:
    """One row per variant: time, memory and difference from the first."""
    steps = {name: build_step(name, case) for name in VARIANTS}
    outputs = {name: step() for name, step in steps.items()}
    seconds = seconds_in_turns(steps, case.steps)
    rows = []
    for name, (output, gradients) in outputs.items():
        expected, expected_gradients = outputs[UPSTREAM]
        differences = [
            (gradient - expected_gradients[key]).abs().max().item()
            for key, gradient in gradients.items()
        ]
        same = name == UPSTREAM
        rows.append(
            {
                'backbone': name,
                'seconds': statistics.median(seconds[name]),
                'fastest_seconds': min(seconds[name]),
                **_memory_of_a_fresh_process(name, case),
                'output_difference': (
                    None if same else (output - expected).abs().max().item()
                ),
                'gradient_difference': None if same else max(differences),
            }
        )
    return rows


def build_step(name: str, case: Case) -> Callable[[], tuple[Any, dict[str, Any]]]:
    """A forward and backward pass of one variant on fixed weights and clips.

    Args:
        name: One of ``VARIANTS``; all have the same weights.
        case: What is measured.

    Returns:
        A function that runs one step and returns the features (N, D) and the gradient
        of each parameter.
    """
    import torch

    from mmma.models.backbones.videomae import VideoMAEViT, find_arch
    from mmma.registry import MODELS

    arch = find_arch(case.arch)
    if name == UPSTREAM:
        model = MODELS.get('VisionTransformer')(**vars(arch))
    else:
        model = VideoMAEViT(case.arch, with_cp=name == CHECKPOINTED)
    _fill(model)
    clips = torch.randn(
        case.batch_size, 3, arch.num_frames, arch.img_size, arch.img_size
    )
    weight = torch.randn(case.batch_size, arch.embed_dims)
    model, clips, weight = (x.to(case.device) for x in (model, clips, weight))

    def step() -> tuple[Any, dict[str, Any]]:
        model.zero_grad()
        output = model(clips)
        (output * weight).sum().backward()
        if case.device == 'cuda':
            torch.cuda.synchronize()
        gradients = {key: p.grad for key, p in model.named_parameters()}
        return output.detach(), gradients

    return step


def _fill(model: Any) -> None:
    """Give every parameter a value that depends on its name's rank alone."""
    import torch

    torch.manual_seed(0)
    for name, parameter in sorted(model.named_parameters()):
        if 'norm' in name and name.endswith('weight'):
            torch.nn.init.ones_(parameter)
        else:
            torch.nn.init.normal_(parameter, std=0.02)


def _memory_of_a_fresh_process(name: str, case: Case) -> dict[str, float]:
    """Memory before a step and at its peak, in a process that runs nothing else."""
    arguments = json.dumps([name, asdict(case)])
    command = python_command('mmma.cli.benchmark_model', [arguments])
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f'measuring {name} failed: {done.stderr.strip()[-500:]}')
    return json.loads(done.stdout.splitlines()[-1])


def _print_memory(name: str, case: Case) -> None:
    import torch

    step = build_step(name, case)
    if case.device == 'cuda':
        start = torch.cuda.memory_allocated() / 2**20
        step()
        peak = torch.cuda.max_memory_allocated() / 2**20
    else:
        start, _ = resident_mib()
        step()
        _, peak = resident_mib()
    print(json.dumps({'peak_mib': peak, 'start_mib': start}))


if __name__ == '__main__':
    variant, settings = json.loads(sys.argv[1])
    _print_memory(variant, Case(**settings))
