"""``data/convert.py``: what others publish, in the layout of a data root."""

import argparse
from pathlib import Path

from mmma.cli.arguments import add_options, options_of

HELP = """Convert a published data set, or annotations of a tool, into a data root.

  ma52      lists of MA-52 (train_list_videos.txt ...)
  mma52     tables of MMA-52 (train.csv ...), both generations
  mma82     the download of lpynow/MMA-82
  opentad   OpenTAD's JSON of untrimmed videos, and back with --export
  pointtad  PointTAD's JSON of untrimmed videos, and back with --export
  pyskl     a pickle of 2D skeletons, as PySKL and MMAction2 read them
  elan, boris, labelstudio, textgrid, fiftyone, csv
            annotations of people (docs/annotation_tools.md), and what export.py wrote

Videos found in SRC are linked or copied; tables are written with label names."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    from mmma.convert import CONVERTERS
    from mmma.convert.target import Options

    add = parser.add_argument
    add('format', choices=list(CONVERTERS), help='what SRC holds')
    source = (
        'downloaded folder, pickle or JSON file; annotation file or a folder of them'
    )
    add('source', metavar='SRC', type=Path, help=source)
    add('out', metavar='OUT', type=Path, help='data root to write')
    add_options(parser, Options, 'videos', 'fps', 'mapping')
    add_options(parser, Options, 'label_space', 'sources')
    export = 'the other way round: SRC is a data root, and OUT a folder for its '
    export += 'detection table in the format (opentad, pointtad)'
    add('--export', action='store_true', help=export)
    add_options(parser, Options, 'force', 'strict')


def run(args: argparse.Namespace) -> int:
    """Convert, and print what was written."""
    from mmma.convert import convert, export
    from mmma.convert.target import Options

    if args.export:
        print('\n'.join(export(args.format, args.source, args.out, args.force)))
        return 0
    options = options_of(Options, args)
    conversion = convert(args.format, args.source, args.out, options)
    print('\n'.join(conversion.lines()))
    print(f'next: python tools/data/check.py {args.out} --decode')
    return 0
