"""Readers of arrays, weights, pickles and videos that others wrote."""

from pathlib import Path

import numpy as np
from fuzzing import Reader
from mutations import in_archive, mutate_npy

from mmma.evaluation.scores import read_scores
from mmma.taxonomy import load_label_space

SPACE = load_label_space('mma82')


def score_file(folder: Path) -> Path:
    path = folder / 'scores.npz'
    scores = np.random.default_rng(0).dirichlet(np.ones(82), 5).astype('<f4')
    np.savez(path, clips=np.array(list('abcde')), scores=scores)
    return path


def check_scores(table):
    assert np.isfinite(table.scores).all()


READERS: list[Reader] = []
NEXT: list[Reader] = [
    Reader(
        'scores.npz',
        score_file,
        lambda path: read_scores(path, SPACE),
        in_archive(mutate_npy),
        check_scores,
    ),
]
