import numpy as np
import pytest

from mmma.evaluation.functional.bodies import (
    fuse_body_scores,
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


def test_fused_scores_are_the_renormalised_product():
    # 0.5*0.2, 0.3*0.2, 0.2*0.7, 0*0.1 of sum 0.3
    fused = fuse_body_scores([[0.5, 0.3, 0.2, 0]], [[0.2, 0.7, 0.1]], BODY_OF)
    assert fused[0] == pytest.approx([1 / 3, 0.2, 7 / 15, 0])
    # Of weight 0.5 at 0.04 and 0.64: 0.5*0.2, 0.5*0.8.
    fused = fuse_body_scores([[0.5, 0, 0.5, 0]], [[0.04, 0.64, 0.32]], BODY_OF, 0.5)
    assert fused[0] == pytest.approx([0.2, 0, 0.8, 0])


def test_fusing_with_weight_0_or_even_bodies_changes_nothing():
    actions = np.random.default_rng(0).dirichlet(np.ones(4), size=5)
    bodies = np.random.default_rng(1).dirichlet(np.ones(3), size=5)
    even = np.full((5, 3), 1 / 3)
    np.testing.assert_allclose(fuse_body_scores(actions, bodies, BODY_OF, 0), actions)
    np.testing.assert_allclose(fuse_body_scores(actions, even, BODY_OF, 3), actions)


def test_levels_that_contradict_each_other_stay_finite():
    fused = fuse_body_scores([[1.0, 0, 0, 0]], [[0.0, 1, 0]], BODY_OF, 4)
    assert fused.tolist() == [[1, 0, 0, 0]]


@pytest.mark.parametrize(
    ('actions', 'bodies', 'weight', 'message'),
    [
        ([[1, -2, 0, 0]], [[1, 0, 0]], 1, r'action scores .*lowest -2.*softmax'),
        ([[1, 0, 0, 0]], [[0, 0, 0]], 1, r'body scores .*row of zeros'),
        ([[1, 0, 0, 0]], [[1, 0, 0]], -1, 'fusion weight -1: use a number from 0'),
    ],
)
def test_what_cannot_be_fused(actions, bodies, weight, message):
    with pytest.raises(ValueError, match=message):
        fuse_body_scores(actions, bodies, BODY_OF, weight)
