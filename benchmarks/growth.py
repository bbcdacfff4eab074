"""How cost grows: each piece of work at four sizes, each twice the last, and the slope
of the logarithm of its time over that of its size: where it is 1, twice the size takes
twice as long. One thread."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from data import draw_clip
from eval import random_problem
from harness import count, main

from mmma import compat
from mmma.data.clips import Clip, write_rec
from mmma.data.root import DatasetInfo, write_info
from mmma.evaluation.detection import average_precisions, detection_metrics
from mmma.evaluation.recognition import (
    count_classes,
    rank_outcomes,
    recognition_metrics,
)
from mmma.evaluation.rows import match_levels
from mmma.media.encode import PackOptions, pack_video
from mmma.models.preprocessors import draw_heatmaps
from mmma.structures.segments import NmsOptions, Segments
from mmma.taxonomy import load_label_space
from mmma.video import open_video

SPACE = load_label_space()
Step = Callable[[], Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    add = parser.add_argument
    add('--scale', type=float, default=1.0, help='of all sizes')
    add('--rounds', type=count, default=5, help='the fastest counts')


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """One row per work and what grows."""
    torch.set_num_threads(1)
    compat.install()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for (work, grows), (first, make) in works(Path(folder)).items():
            sizes = [max(2, round(args.scale * first)) * 2**i for i in range(4)]
            seconds = [fastest(make(size), args.rounds) for size in sizes]
            slope = np.polyfit(np.log(sizes), np.log(seconds), 1)[0]
            row = {'work': work, 'grows': f'{grows}, {sizes[0]:,} to {sizes[-1]:,}'}
            ms = {'first ms': 1000 * seconds[0], 'last ms': 1000 * seconds[-1]}
            rows.append({**row, **ms, 'slope': float(slope)})
    return {'torch': torch.__version__, 'rounds': args.rounds, 'rows': rows}


def fastest(step: Step, rounds: int) -> float:
    """Seconds of the fastest of some runs, after one that warms up."""
    step()
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        step()
        taken.append(time.perf_counter() - start)
    return min(taken)


def works(folder: Path) -> dict[tuple[str, str], tuple[int, Callable[[int], Step]]]:
    """By work and what grows: the first size, and what makes a step of a size."""
    return {
        ('recognition metrics', 'clips'): (5000, lambda n: recognition(n, 82)),
        ('recognition metrics', 'classes'): (40, lambda n: recognition(20000, n)),
        ('detection metrics', 'predictions'): (50000, lambda n: detection(n, 400)),
        ('detection metrics', 'videos'): (100, lambda n: detection(100000, n)),
        ('soft-NMS', 'candidates'): (2000, lambda n: nms(n, 82)),
        ('soft-NMS', 'classes'): (20, lambda n: nms(8000, n)),
        ('heatmaps', 'frames'): (24, heatmaps),
        ('data set opened', 'clips'): (2500, lambda n: opened(n, folder)),
        ('16 frames of a video', 'frames'): (60, lambda n: frames(n, folder, 16)),
        ('all frames of a video', 'frames'): (60, lambda n: frames(n, folder, n)),
    }


def recognition(clips: int, classes: int) -> Step:
    """Rankings and all metrics of random scores."""
    rng = np.random.default_rng(0)
    scores = rng.random((clips, classes), dtype=np.float32)
    labels = rng.integers(0, classes, clips)
    return lambda: recognition_metrics(
        {'action': count_classes(rank_outcomes(scores, labels))}
    )


def detection(predictions: int, videos: int) -> Step:
    """Both levels at nine thresholds."""
    truth, found = random_problem(predictions, videos)

    def step() -> None:
        matched = match_levels(found, truth, SPACE)
        detection_metrics({k: average_precisions(m) for k, m in matched.items()})

    return step


def nms(candidates: int, classes: int) -> Step:
    """One video, classes spread evenly, 200 kept."""
    rng = np.random.default_rng(0)
    starts, lengths = rng.uniform(0, 60, candidates), rng.gamma(2, 1, candidates)
    segments = np.stack([starts, starts + lengths], axis=1)
    scores, labels = rng.random(candidates), rng.integers(0, classes, candidates)
    found, options = Segments(segments, scores, labels), NmsOptions(max_per_video=200)
    return lambda: found.nms(options)


def heatmaps(length: int) -> Step:
    """Of 17 joints, 56 x 56."""
    draw = torch.Generator().manual_seed(0)
    joints = torch.rand(1, 1, length, 17, 2, generator=draw) * 56
    return lambda: draw_heatmaps(joints, torch.ones(1, 1, length, 17), (56, 56))


def opened(clips: int, folder: Path) -> Step:
    """A data set of clips by its table, read anew."""
    from mmma.data import root as roots
    from mmma.registry import DATASETS

    place = folder / f'root{clips}'
    place.mkdir()
    write_info(place, DatasetInfo('simulated', 'mma82', simulated=True))
    names = [f'lab_{i:06d}' for i in range(clips)]
    actions = [i % SPACE.num_actions for i in range(clips)]
    rows = [
        Clip(n, f'videos/{n}.mp4', 'train', 'lab', n[:8], a, SPACE.body_of[a])
        for n, a in zip(names, actions, strict=True)
    ]
    write_rec(place / 'rec.csv', rows, SPACE)
    given = dict(type='mmma.ClipDataset', data_root=str(place), subset='train')

    def step() -> int:
        roots._opened.cache_clear()
        return len(DATASETS.build({**given, 'pipeline': []}))

    return step


def frames(length: int, folder: Path, taken: int) -> Step:
    """Frames of a packed video, 256 x 308, spread evenly, decoded."""
    path = folder / f'{length}.mp4'
    if not path.is_file():
        draw_clip(path.with_suffix('.mkv'), length, 320)
        pack_video(path.with_suffix('.mkv'), path, PackOptions())
    numbers = np.linspace(0, length - 1, taken).round().astype(int)

    def step() -> None:
        with open_video(path) as video:
            video.list_frames(numbers)

    return step


if __name__ == '__main__':
    sys.exit(main(sys.modules[__name__]))
