"""Dataset of windows of untrimmed videos."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmma.data.videos import END_TOLERANCE_SEC, Video
from mmma.datasets.clips import RootDataset
from mmma.registry import DATASETS
from mmma.taxonomy import check_choice

_TOLERANCE = 1e-6  # of a position: a duration is a rounded number
TRIALS = 200
"""How often a start is drawn until an instance lies inside. Source: OpenTAD,
random_trunc, 3dd7b032."""


@dataclass(frozen=True)
class Window:
    """A stretch of a video, ``rate`` positions per second."""

    start_sec: float  # of its first position
    positions: int  # P, the length that a model sees
    valid: int  # positions that exist, from the first; the rest is padding
    rate: float
    video_sec: float  # length of the video, by the table

    @property
    def end_sec(self) -> float:
        """End of the last position that exists."""
        return self.start_sec + self.valid / self.rate

    def times_sec(self) -> np.ndarray:
        """Times of the positions that exist, (valid,) float64."""
        return self.start_sec + np.arange(self.valid) / self.rate

    def truth(
        self, segments: np.ndarray, labels: np.ndarray, min_visible: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Instances of the video that show enough of themselves, cut to the window.

        Of an instance longer than a window a share of the window must show it: OpenTAD
        asks for a share of the instance, so that no window ever learns from it.

        From (G, 2) seconds of the video and labels (G,) to (g, 2) float32, seconds from
        the window's start, and (g,).
        """
        inside = segments.clip(self.start_sec, self.end_sec)
        whole = np.diff(segments)[:, 0].clip(max=self.positions / self.rate)
        seen = np.diff(inside)[:, 0] >= min_visible * whole - 1e-9
        seen &= inside[:, 1] > inside[:, 0]
        return (inside[seen] - self.start_sec).astype(np.float32), labels[seen]

    def check_length(
        self, found_sec: float, what: str, tolerance_sec: float = 0.0
    ) -> None:
        """Compare the length that was found, of ``what``, with the table.

        Raises:
            ValueError: They differ, so that the times are another video's.
        """
        if abs(found_sec - self.video_sec) > END_TOLERANCE_SEC + tolerance_sec:
            raise ValueError(
                f'{what} is {found_sec:.2f} s long, but det.json says '
                f'{self.video_sec:.2f} s: its times are those of another file or rate. '
                '`python tools/data/check.py ROOT --decode` lists all such videos'
            )


@dataclass(frozen=True)
class WindowOptions:
    """Rules by which videos are cut into windows.

    Attributes:
        positions: P, positions of a window.
        rate: Positions per second.
        overlap: In testing, share that a window has in common with the next, at least:
            steps are whole positions, and the last window ends with the video.
        min_visible: Share of an instance that must lie in a window to be its truth; of
            an instance that is longer, share of the window.
        crop: In training, smallest and largest share of a video no longer than a
            window that is taken; None takes all.
        stride: Constant step in testing instead, in positions; the last windows then
            reach beyond the video's end.

    Raises:
        ValueError: A number outside its range.
    """

    positions: int = 256
    rate: float = 15.0
    overlap: float = 0.5
    min_visible: float = 0.75
    crop: Sequence[float] | None = (0.9, 1.0)
    stride: int | None = None

    def __post_init__(self) -> None:
        if self.positions < 1 or not 0 < self.rate < math.inf:
            raise ValueError(
                f'window of {self.positions} positions, rate {self.rate}: use at least '
                '1 position, and a rate above 0'
            )
        if not 0 <= self.overlap < 1 or not 0 < self.min_visible <= 1:
            raise ValueError(
                f'window: overlap {self.overlap} must be from 0, below 1, and '
                f'min_visible {self.min_visible} above 0, up to 1'
            )
        if self.crop is not None and not 0 < self.crop[0] <= self.crop[-1] <= 1:
            raise ValueError(
                f'window: crop {self.crop}: use two shares above 0, up to 1, the '
                'smaller first, or None'
            )
        if self.stride is not None and self.stride < 1:
            raise ValueError(f'window: stride {self.stride}: use at least 1 position')

    def tile(self, video_sec: float) -> list[Window]:
        """The windows of a video in testing; together they cover it."""
        length, shown = self._length(video_sec), self.positions
        if self.stride is None:
            step = max(1, math.floor(shown * (1 - self.overlap) + _TOLERANCE))
            last = max(0, length - shown)
            starts = [*range(0, last, step), last]
        else:
            count = 1 + max(0, math.ceil((length - shown) / self.stride))
            # A long stride can step over the end.
            starts = [*range(0, min(count * self.stride, length), self.stride)]
        return [
            Window(i / self.rate, shown, min(length - i, shown), self.rate, video_sec)
            for i in starts
        ]

    def _length(self, video_sec: float) -> int:
        """Positions of a video: moments ``i / rate`` before its end, at least one."""
        if not 0 < video_sec < math.inf:
            raise ValueError(f'duration_sec {video_sec}: use a number above 0.')
        return max(1, math.ceil(video_sec * self.rate - _TOLERANCE))

    def draw(self, video_sec: float, segments: np.ndarray) -> Window:
        """A random window for training, from numpy's global generator.

        Starts are drawn until enough of an instance lies inside; after ``TRIALS`` the
        last is taken, and may have none. A video without instances takes one draw.
        Segments are (G, 2), its instances, in seconds.

        Source: OpenTAD, random_trunc, 3dd7b032.
        """
        length = self._length(video_sec)
        taken = min(length, self.positions)
        if self.crop is not None and length <= self.positions:
            share = np.random.uniform(self.crop[0], self.crop[-1])
            taken = max(1, round(share * length))
        numbers = np.zeros(len(segments), int)
        for _ in range(TRIALS):
            start = np.random.randint(length - taken + 1) / self.rate
            window = Window(start, self.positions, taken, self.rate, video_sec)
            seen, _ = window.truth(segments, numbers, self.min_visible)
            if len(seen) or not len(segments):
                break
        return window


