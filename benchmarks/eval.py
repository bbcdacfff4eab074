"""Detection evaluation at both levels and nine thresholds, time and memory: millions of
random predictions from arrays, and from JSON by evaluate.py det."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from harness import count, fresh_process, main, resident_mib

from mmma.cli import main as run_command
from mmma.data.videos import write_detections
from mmma.evaluation.detection import average_precisions, detection_metrics
from mmma.evaluation.rows import match_levels
from mmma.structures.segments import Segments
from mmma.taxonomy import load_label_space

ARRAYS, FILES = 'arrays', 'evaluate.py det'
TRUTHS_PER_VIDEO = 6
DURATION_SEC = 32.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    add = parser.add_argument
    add('--predictions', type=count, default=5_000_000, metavar='N', help='from arrays')
    add('--json-predictions', type=count, default=1_000_000, metavar='N')
    add('--videos', type=count, default=2500, metavar='N')


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Each input in a process that does nothing else."""
    arrays = fresh_process(__file__, ARRAYS, args.predictions, args.videos)
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder), args.json_predictions, args.videos)
        start = time.perf_counter()
        files = fresh_process(__file__, FILES, folder)
        files['seconds'] = time.perf_counter() - start
    rows = [
        {'input': ARRAYS, 'predictions': args.predictions, **arrays},
        {'input': FILES, 'predictions': args.json_predictions, **files},
    ]
    load = os.getloadavg()[0] if hasattr(os, 'getloadavg') else None
    size = {'videos': args.videos, 'classes': 82, 'thresholds': 9}
    return {**size, 'cores': os.cpu_count(), 'load': load, 'rows': rows}


def alone(what: str, *arguments: Any) -> dict[str, float | None]:
    """Measure one input; the start of Python counts for the command's CPU time."""
    if what == ARRAYS:
        truth, predictions = random_problem(*arguments)
        start, cpu = time.perf_counter(), time.process_time()
        found = match_levels(predictions, truth, load_label_space())
        metrics = detection_metrics(
            {k: average_precisions(m) for k, m in found.items()}
        )
        seconds, avg = time.perf_counter() - start, 100 * float(metrics['AVG'])
    else:
        (folder,), seconds, cpu = arguments, None, 0.0
        gt, pred = (str(Path(folder, name)) for name in ('det.json', 'pred.json'))
        command = ['det', '--gt', gt, '--pred', pred, '--json']
        with redirect_stdout(io.StringIO()) as out:
            status = run_command('evaluate', command)
        if status:
            sys.exit(status)
        avg = json.loads(out.getvalue())['AVG']
    return {
        'seconds': seconds,
        'CPU seconds': time.process_time() - cpu,
        'peak MiB': resident_mib()[1],
        'AVG (%)': avg,
    }


def random_problem(size: int, videos: int) -> tuple[Segments, Segments]:
    """Random truths, six a video, and predictions of which a third is near one."""
    rng = np.random.default_rng(0)
    total = TRUTHS_PER_VIDEO * videos
    start = rng.uniform(0, 25, total)
    names = tuple(f'video{i:05d}' for i in range(videos))
    own, labels = np.sort(rng.integers(0, videos, total)), rng.integers(0, 82, total)
    segment = np.stack([start, start + rng.uniform(0.5, 5, total)], axis=1)
    truth = Segments(segment, None, labels, own, names)
    video = rng.integers(0, videos, size, dtype=np.int32)
    label = rng.integers(0, 82, size, dtype=np.int16)
    start = rng.uniform(0, 27, size)
    segment = np.stack([start, start + rng.uniform(0.3, 5, size)], axis=1)
    near = np.flatnonzero(rng.random(size) < 1 / 3)
    source = rng.integers(0, total, len(near))
    video[near], label[near] = truth.videos[source], truth.labels[source]
    moved = truth.segments_sec[source] + rng.normal(0, 0.3, (len(near), 2))
    segment[near] = np.sort(moved, axis=1).clip(0, DURATION_SEC)
    return truth, Segments(segment, rng.random(size), label, video, names)


def write_files(folder: Path, size: int, videos: int) -> None:
    """The same problem as ``det.json`` and ``pred.json``."""
    space = load_label_space()
    truth, predictions = random_problem(size, videos)
    write_detections(folder / 'pred.json', predictions, space)
    database: dict[str, Any] = {
        name: {'subset': 'test', 'duration': DURATION_SEC, 'annotations': []}
        for name in truth.names
    }
    columns = (
        truth.videos.tolist(),
        truth.labels.tolist(),
        truth.segments_sec.tolist(),
    )
    for video, label, segment in zip(*columns, strict=True):
        mark = {'segment': segment, 'label': space.actions[label]}
        database[truth.names[video]]['annotations'].append(mark)
    (folder / 'det.json').write_text(json.dumps({'database': database}))


if __name__ == '__main__':
    sys.exit(main(sys.modules[__name__]))
