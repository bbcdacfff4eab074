"""``benchmark fewshot``: the grid of targets, shots and runs, extraction excluded."""

from __future__ import annotations

import argparse
import itertools
import time
from typing import Any

HELP = (
    'Few-shot on random features of the size of MMA-82: seconds of each adaptation for '
    'all targets, shots and runs, after extraction.'
)
METHODS = ('linear', 'prototype')
COLUMNS = {
    'step': 'step',
    'times': 'times',
    'seconds': 'seconds in all',
    'processor_seconds': 'of processor time',
    'mean_seconds': 'mean (s)',
    'slowest_seconds': 'slowest (s)',
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``benchmark fewshot``."""
    parser.add_argument('--dim', type=int, default=2048, help='channels of a feature')
    parser.add_argument('--views', type=int, default=1, help='views per clip')
    parser.add_argument('--shots', type=int, nargs='+', default=[1, 5, 10])
    parser.add_argument('--runs', type=int, default=10)
    parser.add_argument(
        '--proximity', type=float, default=0.1, help='of linear, as in cfg.fewshot'
    )


def run(args: argparse.Namespace) -> int:
    """Measure and print.

    Raises:
        ValueError: A number below 1.
    """
    import torch

    from mmma.cli.benchmark import report

    for name in ('dim', 'views'):
        if getattr(args, name) < 1:
            raise ValueError(f'--{name} {getattr(args, name)}: use at least 1.')
    rows = measure(args)
    found = {
        'targets': 'random features of the published size',
        'dim': args.dim,
        'views': args.views,
        'shots': args.shots,
        'runs': args.runs,
        'threads': torch.get_num_threads(),
        'torch': torch.__version__,
        'rows': rows,
    }
    report(found, COLUMNS, args.json)
    return 0


def measure(args: argparse.Namespace) -> list[dict[str, Any]]:
    """One row per adaptation, with prediction, and one for the metrics of the grid."""
    from mmma.protocols import TARGETS, draw_supports, make_protocol

    options = {'protocol': 'fewshot', 'shots': args.shots, 'runs': args.runs}
    protocol = make_protocol({}, options)
    taken: dict[str, list[tuple[float, float]]] = {
        name: [] for name in (*METHODS, 'metrics')
    }
    for target in TARGETS:
        case = _Case(target, args)
        pool = {str(i): int(a) for i, a in enumerate(case.train_labels)}
        for run in range(protocol.runs):
            for names in draw_supports(pool, target, protocol, run).values():
                for step, seconds in case.time([int(n) for n in names]).items():
                    taken[step].append(seconds)
    return [
        {
            'step': step,
            'times': len(pairs),
            'seconds': sum(wall for wall, _ in pairs),
            'processor_seconds': sum(processor for _, processor in pairs),
            'mean_seconds': sum(wall for wall, _ in pairs) / len(pairs),
            'slowest_seconds': max(wall for wall, _ in pairs),
        }
        for step, pairs in taken.items()
    ]


class _Case:
    """Random features of one target: positive, each class around a mean of its own."""

    def __init__(self, target: str, args: argparse.Namespace) -> None:
        import numpy as np
        import torch

        from mmma.engine.fewshot import Classifier
        from mmma.evaluation.rows import Truth
        from mmma.taxonomy import load_label_space, load_statistics

        self.space = load_label_space('mma82')
        self.proximity = args.proximity
        size = load_statistics()['rec'][target]
        rng = np.random.default_rng(0)
        means = rng.normal(size=(self.space.num_actions, args.dim))
        share = np.array(self.space.rec_instances) / sum(self.space.rec_instances)

        def draw(count: int) -> tuple[Any, Any]:
            labels = rng.choice(len(share), count, p=share)
            noise = rng.normal(size=(count, args.views, args.dim))
            features = np.maximum(0.3 * means[labels][:, None] + noise, 0)
            return features.astype(np.float32), labels

        self.train, self.train_labels = draw(size['train'])
        self.test, labels = draw(size['test'])
        names = tuple(map(str, range(len(labels))))
        bodies = np.array(self.space.body_of)[labels]
        self.truth = Truth(names, labels, bodies, (target,) * len(labels), names)
        weight = torch.from_numpy(means.astype(np.float32)) / args.dim
        self.source = Classifier(weight, torch.zeros(len(means)))

    def time(self, supports: list[int]) -> dict[str, tuple[float, float]]:
        """Seconds, and those of the processor, of each step for one support set."""
        from mmma.engine.fewshot import adapt_linear, adapt_prototype
        from mmma.evaluation.rows import recognition_row
        from mmma.evaluation.scores import ScoreTable

        features, labels = self.train[supports], self.train_labels[supports]
        num_classes = self.space.num_actions
        clocks = [_now()]
        adapted = adapt_linear(self.source, features, labels, self.proximity)
        scores = adapted.predict(self.test)
        clocks.append(_now())
        adapt_prototype(features, labels, num_classes, 0.1).predict(self.test)
        clocks.append(_now())
        recognition_row(ScoreTable(self.truth.names, scores), self.truth, self.space)
        clocks.append(_now())
        taken = [(b[0] - a[0], b[1] - a[1]) for a, b in itertools.pairwise(clocks)]
        return dict(zip((*METHODS, 'metrics'), taken, strict=True))


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()
