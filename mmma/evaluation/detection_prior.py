"""Detections of one who knows how often and how long, but does not look."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mmma.evaluation.detection_truth import DetectionTruth
from mmma.structures.detections import Detections


def prior_detections(
    train: DetectionTruth, durations: Mapping[str, float], overlap: float = 0.0
) -> dict[str, Detections]:
    """Every class of the training videos, by frequency and at its mean length.

    Each class is laid over a video from end to end; its score is its share of the
    training instances. What a detector has above it, it has seen.

    Args:
        train: Training videos.
        durations: Seconds of each video to detect in.
        overlap: Share of a segment that it has in common with the next.

    Returns:
        Video to detections, without NMS.

    Raises:
        ValueError: No training instance, or an overlap outside [0, 1).
    """
    if not 0 <= overlap < 1:
        raise ValueError(f'overlap {overlap}: use a share from 0, below 1.')
    labels = train.instances.labels
    if not len(labels):
        raise ValueError('no instance in the training videos: there is no prior.')
    counts = np.bincount(labels)
    seconds = np.bincount(labels, np.diff(train.instances.segments)[:, 0])
    classes = np.flatnonzero(counts)
    lengths, shares = seconds[classes] / counts[classes], counts[classes] / len(labels)
    found = {}
    for name, duration in durations.items():
        last = np.maximum(duration - lengths, 0)  # of the starts
        steps = 1 + np.ceil(last / (lengths * (1 - overlap))).astype(np.int64)
        starts = np.concatenate(
            [np.linspace(0, end, n) for end, n in zip(last, steps, strict=True)]
        )
        ends = np.minimum(starts + np.repeat(lengths, steps), duration)
        found[name] = Detections(
            np.stack([starts, ends], axis=1),
            np.repeat(shares, steps),
            np.repeat(classes, steps),
        )
    return found
