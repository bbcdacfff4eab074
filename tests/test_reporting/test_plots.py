import numpy as np

from mmma.evaluation.rows import Truth
from mmma.evaluation.scores import ScoreTable
from mmma.reporting.plots import (
    confused_pairs,
    count_confusions,
    draw_confusions,
    same_body_share,
)
from mmma.taxonomy import load_label_space

SPACE = load_label_space()
NODDING, SHAKING, WAVING = map(SPACE.action_id, ['nodding', 'shaking head', 'waving'])


def counts():
    truth = [NODDING, NODDING, NODDING, WAVING]
    predicted = [SHAKING, SHAKING, NODDING, NODDING]
    names = tuple('abcd')
    table = ScoreTable(names, np.eye(SPACE.num_actions)[predicted])
    labels = np.array(truth)
    bodies = np.array(SPACE.body_of)[labels]
    known = Truth(names, labels, bodies, ('lab',) * 4, ('s',) * 4)
    return count_confusions(table, known, SPACE)


def test_mistakes_are_counted_and_ranked():
    assert confused_pairs(counts(), SPACE) == [
        ('nodding', 'shaking head', 2),
        ('waving', 'nodding', 1),
    ]
    assert same_body_share(counts(), SPACE) == 2 / 3


def test_the_picture_is_a_png(tmp_path):
    path = tmp_path / 'confusions.png'
    draw_confusions(counts(), SPACE, path, 'title')
    assert path.read_bytes().startswith(b'\x89PNG')
