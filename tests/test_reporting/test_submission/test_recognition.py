import numpy as np
import pytest

from mmma.evaluation.scores import ScoreTable, write_scores
from mmma.reporting.submission.recognition import (
    EDITIONS,
    clip_layout,
    clip_rows,
    file_name,
    read_ma52_scores,
)
from mmma.taxonomy import load_label_space

SPACE = load_label_space('ma52')


def one_clip(values, bodies=None):
    scores = np.zeros((1, 52))
    for action, score in values.items():
        scores[0, action] = score
    return ScoreTable(('a',), scores, bodies)


# 9 nodding (head); 12 and 13 upper limb; 45 covering face (head-hand)
TABLE = one_clip(
    {9: 0.4, 12: 0.3, 13: 0.25, 45: 0.05}, np.array([[0, 1, 2, 9, 3, 4, 5]])
)


def rows(edition, body_from, table=TABLE):
    return list(clip_rows(table, edition, body_from, SPACE))


@pytest.mark.parametrize(('body_from', 'body'), [('sum', 2), ('top1', 1), ('head', 3)])
def test_2024_is_body_then_action(body_from, body):
    assert rows('mac2024', body_from) == [['a', body, 9]]


@pytest.mark.parametrize(
    ('body_from', 'bodies'),
    [
        ('sum', [2, 1, 5, 0, 3]),
        # after the scored actions come those of score 0, lowest number first
        ('top1', [1, 2, 5, 0, 3]),
        ('head', [3, 6, 5, 4, 2]),
    ],
)
def test_2025_is_five_of_each_best_first(body_from, bodies):
    assert rows('mac2025', body_from) == [['a', 9, 12, 13, 45, 0, *bodies]]


def test_unsigned_scores_rank_as_numbers():
    table = ScoreTable(('a',), TABLE.scores.astype(np.uint8))
    strong = table.scores.copy()
    strong[0, 51] = 200
    assert rows('mac2024', 'sum', ScoreTable(('a',), strong)) == [['a', 6, 51]]


def test_body_scores_that_cannot_be_had():
    with pytest.raises(ValueError, match='without any of a body head'):
        rows('mac2024', 'head', ScoreTable(('a',), TABLE.scores))
    with pytest.raises(ValueError, match=r'negative scores.*top1'):
        rows('mac2024', 'sum', one_clip({9: -1.0}))


@pytest.mark.parametrize('edition', EDITIONS)
def test_rows_fit_the_layout(edition):
    layout = clip_layout(edition, SPACE)
    (row,) = rows(edition, 'sum')
    assert len(row) == len(layout.header)
    assert all(row[at] < size for at, size in layout.classes.items())
    assert sorted(set(layout.classes.values())) == [7, 52]


def test_headers():
    assert clip_layout('mac2024', SPACE).header == (
        'id',
        'pred_label_1',
        'pred_label_2',
    )
    assert ','.join(clip_layout('mac2025', SPACE).header) == (
        'vid,action_pred_1,action_pred_2,action_pred_3,action_pred_4,action_pred_5,'
        'body_pred_1,body_pred_2,body_pred_3,body_pred_4,body_pred_5'
    )


@pytest.mark.parametrize('named', [True, False])
def test_scores_of_mma82_are_refused(tmp_path, named):
    space = load_label_space('mma82')
    path = tmp_path / 's.npz'
    if named:
        write_scores(path, ScoreTable(('a',), np.ones((1, 82))), space)
    else:
        np.savez(path, clips=['a'], scores=np.ones((1, 82)))
    with pytest.raises(ValueError, match=r's.npz: scores of the 82 actions of MMA-82'):
        read_ma52_scores(path)


def test_other_bad_scores_keep_their_message(tmp_path):
    np.savez(tmp_path / 's.npz', clips=['a'], scores=np.ones((1, 60)))
    with pytest.raises(ValueError, match=r"label space 'ma52' needs \(N, 52\)"):
        read_ma52_scores(tmp_path / 's.npz')


@pytest.mark.parametrize(
    ('name', 'written'),
    [
        ('test0000', 'test0000.mp4'),
        ('test0000.mp4', 'test0000.mp4'),
        ('v.1', 'v.1.mp4'),
    ],
)
def test_file_names(name, written):
    assert file_name(name) == written


def test_class_numbers_are_those_of_the_released_names(shared_data):
    text = (shared_data / 'ma52' / 'label_name.txt').read_text(encoding='utf-8')
    pairs = [line.split('\t') for line in text.splitlines()]
    assert pairs == [[str(i), name] for i, name in enumerate(SPACE.actions)]
