"""``benchmark heatmap``: our heatmap volumes against MMAction2's, from equal joints."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from mmma.cli.benchmark import report, seconds_in_turns

HELP = 'Heatmaps of joints and limbs: MMAction2, our transform, our device version.'
UPSTREAM = 'MMAction2 GeneratePoseTarget'
OURS = 'mmma PoseHeatmap'
BATCHED = 'mmma HeatmapPreprocessor'
KINDS = {'joint': None, 'limb': 'body17'}
COLUMNS = {
    'what': 'what',
    'code': 'code',
    'milliseconds': 'median per clip (ms)',
    'fastest_milliseconds': 'fastest (ms)',
    'times_faster': 'times faster',
    'difference': 'largest difference',
}
# A standing figure, COCO's 17 joints, in shares of the picture.
_FIGURE = (
    *((0.50, 0.12), (0.52, 0.10), (0.48, 0.10), (0.55, 0.11), (0.45, 0.11)),
    *((0.60, 0.25), (0.40, 0.25), (0.65, 0.40), (0.35, 0.40), (0.62, 0.52)),
    *((0.38, 0.52), (0.56, 0.55), (0.44, 0.55), (0.57, 0.74), (0.43, 0.74)),
    *((0.57, 0.92), (0.43, 0.92)),
)


@dataclass(frozen=True)
class Case:
    """What is measured.

    Attributes:
        frames: T of a clip.
        size: Height and width of the volume.
        persons: M.
        clips: Clips per step, and in the batch.
        rounds: Steps that are timed.
        device: Of the batched version.
    """

    frames: int
    size: int
    persons: int
    clips: int
    rounds: int
    device: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``benchmark heatmap``."""
    parser.add_argument('--frames', type=int, default=48)
    parser.add_argument('--size', type=int, default=56, help='pixels, both ways')
    parser.add_argument('--persons', type=int, default=1)
    parser.add_argument('--clips', type=int, default=8, help='clips per step')
    parser.add_argument('--rounds', type=int, default=10, help='steps that are timed')
    parser.add_argument('--device', choices=('auto', 'cpu', 'cuda'), default='auto')


def run(args: argparse.Namespace) -> int:
    """Measure and print; on the CPU, one thread works.

    Raises:
        ValueError: A number below 1, or no GPU for ``cuda``.
    """
    import torch

    for name in ('frames', 'persons', 'clips', 'rounds'):
        if getattr(args, name) < 1:
            raise ValueError(f'--{name} {getattr(args, name)}: use at least 1.')
    gpu = torch.cuda.is_available()
    if args.device == 'cuda' and not gpu:
        raise ValueError('--device cuda: torch sees no GPU; use --device cpu.')
    device = args.device.replace('auto', 'cuda' if gpu else 'cpu')
    case = Case(args.frames, args.size, args.persons, args.clips, args.rounds, device)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rows = [row for kind in KINDS for row in measure(kind, case)]
    finally:
        torch.set_num_threads(threads)
    found = {
        **asdict(case),
        'machine': torch.cuda.get_device_name() if device == 'cuda' else 'CPU',
        'threads': 1,
        'torch': torch.__version__,
        'rows': rows,
    }
    report(found, COLUMNS, args.json)
    return 0


def measure(kind: str, case: Case) -> list[dict[str, Any]]:
    """One row per version: time for a clip and difference from the first.

    Args:
        kind: ``joint`` or ``limb``.
        case: What is measured.
    """
    import numpy as np

    steps = build_steps(kind, case)
    outputs = {name: np.asarray(step()) for name, step in steps.items()}
    seconds = seconds_in_turns(steps, case.rounds)
    stock = statistics.median(seconds[UPSTREAM])
    return [
        {
            'what': kind,
            'code': name,
            'milliseconds': 1000 * statistics.median(taken) / case.clips,
            'fastest_milliseconds': 1000 * min(taken) / case.clips,
            'times_faster': stock / statistics.median(taken),
            'difference': float(np.abs(outputs[name] - outputs[UPSTREAM]).max()),
        }
        for name, taken in seconds.items()
    ]


def build_steps(kind: str, case: Case) -> dict[str, Callable[[], Any]]:
    """Each version, drawing the same clips; a step returns the last clip (C, T, H, W).

    Args:
        kind: ``joint`` or ``limb``.
        case: What is measured.
    """
    import torch
    from mmaction.structures import ActionDataSample

    from mmma.datasets.transforms.heatmap import FormatKeypoints, PoseHeatmap
    from mmma.models.preprocessors import HeatmapPreprocessor
    from mmma.registry import TRANSFORMS

    clips = make_clips(case)
    ours = PoseHeatmap(limbs=KINDS[kind])
    batched = HeatmapPreprocessor(limbs=KINDS[kind]).to(case.device)
    stock = TRANSFORMS.get('GeneratePoseTarget')(
        with_kp=kind == 'joint',
        with_limb=kind == 'limb',
        skeletons=batched.channels.limbs or (),
    )
    packed = {
        'inputs': [
            torch.from_numpy(FormatKeypoints().transform(dict(c))['keypoint'])
            for c in clips
        ],
        'data_samples': [
            ActionDataSample(metainfo={'img_shape': c['img_shape']}) for c in clips
        ],
    }

    def draw_stock() -> Any:
        for clip in clips:  # each volume is dropped before the next is drawn
            volume = None
            volume = stock.transform(dict(clip))['imgs']
        return volume.swapaxes(0, 1)

    def draw_ours() -> Any:
        for clip in clips:
            volume = None
            volume = ours.transform(dict(clip))['imgs']
        return volume[0]

    def draw_batched() -> Any:
        volumes = batched(dict(packed))['inputs']
        if case.device == 'cuda':
            torch.cuda.synchronize()
        return volumes[-1, 0].cpu()

    return {UPSTREAM: draw_stock, OURS: draw_ours, BATCHED: draw_batched}


def make_clips(case: Case) -> list[dict[str, Any]]:
    """Figures that move at random, a tenth of their joints missing."""
    import numpy as np

    rng = np.random.default_rng(0)
    figure = np.array(_FIGURE) * case.size
    shape = (case.persons, case.frames, len(_FIGURE))
    clips = []
    for _ in range(case.clips):
        keypoint = figure + rng.normal(0, case.size / 40, (*shape, 2))
        score = rng.uniform(0.3, 1, shape) * (rng.random(shape) > 0.1)
        clips.append(
            {
                'keypoint': keypoint.astype(np.float32),
                'keypoint_score': score.astype(np.float32),
                'img_shape': (case.size, case.size),
                'num_clips': 1,
            }
        )
    return clips
