"""Clips and windows from disk, each process with one thread.

``readers``: every installed one, on one root or more. ``samples``: 16 frames to what a
batch is made of, ours on our packed file, MMAction2's own transforms on the file packed
the usual way (short side 256, x264's defaults) and on ours, and decoding alone.
``workers``: training samples from loaders with so many processes, changed by them or
left to the device; a packed root is taken as it is. ``windows``: those of a long video,
for testing, beside one decode of it from start to end. ``memory``: of a process that
has made so many samples. ``libraries``: 16 frames as RGB by the bare libraries that are
there (decord, OpenCV, torchcodec), and by our reader, which knows the packets.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import shutil
import sys
import tempfile
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
from harness import Case, count, main, resident_mib, time_cases

from mmma.data.clips import Clip, write_rec
from mmma.data.root import DataRoot, DatasetInfo, write_info
from mmma.media.encode import PackOptions
from mmma.media.pack import pack_root
from mmma.packets import VideoIndex, index_video
from mmma.processes import map_in_processes
from mmma.taxonomy import load_label_space
from mmma.video import PyAVReader, available_backends, check_backend, open_video


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    add = parser.add_argument
    text = (
        'data roots, the first is compared with; without any, a clip of the size of '
        'the published ones is drawn, and packed'
    )
    add('--what', choices=('readers', *KINDS), default='readers')
    add('--minutes', type=count, default=60, help='of the long video')
    add('--samples', type=count, help='memory: 10,000; workers: 256 of each process')
    add('--processes', type=count, nargs='+', default=[1, 2], help='of loaders')
    add('roots', metavar='ROOT', nargs='*', type=Path, help=text)
    add('--clips', type=count, default=16, help='spread over rec.csv')
    add('--frames', type=count, default=16, help='of a clip, uniform')
    add('--rounds', type=count, default=3, help='that are timed')
    add('--readers', nargs='+', metavar='R', help='default: all that are installed')


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Time of a clip, of readers or of samples.

    Raises:
        ValueError: A reader that is not there, or no clip whose video all roots have.
    """
    if args.what in KINDS:
        return KINDS[args.what](args)
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


HERE = Path(__file__).resolve().parents[1]
RESIZED = [
    dict(type='Resize', scale=(-1, 256)),
    dict(type='RandomResizedCrop', area_range=(0.5, 1.0)),
    dict(type='Resize', scale=(224, 224), keep_ratio=False),
    dict(type='Flip', flip_ratio=0.5),
    dict(type='FormatShape', input_format='NCTHW'),
]
THEIRS = [
    dict(type='DecordInit', num_threads=1),
    dict(type='UniformSample', clip_len=16),
    dict(type='DecordDecode'),
    *RESIZED,
    dict(type='PackActionInputs'),
]
PLAIN = [
    dict(type='OpenVideo'),
    dict(type='UniformFrames', clip_len=16),
    dict(type='DecodeFrames'),
    *RESIZED,
    dict(type='PackClip'),
]


def prepare() -> Any:
    """The recipe whose samples are made; libraries keep to one thread."""
    import cv2
    import torch
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    init_default_scope('mmma')
    return Config.fromfile(HERE / 'configs/recog/videomae_mma82_indomain.py')


def measure_samples(args: argparse.Namespace) -> dict[str, Any]:
    """Samples of the clips of a raw root, packed by us and the usual way."""
    from mmengine.dataset import Compose

    from mmma.models.augment import augment_on_device

    with tempfile.TemporaryDirectory() as folder:
        roots = pack_both(args, Path(folder))
        files = dict(
            zip(roots, shared_clips([*roots.values()], args.clips), strict=True)
        )
        sizes = {k: sum(f.stat().st_size for f in own) for k, own in files.items()}
        cfg = prepare()
        whole = cfg.train_dataloader.dataset.pipeline.copy()
        augment_on_device(cfg)
        device = cfg.train_dataloader.dataset.pipeline
        told = [
            ('MMAction2, no augmentation', 'usual', THEIRS),
            ('ours, augmentation on the device', 'ours', device),
            ('ours, augmentation on the CPU', 'ours', whole),
            ('ours, no augmentation', 'ours', PLAIN),
            ('MMAction2, no augmentation', 'ours', THEIRS),
            ('ours, no augmentation', 'raw', PLAIN),
            ('MMAction2, no augmentation', 'raw', THEIRS),
        ]
        cases = [
            Case(
                {'sample': name, 'file': root},
                load(files[root], Compose(pipeline), roots[root]),
            )
            for name, root, pipeline in told
        ]
        for name, root in (('decoding alone', 'ours'), ('decoding alone', 'raw')):
            cases.append(Case({'sample': name, 'file': root}, walk(files[root])))
        number = len(files['raw'])
        rows = time_cases(cases, args.rounds, per=number)
    return {'clips': number, 'bytes': sizes, 'threads': 1, 'rows': rows}


