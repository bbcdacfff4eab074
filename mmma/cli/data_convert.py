"""``data/convert.py``: what others publish, in the layout of a data root."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = """Convert a published data set into a data root.

  ma52      lists of MA-52 (train_list_videos.txt ...)
  mma52     tables of MMA-52 (train.csv ...), both generations
  mma82     the download of lpynow/MMA-82
  opentad   OpenTAD's JSON of untrimmed videos, and back with --export
  pointtad  PointTAD's JSON of untrimmed videos, and back with --export
  pyskl     a pickle of 2D skeletons, as PySKL and MMAction2 read them

Videos found in SRC are linked or copied; tables are written with label names."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    from mmma.data.convert import CONVERTERS
    from mmma.data.convert.target import VIDEO_MODES

    parser.add_argument('format', choices=list(CONVERTERS), help='what SRC holds')
    parser.add_argument(
        'source',
        metavar='SRC',
        type=Path,
        help='downloaded folder, pickle or JSON file',
    )
    parser.add_argument('out', metavar='OUT', type=Path, help='data root to write')
    parser.add_argument(
        '--videos',
        choices=VIDEO_MODES,
        default='link',
        help='hard links (copies where there are none), copies, or leave them to me '
        '(default: link)',
    )
    parser.add_argument(
        '--fps', type=float, help='frames per second, where tables have no fps column'
    )
    parser.add_argument(
        '--mapping',
        type=Path,
        help='for mma82: JSON file that says which files of the release mean what; for '
        'pyskl: label_space, splits, domain, domains, layout; for opentad, pointtad: '
        'label_space, action_names, first_index, subsets, domain, domains',
    )
    parser.add_argument(
        '--export',
        action='store_true',
        help='the other way round: SRC is a data root, and OUT a folder for its '
        'detection table in the format (opentad, pointtad)',
    )
    parser.add_argument(
        '--force', action='store_true', help='write into a folder that is not empty'
    )


def run(args: argparse.Namespace) -> int:
    """Convert, and print what was written."""
    from mmma.data.convert import convert, export
    from mmma.data.convert.target import Options

    if args.export:
        print('\n'.join(export(args.format, args.source, args.out, args.force)))
        return 0
    options = Options(args.videos, args.force, args.fps, args.mapping)
    conversion = convert(args.format, args.source, args.out, options)
    print('\n'.join(conversion.lines()))
    print(f'next: python tools/data/check.py {args.out} --decode')
    return 0
