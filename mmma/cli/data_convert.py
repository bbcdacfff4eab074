"""Convert a published data set, or annotations of a tool, into a data root.

  ma52      lists of MA-52 (train_list_videos.txt ...)
  mma52     tables of MMA-52 (train.csv ...), both generations
  mma82     the download of lpynow/MMA-82
  opentad   OpenTAD's JSON of untrimmed videos, and back with --export
  pointtad  PointTAD's JSON of untrimmed videos, and back with --export
  pyskl     a pickle of 2D skeletons, as PySKL and MMAction2 read them
  elan, boris, labelstudio, textgrid, fiftyone, csv
            annotations of people (docs/annotation_tools.md), and what export.py wrote

Videos found in SRC are linked or copied; tables are written with label names."""

import argparse

from mmma.cli.arguments import declared, options_of
from mmma.convert import CONVERTERS, convert, export
from mmma.convert.target import Options

ARGUMENTS = f"""
format {{{','.join(CONVERTERS)}}}: what SRC holds
source SRC (path): downloaded folder, pickle or JSON file; annotation file or a folder
  of them
out OUT (path): data root to write
.videos .fps .mapping .label_space .sources
--export: the other way round: SRC is a data root, and OUT a folder for its detection
  table in the format (opentad, pointtad)
.force .strict"""
add_arguments = declared(ARGUMENTS, Options)


def run(args: argparse.Namespace) -> int:
    """Convert, and print what was written."""
    if args.export:
        print('\n'.join(export(args.format, args.source, args.out, args.force)))
        return 0
    options = options_of(Options, args)
    conversion = convert(args.format, args.source, args.out, options)
    print('\n'.join(conversion.lines()))
    print(f'next: python tools/data/check.py {args.out} --decode')
    return 0
