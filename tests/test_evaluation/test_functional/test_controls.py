import numpy as np
import pytest

from mmma.evaluation.functional.controls import (
    class_prior,
    mask_to_classes,
    reweight_by_prior,
)


def test_mask_renormalises_over_the_kept_classes():
    masked = mask_to_classes([[0.5, 0.3, 0.2]], [2, 1, 2])
    assert masked[0] == pytest.approx([0, 0.6, 0.4])


def test_mask_that_removes_all_mass_leaves_a_uniform_row():
    masked = mask_to_classes([[1.0, 0, 0], [0, 1, 0]], [1, 2])
    assert masked.tolist() == [[0, 0.5, 0.5], [0, 1, 0]]


@pytest.mark.parametrize('classes', [[], [3], [-1]])
def test_mask_needs_classes_of_the_table(classes):
    with pytest.raises(ValueError, match=r'at least one index of 0\.\.2'):
        mask_to_classes(np.ones((1, 3)), classes)


@pytest.mark.parametrize('scores', [[[0.5, -0.1]], [[np.nan, 1]], [0.5, 0.5]])
def test_controls_need_probabilities(scores):
    with pytest.raises(ValueError, match='take the softmax of logits'):
        mask_to_classes(scores, [0])


def test_prior_with_laplace_smoothing():
    assert class_prior([0, 0, 0], 2).tolist() == [4 / 5, 1 / 5]
    assert class_prior([0, 1, 0, 0], 2, smoothing=0).tolist() == [0.75, 0.25]
    assert class_prior([], 2).tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ('labels', 'smoothing', 'text'),
    [
        ([0, 2], 1.0, r'labels 0\.\.2 lie outside 0\.\.1'),
        ([-1], 1.0, 'lie outside'),
        ([0], -1.0, 'give smoothing of at least 0'),
        ([], 0.0, 'above 0 where there are no labels'),
    ],
)
def test_bad_labels_and_smoothing(labels, smoothing, text):
    with pytest.raises(ValueError, match=text):
        class_prior(labels, 2, smoothing)


def test_reweighting_follows_saerens():
    # (0.5 * 0.5 / 0.75) : (0.5 * 0.5 / 0.25) = 1 : 3
    scores = reweight_by_prior([[0.5, 0.5]], [0.75, 0.25], [0.5, 0.5])
    assert scores[0] == pytest.approx([0.25, 0.75])


def test_reweighting_gives_the_posterior_of_the_target():
    rng = np.random.default_rng(0)
    likelihood = rng.random((20, 4))
    source = class_prior([0] * 9 + [1] * 4 + [2], 4)
    target = class_prior([1] * 5 + [2] * 2, 4)

    def posterior(prior):
        joint = likelihood * prior
        return joint / joint.sum(axis=1, keepdims=True)

    moved = reweight_by_prior(posterior(source), source, target)
    np.testing.assert_allclose(moved, posterior(target))


def test_same_prior_changes_nothing_and_lost_mass_gives_the_target_prior():
    scores = [[0.2, 0.8], [0, 1]]
    prior = [0.7, 0.3]
    np.testing.assert_allclose(reweight_by_prior(scores, prior, prior), scores)
    assert reweight_by_prior([[0, 1.0]], [0.5, 0.5], [1, 0]).tolist() == [[1, 0]]


@pytest.mark.parametrize(
    ('source', 'target', 'text'),
    [
        (
            [0.2, 0.3, 0.5],
            [0.5, 0.5],
            r'shape \(3,\) and \(2,\) do not fit .* 2 classes',
        ),
        ([1, 0], [0.5, 0.5], 'source prior must be above 0'),
        ([0.5, 0.5], [1.5, -0.5], 'target prior at least 0'),
        ([0.5, 0.5], [0, 0], 'not 0 everywhere'),
    ],
)
def test_bad_priors(source, target, text):
    with pytest.raises(ValueError, match=text):
        reweight_by_prior([[0.5, 0.5]], source, target)
