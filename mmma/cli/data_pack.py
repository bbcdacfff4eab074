"""``data/pack``: encode the videos of a root anew, small and quick to decode."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

from mmma.files import duration, progress_bar

HELP = """Pack a data root: its videos small, with many key frames, quick to decode.

Every video becomes H.264 in an MP4 file without sound, with the frames and the times of
its source, which is verified after writing. Tables are copied, skeletons are moved into
the new pictures. What was done is recorded in OUT/dataset.json, and hence in results.
An interrupted run goes on when the same command is given again. The loss is small but
not zero: compare numbers only between runs on data packed alike.

--crop person keeps one box per video around one person, the same in all frames. In a
picture of several it follows the one with the highest mean score times area;
--person left|right|N follows another, and a CSV file (name,person) decides clip by
clip.

Exit status: 0 done, 1 videos failed (listed), 2 bad usage or no room on the disk."""

_GO_ON = 'what is done is kept: give the same command again to go on'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument('root', metavar='ROOT', type=Path, help='data root to pack')
    parser.add_argument('out', metavar='OUT', type=Path, help='packed root to write')
    parser.add_argument(
        '--short-side', type=int, default=256, metavar='PX', help='default: 256'
    )
    parser.add_argument(
        '--gop', type=int, default=16, metavar='N', help='frames per key frame'
    )
    parser.add_argument('--crf', type=int, default=18, help='quality, 0 best, 51 worst')
    parser.add_argument('--crop', default='none', metavar='none|person')
    parser.add_argument(
        '--person',
        default='largest',
        metavar='largest|left|right|N|FILE',
        help='whom --crop person follows',
    )
    parser.add_argument(
        '--margin', type=float, default=0.15, help='around the person, share of a side'
    )
    parser.add_argument(
        '--tasks', nargs='+', choices=('rec', 'det'), help='default: those of the root'
    )
    parser.add_argument(
        '--workers', type=int, metavar='N', help='processes (default: one per core)'
    )
    parser.add_argument(
        '--allow-failures',
        action='store_true',
        help='finish OUT though videos failed: rows without a file',
    )
    parser.add_argument(
        '--force', action='store_true', help='pack anew what other options packed'
    )


def run(args: argparse.Namespace) -> int:
    """Pack, and say what came of it."""
    os.environ.setdefault('OMP_NUM_THREADS', '1')  # before numpy is there
    from mmma.data.root import DataRoot
    from mmma.media.encode import PackOptions, read_person
    from mmma.media.pack import pack_root

    if args.workers is not None and args.workers < 0:
        raise ValueError(f'--workers {args.workers}: must be 0 or more')
    options = PackOptions(
        short_side=args.short_side,
        gop=args.gop,
        crf=args.crf,
        crop=args.crop,
        margin=args.margin,
        **read_person(args.person),
    )
    started = time.monotonic()
    try:
        with progress_bar('pack, MB') as show:
            report = pack_root(
                DataRoot(args.root),
                args.out,
                options,
                tasks=args.tasks,
                workers=args.workers,
                allow_failures=args.allow_failures,
                force=args.force,
                on_estimate=show_estimate,
                on_progress=lambda *sizes: show(*(n // 10**6 for n in sizes)),
            )
    except KeyboardInterrupt:
        print(f'\n{_GO_ON}', file=sys.stderr)
        raise
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise
        print(f'error: {error}\n{_GO_ON}', file=sys.stderr)
        return 2
    show_report(args.out, report, time.monotonic() - started)
    return 1 if report.failures else 0


def show_estimate(videos: int, size: float, seconds: float) -> None:
    """Say what is left to do."""
    print(
        f'{videos:,} more videos: about {size / 1e6:,.0f} MB and {duration(seconds)}',
        file=sys.stderr,
    )


def show_report(out: Path, report: Any, seconds: float) -> None:
    """Print what came of it; failures last, on standard error."""
    print(
        f'{out}: {report.videos:,} videos, {report.packed:,} packed now in '
        f'{duration(seconds)}; {report.source_bytes / 1e6:,.1f} MB became '
        f'{report.packed_bytes / 1e6:,.1f} MB'
    )
    if report.changed:
        print(f'{report.changed:,} had changed and were packed anew')
    if report.uncropped:
        print(
            f'nobody to follow in {report.uncropped:,} videos: their picture is whole'
        )
    for path, reason in report.failures:
        print(f'FAILED {path}: {reason}', file=sys.stderr)
    if report.failures:
        state = 'finished without them' if report.complete else 'not finished'
        print(
            f'{len(report.failures):,} of {report.videos:,} videos failed; {out} is '
            f'{state}',
            file=sys.stderr,
        )