def measure_workers(args: argparse.Namespace) -> dict[str, Any]:
    """Training samples of loaders, changed on the CPU or left to the device.

    And of processes that do nothing else: a loader's samples pass through memory that
    is shared with the process that trains.
    """
    from mmma.models.augment import augment_on_device

    whole, few, cases, numbers = prepare(), args.samples or 256, [], []
    left = copy.deepcopy(whole)
    augment_on_device(left)
    with tempfile.TemporaryDirectory() as folder:
        root = pack_once(args, Path(folder))
        for where, cfg in (('CPU', whole), ('device', left)):
            for processes in args.processes:
                samples = Samples(cfg, root, few * processes)
                labels = {'changed on': where, 'processes': str(processes)}
                cases.append(Case(labels, partial(drain, samples, processes)))
                numbers.append(len(samples))
        for processes in args.processes:
            labels = {'changed on': 'CPU, kept there', 'processes': str(processes)}
            one = Samples(whole, root, few)
            cases.append(Case(labels, partial(make_all, one, processes)))
            numbers.append(few * processes)
        rows = time_cases(cases, args.rounds)
    for row, number in zip(rows, numbers, strict=True):
        row['median ms'] /= number
        row['fastest ms'] /= number
        row['times faster'] = rows[0]['median ms'] / row['median ms']
        row['clips per s'] = 1000 / row['median ms']
    return {'samples of each': few, 'threads of each': 1, 'rows': rows}


def pack_once(args: argparse.Namespace, folder: Path) -> Path:
    """The root that is given, or one of a drawn clip, packed if it is not."""
    root = args.roots[0] if args.roots else make_roots(folder)[1]
    if DataRoot(root).info.packed:
        return root
    pack_root(DataRoot(root), folder / 'own', PackOptions(), workers=0)
    return folder / 'own'


def measure_memory(args: argparse.Namespace) -> dict[str, Any]:
    """Memory of a process at a tenth, half and all of the samples."""
    with tempfile.TemporaryDirectory() as folder:
        roots = pack_both(args, Path(folder))
        most = args.samples or 10_000
        samples, rows = Samples(prepare(), roots['ours'], most), []
        for number in range(most):
            samples[number]
            if number + 1 in (most // 10, most // 2, most):
                rows.append({'samples': number + 1, 'MiB': resident_mib()[0]})
    return {'threads': 1, 'rows': rows}


def measure_windows(args: argparse.Namespace) -> dict[str, Any]:
    """Windows of a long video, that overlap by half, and one decode of the video."""
    from mmengine.config import Config
    from mmengine.dataset import Compose

    from mmma.datasets.windows import WindowOptions
    from mmma.video import open_video

    prepare()
    cfg = Config.fromfile(HERE / 'configs/det/adatad_videomae-s_mma82.py')
    dataset = cfg.test_dataloader.dataset
    pipeline = Compose(dataset.pipeline[:3])  # to decoded frames, as the bound is
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, 'long.mp4')
        draw_clip(file, args.minutes * 60 * 30, 160)
        with open_video(file) as video:
            windows = WindowOptions(**dataset.window).tile(video.duration_sec)

        def ours() -> None:
            known = dict(filename=str(file), num_windows=len(windows))
            for i, window in enumerate(windows):
                pipeline(dict(known, modality='RGB', window=window, window_index=i))

        def whole() -> None:
            with open_video(file) as video:
                for frame in video.walk():
                    video.upright(frame)

        cases = [Case({'what': 'one decode'}, whole), Case({'what': 'windows'}, ours)]
        rows = time_cases(cases, args.rounds)
    return {'minutes': args.minutes, 'windows': len(windows), 'rows': rows}


class Samples:
    """Training samples of a root, as often as asked for."""

    def __init__(self, cfg: Any, root: Path, number: int) -> None:
        from mmengine.dataset import Compose

        self.root, self.number = root, number
        self.pipeline = Compose(cfg.train_dataloader.dataset.pipeline)
        (self.files,) = shared_clips([root], number)

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, number: int) -> Any:
        if not 0 <= number < self.number:
            raise IndexError(number)
        file = self.files[number % len(self.files)]
        known = dict(filename=str(file), data_root=str(self.root), clip=file.stem)
        return self.pipeline(dict(known, modality='RGB', label=0, start_index=0))

    def make(self, _: int) -> None:
        """Make all of them."""
        for number in range(len(self)):
            self[number]


def drain(samples: Samples, workers: int) -> None:
    """Take all samples out of a loader."""
    from mmengine.dataset import pseudo_collate
    from torch.utils.data import DataLoader

    how = dict(batch_size=8, num_workers=workers, collate_fn=pseudo_collate)
    for _ in DataLoader(samples, **how):  # type: ignore[arg-type]
        pass


def make_all(samples: Samples, processes: int) -> None:
    """Have each process make all samples; none is handed over."""
    for _ in map_in_processes(samples.make, range(processes), processes):
        pass


