"""``benchmark eval``: time and memory of the detection evaluation."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmma.cli.benchmark import python_command, report, resident_mib

if TYPE_CHECKING:
    from mmma.evaluation.detection import Instances, Predictions

HELP = (
    'Detection evaluation at both levels and nine thresholds: millions of random '
    'predictions from arrays, and from JSON by evaluate.py det.'
)
ARRAYS, FILES = 'arrays', 'evaluate.py det'
COLUMNS = {
    'input': 'input',
    'predictions': 'predictions',
    'seconds': 'wall (s)',
    'cpu_seconds': 'CPU (s)',
    'peak_mib': 'peak memory (MiB)',
    'avg': 'AVG (%)',
}
TRUTHS_PER_VIDEO = 6
DURATION_SEC = 32.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``benchmark eval``."""
    add = parser.add_argument
    add('--predictions', type=int, default=5_000_000, metavar='N', help='from arrays')
    add('--json-predictions', type=int, default=1_000_000, metavar='N')
    add('--videos', type=int, default=2500, metavar='N')


def run(args: argparse.Namespace) -> int:
    """Measure each input in a process of its own, and print.

    Raises:
        ValueError: A number below 1.
    """
    for name in ('predictions', 'json_predictions', 'videos'):
        if getattr(args, name) < 1:
            option = name.replace('_', '-')
            raise ValueError(f'--{option} {getattr(args, name)}: use at least 1.')
    rows = [
        _fresh_process(ARRAYS, args.predictions, args.videos),
        _fresh_process(FILES, args.json_predictions, args.videos),
    ]
    load = os.getloadavg()[0] if hasattr(os, 'getloadavg') else None
    found = {
        'videos': args.videos,
        'classes': 82,
        'thresholds': 9,
        'cores': os.cpu_count(),
        'load': load,
        'rows': rows,
    }
    report(found, COLUMNS, args.json)
    return 0


def random_problem(size: int, videos: int) -> tuple[Instances, Predictions]:
    """Random truths, and predictions of which a third is near one.

    Args:
        size: Number of predictions.
        videos: Number of videos, each with six truths on average.
    """
    import numpy as np

    from mmma.evaluation.detection import Instances, Predictions

    rng = np.random.default_rng(0)
    total = TRUTHS_PER_VIDEO * videos
    start = rng.uniform(0, 25, total)
    truth = Instances(
        np.sort(rng.integers(0, videos, total)),
        rng.integers(0, 82, total),
        np.stack([start, start + rng.uniform(0.5, 5, total)], axis=1),
    )
    video = rng.integers(0, videos, size, dtype=np.int32)
    label = rng.integers(0, 82, size, dtype=np.int16)
    start = rng.uniform(0, 27, size)
    segment = np.stack([start, start + rng.uniform(0.3, 5, size)], axis=1)
    near = np.flatnonzero(rng.random(size) < 1 / 3)
    source = rng.integers(0, total, len(near))
    video[near], label[near] = truth.videos[source], truth.labels[source]
    moved = truth.segments[source] + rng.normal(0, 0.3, (len(near), 2))
    segment[near] = np.sort(moved, axis=1).clip(0, DURATION_SEC)
    return truth, Predictions(video, label, segment, rng.random(size))


def _fresh_process(what: str, size: int, videos: int) -> dict[str, Any]:
    command = python_command(
        'mmma.cli.benchmark_eval', [json.dumps([what, size, videos])]
    )
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f'measuring {what} failed: {done.stderr.strip()[-500:]}')
    return json.loads(done.stdout.splitlines()[-1])


def measure_arrays(size: int, videos: int) -> dict[str, Any]:
    """Evaluate arrays in this process."""
    from mmma.evaluation.detection import detection_metrics
    from mmma.evaluation.rows import match_levels
    from mmma.taxonomy import load_label_space

    space = load_label_space()
    truth, predictions = random_problem(size, videos)
    start, cpu = time.perf_counter(), time.process_time()
    found = match_levels(predictions, truth, space)
    metrics = detection_metrics({level: r.precisions for level, r in found.items()})
    return {
        'input': ARRAYS,
        'predictions': size,
        'seconds': time.perf_counter() - start,
        'cpu_seconds': time.process_time() - cpu,
        'peak_mib': resident_mib()[1],
        'avg': 100 * float(metrics['AVG']),
    }


def measure_files(size: int, videos: int) -> dict[str, Any]:
    """Evaluate files as the command does, in a process that does nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        _write_files(Path(folder), size, videos)
        code = (
            'import sys, time; from mmma.cli import main; '
            'from mmma.cli.benchmark import resident_mib; '
            'status = main("evaluate", sys.argv[1:]); '
            'print(resident_mib()[1], time.process_time(), file=sys.stderr); '
            'sys.exit(status)'
        )
        gt, pred = (str(Path(folder) / name) for name in ('det.json', 'pred.json'))
        command = [sys.executable, '-c', code, 'det', '--gt', gt, '--pred', pred]
        start = time.perf_counter()
        done = subprocess.run(
            [*command, '--json'], capture_output=True, text=True, check=True
        )
        seconds = time.perf_counter() - start
    peak, cpu = map(float, done.stderr.split()[-2:])
    return {
        'input': FILES,
        'predictions': size,
        'seconds': seconds,
        'cpu_seconds': cpu,
        'peak_mib': peak,
        'avg': json.loads(done.stdout)['AVG'],
    }


def _write_files(folder: Path, size: int, videos: int) -> None:
    from mmma.evaluation.segment_files import DetectionTable, write_detections
    from mmma.taxonomy import load_label_space

    space = load_label_space()
    truth, predictions = random_problem(size, videos)
    names = tuple(f'video{i:05d}' for i in range(videos))
    table = DetectionTable(names, predictions)
    write_detections(folder / 'pred.json', table, space)
    database: dict[str, Any] = {
        name: {'subset': 'test', 'duration': DURATION_SEC, 'annotations': []}
        for name in names
    }
    columns = (truth.videos.tolist(), truth.labels.tolist(), truth.segments.tolist())
    for video, label, segment in zip(*columns, strict=True):
        mark = {'segment': segment, 'label': space.actions[label]}
        database[names[video]]['annotations'].append(mark)
    (folder / 'det.json').write_text(json.dumps({'database': database}))


if __name__ == '__main__':
    kind, count, number = json.loads(sys.argv[1])
    measure = {ARRAYS: measure_arrays, FILES: measure_files}[kind]
    print(json.dumps(measure(count, number)))
