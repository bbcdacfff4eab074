"""``benchmark data``: time to open a video and decode the frames of a clip."""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

from mmma.cli.benchmark import report, seconds_in_turns

HELP = 'Decoding of clips: every installed reader, on one root or two (as packed).'
COLUMNS = {
    'root': 'root',
    'reader': 'reader',
    'milliseconds': 'median per clip (ms)',
    'fastest_milliseconds': 'fastest (ms)',
    'frames_per_second': 'frames per s',
    'times_faster': 'times faster',
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``benchmark data``."""
    parser.add_argument(
        'roots',
        metavar='ROOT',
        nargs='*',
        type=Path,
        help='data roots, the first is compared with; without any, a clip of the size '
        'of the published ones is drawn, and packed',
    )
    parser.add_argument('--clips', type=int, default=16, help='spread over rec.csv')
    parser.add_argument('--frames', type=int, default=16, help='of a clip, uniform')
    parser.add_argument('--rounds', type=int, default=3, help='that are timed')
    parser.add_argument(
        '--readers', nargs='+', metavar='R', help='default: all that are installed'
    )


def run(args: argparse.Namespace) -> int:
    """Measure and print; every reader decodes with one thread.

    Raises:
        ValueError: A number below 1, a reader that is not there, or no clip whose
            video all roots have.
    """
    from mmma.video import available_backends, check_backend

    for name in ('clips', 'frames', 'rounds'):
        if getattr(args, name) < 1:
            raise ValueError(f'--{name} {getattr(args, name)}: use at least 1.')
    readers = [check_backend(reader) for reader in args.readers or available_backends()]
    with tempfile.TemporaryDirectory() as folder, _one_core():
        roots = args.roots or make_roots(Path(folder))
        clips = shared_clips(roots, args.clips)
        steps = {
            (str(root), reader): _step(files, reader, args.frames)
            for root, files in clips.items()
            for reader in readers
        }
        seconds = seconds_in_turns(steps, args.rounds)
    count = len(next(iter(clips.values())))
    rows = [_row(key, seconds, (str(roots[0]), count, args.frames)) for key in seconds]
    found = {'clips': count, 'frames': args.frames, 'threads': 1, 'rows': rows}
    report(found, COLUMNS, args.json)
    return 0


def shared_clips(roots: list[Path], count: int) -> dict[Path, list[Path]]:
    """Files of the clips that all roots have, evenly spread over the first table.

    Args:
        roots: Data roots with ``rec.csv``.
        count: How many at most.

    Raises:
        ValueError: There is none.
    """
    from mmma.data.root import DataRoot

    found: dict[Path, dict[str, Path]] = {}
    for path in roots:
        root = DataRoot(path)
        files = {c.clip: root.video_path(c.path) for c in root.read_rec() if c.path}
        found[path] = {clip: file for clip, file in files.items() if file.is_file()}
    first = found[roots[0]]
    names = [name for name in first if all(name in files for files in found.values())]
    if not names:
        raise ValueError(
            f'no clip whose video is in {" and in ".join(map(str, roots))}'
        )
    chosen = names[:: -(-len(names) // count)]
    return {path: [files[name] for name in chosen] for path, files in found.items()}


def make_roots(folder: Path) -> list[Path]:
    """A root of one clip as published ones are, 1080x1296 with one key frame; packed.

    Args:
        folder: Where to make both.
    """
    from mmma.data.clips import Clip, write_rec
    from mmma.data.root import DataRoot, DatasetInfo, write_info
    from mmma.media.encode import PackOptions
    from mmma.media.pack import RunOptions, pack_root
    from mmma.taxonomy import load_label_space

    raw, packed = folder / 'drawn', folder / 'packed'
    draw_clip(raw / 'videos' / 'drawn.mp4')
    clip = Clip('drawn', 'videos/drawn.mp4', 'train', 'lab', '', 0, None)
    write_rec(raw / 'rec.csv', [clip], load_label_space('mma82'))
    write_info(raw, DatasetInfo('drawn', 'mma82', simulated=True))
    pack_root(DataRoot(raw), packed, PackOptions(), RunOptions(workers=0))
    return [raw, packed]


def draw_clip(path: Path, frames: int = 50, width: int = 1080) -> None:
    """A clip as published ones are: tall, grainy, with B-frames and one key frame.

    Args:
        path: The file to write.
        frames: Its number of frames.
        width: Its width in pixels, six to five of its height.
    """
    import av
    import numpy as np

    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    height = width * 6 // 5
    y, x = np.mgrid[:height, :width]
    options = {
        'crf': '23',
        'g': '1000',
        'bf': '3',
        'threads': '1',
        'preset': 'veryfast',
    }
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


@contextmanager
def _one_core() -> Iterator[None]:
    import cv2

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def _step(files: list[Path], reader: str, frames: int) -> Callable[[], None]:
    import numpy as np

    from mmma.video import open_video

    def step() -> None:
        for file in files:
            with open_video(file, reader) as video:
                places = (np.arange(frames) + 0.5) * video.num_frames / frames
                video.get_frames(places.astype(int))

    return step


def _row(
    key: tuple[str, str],
    seconds: dict[tuple[str, str], list[float]],
    case: tuple[str, int, int],
) -> dict[str, Any]:
    (root, reader), (first, clips, frames) = key, case
    taken = statistics.median(seconds[key])
    return {
        'root': root,
        'reader': reader,
        'milliseconds': 1000 * taken / clips,
        'fastest_milliseconds': 1000 * min(seconds[key]) / clips,
        'frames_per_second': clips * frames / taken,
        'times_faster': statistics.median(seconds[first, reader]) / taken,
    }
