"""Faces for tests that need no networks: what is found follows the brightness."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from mmma.media import face

VERSION = 'fake 1'
BOX, SCORES = [3, 4, 20, 20], [0.1] * 6 + [0.4]


def shades(*levels: int) -> np.ndarray:
    """Grey frames of these brightnesses."""
    return np.repeat(np.array(levels, np.uint8), 32 * 40 * 3).reshape(-1, 32, 40, 3)


class Fake:
    """Dark frames have no face, middling ones one that is covered, bright ones one."""

    delay_sec = 0.0

    def read(self, image: Any, nets: Any) -> tuple[int, list, list]:
        """As ``read_face``."""
        time.sleep(self.delay_sec)
        part = int(image.mean()) // 85
        return int(part > 1), BOX if part else [], SCORES if part > 1 else []


def use_fake(monkeypatch: Any = None) -> type[Fake]:
    """Let the networks be the fake, in this process and those it starts."""
    put = monkeypatch.setattr if monkeypatch else setattr
    put(face, 'describe', lambda o: f'{VERSION} stride={o.stride} fps={o.fps}')
    put(face, 'load_networks', lambda places: None)
    put(face, 'read_face', Fake().read)
    return Fake
