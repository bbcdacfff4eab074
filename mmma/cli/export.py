"""Write predictions, or a data root, as files of an annotation tool.

PRED is a file of detections ({"results"}), a det.json or a data root, a JSON of
infer.py or a folder of those. OUT gets one file per video (boris: one project), which
convert.py reads back; docs/annotation_tools.md says what to click in each tool."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmma.convert.events import FORMATS

ARGUMENTS = f"""
tool {{{','.join(FORMATS)}}}: whose files to write
pred PRED (path): what to write
out OUT (path): folder for the files
--videos DIR (path): folder with the videos that the files are to link
--label-space NAME|FILE: whose actions the tool is to offer (default: that of the root
  or the model, else those that are there)
--threshold T (float) = 0.0: lowest score that is written (default: all)
--force: write into a folder that is not empty"""


def run(args: argparse.Namespace) -> int:
    """Write the files, and say how many."""
    from mmma.convert.annotations import link_videos, root_mapping
    from mmma.convert.events import change_events, read_recordings
    from mmma.files import is_filled, made_whole, write_file
    from mmma.taxonomy import read_label_space

    out = args.out
    if not 0 <= args.threshold <= 1:
        raise ValueError(f'--threshold {args.threshold:g}: use a score from 0 to 1')
    if out.exists() and (not out.is_dir() or is_filled(out)) and not args.force:
        raise ValueError(f'{out} is not empty: give --force to write into it')
    space = read_label_space(args.label_space) if args.label_space else None
    recordings, space = read_recordings(args.pred, space)
    recordings = link_videos(recordings, args.pred, args.videos)
    recordings = change_events(
        recordings,
        lambda e: e if e.score is None or e.score >= args.threshold else None,
    )
    with made_whole(out):
        told = write_recordings(args.tool, recordings, space, out)
        if mapping := root_mapping(args.pred):
            told += (
                f'\nback to a root: python tools/data/convert.py {args.tool} {out} ROOT'
            )
            write_file(out / mapping[0], mapping[1])
    print(told)
    return 0


def write_recordings(
    tool: str, recordings: Sequence[Any], space: Any, out: Path
) -> str:
    """Write recordings into a folder, and return a line for the user.

    A label space that was found is that which is published and has all labels, else
    that of the labels and their tiers.
    """
    from mmma.convert.annotations import space_of
    from mmma.convert.events import format_function
    from mmma.taxonomy import LABEL_SPACES, load_label_space

    pairs = [(e.label, e.tier) for own in recordings for e in own.events]
    if space.name == 'found' and pairs:
        labels = {label for label, _ in pairs}
        known = map(load_label_space, LABEL_SPACES)
        fitting = (own for own in known if labels <= {*own.actions})
        space = next(fitting, None) or space_of(pairs, out)
    files = format_function('write', tool)(out, recordings, space)
    marked = any(own.simulated for own in recordings)
    told = f'{len(recordings)} videos, {len(pairs)} events' + ' [simulated]' * marked
    return f'{out}: {len(files)} files of {tool}, {told}'


def export_answers(folder: Path, stems: Sequence[str], tools: Sequence[str]) -> str:
    """Write what ``infer.py`` found into a folder per tool beside its JSON files."""
    from mmma.convert.events import read_recordings

    files = {stem: folder / f'{stem}.json' for stem in stems}
    found = [(s, *read_recordings(f)) for s, f in files.items() if f.is_file()]
    recordings = [replace(own, name=stem) for stem, (own,), _ in found]
    lines = (write_recordings(t, recordings, found[0][2], folder / t) for t in tools)
    return '\n'.join(lines if found else ())
