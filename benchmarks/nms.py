"""Soft-NMS of segments in time: one pick at a time, and all classes at once."""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np
from harness import Case, count, main, time_cases

from mmma.structures.segments import NmsOptions, Segments

PLAIN = 'one pick at a time'
OURS = 'mmma Segments.nms'
SPREADS = ('even', 'longtail')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    add = parser.add_argument
    add('--candidates', type=count, default=2000, help='of a video')
    add('--classes', type=count, default=82, help='7 is what body groups have')
    add('--videos', type=count, default=4, help='videos per step')
    add('--seconds', type=count, default=17, help='length of a video')
    add('--max-per-video', type=count, default=200, help='kept, at most')
    add('--rounds', type=count, default=5, help='steps that are timed')


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Both spreads of the classes, in one thread."""

    def compare(found: Any, expected: Any) -> dict[str, Any]:
        kept = sum(map(len, found)) / args.videos
        return {'kept per video': kept, 'difference': difference(found, expected)}

    rows = []
    for spread in SPREADS:
        cases = build_cases(spread, args)
        rows += time_cases(cases, args.rounds, args.videos, compare)
    options = {key: value for key, value in vars(args).items() if key != 'json'}
    return {**options, 'rows': rows}


def difference(found: list[Any], expected: list[Any]) -> float | None:
    """The largest of all videos, None where other detections were kept."""
    if [len(x) for x in found] != [len(x) for x in expected]:
        return None
    return float(abs(np.concatenate(found) - np.concatenate(expected)).max(initial=0))


def build_cases(spread: str, args: argparse.Namespace) -> list[Case]:
    """Each version; a step returns (k, 4) start, end, score, label of each video."""
    options = NmsOptions(max_per_video=args.max_per_video)
    videos = make_videos(spread, args)

    def pick_plainly() -> list[Any]:
        return [pick_one_at_a_time(*video, options) for video in videos]

    def pick_together() -> list[Any]:
        found = [Segments(*video).nms(options) for video in videos]
        return [np.column_stack([s.segments_sec, s.scores, s.labels]) for s in found]

    return [
        Case({'classes': spread, 'code': PLAIN}, pick_plainly),
        Case({'classes': spread, 'code': OURS}, pick_together),
    ]


def make_videos(spread: str, args: argparse.Namespace) -> list[tuple[Any, Any, Any]]:
    """Segments (n, 2), scores (n,), mostly low, and labels (n,) of each video.

    In ``longtail`` the r-th class comes r times more seldom than the first.
    """
    rng = np.random.default_rng(0)
    shares = 1.0 / np.arange(1, args.classes + 1) ** (spread == 'longtail')
    videos = []
    for _ in range(args.videos):
        starts = rng.uniform(0, args.seconds, args.candidates)
        lengths = rng.gamma(2, 1, args.candidates)
        labels = rng.choice(args.classes, args.candidates, p=shares / shares.sum())
        segments = np.stack([starts, starts + lengths], axis=1)
        videos.append((segments, rng.beta(0.5, 4, args.candidates), labels))
    return videos


def pick_one_at_a_time(
    segments: Any, scores: Any, labels: Any, options: NmsOptions
) -> Any:
    """Soft-NMS as it is written down, class by class, pick by pick; best first."""
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


if __name__ == '__main__':
    sys.exit(main(sys.modules[__name__]))