def pack_both(args: argparse.Namespace, folder: Path) -> dict[str, Path]:
    """A raw root, given or drawn, packed by us and the usual way."""
    usual, own = folder / 'usual', folder / 'own'
    raw = args.roots[0] if args.roots else make_roots(folder)[0]
    pack_root(DataRoot(raw), own, PackOptions(), workers=0)
    for file in sorted(Path(raw, 'videos').glob('**/*.mp4')):
        pack_as_usual(file, usual / file.relative_to(raw))
    shutil.copytree(raw, usual, dirs_exist_ok=True, ignore=_videos)
    return {'raw': raw, 'usual': usual, 'ours': own}


def _videos(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name.endswith('.mp4')]


def measure_libraries(args: argparse.Namespace) -> dict[str, Any]:
    """Frames of the clips of a raw root, packed by us and the usual way."""
    prepare()  # one thread
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        roots = pack_both(args, Path(folder))
        clips = shared_clips([*roots.values()], args.clips)
        for (root, _), files in zip(roots.items(), clips, strict=True):
            known = {file: index_video(file) for file in files}
            cases = [
                Case({'file': root, 'library': name}, partial(read_all, read, known))
                for name, read in LIBRARIES.items()
                if name == 'ours' or importlib.util.find_spec(MODULES.get(name, name))
            ]
            rows += time_cases(cases, args.rounds, per=len(files))
    return {'clips': len(clips[0]), 'frames': 16, 'threads': 1, 'rows': rows}


def read_all(read: Callable[..., Any], known: dict[Path, VideoIndex]) -> None:
    """Read 16 frames of each file."""
    for file, index in known.items():
        places = (np.arange(16) + 0.5) * len(index.pts) / 16
        read(file, index, places.astype(int))


def read_ours(file: Path, index: VideoIndex, places: Any) -> Any:
    """Arrays, by PyAV."""
    with PyAVReader(file, index) as video:
        return video.list_frames(places)


def read_decord(file: Path, _: Any, places: Any) -> Any:
    """One array."""
    import decord

    return decord.VideoReader(str(file), num_threads=1).get_batch(places).asnumpy()


def read_opencv(file: Path, _: Any, places: Any) -> Any:
    """Arrays; from start to end, as only that is exact."""
    import cv2

    how = [cv2.CAP_PROP_N_THREADS, 1]
    video, found = cv2.VideoCapture(str(file), cv2.CAP_FFMPEG, how), []
    for place in range(max(places) + 1):
        video.grab()
        if place in places:
            found.append(cv2.cvtColor(video.retrieve()[1], cv2.COLOR_BGR2RGB))
    return found


def read_torchcodec(file: Path, _: Any, places: Any) -> Any:
    """One tensor, frames by exact numbers."""
    from torchcodec.decoders import VideoDecoder

    video = VideoDecoder(str(file), num_ffmpeg_threads=1)
    return video.get_frames_at(places.tolist()).data


LIBRARIES = {
    'decord': read_decord,
    'opencv': read_opencv,
    'torchcodec': read_torchcodec,
    'ours': read_ours,
}
MODULES = {'opencv': 'cv2'}
KINDS = {
    'libraries': measure_libraries,
    'samples': measure_samples,
    'workers': measure_workers,
    'windows': measure_windows,
    'memory': measure_memory,
}


def load(files: list[Path], pipeline: Any, root: Path) -> Callable[[], None]:
    """A step that makes a sample of each file."""

    def step() -> None:
        np.random.seed(0)
        for file in files:
            known = dict(
                filename=str(file), data_root=str(root), label=0, start_index=0
            )
            pipeline(dict(known, modality='RGB', label=0, start_index=0))

    return step


def walk(files: list[Path]) -> Callable[[], None]:
    """A step that decodes 16 random frames of each file to YUV, its packets known."""
    known = [index_video(file) for file in files]

    def step() -> None:
        rng = np.random.default_rng(0)
        for file, index in zip(files, known, strict=True):
            places = (np.arange(16) + rng.random(16)) * len(index.pts) / 16
            reader = PyAVReader(file, index)
            for _ in reader.walk_over(np.unique(places.astype(int))):
                pass
            reader.close()

    return step


def pack_as_usual(source: Path, target: Path, short_side: int = 256) -> None:
    """As ``ffmpeg -vf scale`` with x264's defaults: what users of MMAction2 have."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(source)) as old, av.open(str(target), 'w') as new:
        video = old.streams.video[0]
        scale = short_side / min(video.width, video.height)
        stream = new.add_stream('libx264', rate=video.average_rate)
        stream.width = 2 * round(video.width * scale / 2)
        stream.height = 2 * round(video.height * scale / 2)
        stream.pix_fmt = 'yuv420p'
        kind = dict(format='yuv420p', interpolation='BICUBIC')
        for frame in old.decode(video):
            small = frame.reformat(stream.width, stream.height, **kind)
            small.pict_type = 0
            new.mux(stream.encode(small))
        new.mux(stream.encode(None))


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
