from collections import Counter

import numpy as np
import pytest
import sklearn
from sklearn.metrics import (
    balanced_accuracy_score,
    f1_score,
    precision_recall_fscore_support,
    top_k_accuracy_score,
)

from mmma.evaluation.recognition import (
    CLASS_SETS,
    METRIC_KEYS,
    ClassCounts,
    class_f1,
    class_members,
    class_precision,
    class_prior,
    class_recall,
    confusion_matrix,
    count_classes,
    frequency_groups,
    fuse_body_scores,
    mask_to_classes,
    rank_outcomes,
    recognition_metrics,
    reweight_by_prior,
    summed_body_scores,
    top_action_body_scores,
    truth_ranks,
)
from mmma.taxonomy import load_label_space, load_statistics

# Truth 0, 0, 1, 1 of four classes; predictions 0, 2, 1, 0; classes 2, 3 have no truth.
LABELS = np.array([0, 0, 1, 1])
SCORES = np.array(
    [[0.7, 0.1, 0.1, 0.1], [0.2, 0.1, 0.6, 0.1], [0, 1, 0, 0], [0.5, 0.4, 0.1, 0]]
)


@pytest.fixture
def counts() -> ClassCounts:
    return count_classes(rank_outcomes(SCORES, LABELS))


def metric(counts, name, class_set='present'):
    return recognition_metrics({'action': counts, 'body': counts}, class_set)[name]


def random_case(rng):
    """Scores of a few levels, so that ties and absent classes are common."""
    num_clips, num_classes = rng.integers(1, 25), rng.integers(2, 12)
    labels = rng.integers(0, num_classes, num_clips)
    if rng.random() < 0.5:
        labels = labels % rng.integers(1, num_classes)  # absent classes
    return rng.integers(0, 4, (num_clips, num_classes)) / 4, labels


@pytest.mark.parametrize('class_set', CLASS_SETS)
def test_equals_scikit_learn_on_1000_random_cases(class_set):
    rng = np.random.default_rng(0)
    ours, theirs = [], []
    with sklearn.config_context(assume_finite=True, skip_parameter_validation=True):
        for _ in range(1000):
            scores, labels = random_case(rng)
            counts = count_classes(rank_outcomes(scores, labels))
            predictions = scores.argmax(axis=1)
            classes = {
                'present': np.unique(labels),
                'union': np.union1d(labels, predictions),
                'all': np.arange(scores.shape[1]),
            }[class_set]
            _, recall, f1, _ = precision_recall_fscore_support(
                labels, predictions, labels=classes, average='macro', zero_division=0
            )
            theirs.append([recall, f1, np.mean(labels == predictions)])
            ours.append(
                [
                    metric(counts, f'action/{name}', class_set)
                    for name in ('mca', 'macro_f1', 'top1')
                ]
            )
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.filterwarnings('ignore:y_pred contains classes not in y_true')
@pytest.mark.parametrize('seed', range(20))
def test_mca_is_balanced_accuracy_and_top1_is_micro_f1(seed):
    scores, labels = random_case(np.random.default_rng(seed))
    counts = count_classes(rank_outcomes(scores, labels))
    expected = balanced_accuracy_score(labels, scores.argmax(axis=1))
    assert metric(counts, 'action/mca') == pytest.approx(expected)
    micro = f1_score(labels, scores.argmax(axis=1), average='micro')
    assert metric(counts, 'action/micro_f1') == pytest.approx(micro)


@pytest.mark.parametrize('k', [1, 2, 5])
def test_top_k_equals_scikit_learn_in_reversed_class_order(k):
    # Of equal scores scikit-learn takes the higher index, we take the lower.
    rng = np.random.default_rng(1)
    scores, labels = rng.integers(0, 4, (300, 8)) / 4, rng.integers(0, 8, 300)
    expected = top_k_accuracy_score(
        7 - labels, scores[:, ::-1], k=k, labels=np.arange(8)
    )
    assert (truth_ranks(scores, labels) < k).mean() == pytest.approx(expected)


def test_of_equal_scores_the_lower_index_ranks_first():
    scores = np.ones((3, 6))
    assert truth_ranks(scores, np.array([0, 2, 5])).tolist() == [0, 2, 5]
    outcomes = rank_outcomes(scores, [0, 4, 5])
    assert outcomes.predictions.tolist() == [0, 0, 0]
    assert outcomes.top5.tolist() == [True, True, False]


def test_counts_and_rates_of_classes(counts):
    assert counts.support.tolist() == [2, 2, 0, 0]
    assert counts.predicted.tolist() == [2, 1, 1, 0]
    assert counts.hits.tolist() == [1, 1, 0, 0]
    assert counts.top5_hits.tolist() == [2, 2, 0, 0]
    assert class_recall(counts).tolist() == [0.5, 0.5, 0, 0]
    assert class_precision(counts).tolist() == [0.5, 1, 0, 0]
    assert class_f1(counts).tolist() == pytest.approx([1 / 2, 2 / 3, 0, 0])
    matrix = confusion_matrix(LABELS, SCORES.argmax(axis=1), 4)
    assert matrix.tolist() == [[1, 0, 1, 0], [1, 1, 0, 0], [0] * 4, [0] * 4]


