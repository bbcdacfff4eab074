"""Rendering frames and writing them as video."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from mmma.files import atomic_write
from mmma.simulation import drawing
from mmma.simulation.domains import Array, Colour, DomainStyle, Rng, Subject, rgb
from mmma.simulation.geometry import Camera
from mmma.simulation.motion import Motion

_MARGIN = 0.35  # of the picture, on each side, for cameras that move
_WALL_DEPTH = -1.0  # metres, where the floor meets the wall
_PASSERS = 4


def make_background(kind: str, camera: Camera, rng: Rng) -> Callable[[int], Array]:
    """Paint a still picture, larger than the frame, that slides as the camera turns.

    Returns a function of a frame's number: a fresh copy (H, W, 3) of its background.
    """
    margin = np.round(np.array(camera.size) * _MARGIN).astype(int)
    wide, high = (np.array(camera.size) + 2 * margin).tolist()
    firsts = np.flatnonzero(np.diff(camera.shot, prepend=-1))
    pictures = [np.zeros((high, wide, 3), np.uint8) for _ in firsts]
    for picture, first in zip(pictures, firsts.tolist(), strict=True):
        point = np.array([0.0, 0.0, _WALL_DEPTH]) - camera.position[first]
        _, down, ahead = camera.rotation[first] @ point  # where floor and wall meet
        floor = camera.size[1] / 2 + camera.focal[first] * down / max(ahead, 0.3)
        floor = int(np.clip(floor + margin[1], 0, high))
        _PAINTERS[kind](picture, floor, rng)
    # Far things have moved, since the first frame of a shot, by (T, 2) pixels.
    ahead = camera.rotation[firsts[camera.shot], 2]
    seen = np.einsum('tij,tj->ti', camera.rotation, ahead)
    shift = camera.focal[:, None] * seen[:, :2] / np.maximum(seen[:, 2:], 0.2)
    origins = np.round(margin - shift).astype(int)
    origins = np.clip(origins, 0, 2 * margin).tolist()
    passers = draw_passers(camera, rng) if kind == 'street' else []
    width, height = camera.size

    def background(index: int) -> Array:
        x, y = origins[index]
        picture = pictures[camera.shot[index]]
        canvas = picture[y : y + height, x : x + width].copy()
        for corners, colour in passers:
            cv2.rectangle(canvas, *corners[index], colour, -1)
        return canvas

    return background


def draw_passers(
    camera: Camera, rng: Rng
) -> list[tuple[list[tuple[list[int], list[int]]], Colour]]:
    """People and cars that cross a street, as corners of rectangles per frame."""
    frames = len(camera.shot)
    width, height = camera.size
    passers = []
    for _ in range(_PASSERS):
        wide, high = rng.uniform(0.06, 0.4) * width, rng.uniform(0.18, 0.4) * height
        size = np.array([wide, high])
        speed = rng.choice([-1, 1]) * rng.uniform(0.4, 2.4) * width / 90
        x = np.mod(rng.uniform(0, 2 * width) + speed * np.arange(frames), 2 * width)
        y = np.full(frames, rng.uniform(0.45, 0.6) * height)
        low = np.stack([x - 0.5 * width, y], axis=1)
        corners = np.stack([low, low + size], axis=1).astype(int).tolist()
        passers.append((corners, _grey(rng, 50, 190, 28)))
    return passers


def _grey(rng: Rng, low: int, high: int, tint: int) -> Colour:
    return rgb(rng.integers(low, high) + rng.integers(-tint, tint + 1, 3))


def _fade(canvas: Array, top: Colour, bottom: Colour) -> None:
    """Fill from one colour at the top to another at the bottom."""
    share = np.linspace(0.0, 1.0, len(canvas))[:, None]
    rows = (1 - share) * np.array(top) + share * np.array(bottom)
    canvas[:] = rows[:, None].astype(np.uint8)


def _paint_wall(canvas: Array, floor: int, rng: Rng) -> None:
    """A plain light wall and a grey floor."""
    light = _grey(rng, 205, 228, 6)
    _fade(canvas[:floor], light, tuple(c - 14 for c in light))
    dark = _grey(rng, 128, 150, 5)
    _fade(canvas[floor:], dark, tuple(c + 22 for c in dark))
    canvas[max(floor - 4, 0) : floor] = 110


def _paint_room(canvas: Array, floor: int, rng: Rng) -> None:
    """A wall with a door or a picture, a shelf, a dark floor."""
    height, width = canvas.shape[:2]
    wall = _grey(rng, 120, 175, 18)
    _fade(canvas[:floor], wall, tuple(max(c - 40, 0) for c in wall))
    canvas[floor:] = _grey(rng, 60, 100, 12)
    for _ in range(3):
        x, y = int(rng.uniform(0, width)), int(rng.uniform(0.1, 0.5) * height)
        wide, high = rng.uniform(0.08, 0.2) * width, rng.uniform(0.15, 0.4) * height
        box = (x, y, int(wide), int(high))
        cv2.rectangle(canvas, box, _grey(rng, 70, 170, 25), -1)
        cv2.rectangle(canvas, box, (60, 50, 45), 2)


def _paint_street(canvas: Array, floor: int, rng: Rng) -> None:
    """Sky, house fronts with windows, a pavement."""
    height, width = canvas.shape[:2]
    ground = min(floor, int(0.72 * height))
    _fade(canvas[:ground], (186, 208, 232), (222, 228, 232))
    x = 0
    while x < width:
        wide = int(rng.uniform(0.08, 0.22) * width) + 4
        top = int(rng.uniform(0.02, 0.4) * ground)
        cv2.rectangle(canvas, (x, top), (x + wide, ground), _grey(rng, 90, 190, 14), -1)
        glass = _grey(rng, 60, 120, 12)
        step = max(wide // 4, 6)
        for wx in range(x + step // 2, x + wide - step // 2, step):
            for wy in range(top + step // 2, ground - step, step):
                cv2.rectangle(canvas, (wx, wy, step // 2, step // 2), glass, -1)
        x += wide
    _fade(canvas[ground:], (120, 120, 122), (162, 160, 158))


def _paint_set(canvas: Array, floor: int, rng: Rng) -> None:
    """Blurred colours, as behind a face filmed with a long lens."""
    canvas[:] = _grey(rng, 40, 130, 14)
    height, width = canvas.shape[:2]
    for _ in range(14):
        centre = (int(rng.uniform(0, width)), int(rng.uniform(0, height)))
        radius = int(rng.uniform(0.05, 0.25) * width)
        cv2.circle(canvas, centre, radius, _grey(rng, 30, 170, 22), -1)
    blur = max(3, width // 16) | 1
    cv2.blur(canvas, (blur, blur), dst=canvas)


_PAINTERS: dict[str, Callable[[Array, int, Rng], None]] = {
    'wall': _paint_wall,
    'room': _paint_room,
    'street': _paint_street,
    'set': _paint_set,
}
_NOISE_PICTURES = 3


def render_frames(
    motion: Motion, subject: Subject, style: DomainStyle, rng: Rng
) -> Iterator[Array]:
    """Draw a motion as (H, W, 3) uint8 RGB frames; the same dice, the same pixels."""
    background = make_background(style.background, motion.camera, rng)
    finish = _finisher(style, rng)
    view = drawing.View(motion)
    parts = drawing.body_parts(view, subject) + drawing.seat_parts(view, subject)
    parts += drawing.object_parts(view, motion.objects)
    # The person's own glasses, or those that are pushed.
    on = subject.glasses or any(kind == 'glasses' for kind, _, _ in motion.objects)
    parts.append(drawing.head_part(view, subject, on))
    depths, painters = zip(*parts, strict=True)
    order = np.argsort(-np.stack(depths, axis=1), axis=1)
    for frame in range(len(view.depth)):
        canvas = background(frame)
        for i in order[frame].tolist():
            painters[i](canvas, frame)
        yield finish(canvas)


def _finisher(style: DomainStyle, rng: Rng) -> Callable[[Array], Array]:
    """Light, blur and noise of the sensor, as a function of a frame."""
    light, warmth = rng.uniform(*style.light), rng.uniform(*style.warmth)
    gain = light * np.array([1 + warmth, 1.0, 1 - warmth])
    grey = np.arange(256)[:, None] * gain
    table = np.clip(grey, 0, 255).astype(np.uint8).reshape(1, 256, 3)
    side = 2 * style.blur + 1
    width, height = style.size
    # A few noise pictures, larger than the frame, read at places drawn each time.
    shape = (_NOISE_PICTURES, height + 32, width + 32, 3)
    noise = rng.standard_normal(shape, dtype=np.float32) * style.sensor_noise
    noise = np.round(noise).astype(np.int16)

    def finish(canvas: Array) -> Array:
        if style.blur:
            canvas = cv2.GaussianBlur(canvas, (side, side), 0)
        canvas = cv2.LUT(canvas, table)
        i, y, x = rng.integers((_NOISE_PICTURES, 32, 32))
        patch = noise[i, y : y + height, x : x + width]
        return cv2.add(canvas, patch, dtype=cv2.CV_8U)

    return finish


# What the bytes must not depend on: x264 splits its work by the number of threads, and
# its macroblock tree (seen in build 165) reads memory that was never written where the
# picture has an odd number of macroblock rows, as 320x240 has. Short groups of pictures
# without B-frames decode fast.
_X264 = {'preset': 'veryfast', 'crf': '26', 'g': '30', 'bf': '0'}
_X264 |= {'mbtree': '0', 'threads': '1'}


def write_video(path: Path, frames: Iterable[Array], fps: float) -> int:
    """Encode H.264 into an MP4 file that appears only when it is complete.

    Frames are (H, W, 3) uint8 RGB, all of one size, height and width even. The folder
    of the file is made if it does not exist. Returns the number of frames.

    Raises:
        ValueError: No frame, an odd height or width, or frames of different sizes.
    """
    import av

    frames, name = iter(frames), path.name
    first = next(frames, None)
    if first is None:
        raise ValueError(f'{name}: no frame to write')
    height, width = first.shape[:2]
    if height % 2 or width % 2:
        raise ValueError(f'{name}: {width}x{height}: width and height must be even')
    options = {'fflags': '+bitexact', 'movflags': '+faststart'}
    count = 0
    # av opens the draft by its name: faststart reads back what was written.
    with (
        atomic_write(path, 'wb') as file,
        av.open(file.name, 'w', format='mp4', options=options) as container,
    ):
        rate = Fraction(fps).limit_denominator(1001)
        stream = container.add_stream('libx264', rate=rate, options=dict(_X264))
        stream.width, stream.height, stream.pix_fmt = width, height, 'yuv420p'
        for frame in itertools.chain([first], frames):
            if frame.shape != first.shape:
                raise ValueError(
                    f'{name}: frame {count} is {frame.shape}, not {first.shape}'
                )
            planes = cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420)
            picture = av.VideoFrame.from_ndarray(planes, format='yuv420p')
            picture.pts = count
            container.mux(stream.encode(picture))
            count += 1
        container.mux(stream.encode(None))
    return count
