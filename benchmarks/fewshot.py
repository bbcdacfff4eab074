"""Few-shot on random features of the size of MMA-82: seconds of each adaptation for all
targets, shots and runs, after extraction."""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from typing import Any

import numpy as np
import torch
from harness import conditions, count, main

from mmma.data.clips import Clip
from mmma.engine.fewshot import Classifier, adapt_linear, prototype_scores
from mmma.evaluation.rows import recognition_row
from mmma.evaluation.scores import ScoreTable
from mmma.protocols import draw_supports, make_protocol
from mmma.taxonomy import load_label_space, load_statistics

STEPS = ('linear', 'prototype', 'metrics')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    add = parser.add_argument
    add('--dim', type=count, default=2048, help='channels of a feature')
    add('--views', type=count, default=1, help='views per clip')
    add('--shots', type=int, nargs='+', default=[1, 5, 10])
    add('--runs', type=int, default=10)
    add('--proximity', type=float, default=0.1, help='of linear, as in cfg.fewshot')


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """One row per adaptation, with prediction, and one for the metrics of the grid.

    Raises:
        ValueError: Shots or runs below 1.
    """
    options = {'protocol': 'fewshot', 'shots': args.shots, 'runs': args.runs}
    protocol = make_protocol({}, options)
    taken = []  # (steps, 2) of each target, run and number of shots
    for target in protocol.targets:
        features = RandomFeatures(target, args)
        pool = {str(i): int(a) for i, a in enumerate(features.train_labels)}
        for run in range(protocol.runs):
            for names in draw_supports(pool, target, protocol, run).values():
                taken.append(features.time([int(n) for n in names]))
    rows = []
    for step, (wall, processor) in zip(STEPS, np.moveaxis(taken, 0, -1), strict=True):
        times = {'seconds': wall.sum(), 'CPU seconds': processor.sum()}
        times |= {'mean seconds': wall.mean(), 'slowest seconds': wall.max()}
        times = {key: float(value) for key, value in times.items()}
        rows.append({'step': step, 'times': len(taken), **times})
    return {**conditions(args), 'rows': rows}


class RandomFeatures:
    """Of one target: positive, each class around a mean of its own."""

    def __init__(self, target: str, args: argparse.Namespace) -> None:
        self.space = load_label_space('mma82')
        self.proximity = args.proximity
        size = load_statistics()['rec'][target]
        rng = np.random.default_rng(0)
        means = rng.normal(size=(self.space.num_actions, args.dim))
        share = np.array(self.space.rec_instances) / sum(self.space.rec_instances)

        def draw(clips: int) -> tuple[Any, Any]:
            labels = rng.choice(len(share), clips, p=share)
            noise = rng.normal(size=(clips, args.views, args.dim))
            features = np.maximum(0.3 * means[labels][:, None] + noise, 0)
            return features.astype(np.float32), labels

        self.train, self.train_labels = draw(size['train'])
        self.test, labels = draw(size['test'])
        self.names = tuple(map(str, range(len(labels))))
        self.clips = [
            Clip(name, '', 'test', target, name, label, self.space.body_of[label])
            for name, label in zip(self.names, labels.tolist(), strict=True)
        ]
        weight = torch.from_numpy(means.astype(np.float32)) / args.dim
        self.source = Classifier(weight, torch.zeros(len(means)))

    def time(self, supports: list[int]) -> list[tuple[float, float]]:
        """Seconds, and those of the processor, of each of ``STEPS``."""
        features, labels = self.train[supports], self.train_labels[supports]
        num_classes = self.space.num_actions
        clocks = [_now()]
        adapted = adapt_linear(self.source, features, labels, self.proximity)
        scores = adapted.predict(self.test)
        clocks.append(_now())
        prototype_scores(features, labels, self.test, num_classes, 0.1)
        clocks.append(_now())
        recognition_row(ScoreTable(self.names, scores), self.clips, self.space)
        clocks.append(_now())
        return [(b[0] - a[0], b[1] - a[1]) for a, b in itertools.pairwise(clocks)]


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


if __name__ == '__main__':
    sys.exit(main(sys.modules[__name__]))
