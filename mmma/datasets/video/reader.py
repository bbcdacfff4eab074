"""Reading frames of a video by number, the same frames whichever library decodes."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType

import numpy as np

from mmma.datasets.video.index import VideoIndex


class VideoReader(ABC):
    """Frames of one video file, in the order in which a player shows them.

    Frames are upright: rotation that the file asks for is applied. Use it in a
    ``with`` block, or call :meth:`close`: one reader per sample keeps memory small.

    Args:
        path: The file.
        index: Its frames.
    """

    def __init__(self, path: str | os.PathLike[str], index: VideoIndex) -> None:
        self.path = str(path)
        self._index = index
        self.times_sec = index.times_sec
        """(T,) float64, when each frame appears, in seconds from the first one."""

    @property
    def num_frames(self) -> int:
        """T, the number of frames shown."""
        return len(self.times_sec)

    @property
    def duration_sec(self) -> float:
        """From the first frame's appearance to the last one's end."""
        return self._index.duration_sec

    @property
    def fps(self) -> float:
        """Mean frames per second."""
        return self.num_frames / self.duration_sec

    @property
    def width(self) -> int:
        """W in pixels, of the upright picture."""
        return self._size()[1]

    @property
    def height(self) -> int:
        """H in pixels, of the upright picture."""
        return self._size()[0]

    def get_frames(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Decode frames.

        Args:
            indices: (n,) frame numbers in any order; a number may come again.

        Returns:
            (n, H, W, 3) uint8 RGB.

        Raises:
            ValueError: There is no frame of that number.
            BrokenVideoError: A frame cannot be decoded.
        """
        wanted = np.asarray(indices, np.int64).reshape(-1)
        bad = wanted[(wanted < 0) | (wanted >= self.num_frames)]
        if len(bad):
            raise ValueError(
                f'{self.path}: no frame {bad[0]}; it has frames 0 to '
                f'{self.num_frames - 1}'
            )
        unique, places = np.unique(wanted, return_inverse=True)
        frames = self._decode(unique)
        in_order = len(unique) == len(wanted) and (places[:-1] < places[1:]).all()
        return frames if in_order else frames[places.reshape(-1)]

    def close(self) -> None:  # noqa: B027  (a backend may have nothing to free)
        """Free the decoder; the reader is of no use afterwards."""

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @abstractmethod
    def _size(self) -> tuple[int, int]:
        """Height and width of the upright picture."""

    @abstractmethod
    def _decode(self, wanted: np.ndarray) -> np.ndarray:
        """Frames of ascending, distinct, existing numbers: (n, H, W, 3) uint8 RGB."""
