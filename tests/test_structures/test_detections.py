import numpy as np
import pytest

from mmma.structures.detections import Detections
from mmma.structures.segments import NmsOptions

SOME = Detections([[1, 3], [0, 2], [0, 2]], [0.5, 0.5, 0.9], [4, 2, 1])


def test_lists_become_arrays():
    assert SOME.segments_sec.dtype == SOME.scores.dtype == np.float64
    assert SOME.labels.dtype == np.int64
    assert len(SOME) == 3
    assert len(Detections([], [], [])) == len(Detections.empty()) == 0


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        (([[2, 1]], [1], [0]), r'segments_sec\[0\] = \[2.0, 1.0\] ends before'),
        (([[0, np.nan]], [1], [0]), r'segments_sec\[0\] = \[0.0, nan\]: not finite'),
        (([[0, 1]], [np.nan], [0]), r'scores\[0\] = nan: not finite'),
        (([[0, 1]], [1, 2], [0]), r'1 segments, scores of shape \(2,\), labels'),
        (([[0, 1]], [1], [[0]]), r'labels of shape \(1, 1\): give one score'),
        (([[0, 1]], [1], [0.0]), 'labels of type float64, lowest 0.0: use class'),
        (([[0, 1]], [1], [-1]), 'labels of type int64, lowest -1: use class'),
    ],
)
def test_bad_fields_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Detections(*fields)


def test_top_breaks_ties_by_start():
    assert SOME.top(2).labels.tolist() == [1, 2]
    assert SOME.top(9).labels.tolist() == [1, 2, 4]
    assert len(SOME.top(0)) == 0
    with pytest.raises(ValueError, match='top -1 detections: use a number from 0'):
        SOME.top(-1)


def test_parts_are_put_together():
    both = Detections.concat([SOME, Detections.empty(), SOME.shift(10)])
    assert both.segments_sec[:, 0].tolist() == [1, 0, 0, 11, 10, 10]
    assert both.labels.tolist() == [4, 2, 1, 4, 2, 1]
    assert len(Detections.concat([])) == 0


def test_clip_cuts_at_the_edges():
    assert SOME.clip(1.5, 2.5).segments_sec.tolist() == [[1.5, 2.5]] + [[1.5, 2]] * 2
    assert SOME.clip(5, 6).segments_sec.tolist() == [[5, 5]] * 3
    with pytest.raises(ValueError, match=r'clip to 2 \.\. 1 s: the end comes before'):
        SOME.clip(2, 1)


def test_a_mask_of_none_selects_none():
    assert len(SOME.select([])) == 0
    assert SOME.select(SOME.scores > 0.6).labels.tolist() == [1]


def test_bodies_keep_the_best_of_a_segment():
    found = Detections(
        [[0, 1], [0, 1], [0, 1], [0, 2], [0, 1]], [0.2, 0.6, 0.5, 0.3, 0.6], range(5)
    ).to_bodies([0, 0, 1, 0, 0])
    assert found.segments_sec.tolist() == [[0, 1], [0, 1], [0, 2]]
    assert found.labels.tolist() == [0, 1, 0]
    assert found.scores.tolist() == [0.6, 0.5, 0.3]
    assert len(Detections.empty().to_bodies([0])) == 0


def test_relabelling_before_nms_leaves_no_doubles():
    same = Detections([[0, 1], [0, 1]], [0.9, 0.8], [0, 1])
    assert len(same.nms()) == 2
    assert same.to_bodies([3, 3]).nms().scores.tolist() == [0.9]


def test_nms_takes_options():
    assert SOME.nms(NmsOptions(max_per_video=1)).labels.tolist() == [1]


def test_rows_are_those_of_a_file():
    rows = SOME.top(1).to_rows(['none', 'nod'])
    assert rows == [{'segment': [0.0, 2.0], 'label': 'nod', 'score': 0.9}]
    assert type(rows[0]['score']) is float


@pytest.mark.parametrize(
    ('use', 'message'),
    [
        (lambda: SOME.to_rows(['nod']), 'label 4 has no name: there are 1'),
        (lambda: SOME.to_bodies([0]), 'label 4 has no body group: there are 1 act'),
    ],
)
def test_unknown_labels_are_refused(use, message):
    with pytest.raises(ValueError, match=message):
        use()
