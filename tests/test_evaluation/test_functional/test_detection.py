import numpy as np
import pytest
from detection_problems import (
    brute_force,
    instances,
    predictions,
    random_problem,
)

from mmma.evaluation.functional.detection import (
    LEGACY,
    THRESHOLDS,
    MatchOptions,
    match_detections,
    rank_predictions,
)
from mmma.evaluation.functional.detection_ap import average_precisions
from mmma.layout.converters.frames import to_video
from mmma.layout.converters.mma52 import _by_video, read_frames
from mmma.taxonomy import load_label_space

NO_PREDICTION = predictions()


@pytest.mark.parametrize('seed', range(200))
def test_equals_a_brute_force_matcher(seed):
    truth, found = random_problem(seed)
    table = average_precisions(match := match_detections(truth, found))
    for row, threshold in enumerate(THRESHOLDS):
        expected = brute_force(truth, found, threshold)
        assert sorted(expected) == match.classes.tolist()
        values = [expected[label] for label in match.classes]
        assert table[row] == pytest.approx(values, abs=1e-9)


@pytest.mark.parametrize('seed', range(5))
def test_the_order_of_the_input_moves_nothing(seed):
    truth, found = random_problem(seed)
    rng = np.random.default_rng(seed)
    shuffled = match_detections(
        truth.select(rng.permutation(len(truth))),
        found.select(rng.permutation(len(found))),
    )
    expected = average_precisions(match_detections(truth, found))
    assert (average_precisions(shuffled) == expected).all()


def test_a_second_best_truth_that_is_free_is_taken():
    truth = instances((0, 0, 0, 10), (0, 0, 0, 6))
    # Both predictions fit the first truth best; the second still reaches 0.5 with
    # the other (6 / 10), so at 0.5 both are right, at 0.7 only one is.
    found = predictions((0, 0, 0, 10, 0.9), (0, 0, 0, 9.5, 0.8))
    match = match_detections(truth, found)
    at = dict(zip(THRESHOLDS, zip(match.hits, match.taken, strict=True), strict=True))
    assert [a.tolist() for a in at[0.5]] == [[0, 1], [1, 0]]
    assert [a.tolist() for a in at[0.7]] == [[0], [1]]


def test_a_threshold_is_reached_by_equality():
    match = match_detections(instances((0, 0, 0, 2)), predictions((0, 0, 0, 1, 1)))
    assert [len(h) for h in match.hits] == [1] * 5 + [0] * 4  # tIoU 0.5


def test_ties_go_to_the_earlier_video_start_and_end():
    found = predictions(
        (1, 0, 0, 1, 0.5),
        (0, 0, 2, 4, 0.5),
        (0, 0, 2, 3, 0.5),
        (0, 0, 1, 9, 0.5),
        (1, 0, 0, 1, 0.7),
    )
    assert rank_predictions(found).tolist() == [4, 3, 2, 1, 0]


def test_legacy_rounds_scores_and_takes_the_later_row():
    found = predictions((0, 0, 0, 1, 0.12341), (0, 0, 5, 6, 0.12339), (0, 0, 8, 9, 0))
    assert rank_predictions(found).tolist() == [0, 1, 2]
    assert rank_predictions(found, LEGACY).tolist() == [1, 0, 2]
    rounded = MatchOptions(score_decimals=4)
    assert rank_predictions(found, rounded).tolist() == [0, 1, 2]


def test_relabelling_merges_what_becomes_equal():
    truth = instances((0, 0, 0, 1), (0, 1, 0, 1.0009), (1, 0, 0, 1), (0, 0, 0, 1.002))
    assert match_detections(truth, NO_PREDICTION).merged == 0
    match = match_detections(truth.relabel([3, 3]), NO_PREDICTION)
    assert (match.merged, match.classes.tolist(), match.truths.tolist()) == (
        1,
        [3],
        [3],
    )


def test_predictions_of_classes_without_truth_are_counted():
    found = predictions((0, 0, 0, 1, 1), (0, 7, 0, 1, 1), (5, 1, 0, 1, 1))
    match = match_detections(instances((0, 0, 0, 1)), found)
    assert (match.ignored, match.order.tolist()) == (2, [0])


def real_truth(shared_data):
    """Instances of the real validation table: (video, label, start_sec, end_sec)."""
    table = shared_data / 'mma52/val.csv'
    rows = _by_video(read_frames(table, load_label_space('ma52')))
    place = dict(path='', subset='val', domain='lab', subject='')
    videos = [to_video(own, own[0].fps, place) for own in rows]
    return instances(
        *(
            (i, x.label, x.start_sec, x.end_sec)
            for i, video in enumerate(videos)
            for x in video.instances
        )
    )


def scored(truth, shift=0.0):
    rng = np.random.default_rng(0)
    rows = np.column_stack([truth.videos, truth.labels, truth.segments + shift])
    return predictions(*np.column_stack([rows, np.round(rng.random(len(truth)), 3)]))


def test_real_truth_predicted_perfectly(shared_data):
    truth = real_truth(shared_data)
    match = match_detections(truth, scored(truth))
    assert (match.merged, len(match.classes)) == (0, 52)
    assert (average_precisions(match) == 1).all()


def test_real_bodies_predicted_perfectly(shared_data):
    body_of = load_label_space('ma52').body_of
    truth = real_truth(shared_data).relabel(body_of)
    match = match_detections(truth, scored(truth))
    # Two actions of one group at once: one truth, and the second prediction is false.
    assert match.merged == 22
    assert average_precisions(match).mean() == pytest.approx(0.999, abs=5e-4)
    perfect = match_detections(match.truth, scored(match.truth))
    assert (average_precisions(perfect) == 1).all()


def test_real_truth_half_a_second_late(shared_data):
    truth = real_truth(shared_data)
    found = scored(truth, shift=0.5)
    match = match_detections(truth, found)
    table = average_precisions(match)
    for row, threshold in enumerate(THRESHOLDS):
        expected = brute_force(truth, found, threshold)
        values = [expected[label] for label in match.classes]
        assert table[row] == pytest.approx(values, abs=1e-9)
    assert table[1].mean() > table[4].mean() > table[6].mean() > 0


@pytest.mark.parametrize(
    ('truth', 'text'),
    [
        (instances(), 'no true instance'),
        (instances((0, 0, 1, 2), (0, 0, 3, 3)), r'1 truths do not end .*row 1: \[3'),
    ],
)
def test_bad_truth(truth, text):
    with pytest.raises(ValueError, match=text):
        match_detections(truth, NO_PREDICTION)


@pytest.mark.parametrize('thresholds', [(), (0.5, 0.2), (0.0, 0.5), (0.5, 1.2)])
def test_bad_thresholds(thresholds):
    with pytest.raises(ValueError, match='use rising numbers above 0'):
        MatchOptions(thresholds=thresholds)
