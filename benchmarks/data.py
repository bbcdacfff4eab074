"""Decoding of clips: every installed reader, on one root or two (as packed)."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from harness import Case, count, main, time_cases

from mmma.data.clips import Clip, write_rec
from mmma.data.root import DataRoot, DatasetInfo, write_info
from mmma.media.encode import PackOptions
from mmma.media.pack import pack_root
from mmma.taxonomy import load_label_space
from mmma.video import available_backends, check_backend, open_video


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    add = parser.add_argument
    text = (
        'data roots, the first is compared with; without any, a clip of the size of '
        'the published ones is drawn, and packed'
    )
    add('roots', metavar='ROOT', nargs='*', type=Path, help=text)
    add('--clips', type=count, default=16, help='spread over rec.csv')
    add('--frames', type=count, default=16, help='of a clip, uniform')
    add('--rounds', type=count, default=3, help='that are timed')
    add('--readers', nargs='+', metavar='R', help='default: all that are installed')


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Every reader on every root; each decodes with one thread.

    Raises:
        ValueError: A reader that is not there, or no clip whose video all roots have.
    """
    readers = [check_backend(reader) for reader in args.readers or available_backends()]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        roots = args.roots or make_roots(Path(folder))
        clips = shared_clips(roots, args.clips)
        number = len(clips[0])
        for reader in readers:
            cases = [
                Case({'root': str(r), 'reader': reader}, decode(files, reader, args))
                for r, files in zip(roots, clips, strict=True)
            ]
            rows += time_cases(cases, args.rounds, per=number)
    for row in rows:
        row['frames per s'] = 1000 * args.frames / row['median ms']
    return {'clips': number, 'frames': args.frames, 'threads': 1, 'rows': rows}


def shared_clips(roots: list[Path], most: int) -> list[list[Path]]:
    """Files, of each root, of clips that all have, spread evenly over the first table.

    Raises:
        ValueError: There is none.
    """
    found: list[dict[str, Path]] = []
    for root in map(DataRoot, roots):
        files = {c.clip: root.video_path(c.path) for c in root.read_rec() if c.path}
        found.append({clip: file for clip, file in files.items() if file.is_file()})
    names = [name for name in found[0] if all(name in files for files in found)]
    if not names:
        listed = ' and in '.join(map(str, roots))
        raise ValueError(f'no clip whose video is in {listed}')
    chosen = names[:: -(-len(names) // most)]
    return [[files[name] for name in chosen] for files in found]


def decode(
    files: list[Path], reader: str, args: argparse.Namespace
) -> Callable[[], None]:
    """A step that opens each file and decodes frames that are spread evenly."""

    def step() -> None:
        for file in files:
            with open_video(file, reader) as video:
                places = (np.arange(args.frames) + 0.5) * video.num_frames / args.frames
                video.get_frames(places.astype(int))

    return step


def make_roots(folder: Path) -> list[Path]:
    """A root of one clip as published ones are, 1080x1296, one key frame; packed."""
    raw, packed = folder / 'drawn', folder / 'packed'
    draw_clip(raw / 'videos' / 'drawn.mp4')
    clip = Clip('drawn', 'videos/drawn.mp4', 'train', 'lab', '', 0, None)
    write_rec(raw / 'rec.csv', [clip], load_label_space('mma82'))
    write_info(raw, DatasetInfo('drawn', 'mma82', simulated=True))
    pack_root(DataRoot(raw), packed, PackOptions(), workers=0)
    return [raw, packed]


def draw_clip(path: Path, frames: int = 50, width: int = 1080) -> None:
    """A clip as published ones are: tall, grainy, with B-frames and one key frame."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    height = width * 6 // 5
    y, x = np.mgrid[:height, :width]
    options = dict(crf='23', g='1000', bf='3', threads='1', preset='veryfast')
    grain = rng.normal(0, 1.5, (height + 16, width + 16))
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=Fraction(30), options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, 'yuv420p'
        for t in range(frames):
            top, left = rng.integers(0, 16, 2)
            wave = 40 * np.sin((x + y) / 60 + t / 5)
            moving = 120 + wave + grain[top : top + height, left : left + width]
            gray = moving.clip(0, 255).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(gray, format='gray')
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


if __name__ == '__main__':
    sys.exit(main(sys.modules[__name__]))
