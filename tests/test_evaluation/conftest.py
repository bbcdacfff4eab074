"""A label space of four actions in two groups, and six clips of it in two domains."""

import numpy as np
import pytest

from mmma.evaluation.rows import Truth
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
def truth() -> Truth:
    return Truth(
        names=('a', 'b', 'c', 'd', 'e', 'f'),
        labels=np.array([0, 1, 2, 2, 0, 2]),
        bodies=np.array([0, 0, 1, 1, 0, 1]),
        domains=('lab', 'lab', 'lab', 'lab', 'street', 'street'),
        subjects=('1', '1', '2', '', '1', '3'),
    )


@pytest.fixture
def table(truth) -> ScoreTable:
    """Predictions 0, 0, 2, 3 in the lab and 0, 0 on the street."""
    scores = [
        [0.7, 0.1, 0.1, 0.1],
        [0.6, 0.4, 0.0, 0.0],
        [0.3, 0.3, 0.4, 0.0],
        [0.0, 0.0, 0.4, 0.6],
        [0.9, 0.1, 0.0, 0.0],
        [0.4, 0.0, 0.3, 0.3],
    ]
    return ScoreTable(truth.names, np.array(scores))