@pytest.mark.parametrize(
    ('class_set', 'size'), [('present', 2), ('union', 3), ('all', 4)]
)
def test_class_sets_divide_by_their_size(counts, class_set, size):
    assert metric(counts, 'action/mca', class_set) == pytest.approx(1 / size)
    macro_f1 = metric(counts, 'body/macro_f1', class_set)
    assert macro_f1 == pytest.approx((1 / 2 + 2 / 3) / size)


def test_recognition_metrics_of_both_levels(counts):
    body = count_classes(rank_outcomes([[1, 0], [0, 1], [0, 1], [0, 1]], [0, 1, 1, 1]))
    metrics = recognition_metrics({'action': counts, 'body': body})
    assert set(metrics) == set(METRIC_KEYS)
    assert metrics['action/top1'] == metrics['action/micro_f1'] == 0.5
    assert metrics['action/top5'] == metrics['body/top1'] == 1
    # action macro 7/12, action micro 1/2, body macro and micro 1
    assert metrics['F1_mean'] == pytest.approx((7 / 12 + 1 / 2 + 1 + 1) / 4)


def test_metrics_of_stacked_counts_are_those_of_each(counts):
    double = ClassCounts(*(np.stack([v, 2 * v]) for v in vars(counts).values()))
    metrics = recognition_metrics({'action': double, 'body': double}, 'union')
    single = recognition_metrics({'action': counts, 'body': counts}, 'union')
    for key, value in metrics.items():
        assert value.tolist() == [single[key]] * 2


@pytest.mark.parametrize(
    ('scores', 'labels', 'text'),
    [
        (np.zeros((2, 3)), [0], 'do not fit labels'),
        (np.zeros(3), [0, 0, 0], 'do not fit labels'),
        (np.zeros((0, 3)), [], 'no clips to evaluate'),
        ([[0.0, 1], [np.nan, 0]], [0, 0], 'row 1 are not finite'),
        (np.zeros((1, 3)), [3], r'outside 0\.\.2'),
        (np.zeros((1, 3)), [-1], r'outside 0\.\.2'),
    ],
)
def test_bad_scores_and_labels(scores, labels, text):
    with pytest.raises(ValueError, match=text):
        rank_outcomes(scores, labels)


def test_bad_class_set(counts):
    with pytest.raises(ValueError, match="class set 'some': use one of present"):
        class_members(counts, 'some')


BODY_OF = (0, 0, 1, 2)


def test_bodies_by_sum_and_by_their_best_action():
    scores = [[0.3, 0.3, 0.4, 0.0]]  # which may differ
    assert summed_body_scores(scores, BODY_OF, 3)[0] == pytest.approx([0.6, 0.4, 0])
    assert top_action_body_scores(scores, BODY_OF, 3)[0].argmax() == 1
    scores = [[0.1, 0.2, 0.3, 0.4]]  # groups in order of first appearance: 2, 1, 0
    assert top_action_body_scores(scores, BODY_OF, 3).tolist() == [[2, 3, 4]]
    # Actions 0 and 1 tie; the body of action 0 has the higher index.
    assert top_action_body_scores([[0.5, 0.5]], (1, 0), 2).argmax() == 1
    # A group without actions comes last.
    assert top_action_body_scores([[0.0, 0, 0.1, -5]], BODY_OF, 4)[0, 3] == 0
    with pytest.raises(ValueError, match=r'lowest -2\).*give probabilities'):
        summed_body_scores([[1.0, -2.0, 0, 0]], BODY_OF, 3)


def test_top_action_body_is_the_body_of_argmax():
    rng = np.random.default_rng(0)
    scores, body_of = rng.integers(0, 3, (200, 9)), rng.integers(0, 4, 9)
    bodies = top_action_body_scores(scores, body_of, 4).argmax(axis=1)
    assert (bodies == body_of[scores.argmax(axis=1)]).all()


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


def test_limits_belong_to_head_and_tail():
    groups = frequency_groups([200, 199, 50, 49, 0])
    assert groups.tolist() == ['head', 'medium', 'medium', 'tail', 'tail']


def test_published_counts_give_the_documented_groups():
    clips = load_statistics()['rec']['all']
    share = clips['train'] / clips['clips']
    counts = [n * share for n in load_label_space().rec_instances]
    assert Counter(frequency_groups(counts).tolist()) == {
        'head': 26,
        'medium': 34,
        'tail': 22,
    }


def test_mask_renormalises_or_leaves_a_uniform_row():
    masked = mask_to_classes([[0.5, 0.3, 0.2]], [2, 1, 2])
    assert masked[0] == pytest.approx([0, 0.6, 0.4])
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
    assert class_prior([], 2).tolist() == [0.5, 0.5]


@pytest.mark.parametrize('labels', [[0, 2], [-1]])
def test_labels_of_other_classes_have_no_prior(labels):
    with pytest.raises(ValueError, match=r'labels .*\.\..* lie outside 0\.\.1'):
        class_prior(labels, 2)


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
