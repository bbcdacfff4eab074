"""``benchmark model``: variants of a backbone with the same weights."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import Any

from mmma.cli.benchmark import python_command, report, resident_mib, seconds_in_turns

HELP = (
    'Forward and backward pass of VideoMAE. attention: fused kernels against '
    'MMAction2, which stores one number per pair of tokens and head. tia: frozen, with '
    'adapters over a whole window, with and without recomputing blocks.'
)
UPSTREAM = 'MMAction2 VisionTransformer'
OURS = 'mmma VideoMAEViT'
CHECKPOINTED = 'mmma VideoMAEViT, with_cp'
TIA = 'mmma VideoMAETIA'
TIA_CHECKPOINTED = 'mmma VideoMAETIA, with_cp'
TIA_HALF = 'mmma VideoMAETIA, with_cp, frozen bfloat16'
WHAT = {
    'attention': (UPSTREAM, OURS, CHECKPOINTED),
    'tia': (TIA, TIA_CHECKPOINTED, TIA_HALF),
}
"""Variants of each measurement; others are compared with the first."""
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
        what: A key of ``WHAT``.
        frames: T of a clip or window; None is the architecture's.
        size: Height and width; None is the architecture's.
        amp: Run under bfloat16 autocast.
    """

    arch: str
    batch_size: int
    device: str
    steps: int
    what: str = 'attention'
    frames: int | None = None
    size: int | None = None
    amp: bool = False

    @property
    def clip(self) -> tuple[int, int, int]:
        """T, H, W."""
        from mmma.models.backbones.videomae import find_arch

        arch = find_arch(self.arch)
        side = self.size or arch.img_size
        return self.frames or arch.num_frames, side, side


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``benchmark model``."""
    parser.add_argument('--what', choices=list(WHAT), default='attention')
    parser.add_argument('--arch', default='small', help='tiny, small, base, ...')
    parser.add_argument('--batch-size', type=int, default=1)
    parser.add_argument('--steps', type=int, default=5, help='steps that are timed')
    parser.add_argument('--frames', type=int, help='tia: of a window (default: 256)')
    parser.add_argument('--size', type=int, help='tia: in pixels (default: 160)')
    parser.add_argument('--amp', action='store_true', help='bfloat16 autocast')
    parser.add_argument('--device', choices=('auto', 'cpu', 'cuda'), default='auto')


def run(args: argparse.Namespace) -> int:
    """Measure and print.

    Raises:
        ValueError: An unknown architecture, a number below 1, or no GPU for ``cuda``.
    """
    import torch

    from mmma.models.backbones.videomae import find_arch

    find_arch(args.arch)
    for name in ('batch_size', 'steps', 'frames', 'size'):
        value = getattr(args, name)
        if value is not None and value < 1:
            option = name.replace('_', '-')
            raise ValueError(f'--{option} {value}: use at least 1.')
    gpu = torch.cuda.is_available()
    if args.device == 'cuda' and not gpu:
        raise ValueError('--device cuda: torch sees no GPU; use --device cpu.')
    device = args.device.replace('auto', 'cuda' if gpu else 'cpu')
    case = Case(
        *(args.arch, args.batch_size, device, args.steps, args.what),
        *_clip_of(args),
        args.amp,
    )
    found = {
        **asdict(case),
        'clip': 'x'.join(map(str, case.clip)),
        'dtype': 'bfloat16 autocast' if args.amp else 'float32',
        'machine': torch.cuda.get_device_name() if device == 'cuda' else 'CPU',
        'threads': torch.get_num_threads(),
        'torch': torch.__version__,
        'rows': measure(case),
    }
    report(found, COLUMNS, args.json)
    return 0


def _clip_of(args: argparse.Namespace) -> tuple[int | None, int | None]:
    if args.what == 'tia':
        return args.frames or 256, args.size or 160
    for name in ('frames', 'size'):
        if getattr(args, name):
            raise ValueError(
                f'--{name} is of --what tia: MMAction2 takes the clips of --arch only.'
            )
    return None, None


def measure(case: Case) -> list[dict[str, Any]]:
    """One row per variant: time, memory and difference from the first."""
    steps = {name: build_step(name, case) for name in WHAT[case.what]}
    outputs = {name: step() for name, step in steps.items()}
    seconds = seconds_in_turns(steps, case.steps)
    rows = []
    first = WHAT[case.what][0]
    for name, (output, gradients) in outputs.items():
        expected, expected_gradients = outputs[first]
        differences = [
            (gradient - expected_gradients[key]).abs().max().item()
            for key, gradient in gradients.items()
        ]
        same = name == first
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
        name: One of ``WHAT[case.what]``; all have the same weights.
        case: What is measured.

    Returns:
        A function that runs one step and returns the features and the gradient of each
        trained parameter.
    """
    import torch

    model = _build(name, case)
    _fill(model)
    clips = torch.randn(case.batch_size, 3, *case.clip)
    model, clips = model.to(case.device), clips.to(case.device)
    weights: list[Any] = []
    precision = torch.autocast(case.device, torch.bfloat16) if case.amp else None

    def step() -> tuple[Any, dict[str, Any]]:
        model.zero_grad()
        with precision or nullcontext():
            output = model(clips)
        if not weights:
            torch.manual_seed(0)
            weights.append(torch.randn(output.shape).to(output.device))
        (output * weights[0]).sum().backward()
        if case.device == 'cuda':
            torch.cuda.synchronize()
        gradients = {k: p.grad for k, p in model.named_parameters() if p.requires_grad}
        return output.detach(), gradients

    return step


def _build(name: str, case: Case) -> Any:
    from mmma.models.backbones.videomae import VideoMAEViT, find_arch
    from mmma.models.backbones.videomae_tia import VideoMAETIA
    from mmma.registry import MODELS

    if name == UPSTREAM:
        return MODELS.get('VisionTransformer')(**vars(find_arch(case.arch)))
    if name in WHAT['attention']:
        return VideoMAEViT(case.arch, with_cp=name == CHECKPOINTED)
    dtype = 'bfloat16' if name == TIA_HALF else 'float32'
    return VideoMAETIA(case.arch, with_cp=name != TIA, frozen_dtype=dtype)


def _fill(model: Any) -> None:
    """Give every parameter a value that depends on its name's rank alone."""
    import torch

    torch.manual_seed(0)
    for name, parameter in sorted(model.named_parameters()):
        if 'norm' in name and name.endswith('weight'):
            torch.nn.init.ones_(parameter)
        else:
            value = torch.empty(parameter.shape)  # float32, whatever it is stored in
            parameter.data.copy_(torch.nn.init.normal_(value, std=0.02))


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
