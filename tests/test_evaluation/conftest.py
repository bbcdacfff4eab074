"""A label space of four actions in two groups, and six clips of it in two domains."""

import numpy as np
import pytest

from mmma.data.clips import Clip
from mmma.evaluation.scores import ScoreTable
from mmma.taxonomy import LabelSpace


@pytest.fixture
def space() -> LabelSpace:
    return LabelSpace(
        name='toy',
        actions=('nod', 'shake, slow', 'wave', 'clap'),
        bodies=('head', 'hand'),
        body_of=(0, 0, 1, 1),
    )


@pytest.fixture
def clips() -> list[Clip]:
    rows = [
        ('a', 'lab', '1', 0, 0),
        ('b', 'lab', '1', 1, 0),
        ('c', 'lab', '2', 2, 1),
        ('d', 'lab', '', 2, 1),
        ('e', 'street', '1', 0, 0),
        ('f', 'street', '3', 2, 1),
    ]
    return [Clip(name, '', 'test', *place) for name, *place in rows]


@pytest.fixture
def table(clips) -> ScoreTable:
    """Predictions 0, 0, 2, 3 in the lab and 0, 0 on the street."""
    scores = [
        [0.7, 0.1, 0.1, 0.1],
        [0.6, 0.4, 0.0, 0.0],
        [0.3, 0.3, 0.4, 0.0],
        [0.0, 0.0, 0.4, 0.6],
        [0.9, 0.1, 0.0, 0.0],
        [0.4, 0.0, 0.3, 0.3],
    ]
    return ScoreTable(tuple(clip.clip for clip in clips), np.array(scores))
