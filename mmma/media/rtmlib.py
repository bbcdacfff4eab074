"""Extractor on RTMLib: a person detector and a whole-body model as local ONNX files.

Any model of COCO-WholeBody's 133 joints will do (RTMW, DWPose); the face is left out.
"""

import contextlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from mmma.checkpoints import file_sha256
from mmma.media.pose import NUM_JOINTS, Extractor, PoseOptions

WHOLEBODY = [*range(23), *range(91, 133)]
"""Our joints in COCO-WholeBody: body and feet, then both hands, without the 68 of the
face. Source: COCO-WholeBody (arXiv 2007.11858)."""

FILES = {
    'det.onnx': 'a YOLOX person detector, as yolox_m_8xb8-300e_humanart-c2c7a14a',
    'pose.onnx': 'a whole-body model of 133 joints, as '
    'rtmw-dw-x-l_simcc-cocktail14_270e-384x288_20231122',
}
_ZIPS = 'download.openmmlab.com/mmpose/v1/projects: end2end.onnx of the named zip'
_SURE = 0.3
_LEAST_OVERLAP = 0.3


class PersonPlaces:
    """Gives the people of each frame their places.

    Someone who overlaps with where a place's person was last seen keeps that place.
    Newcomers, the largest first, take places that are free: never used, or unseen for a
    second.
    """

    def __init__(self, persons: int, fps: float) -> None:
        self._boxes = np.zeros((persons, 4))
        self._unseen = np.full(persons, np.inf)
        self._patience = fps

    def assign(self, keypoints: np.ndarray, scores: np.ndarray) -> list[int | None]:
        """Place of each person of the next frame; None where all are taken.

        Joints are (P, V, 2) in pixels, their scores (P, V) in [0, 1].
        """
        found = zip(keypoints, scores, strict=True)
        boxes = np.array([joint_box(*pair) for pair in found]).reshape(-1, 4)
        places: list[int | None] = [None] * len(boxes)
        self._unseen += 1
        free = self._unseen > self._patience
        overlap = np.where(free, 0, box_overlap(boxes, self._boxes))
        while overlap.size and overlap.max() >= _LEAST_OVERLAP:
            person, place = np.unravel_index(overlap.argmax(), overlap.shape)
            places[person] = int(place)
            overlap[person], overlap[:, place] = 0, 0
        weights = _area(boxes) * scores.mean(axis=-1)
        left = list(np.flatnonzero(free))
        for person in np.argsort(-weights, kind='stable'):
            if places[person] is None and left:
                places[person] = int(left.pop(0))
        for person, place in enumerate(places):
            if place is not None:
                self._boxes[place], self._unseen[place] = boxes[person], 0
        return places


def joint_box(keypoints: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(4,) left, top, right, bottom of the joints (V, 2) that are sure, or of all."""
    sure = scores >= _SURE
    points = keypoints[sure] if sure.any() else keypoints
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


def box_overlap(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(P, G) intersection over union of (P, 4) and (G, 4); 0 where both are empty."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(axis=-1)
    union = _area(boxes)[:, None] + _area(others)[None] - common
    return common / np.where(union > 0, union, 1)


def _area(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2:] - boxes[:, :2]).prod(axis=-1)


def describe(options: PoseOptions) -> str:
    """Name, version, model files and options; ValueError where these do not fit."""
    if options.smooth:
        raise ValueError('--smooth is an option of mediapipe; rtmlib does not smooth')
    files = model_files(options.models)
    for package in ('rtmlib', 'onnxruntime'):
        if importlib.util.find_spec(package) is None:
            told = 'pip install rtmlib onnxruntime (onnxruntime-gpu for --device cuda)'
            raise ValueError(f'{package} is not installed: {told}')
    version = importlib.metadata.version('rtmlib')
    marks = (f'{file.stem}={file_sha256(file)[:8]}' for file in files)
    return f'rtmlib {version} {" ".join(marks)} persons={options.persons}'


def model_files(folder: Path | None) -> list[Path]:
    """Paths of ``det.onnx`` and ``pose.onnx`` in the user's ``--models``."""
    files = [Path(folder or '.') / name for name in FILES]
    if folder is None or not all(map(Path.is_file, files)):
        needs = '; '.join(f'{name}: {what}' for name, what in FILES.items())
        where = f'--models {folder}' if folder is not None else 'no --models DIR'
        told = f'rtmlib needs two local files. {needs}. They come from {_ZIPS}'
        raise FileNotFoundError(f'{where}: {told}')
    return files


def build(options: PoseOptions) -> 'RtmlibExtractor':
    """Load the models."""
    from rtmlib import YOLOX, RTMPose

    detector, pose = model_files(options.models)
    how = {'backend': 'onnxruntime', 'device': options.device}
    with contextlib.redirect_stdout(sys.stderr):  # rtmlib prints what it loads
        return RtmlibExtractor(
            YOLOX(str(detector), model_input_size=_input_size(detector), **how),
            RTMPose(str(pose), model_input_size=_input_size(pose)[::-1], **how),
            options.persons,
        )


class RtmlibExtractor(Extractor):
    """Several people per frame, each of them in one place of the store.

    Args:
        detector: Picture (BGR) -> (P, 4) boxes.
        pose: Picture (RGB) and boxes -> keypoints (P, 133, 2), scores (P, 133).
        persons: Most people to keep.
    """

    def __init__(self, detector: Any, pose: Any, persons: int) -> None:
        self._detector, self._pose, self._persons = detector, pose, persons

    def extract(
        self, frames: Iterable[np.ndarray], fps: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Joints of a clip: see :class:`Extractor`.

        Someone may be out of sight for one second, ``fps``, and keep the place.
        """
        places = PersonPlaces(self._persons, fps)
        found = [self._frame(frame, places) for frame in frames]
        keypoints, scores = (np.stack(p, axis=1) for p in zip(*found, strict=True))
        people = scores.any(axis=(1, 2))
        seen = max(1, int(np.flatnonzero(people).max(initial=0)) + 1)
        return keypoints[:seen], scores[:seen]

    def _frame(
        self, frame: np.ndarray, places: PersonPlaces
    ) -> tuple[np.ndarray, np.ndarray]:
        """(M, V, 2) pixels and (M, V) scores."""
        keypoints = np.zeros((self._persons, NUM_JOINTS, 2))
        scores = np.zeros((self._persons, NUM_JOINTS))
        # YOLOX was trained on BGR; RTMPose subtracts the mean of RGB.
        boxes = np.asarray(self._detector(np.ascontiguousarray(frame[:, :, ::-1])))
        if not len(boxes):  # rtmlib would take the whole picture for a person
            return keypoints, scores
        found, sure = self._pose(frame, bboxes=boxes)
        found, sure = found[:, WHOLEBODY], np.clip(sure[:, WHOLEBODY], 0, 1)
        for person, place in enumerate(places.assign(found, sure)):
            if place is not None:
                keypoints[place], scores[place] = found[person], sure[person]
        return keypoints, scores


def _input_size(model: Path) -> tuple[int, int]:
    """Height and width of the pictures that an ONNX model takes."""
    import onnxruntime

    cpu = ['CPUExecutionProvider']
    session = onnxruntime.InferenceSession(str(model), providers=cpu)
    shape = session.get_inputs()[0].shape
    if len(shape) != 4 or not all(isinstance(side, int) for side in shape[2:]):
        raise ValueError(f'{model}: its input is {shape}, need (N, 3, height, width)')
    return shape[2], shape[3]
