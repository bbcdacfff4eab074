"""A pose backend for tests that needs no library: joints follow the picture."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest

from mmma.media import pose
from mmma.media.pose import NUM_JOINTS, Extractor

VERSION = 'fake 1'


def describe(options):
    """Name, version and options."""
    return f'{VERSION} persons={options.persons} smooth={options.smooth}'


def build(options):
    """The extractor."""
    return FakeExtractor(options.persons)


class FakeExtractor(Extractor):
    """Joint v of person m lies at (brightness + m, v); the last one outside.

    Hands are there in every second frame. ``DELAY_SEC`` slows each clip down, pictures
    of width ``CRASH_WIDTH`` kill the process.
    """

    delay_sec = 0.0
    crash_width = None

    def __init__(self, persons):
        self._persons = persons

    def extract(self, frames, fps):
        """Joints of a clip."""
        time.sleep(self.delay_sec)
        keypoints = []
        for frame in frames:
            if frame.shape[1] == self.crash_width:
                os._exit(9)
            x = frame.mean() / 255 * 30 + np.arange(self._persons)[:, None]
            y = np.arange(NUM_JOINTS) / 2
            keypoints.append(np.stack(np.broadcast_arrays(x, y), axis=-1))
        keypoints = np.stack(keypoints, axis=1)
        keypoints[:, :, -1] = -5
        scores = np.full(keypoints.shape[:3], 0.5)
        scores[:, 1::2, 23:] = 0
        return keypoints, scores


def use_fake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``mediapipe`` be the fake, in this process and those it starts."""
    monkeypatch.setitem(pose.BACKENDS, 'mediapipe', __name__)
    pose.build_extractor.cache_clear()