@DATASETS.register_module()
class UntrimmedDataset(RootDataset):
    """Windows of the untrimmed videos of one subset and some domains of a data root.

    In training a sample is a video, of which each epoch shows one random window; in
    testing a sample is a window, and the windows of each video, which cover it, follow
    one another.

    A sample's dict has ``video``, ``index``, ``filename``, ``data_root``, ``domain``,
    ``subject``, ``modality``, ``window`` (a :class:`Window`), ``gt_segments`` (G, 2) in
    seconds from the window's start and cut to it, and ``gt_labels`` (G,). In testing
    also ``window_index``, and ``num_windows`` of its video.

    ``metainfo`` is as of ``ClipDataset``, but for ``videos``, and ``labels`` (sorted
    classes of the video; [-1] where withheld). It has by video ``durations`` (seconds)
    and, unless withheld, ``truth``: segments (G, 2) in seconds and labels (G,).

    Args:
        window: Fields of :class:`WindowOptions`, or such options.
        **options: As in ``ClipDataset``, with ``videos`` for its clips; the table is
            ``det.json``. ``modality`` may be ``Feature`` as well. Videos whose truth
            is withheld are left out in training; those in which nothing happens not.

    Raises:
        FileNotFoundError, ValueError: As ``RootDataset``, or a bad window.
    """

    noun = 'video'
    columns = dict(videos='video', labels='labels', domains='domain')
    columns |= dict(subjects='subject')
    modalities = ('RGB', 'Pose', 'Feature')

    def __init__(
        self, *args: Any, window: Mapping | WindowOptions | None = None, **options: Any
    ) -> None:
        self.window = window
        if not isinstance(window, WindowOptions):
            for key in window or {}:
                check_choice('window option', key, WindowOptions.__dataclass_fields__)
            self.window = WindowOptions(**(window or {}))
        super().__init__(*args, **options)

    def load_data_list(self) -> list[dict]:
        """Videos that are selected, or in testing their windows."""
        rows = [self._row(video) for video in self._select(self.root.read_det())]
        if not self.test_mode:
            return rows
        return [
            {**row, 'window': window, 'window_index': i, 'num_windows': len(windows)}
            for row in rows
            for windows in [self.window.tile(row['duration_sec'])]
            for i, window in enumerate(windows)
        ]

    def _row(self, video: Video) -> dict[str, Any]:
        segments = [(i.start_sec, i.end_sec) for i in video.instances]
        labels = [i.label for i in video.instances]
        return {
            **self._facts(video),
            'duration_sec': video.duration,
            'withheld': video.withheld,
            'segments': np.array(segments, np.float64).reshape(-1, 2),
            'segment_labels': np.array(labels, np.int64),
            'labels': [-1] if video.withheld else sorted(set(labels)),
        }

    def get_data_info(self, idx: int) -> dict:
        """The sample's dict; in training without window and truth, which are drawn."""
        info = super().get_data_info(idx)
        del info['start_index'], info['withheld'], info['labels']
        return self._add_truth(info) if self.test_mode else info

    def _draw(self, info: dict) -> dict:
        if self.test_mode:
            return info
        window = self.window.draw(info['duration_sec'], info['segments'])
        return self._add_truth({**info, 'window': window})

    def _add_truth(self, info: dict) -> dict:
        truth = info.pop('segments'), info.pop('segment_labels')
        del info['duration_sec']  # the window has it; OpenVideo tells the file's
        segments, labels = info['window'].truth(*truth, self.window.min_visible)
        return {**info, 'gt_segments': segments, 'gt_labels': labels}

    def _describe(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        known = [row for row in rows if not row['withheld']]
        truth = {r['video']: (r['segments'], r['segment_labels']) for r in known}
        durations = {row['video']: row['duration_sec'] for row in rows}
        return super()._describe(rows) | {'durations': durations, 'truth': truth}
