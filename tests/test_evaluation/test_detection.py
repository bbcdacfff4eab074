import numpy as np
import pytest
from detection_problems import (
    brute_force,
    instances,
    metric_keys,
    predictions,
    random_problem,
)
from sklearn.metrics import average_precision_score

from mmma.convert.ma52 import read_frames, to_video
from mmma.evaluation.detection import (
    THRESHOLDS,
    average_precision,
    average_precisions,
    detection_metrics,
    expand_runs,
    frame_average_precisions,
    match_detections,
    merge_duplicates,
    preset_columns,
    rank_predictions,
    recall_at,
)
from mmma.files import OddEntries
from mmma.taxonomy import load_label_space


@pytest.mark.parametrize('chunk', [1, 2, 5, 100])
def test_runs(chunk):
    chunks = list(expand_runs(np.array([5, 0, 7]), np.array([2, 0, 3]), chunk))
    columns = zip(*chunks, strict=True)
    rows, members = (np.concatenate(column).tolist() for column in columns)
    assert rows == [0, 0, 2, 2, 2]
    assert members == [5, 6, 7, 8, 9]


def test_duplicates_are_compared_with_what_is_kept():
    # The third is close to the second alone, which is dropped: it stays.
    rows = [(0, 0, 0, 5), (0, 0, 0.0008, 5), (0, 0, 0.0016, 5), (0, 0, 0.0001, 7)]
    kept = merge_duplicates(instances(*rows[::-1]))
    assert kept.segments_sec.tolist() == [[0, 5], [0.0001, 7], [0.0016, 5]]


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
    match = match_detections(instances((0, 0, 0, 2)), predictions((0, 0, 0, 1, 1)))
    assert [len(h) for h in match.hits] == [1] * 5 + [0] * 4  # 0.5 is reached


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
    assert rank_predictions(found, legacy=True).tolist() == [1, 0, 2]


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
    assert (len(match.found), match.order.tolist()) == (3, [0])


def real_truth(shared_data):
    """Instances of the real validation table: (video, label, start_sec, end_sec)."""
    table = shared_data / 'mma52/val.csv'
    rows = {}
    for row in read_frames(OddEntries(table), load_label_space('ma52')):
        rows.setdefault(row.video, []).append(row)
    place = dict(path='', subset='val', domain='lab', subject='')
    videos = [to_video(own, own[0].fps, place) for own in rows.values()]
    return instances(
        *(
            (i, x.label, x.start_sec, x.end_sec)
            for i, video in enumerate(videos)
            for x in video.instances
        )
    )


def scored(truth, shift=0.0):
    rng = np.random.default_rng(0)
    rows = np.column_stack([truth.videos, truth.labels, truth.segments_sec + shift])
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
        match_detections(instances((0, 0, 1, 2)), NO_PREDICTION, None, thresholds)


TRUTH = instances((0, 0, 0, 1), (1, 0, 0, 1), (1, 3, 0, 1))
HITS_1_AND_3 = [(0, 0, 0, 1, 0.9), (0, 0, 5, 6, 0.8), (1, 0, 0, 1, 0.7)]


def test_ap_by_hand():
    match = match_detections(TRUTH, predictions(*HITS_1_AND_3))
    # Hits at ranks 1 and 3 of two truths; class 3 is never predicted.
    assert average_precisions(match) == pytest.approx(np.tile([5 / 6, 0], (9, 1)))
    assert (average_precisions(match_detections(TRUTH, NO_PREDICTION)) == 0).all()


def test_the_envelope_takes_a_later_higher_precision():
    found = predictions((0, 0, 5, 6, 0.9), *[(v, 0, 0, 1, 0.5) for v in (0, 1)])
    match = match_detections(TRUTH, found)
    # Precision 1/2 then 2/3: both recall steps count 2/3.
    assert average_precisions(match)[0, 0] == pytest.approx(2 / 3)


