import numpy as np
import pytest

from mmma.evaluation.functional.bodies import (
    summed_body_scores,
    top_action_body_scores,
)

BODY_OF = (0, 0, 1, 2)


def test_sum_may_differ_from_the_body_of_the_top_action():
    scores = [[0.3, 0.3, 0.4, 0.0]]
    assert summed_body_scores(scores, BODY_OF, 3)[0] == pytest.approx([0.6, 0.4, 0])
    assert top_action_body_scores(scores, BODY_OF, 3)[0].argmax() == 1


def test_top_action_ranks_groups_by_their_best_action():
    scores = [[0.1, 0.2, 0.3, 0.4]]  # groups in order of first appearance: 2, 1, 0
    assert top_action_body_scores(scores, BODY_OF, 3).tolist() == [[2, 3, 4]]


def test_equal_actions_map_to_the_body_of_the_lower_index():
    # Actions 0 and 1 tie; the body of action 0 has the higher index.
    scores = top_action_body_scores([[0.5, 0.5]], (1, 0), 2)
    assert scores.argmax(axis=1).tolist() == [1]


def test_group_without_actions_comes_last():
    scores = [[0.0, 0.0, 0.1, -5.0]]
    assert top_action_body_scores(scores, BODY_OF, 4)[0, 3] == 0


def test_top_action_body_is_the_body_of_argmax():
    rng = np.random.default_rng(0)
    scores, body_of = rng.integers(0, 3, (200, 9)), rng.integers(0, 4, 9)
    bodies = top_action_body_scores(scores, body_of, 4).argmax(axis=1)
    assert (bodies == body_of[scores.argmax(axis=1)]).all()


def test_logits_cannot_be_summed():
    with pytest.raises(ValueError, match=r'lowest -2\).*give probabilities'):
        summed_body_scores([[1.0, -2.0, 0, 0]], BODY_OF, 3)
