"""``infer.py VIDEO ...``: what trained models say of videos."""

from __future__ import annotations

import argparse
import errno
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from mmma.engine.infer import Outputs, VideoFindings, VideoModel

HELP = """Which action clips show (--recog), and when actions happen in videos (--det).

Writes DIR/<stem>.json with everything and DIR/<stem>.csv with a row per finding: task,
start_sec, end_sec, action, body, score, abstained, simulated, model. Seconds count from
the first frame, by the file's time stamps. A recognizer looks at the whole file. Config
and code are those of test.py, and so are the scores.

Below --threshold a recognizer abstains (a row without action) and a detector drops the
segment (the JSON counts them). Skeleton models find the joints by themselves. Weights
trained on simulated data need --allow-simulated, and every row then says so.

Given again, the command goes on: what was made from the same file with the same models
and options is kept. --private uses no network, calls videos by their number and leaves
paths out of the JSON. Work files lie in a folder that only the user can read, and are
always removed.

Exit status: 0 done, 2 bad usage, or some videos could not be read: they are listed, the
others are done."""


@dataclass(frozen=True)
class Input:
    """One video to look at.

    Attributes:
        path: The file.
        label: What it is called in messages.
    """

    path: Path
    label: str


class _Work(NamedTuple):
    video: Input
    outputs: Outputs
    facts: dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        'videos', nargs='+', metavar='VIDEO', type=Path, help='file, or folder of files'
    )
    ckpt = 'path, URL, or name in the model zoo (download.py --list)'
    parser.add_argument('--recog', metavar='CKPT', help=f'recognizer: {ckpt}')
    parser.add_argument('--det', metavar='CKPT', help='detector: likewise')
    known = 'its config (default: what the zoo or the checkpoint names)'
    parser.add_argument('--config-recog', metavar='CONFIG', help=known)
    parser.add_argument('--config-det', metavar='CONFIG', help=known)
    parser.add_argument('--out', required=True, metavar='DIR', type=Path)
    parser.add_argument(
        '--top-k',
        type=int,
        default=5,
        metavar='K',
        help='actions in the JSON, of clips',
    )
    parser.add_argument(
        '--threshold',
        type=float,
        metavar='T',
        help='lowest score that counts (default: 0 for clips, 0.2 for segments)',
    )
    parser.add_argument('--device', metavar='cpu|cuda|cuda:N')
    parser.add_argument(
        '--private', action='store_true', help='no network, no names: see above'
    )
    parser.add_argument(
        '--allow-simulated',
        action='store_true',
        help='use weights that were trained on simulated data',
    )
    parser.add_argument(
        '--allow-extractor',
        action='store_true',
        help='use skeletons of another extractor than the weights were trained on',
    )
    pose = parser.add_argument_group('skeleton models')
    pose.add_argument('--pose-backend', default='mediapipe', metavar='mediapipe|rtmlib')
    pose.add_argument(
        '--pose-models', type=Path, metavar='DIR', help='rtmlib: det.onnx and pose.onnx'
    )
    pose.add_argument('--persons', type=int, default=1, help='rtmlib: most per video')
    pose.add_argument(
        '--smooth', action='store_true', help='mediapipe: smooth the body over time'
    )


def run(args: argparse.Namespace) -> int:
    """Look at every video, and say what came of it."""
    if not args.recog and not args.det:
        raise ValueError('give --recog, --det or both: which model is to look?')
    if args.top_k < 1:
        raise ValueError(f'--top-k {args.top_k}: use at least 1 action.')
    try:
        inputs = find_inputs(args.videos, args.private)
        with _terminable():
            return _run(args, inputs)
    except OSError as error:
        if error.errno is None:  # one of ours
            raise
        what = error.strerror if args.private else error
        print(f'error: {what}', file=sys.stderr)
    except Exception as error:
        if not args.private or isinstance(error, ValueError):
            raise
        # A traceback may quote anything.
        name = type(error).__name__
        print(f'error: {name}; without --private it says more', file=sys.stderr)
    return 2


