import numpy as np
import pytest
import sklearn
from sklearn.metrics import (
    balanced_accuracy_score,
    f1_score,
    precision_recall_fscore_support,
    top_k_accuracy_score,
)

from mmma.evaluation.functional.recognition import (
    CLASS_SETS,
    METRIC_KEYS,
    ClassCounts,
    accuracy,
    class_f1,
    class_members,
    class_precision,
    class_recall,
    confusion_matrix,
    count_classes,
    macro_f1,
    mean_class_accuracy,
    rank_outcomes,
    recognition_metrics,
    top_k_accuracy,
    truth_ranks,
)

# Truth 0, 0, 1, 1 of four classes; predictions 0, 2, 1, 0; classes 2, 3 have no truth.
LABELS = np.array([0, 0, 1, 1])
SCORES = np.array(
    [[0.7, 0.1, 0.1, 0.1], [0.2, 0.1, 0.6, 0.1], [0, 1, 0, 0], [0.5, 0.4, 0.1, 0]]
)


@pytest.fixture
def counts() -> ClassCounts:
    return count_classes(rank_outcomes(SCORES, LABELS))


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
                    mean_class_accuracy(counts, class_set),
                    macro_f1(counts, class_set),
                    accuracy(counts),
                ]
            )
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.filterwarnings('ignore:y_pred contains classes not in y_true')
@pytest.mark.parametrize('seed', range(20))
def test_mca_is_balanced_accuracy_and_top1_is_micro_f1(seed):
    scores, labels = random_case(np.random.default_rng(seed))
    counts = count_classes(rank_outcomes(scores, labels))
    expected = balanced_accuracy_score(labels, scores.argmax(axis=1))
    assert mean_class_accuracy(counts) == pytest.approx(expected)
    micro = f1_score(labels, scores.argmax(axis=1), average='micro')
    assert accuracy(counts) == pytest.approx(micro)


@pytest.mark.parametrize('k', [1, 2, 5])
def test_top_k_equals_scikit_learn_in_reversed_class_order(k):
    # Of equal scores scikit-learn takes the higher index, we take the lower.
    rng = np.random.default_rng(1)
    scores, labels = rng.integers(0, 4, (300, 8)) / 4, rng.integers(0, 8, 300)
    expected = top_k_accuracy_score(
        7 - labels, scores[:, ::-1], k=k, labels=np.arange(8)
    )
    assert top_k_accuracy(scores, labels, k) == pytest.approx(expected, abs=1e-12)


def test_of_equal_scores_the_lower_index_ranks_first():
    scores = np.ones((3, 6))
    assert truth_ranks(scores, [0, 2, 5]).tolist() == [0, 2, 5]
    outcomes = rank_outcomes(scores, [0, 4, 5])
    assert outcomes.predictions.tolist() == [0, 0, 0]
    assert outcomes.top5.tolist() == [True, True, False]


def test_counts(counts):
    assert counts.support.tolist() == [2, 2, 0, 0]
    assert counts.predicted.tolist() == [2, 1, 1, 0]
    assert counts.hits.tolist() == [1, 1, 0, 0]
    assert counts.top5_hits.tolist() == [2, 2, 0, 0]


def test_confusion_matrix_has_truth_in_rows():
    matrix = confusion_matrix(LABELS, SCORES.argmax(axis=1), 4)
    assert matrix.tolist() == [[1, 0, 1, 0], [1, 1, 0, 0], [0] * 4, [0] * 4]


def test_rates_of_classes(counts):
    assert class_recall(counts).tolist() == [0.5, 0.5, 0, 0]
    assert class_precision(counts).tolist() == [0.5, 1, 0, 0]
    assert class_f1(counts).tolist() == pytest.approx([1 / 2, 2 / 3, 0, 0])


@pytest.mark.parametrize(
    ('class_set', 'size'), [('present', 2), ('union', 3), ('all', 4)]
)
def test_class_sets_divide_by_their_size(counts, class_set, size):
    assert mean_class_accuracy(counts, class_set) == pytest.approx(1 / size)
    assert macro_f1(counts, class_set) == pytest.approx((1 / 2 + 2 / 3) / size)


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


def test_k_beyond_the_classes_hits_always():
    assert top_k_accuracy(SCORES, LABELS, 9) == 1


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


def test_bad_k_and_class_set(counts):
    with pytest.raises(ValueError, match='k = 0'):
        top_k_accuracy(SCORES, LABELS, 0)
    with pytest.raises(ValueError, match="class set 'some': use one of present"):
        class_members(counts, 'some')
