"""Random detection problems, and a matcher slow enough to be checked by eye."""

from collections import defaultdict
from dataclasses import replace
from itertools import accumulate

import numpy as np

from mmma.evaluation.detection import LEVELS, THRESHOLDS
from mmma.structures.segments import Segments

VIDEOS = tuple(f'v{i}' for i in range(9))


def instances(*rows):
    """Truths of (video, label, start, end)."""
    table = np.array(rows, dtype=float).reshape(-1, 4)
    ids = table[:, :2].astype(int)
    return Segments(table[:, 2:], None, ids[:, 1], ids[:, 0])


def predictions(*rows):
    """Predictions of (video, label, start, end, score)."""
    table = np.array(rows, dtype=float).reshape(-1, 5)
    ids = table[:, :2].astype(int)
    return Segments(table[:, 2:4], table[:, 4], ids[:, 1], ids[:, 0], VIDEOS)


def metric_keys(levels=LEVELS):
    """Names of the metrics of some levels; ``AVG`` needs both."""
    names = [*(f'mAP@{t:.2f}' for t in THRESHOLDS), 'mAP']
    keys = [f'{level}/{name}' for level in levels for name in names]
    return (*keys, 'AVG') if len(levels) == 2 else tuple(keys)


def random_problem(seed):
    """Few videos and classes, coarse times and scores: ties, duplicates, gaps."""
    rng = np.random.default_rng(seed)
    videos, classes = rng.integers(1, 6), rng.integers(1, 5)
    grid = rng.choice([0.25, 0.5, 1e-4])

    def draw(size, top):
        start = np.round(rng.uniform(0, 6, size) / grid) * grid
        length = np.round(rng.uniform(0, 3, size) / grid) * grid
        times = np.stack([start, start + np.maximum(length, 0.25)], axis=1)
        own, labels = rng.integers(0, videos, size), rng.integers(0, top, size)
        return Segments(times, None, labels, own)

    truth = draw(rng.integers(1, 15), classes)
    if rng.random() < 0.4:  # exact duplicates, and near ones
        again = truth.select(rng.integers(0, len(truth), 3))
        shift = rng.choice([0, 4e-4, 3e-3], (3, 1))
        moved = replace(again, segments_sec=again.segments_sec + shift)
        truth = Segments.concat([truth, moved])
    size = rng.integers(0, 60)
    found = draw(size, classes + 1)  # one class without truth
    scores = rng.random(size)
    return truth, replace(found, scores=np.round(scores, rng.integers(1, 6)))


def tiou(a, b):
    shared = max(0.0, min(a[1], b[1]) - max(a[0], b[0]))
    return shared / max((a[1] - a[0]) + (b[1] - b[0]) - shared, 1e-8)


def as_rows(table):
    columns = [table.videos, table.labels, *table.segments_sec.T, table.scores]
    return list(zip(*(c.tolist() for c in columns), strict=True))


def brute_force(truth, found, threshold):
    """{label: AP} by the definition, one prediction at a time."""
    truths, scored = defaultdict(list), defaultdict(list)
    for row in sorted(as_rows(truth), key=lambda r: r[2:]):
        kept = truths[row[1], row[0]]
        if not any(
            abs(row[2] - k[2]) <= 1e-3 and abs(row[3] - k[3]) <= 1e-3 for k in kept
        ):
            kept.append(row)
    for row in as_rows(found):
        scored[row[1]].append(row)
    return {
        label: brute_class(
            {video: own for (lb, video), own in truths.items() if lb == label},
            scored[label],
            threshold,
        )
        for label in {label for label, _ in truths}
    }


def brute_class(truths, found, threshold):
    """AP of one class; truths by video."""
    locked, flags = set(), []
    for row in sorted(found, key=lambda r: (-r[4], r[0], r[2], r[3])):
        rivals = [(tiou(row[2:4], t[2:]), t) for t in truths.get(row[0], [])]
        rivals.sort(key=lambda pair: (-pair[0], pair[1]))
        free = [t for v, t in rivals if v >= threshold and t not in locked]
        locked |= set(free[:1])
        flags.append(bool(free))
    return voc_ap(flags, sum(map(len, truths.values())))


def voc_ap(flags, truths):
    """Area under the precision envelope, all points, sentinels as VOC has them."""
    recall, precision = [0.0], [0.0]
    for rank, hits in enumerate(accumulate(flags), start=1):
        recall.append(hits / truths)
        precision.append(hits / rank)
    recall.append(1.0)
    precision.append(0.0)
    for i in range(len(precision) - 2, -1, -1):
        precision[i] = max(precision[i], precision[i + 1])
    return sum(
        (recall[i] - recall[i - 1]) * precision[i] for i in range(1, len(recall))
    )
