"""``benchmark nms``: class-wise soft-NMS in time, without a compiled extension."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any

from mmma.cli.benchmark import report, seconds_in_turns

HELP = 'Soft-NMS of segments: one pick at a time, all classes at once, batched tensors.'
PLAIN = 'one pick at a time'
OURS = 'mmma class_nms'
BATCHED = 'mmma class_nms_batch'
SPREADS = ('even', 'longtail')
COLUMNS = {
    'what': 'classes',
    'code': 'code',
    'milliseconds': 'median per video (ms)',
    'fastest_milliseconds': 'fastest (ms)',
    'times_faster': 'times faster',
    'kept': 'kept per video',
    'difference': 'largest difference',
}


@dataclass(frozen=True)
class Case:
    """What is measured.

    Attributes:
        candidates: Of a video.
        classes: K; 7 is what body groups have.
        videos: Per step, and in the batch.
        seconds: Length of a video.
        max_per_video: Kept of a video, at most.
        rounds: Steps that are timed.
        device: Of the batched version.
    """

    candidates: int
    classes: int
    videos: int
    seconds: int
    max_per_video: int
    rounds: int
    device: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``benchmark nms``."""
    parser.add_argument('--candidates', type=int, default=2000, help='of a video')
    parser.add_argument('--classes', type=int, default=82)
    parser.add_argument('--videos', type=int, default=4, help='videos per step')
    parser.add_argument('--seconds', type=int, default=17, help='length of a video')
    parser.add_argument('--max-per-video', type=int, default=200)
    parser.add_argument('--rounds', type=int, default=5, help='steps that are timed')
    parser.add_argument('--device', choices=('auto', 'cpu', 'cuda'), default='auto')


def run(args: argparse.Namespace) -> int:
    """Measure and print; on the CPU, one thread works.

    Raises:
        ValueError: A number below 1, or no GPU for ``cuda``.
    """
    import torch

    numbers = {field.name: getattr(args, field.name) for field in fields(Case)}
    for key, number in numbers.items():
        if key != 'device' and number < 1:
            raise ValueError(f'--{key.replace("_", "-")} {number}: use at least 1.')
    gpu = torch.cuda.is_available()
    if args.device == 'cuda' and not gpu:
        raise ValueError('--device cuda: torch sees no GPU; use --device cpu.')
    numbers['device'] = args.device.replace('auto', 'cuda' if gpu else 'cpu')
    case = Case(**numbers)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rows = [row for spread in SPREADS for row in measure(spread, case)]
    finally:
        torch.set_num_threads(threads)
    found = {
        **asdict(case),
        'machine': torch.cuda.get_device_name() if case.device == 'cuda' else 'CPU',
        'threads': 1,
        'torch': torch.__version__,
        'rows': rows,
    }
    report(found, COLUMNS, args.json)
    return 0


def measure(spread: str, case: Case) -> list[dict[str, Any]]:
    """One row per version: time for a video and difference from the first.

    Args:
        spread: ``even`` or ``longtail``, how often each class occurs.
        case: What is measured.
    """
    import numpy as np

    steps = build_steps(spread, case)
    tables = {name: np.concatenate(step()) for name, step in steps.items()}
    seconds = seconds_in_turns(steps, case.rounds)
    plain = statistics.median(seconds[PLAIN])
    return [
        {
            'what': spread,
            'code': name,
            'milliseconds': 1000 * statistics.median(taken) / case.videos,
            'fastest_milliseconds': 1000 * min(taken) / case.videos,
            'times_faster': plain / statistics.median(taken),
            'kept': len(tables[name]) / case.videos,
            'difference': _difference(tables[name], tables[PLAIN]),
        }
        for name, taken in seconds.items()
    ]


def build_steps(spread: str, case: Case) -> dict[str, Callable[[], list[Any]]]:
    """Each version; a step returns (k, 4) start, end, score, label of each video.

    Args:
        spread: ``even`` or ``longtail``.
        case: What is measured.
    """
    import numpy as np
    import torch

    from mmma.structures.samples import class_nms_batch
    from mmma.structures.segments import NmsOptions, class_nms

    options = NmsOptions(max_per_video=case.max_per_video)
    videos = make_videos(spread, case)
    tensors = [[torch.tensor(x, device=case.device) for x in video] for video in videos]

    def batched() -> list[Any]:
        found = class_nms_batch(*zip(*tensors, strict=True), options)
        return [np.column_stack([x.cpu() for x in video]) for video in found]

    return {
        PLAIN: lambda: [pick_one_at_a_time(*video, options) for video in videos],
        OURS: lambda: [np.column_stack(class_nms(*v, options)) for v in videos],
        BATCHED: batched,
    }


def make_videos(spread: str, case: Case) -> list[tuple[Any, Any, Any]]:
    """Random segments, mostly of low scores; the same for every call.

    Args:
        spread: ``even``, or ``longtail``: the r-th class comes r times more seldom.
        case: What is measured.

    Returns:
        Segments (n, 2), scores (n,) and labels (n,) of each video.
    """
    import numpy as np

    rng = np.random.default_rng(0)
    shares = 1.0 / np.arange(1, case.classes + 1) ** (spread == 'longtail')
    videos = []
    for _ in range(case.videos):
        starts = rng.uniform(0, case.seconds, case.candidates)
        lengths = rng.gamma(2, 1, case.candidates)
        labels = rng.choice(case.classes, case.candidates, p=shares / shares.sum())
        segments = np.stack([starts, starts + lengths], axis=1)
        videos.append((segments, rng.beta(0.5, 4, case.candidates), labels))
    return videos


def pick_one_at_a_time(segments: Any, scores: Any, labels: Any, options: Any) -> Any:
    """Soft-NMS as it is written down: class by class, pick by pick.

    Args:
        segments: (n, 2).
        scores: (n,).
        labels: (n,).
        options: ``NmsOptions`` of Gaussian soft-NMS.

    Returns:
        (k, 4) start, end, score and label, best first.
    """
    import numpy as np

    picks = []
    for label in np.unique(labels):
        chosen = (labels == label) & (scores > options.min_score)
        left, values = segments[chosen], scores[chosen]
        while len(values):
            best = values.argmax()
            start, end = left[best]
            picks.append((start, end, values[best], label))
            left, values = np.delete(left, best, 0), np.delete(values, best)
            shared = np.minimum(left[:, 1], end) - np.maximum(left[:, 0], start)
            shared = shared.clip(0)
            union = (end - start) + (left[:, 1] - left[:, 0]) + 2e-6 - shared
            values = values * np.exp(-((shared / union) ** 2) / options.sigma)
            stays = values > options.min_score
            left, values = left[stays], values[stays]
    table = np.array(picks).reshape(-1, 4)
    return table[(-table[:, 2]).argsort(kind='stable')][: options.max_per_video]


def _difference(table: Any, expected: Any) -> float | None:
    """Largest difference of two tables, None where other detections were kept."""
    if table.shape != expected.shape:
        return None
    return float(abs(table - expected).max(initial=0))