def test_metrics_and_presets():
    rising = np.arange(1, 10)[:, None] / 10
    levels = {'action': rising * [1, 0], 'body': rising}
    metrics = detection_metrics(levels)
    assert THRESHOLDS == (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    assert tuple(metrics) == metric_keys()
    assert metrics['action/mAP@0.30'] == pytest.approx(0.15)
    assert metrics['action/mAP'] == pytest.approx(0.25)
    assert metrics['AVG'] == pytest.approx((0.25 + 0.5) / 2)
    mac = detection_metrics({'body': rising}, preset='mac')
    assert tuple(mac) == metric_keys(['body'])
    assert mac['body/mAP'] == pytest.approx((0.2 + 0.5 + 0.7) / 3)
    only = detection_metrics(levels, {'action': np.array([0, 1]), 'body': np.ones(1)})
    assert only['action/mAP'] == 0
    none = detection_metrics({'body': rising}, {'body': np.zeros(1)})
    assert none['body/mAP'] == 0
    with pytest.raises(ValueError, match="preset 'thumos': use one of mma82, mac"):
        preset_columns('thumos')


@pytest.mark.parametrize('seed', range(10))
def test_recall_is_that_of_the_first_n_of_each_video(seed):
    truth, found = random_problem(seed)
    ranking = rank_predictions(found)
    recalls = recall_at(match_detections(truth, found), (1, 3, 1000))
    for n, recall in recalls.items():
        seen, rows = dict.fromkeys(range(9), 0), []
        for row in ranking:
            seen[found.videos[row]] += 1
            if seen[found.videos[row]] <= n:
                rows.append(row)
        first = match_detections(truth, found.select(np.array(rows, dtype=int)))
        hits = [len(own) for own in first.hits]
        assert recall == pytest.approx(np.array(hits) / first.truths.sum())


def shown_at(table, video, label, moments):
    """(n,) best score, -1 where nothing is, one segment and moment at a time."""
    best = np.full(len(moments), -1.0)
    for (start, end), score, own, place in zip(
        table.segments_sec, table.scores, table.labels, table.videos, strict=True
    ):
        if (own, place) != (label, video) or start >= moments[-1] + 1 or end < 0:
            continue
        inside = [i for i, at in enumerate(moments) if start <= at < end]
        middle = (start + end) / 2
        inside = inside or [int(np.abs(moments - middle).argmin())]
        best[inside] = np.maximum(best[inside], score)
    return best


@pytest.mark.parametrize(('seed', 'rate'), [(0, 15), (1, 15), (2, 30), (3, 0)])
def test_frame_ap_equals_scikit_learn(seed, rate):
    truth, found = random_problem(seed)
    durations = np.random.default_rng(seed).uniform(4, 9, 6).round(2)
    labels, values = frame_average_precisions(truth, found, durations, rate)
    for label, value in zip(labels, values, strict=True):
        true, scores = [], []
        for video, duration in enumerate(durations):
            every = np.arange(300) / (rate or 25 / duration)
            moments = every[every < duration - 1e-9]
            own = found.select(found.segments_sec[:, 0] < durations[found.videos])
            true.append(shown_at(truth, video, label, moments) >= 0)
            scores.append(shown_at(own, video, label, moments))
        expected = average_precision_score(np.concatenate(true), np.concatenate(scores))
        assert value == pytest.approx(expected, abs=1e-12)


def test_frame_ap_by_hand():
    truth = instances((0, 0, 0, 0.3), (0, 4, 0.31, 0.34))
    found = predictions((0, 0, 0.1, 0.5, 0.9), (0, 0, 0.2, 0.4, 0.1), (0, 4, 2, 3, 1))
    labels, values = frame_average_precisions(truth, found, [1.0], 10)
    assert labels.tolist() == [0, 4]
    # Moments 1 to 4 are shown, 1 and 2 true; then the six others, one of them true.
    assert values[0] == pytest.approx(2 / 3 * 2 / 4 + 1 / 3 * 3 / 10)
    assert values[1] == pytest.approx(1 / 10)  # what is short is at moment 3


def test_frame_ap_of_scores_of_frames():
    truth = instances((0, 0, 0, 0.2), (1, 0, 0.1, 0.3), (1, 1, 0, 0.4))
    scores = [np.array([[9, 0], [7, 0], [8, 0], [1, 0]]), np.array([[2, 5]] * 4)]
    _, values = frame_average_precisions(truth, scores, [0.4, 0.4], 10)
    # 9 hits, 8 misses, 7 hits, the four of 2 have two hits, all tied.
    expected = [1 / 4 + 1 / 4 * 2 / 3 + 2 / 4 * 4 / 7, 1]
    assert values == pytest.approx(expected)
    twice = [own.repeat(2, axis=0) for own in scores]  # frames of another rate
    same = frame_average_precisions(truth, twice, [0.4, 0.4], 10)[1]
    assert same == pytest.approx(expected)


def test_frame_ap_of_what_is_perfect_and_of_nothing():
    truth = instances((0, 0, 0, 1), (1, 0, 1, 2), (1, 3, 0.51, 0.52))
    perfect = frame_average_precisions(truth, truth, [2, 2])
    assert perfect[1].tolist() == [1, 1]
    nothing = frame_average_precisions(truth, predictions(), [2, 2])
    assert nothing[1] == pytest.approx([30 / 60, 1 / 60])  # the share of true moments
    for unknown in (np.nan, 0.0):
        with pytest.raises(ValueError, match='1 videos without a duration'):
            frame_average_precisions(truth, predictions(), [unknown, 2])


def test_average_precision_counts_ties_together():
    true = np.array([True, False, False, True])
    scores = np.array([0.5, 0.5, 0.9, 0.1])
    expected = average_precision_score(true, scores)
    assert average_precision(true, scores) == pytest.approx(expected)
