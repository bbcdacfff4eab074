import numpy as np
import pytest
from detection_problems import random_problem

from mmma.evaluation.functional.detection import match_detections
from mmma.evaluation.functional.detection_ap import (
    average_precisions,
    detection_metrics,
)
from mmma.evaluation.functional.detection_instances import Instances, Predictions
from mmma.evaluation.functional.detection_intervals import (
    Level,
    choose_units,
    detection_intervals,
    resample,
)
from mmma.evaluation.functional.intervals import BootstrapOptions


def problem(seed):
    """Without tied scores within a video, where copies of it could be told apart."""
    truth, found = random_problem(seed)
    scores = np.random.default_rng(seed).permutation(len(found)) / 100 + 0.001
    return truth, Predictions(found.videos, found.labels, found.segments, scores)


def drawn_anew(truth, found, weights):
    """Truth and predictions with each video copied as often as it was drawn."""
    copies = np.repeat(np.arange(len(weights)), weights)

    def copy(table):
        rows = [np.flatnonzero(table.videos == v) for v in copies]
        new = np.repeat(np.arange(len(copies)), [len(own) for own in rows])
        own = table.select(np.concatenate(rows))
        return type(table)(**{**vars(own), 'videos': new})

    return copy(truth), copy(found)


@pytest.mark.parametrize('seed', range(12))
def test_a_resample_equals_evaluating_its_videos_anew(seed):
    truth, found = problem(seed)
    rng = np.random.default_rng(seed)
    videos = int(max(truth.videos.max(), found.videos.max(initial=0))) + 1
    weights = rng.multinomial(videos, np.full(videos, 1 / videos), size=6)
    level = Level.of(match := match_detections(truth, found), found)
    metrics, by_class = resample({'action': level}, np.arange(videos), weights)
    compared = 0
    for row, own in enumerate(weights):
        if not own[truth.videos].any():
            continue
        again = match_detections(*drawn_anew(truth, found, own))
        precisions = average_precisions(again)
        for key, value in detection_metrics({'action': precisions}).items():
            assert metrics[key][row] == pytest.approx(float(value), abs=1e-9)
        present = np.isin(match.classes, again.classes)
        assert np.isnan(by_class['action'][row][~present]).all()
        expected = precisions.mean(axis=0)
        assert by_class['action'][row][present] == pytest.approx(expected, abs=1e-9)
        compared += 1
    assert compared > 0


def test_intervals_hold_the_measured_value():
    truth, found = problem(3)
    videos = int(max(truth.videos.max(), found.videos.max())) + 1
    match = match_detections(truth, found)
    options = BootstrapOptions(resamples=300, seed=1)
    levels = {'action': Level.of(match, found)}
    intervals, classes = detection_intervals(levels, [''] * videos, options=options)
    measured = detection_metrics({'action': average_precisions(match)})
    for key, (low, high) in intervals.bounds.items():
        assert 0 <= low <= measured[key] <= high <= 1
    assert (intervals.unit, intervals.units) == ('video', videos)
    assert classes['action'].shape == (len(match.classes), 2)
    again, _ = detection_intervals(levels, [''] * videos, options=options)
    assert again == intervals


@pytest.mark.parametrize(
    ('subjects', 'unit', 'units'),
    [
        (['a', 'b', 'c', 'd', 'e', 'a'], 'subject', 5),
        (['a', 'b', 'c', 'd', 'a', 'a'], 'video', 6),
        (['a', 'b', 'c', 'd', 'e', ''], 'video', 6),
    ],
)
def test_units(subjects, unit, units):
    name, unit_of = choose_units(subjects)
    assert (name, len(set(unit_of.tolist()))) == (unit, units)


@pytest.mark.parametrize('options', [dict(resamples=0), dict(level=1.0)])
def test_bad_options(options):
    truth, found = problem(0)
    level = Level.of(match_detections(truth, found), found)
    with pytest.raises(ValueError, match='use at least one resample'):
        detection_intervals(
            {'action': level}, [''] * 9, options=BootstrapOptions(**options)
        )


def test_instances_of_a_video_without_predictions_count():
    truth = Instances(np.arange(3), np.zeros(3, int), np.tile([0.0, 1], (3, 1)))
    found = Predictions(
        np.array([0]), np.zeros(1, int), np.array([[0.0, 1]]), np.ones(1)
    )
    level = Level.of(match_detections(truth, found), found)
    weights = np.array([[3, 0, 0], [0, 3, 0], [1, 1, 1]])
    metrics, _ = resample({'action': level}, np.arange(3), weights)
    assert metrics['action/mAP'] == pytest.approx([1, 0, 1 / 3])
