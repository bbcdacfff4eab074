"""Faces for tests that need no networks: what is found follows the brightness."""

from __future__ import annotations

import time
from pathlib import Path
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


PACKAGES = {'deepface': 'deepface==0.0.103', 'pyfeat': 'py-feat==2.1.5'}

# The part of the packages' API that is used, by their source; bright pictures have two
# faces, the larger of which goes beyond the picture, as happy as they are of blue half.
DEEPFACE = """
def analyze(
    img_path, actions=('emotion', 'age', 'gender', 'race'), enforce_detection=True,
    detector_backend='opencv', align=True, expand_percentage=0, silent=False,
    anti_spoofing=False,
):
    WRONG
    assert img_path.ndim == 3 and img_path.flags.c_contiguous
    assert (list(actions), enforce_detection) == (['emotion'], False)
    height, width = img_path.shape[:2]
    happy = 100 * img_path[..., 0].mean() / max(img_path[..., 2].mean(), 1)
    names = ('angry', 'disgust', 'fear', 'happy', 'sad', 'surprise', 'neutral')
    told, sure = {'happy': happy, 'neutral': 100 - happy}, img_path.mean() > 20
    boxes = [(10, 20, 60, 60), (100, 20, 140, 160)] if sure else [(0, 0, width, height)]
    return [
        {
            'region': dict(zip('xywh', box), left_eye=None, right_eye=None),
            'face_confidence': 0.98 * sure,
            'dominant_emotion': 'happy',
            'emotion': dict.fromkeys(names, 0.0) | told,
        }
        for box in boxes
    ]
"""
FEAT = """
WRONG
import pandas, sys, torch

NAMES = 'anger', 'disgust', 'fear', 'happiness', 'sadness', 'surprise', 'neutral'
BOX = 'FaceRectX', 'FaceRectY', 'FaceRectWidth', 'FaceRectHeight', 'FaceScore'


class Detectorv1(torch.nn.Module):
    def __init__(
        self, face_model='retinaface', landmark_model='mobilefacenet', au_model='xgb',
        emotion_model='resmasknet', identity_model='arcface', gaze_model='l2cs',
        device='cpu',
    ):
        super().__init__()
        assert emotion_model and not (au_model or identity_model or gaze_model)

    def detect(
        self, inputs, data_type='image', output_size=None, batch_size=1, num_workers=0,
        pin_memory=False, face_identity_threshold=0.8, face_detection_threshold=0.5,
        skip_frames=None, progress_bar=True, save=None, **kwargs,
    ):
        assert (data_type, inputs.ndim, inputs.shape[1]) == ('tensor', 4, 3)
        red, _, blue = inputs[0].float().mean(dim=(1, 2)).tolist()
        happy, none = blue / max(red, 1), float('nan')
        scores = [0, 0, 0, happy, 0, 0, 1 - happy]
        rows = [[9.6, 20, 60, 60, 0.9, *scores], [100, 19.8, 170, 160, 0.9, *scores]]
        if red < 20:
            rows = [[none] * 4 + [0] + [none] * 7]
        return pandas.DataFrame(rows, columns=[*BOX, *NAMES])
"""


def write_packages(folder: Path, monkeypatch: Any, wrong: str = '') -> None:
    """Packages of that API, for processes that start; ``wrong`` is done first."""
    files = {'deepface/DeepFace.py': DEEPFACE, 'feat/detector.py': FEAT}
    for name, source in files.items():
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(source.replace('WRONG', wrong or 'pass'))
        (folder / name).with_name('__init__.py').touch()
    for told in PACKAGES.values():
        name, version = told.split('==')
        info = folder / f'{name.replace("-", "_")}-{version}.dist-info'
        info.mkdir()
        text = f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n'
        (info / 'METADATA').write_text(text)
    monkeypatch.syspath_prepend(folder)