def find_inputs(given: Sequence[Path], private: bool) -> list[Input]:
    """The video files that the user means; folders give theirs, by name.

    Args:
        given: Files and folders.
        private: Call them by their number.

    Raises:
        FileNotFoundError: Nothing there, or no video in a folder.
        ValueError: Two files of one stem, whose outputs would be one.
    """
    from mmma.video import VIDEO_SUFFIXES

    files: dict[Path, Path] = {}
    for number, path in enumerate(given, start=1):
        found = [path]
        what = f'input {number} of {len(given)}' if private else str(path)
        if path.is_dir():
            found = [
                file
                for file in sorted(path.iterdir())
                if file.suffix.lower() in VIDEO_SUFFIXES and file.is_file()
            ]
        elif not path.is_file():
            raise FileNotFoundError(f'{what}: no such video file or folder')
        if not found:
            raise FileNotFoundError(
                f'{what}: no video in this folder ({", ".join(VIDEO_SUFFIXES)})'
            )
        files.update((file.absolute(), file) for file in found)
    inputs = [
        Input(path, f'video {i} of {len(files)}' if private else str(path))
        for i, path in enumerate(files.values(), start=1)
    ]
    by_stem = defaultdict(list)
    for video in inputs:
        by_stem[video.path.stem].append(video.label)
    for same in by_stem.values():
        if len(same) > 1:
            raise ValueError(
                f'{same[0]} and {same[1]} have the same stem, so that their outputs '
                'would be the same files: rename one, or use another --out for it.'
            )
    return inputs


@contextmanager
def _terminable() -> Iterator[None]:
    """Work files are removed when the process is asked to end, as at Ctrl-C."""

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(args: argparse.Namespace, inputs: list[Input]) -> int:
    models = _open_models(args)
    for note in dict.fromkeys(note for model in models for note in model.notes):
        print(f'note: {note}', file=sys.stderr)
    failures: list[str] = []
    todo: list[_Work] = []
    for video in inputs:
        with _noting(failures, video):
            work = _plan(args, video, models)
            if work.outputs.made_with(work.facts['request']):
                print(f'{video.label}: done before', file=sys.stderr)
            else:
                todo.append(work)
    for model in models if todo else ():
        model.build()
    for work in todo:
        with _noting(failures, work.video):
            _look(work, models)
    for failure in failures if len(inputs) > 1 else ():
        print(f'not done: {failure}', file=sys.stderr)
    return 2 if failures else 0


@contextmanager
def _noting(failures: list[str], video: Input) -> Iterator[None]:
    """What is wrong with a video is told, and the others go on."""
    try:
        yield
    except (ValueError, OSError) as error:
        code = getattr(error, 'errno', None)
        if code in (errno.ENOSPC, errno.EDQUOT):
            raise
        # The system's errors quote paths.
        text = str(error) if code is None else f'{video.label}: {error.strerror}'
        failures.append(text)
        print(f'FAILED {text}', file=sys.stderr)


def _open_models(args: argparse.Namespace) -> list[VideoModel]:
    from mmma.apis import open_model, require_task

    options = {
        key: getattr(args, key)
        for key in (
            *('threshold', 'allow_simulated', 'allow_extractor', 'private', 'device'),
            *('pose_backend', 'pose_models', 'persons', 'smooth'),
        )
    }
    given = (
        (args.recog, args.config_recog, 'rec'),
        (args.det, args.config_det, 'det'),
    )
    models = []
    for name, config, task in given:
        if name:
            models.append(open_model(name, config=config, **options))
            require_task(models[-1], task)
    return models


def _plan(args: argparse.Namespace, video: Input, models: list[VideoModel]) -> _Work:
    from mmma.engine.infer import Outputs, describe_request

    path = {} if args.private else {'path': str(video.path.absolute())}
    facts = {
        **path,
        'top_k': args.top_k,
        'request': describe_request(video.path, models, top_k=args.top_k, **path),
    }
    return _Work(video, Outputs(args.out, video.path.stem, video.label), facts)


def _look(work: _Work, models: list[VideoModel]) -> None:
    """Look at one video and write what was found."""
    from mmma.apis import look_at

    started = time.perf_counter()
    print(f'{work.video.label}: looking', file=sys.stderr)
    findings = look_at(work.video.path, models, work.video.label)
    work.outputs.write(findings, work.facts)
    spent_sec = time.perf_counter() - started
    print(f'{work.video.label}: {summary(findings)} ({spent_sec:.1f} s)')


def summary(findings: VideoFindings) -> str:
    """What was found, in a line.

    Args:
        findings: Of a video.
    """
    from mmma.engine.infer import Recognition

    parts = []
    for result in findings.results:
        if isinstance(result, Recognition):
            answer = result.answer
            text = f'{answer.action or "abstained"} {answer.score:.2f}'
        else:
            text = f'{len(result.segments)} segments, {result.dropped} below threshold'
        parts.append(text + (' [simulated]' if result.simulated else ''))
    return '; '.join(parts)
