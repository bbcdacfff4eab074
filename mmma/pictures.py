"""How a decoded frame is shown: upright, square pixels, in the size of the first."""

import re
import warnings
from fractions import Fraction
from typing import Any

import numpy as np

CHANGES = 'the picture changes its size midway; all are scaled to the first'
# Where headers tell the length of a prefix; mask and kind of sequence parameter sets.
# Source: ISO/IEC 14496-15, avcC and hvcC; H.264, 7.3.1; H.265, 7.3.1.2.
_PREFIXED = {'h264': (4, 0x1F, 7), 'hevc': (21, 0x7E, 33 << 1)}
_WIDEST = 8  # no camera's pixels are as many times as wide as high, or as high as wide


def orientation(frame: Any) -> tuple[bool, bool, bool]:
    """What the display matrix of PyAV's frame asks for, in this order.

    To swap rows and columns, to mirror left-right, to mirror top-bottom; angles between
    quarter turns go to the nearest.

    Source: FFmpeg, libavutil/display.h. A picture's point (x, y) is shown at
    (a x + c y, b x + d y), where a, b, c and d are numbers 0, 1, 3 and 4 of the matrix.
    """
    matrix = frame.side_data.get('DISPLAYMATRIX')
    if matrix is None:
        return False, False, False
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):
        return True, c < 0, b < 0
    return False, a < 0, d < 0


def turn_upright(picture: np.ndarray, frame: Any) -> np.ndarray:
    """A view of (H, W, ...) stored pixels of a frame, upright."""
    swapped, left_right, top_bottom = orientation(frame)
    picture = picture.swapaxes(0, 1) if swapped else picture
    return picture[:: -1 if top_bottom else 1, :: -1 if left_right else 1]


def turning_filters(frame: Any) -> list[tuple[str, str | None]]:
    """FFmpeg's filters that do the same, and their arguments."""
    swapped, left_right, top_bottom = orientation(frame)
    if swapped:  # its names: turned clockwise, or not; mirrored on a diagonal, or not
        turn = 'clock' if left_right else 'cclock'
        return [('transpose', turn if left_right != top_bottom else f'{turn}_flip')]
    wanted = (('hflip', left_right), ('vflip', top_bottom))
    return [(name, None) for name, asked in wanted if asked]


def may_change_size(packet: Any, codec: str, header: bytes) -> bool:
    """False if a key frame's packet proves that its size is that of the file's header.

    It does where it describes no picture, or in the header's words. VP9 may change the
    size at any frame, and proves nothing; nor does a key frame of H.264 at which
    decoding can begin, but shows nothing yet. The packet is PyAV's, from MP4 or
    Matroska, the codec FFmpeg's name, the header the stream's ``extradata``.
    """
    content, units = bytes(packet), []
    if codec == 'mpeg4':
        unit = rb'(?s)\x00\x00\x01[\x20-\x2f].*?(?=\x00\x00\x01|$)'
        units = re.findall(unit, content)
    elif codec in _PREFIXED and len(header) > (place := _PREFIXED[codec][0]):
        size, start = (header[place] & 3) + 1, 0
        while start + size < len(content):
            end = start + size + int.from_bytes(content[start : start + size], 'big')
            units.append(content[start + size : end])
            start = end
        _, mask, kind = _PREFIXED[codec]
        kinds = [unit[0] & mask if unit else None for unit in units]
        if codec == 'h264' and 5 not in kinds:
            return True
        units = [unit for unit, own in zip(units, kinds, strict=True) if own == kind]
    else:
        return True
    return packet.has_sidedata('new_extradata') or any(u not in header for u in units)


class Upright:
    """Makes pictures of the frames of PyAV's stream as a player shows them.

    Pixels become square at the stored height. Where a stream changes its size midway,
    as recorded calls do, pictures are scaled to the size of the ``first`` frame.

    Attributes:
        coded: Width and height of the first frame.
        pixels: Width and height of a pixel, as ``64:45``.
        stored: Width and height of a picture with square pixels, before it is turned.
        size: Width and height of every picture.
        plain: The first frame is shown as it is stored.
    """

    def __init__(self, stream: Any, first: Any) -> None:
        from av.video.reformatter import VideoReformatter

        self._name = stream.container.name
        ratio = stream.sample_aspect_ratio or Fraction(1)
        self.pixels = f'{ratio.numerator}:{ratio.denominator}'
        if not 1 / _WIDEST <= ratio <= _WIDEST:
            text = f'{self._name}: pixels of {self.pixels} are taken as square'
            warnings.warn(text, stacklevel=2)
            ratio = Fraction(1)
        self.coded = (first.width, first.height)
        self.stored = (max(1, round(first.width * ratio)), first.height)
        self.size = self.stored[:: -1 if orientation(first)[0] else 1]
        self.plain = self.stored == self.coded and not any(orientation(first))
        self._converter = VideoReformatter()

    def __call__(self, frame: Any) -> np.ndarray:
        """(H, W, 3) uint8 RGB of a frame."""
        swapped = orientation(frame)[0]
        wanted = self.size[:: -1 if swapped else 1]
        kind: dict[str, Any] = {'format': 'rgb24', 'threads': 1}  # else one per core
        if (frame.width, frame.height) != wanted:
            kind |= {'width': wanted[0], 'height': wanted[1]}
            kind['interpolation'] = 'BICUBIC'
        if (frame.width, frame.height) != self.coded:
            warnings.warn(f'{self._name}: {CHANGES}: {self.size}', stacklevel=2)
        image = self._converter.reformat(frame, **kind).to_ndarray()
        return turn_upright(image, frame)
