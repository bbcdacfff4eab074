"""Heatmaps of joints and limbs from equal joints: MMAction2's transform, and ours for
whole batches on the device."""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np
import torch
from harness import Case, add_device, conditions, count, find_device, main, time_cases
from mmaction.structures import ActionDataSample

from mmma.datasets.transforms.skeleton import FormatKeypoints
from mmma.models.preprocessors import HeatmapPreprocessor
from mmma.registry import TRANSFORMS

UPSTREAM = 'MMAction2 GeneratePoseTarget'
OURS = 'mmma HeatmapPreprocessor'
KINDS = {'joint': None, 'limb': 'body17'}
# A standing figure, COCO's 17 joints, in shares of the picture.
FIGURE = (
    *((0.50, 0.12), (0.52, 0.10), (0.48, 0.10), (0.55, 0.11), (0.45, 0.11)),
    *((0.60, 0.25), (0.40, 0.25), (0.65, 0.40), (0.35, 0.40), (0.62, 0.52)),
    *((0.38, 0.52), (0.56, 0.55), (0.44, 0.55), (0.57, 0.74), (0.43, 0.74)),
    *((0.57, 0.92), (0.43, 0.92)),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    add = parser.add_argument
    add('--frames', type=count, default=48)
    add('--size', type=count, default=56, help='pixels, both ways')
    add('--persons', type=count, default=1)
    add('--clips', type=count, default=8, help='clips per step')
    add('--rounds', type=count, default=10, help='steps that are timed')
    add_device(parser)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Both kinds; on the CPU, one thread works.

    Raises:
        ValueError: No GPU for ``cuda``, or volumes smaller than a joint.
    """
    device = find_device(args.device)
    torch.set_num_threads(1)
    clips = make_clips(args)
    rows = []
    for kind in KINDS:
        cases = build_cases(kind, clips, device)
        rows += time_cases(cases, args.rounds, args.clips, difference)
    return {**conditions(args, device), 'rows': rows}


def difference(volume: Any, expected: Any) -> dict[str, float]:
    """The largest, of the last clip."""
    return {'difference': float(np.abs(np.asarray(volume) - expected).max())}


def build_cases(kind: str, clips: list[dict[str, Any]], device: str) -> list[Case]:
    """Each version; a step draws all clips and returns the last one, (C, T, H, W)."""
    batched = HeatmapPreprocessor(limbs=KINDS[kind]).to(device)
    stock = TRANSFORMS.get('GeneratePoseTarget')(
        with_kp=kind == 'joint',
        with_limb=kind == 'limb',
        skeletons=batched.limbs or (),
    )
    joints = [FormatKeypoints().transform(dict(c))['keypoint'] for c in clips]
    samples = [ActionDataSample(metainfo={'img_shape': c['img_shape']}) for c in clips]
    batch = {'inputs': [*map(torch.from_numpy, joints)], 'data_samples': samples}

    def draw_stock() -> Any:
        for clip in clips:  # each volume is dropped before the next is drawn
            volume = None
            volume = stock.transform(dict(clip))['imgs']
        return volume.swapaxes(0, 1)

    def draw_batched() -> Any:
        return batched(dict(batch))['inputs'][-1, 0].cpu()

    return [
        Case({'what': kind, 'code': UPSTREAM}, draw_stock),
        Case({'what': kind, 'code': OURS}, draw_batched),
    ]


def make_clips(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Figures that move at random, a tenth of their joints missing."""
    rng = np.random.default_rng(0)
    figure = np.array(FIGURE) * args.size
    shape = (args.persons, args.frames, len(FIGURE))
    clips = []
    for _ in range(args.clips):
        keypoint = figure + rng.normal(0, args.size / 40, (*shape, 2))
        score = rng.uniform(0.3, 1, shape) * (rng.random(shape) > 0.1)
        clip = {'keypoint': keypoint, 'keypoint_score': score}
        clip = {key: value.astype(np.float32) for key, value in clip.items()}
        clips.append({**clip, 'img_shape': (args.size, args.size), 'num_clips': 1})
    return clips


if __name__ == '__main__':
    sys.exit(main(sys.modules[__name__]))
