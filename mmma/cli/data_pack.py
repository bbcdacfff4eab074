"""Pack a data root: its videos small, with many key frames, quick to decode.

Every video becomes H.264 in an MP4 file without sound, with the frames and the times of
its source, which is verified after writing. Tables are copied, skeletons are moved into
the new pictures. What was done is recorded in OUT/dataset.json, and hence in results.
An interrupted run goes on when the same command is given again. The loss is small but
not zero: compare numbers only between runs on data packed alike.

--crop person keeps one box per video around one person, the same in all frames; head,
hands and legs keep one around that part of them. Skeletons say where they are: give
data/pose first. In a picture of several it follows the one with the highest mean score
times area; --person left|right|N follows another, and a CSV file (name,person) decides
clip by clip. Where fewer than a tenth of the frames show the part, the person is kept,
and where nobody is found, the picture; both are counted.

Exit status: 0 done, 1 videos failed (listed), 2 bad usage or no room on the disk."""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from mmma.cli.arguments import check_workers, declared, options_of
from mmma.files import progress_bar
from mmma.workflow import duration

ARGUMENTS = """
root ROOT (path): data root to pack
out OUT (path): packed root to write
.short_side .gop .crf .crop .person .margin
*tasks
*workers
--allow-failures: finish OUT though videos failed: rows without a file
--force: pack anew what other options packed"""
_SIZE = {'help': 'default: 256'}
add_arguments = declared(ARGUMENTS, 'mmma.media.encode:PackOptions', short_side=_SIZE)


def run(args: argparse.Namespace) -> int:
    """Pack, and say what came of it."""
    from mmma.data.root import DataRoot
    from mmma.media.encode import PackOptions, read_person
    from mmma.media.pack import pack_root

    check_workers(args.workers)
    options = options_of(PackOptions, args, **read_person(args.person))
    started = time.monotonic()
    with progress_bar('pack, MB') as show:
        report = pack_root(
            DataRoot(args.root),
            args.out,
            options,
            tasks=args.tasks,
            workers=args.workers,
            allow_failures=args.allow_failures,
            force=args.force,
            on_estimate=lambda more, size, sec: print(
                f'{more:,} more videos: about {size / 1e6:,.0f} MB and {duration(sec)}',
                file=sys.stderr,
            ),
            on_progress=lambda *sizes: show(*(n // 10**6 for n in sizes)),
        )
    _show_report(args.out, report, time.monotonic() - started)
    return 1 if report.failures else 0


def _show_report(out: Path, report: Any, seconds: float) -> None:
    """Print what came of it; failures last, on standard error."""
    print(
        f'{out}: {report.videos:,} videos, {report.packed:,} packed now in '
        f'{duration(seconds)}; {report.source_bytes / 1e6:,.1f} MB became '
        f'{report.packed_bytes / 1e6:,.1f} MB'
    )
    if report.changed:
        print(f'{report.changed:,} had changed and were packed anew')
    for count, what in (
        (report.without_part, 'part not found in {} videos: the person is kept'),
        (report.uncropped, 'nobody to follow in {} videos: their picture is whole'),
        (report.reshaped, 'the pixels of {} videos were not square, and are now'),
        (
            report.scaled,
            'the picture of {} videos changes its size: scaled to the first',
        ),
    ):
        if count:
            print(what.format(f'{count:,}'))
    for path, reason in report.failures:
        print(f'FAILED {path}: {reason}', file=sys.stderr)
    if report.failures:
        state = 'finished without them' if report.complete else 'not finished'
        told = f'{len(report.failures):,} of {report.videos:,} videos failed; {out} is'
        print(told, state, file=sys.stderr)
