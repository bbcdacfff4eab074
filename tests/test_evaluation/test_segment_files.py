import gc
import json

import numpy as np
import pytest
from detection_problems import predictions

from mmma.data.videos import read_det
from mmma.evaluation.segment_files import (
    DetectionTable,
    DetectionTruth,
    place_predictions,
    read_detections,
    read_truth,
    write_detections,
)
from mmma.taxonomy import load_label_space

SPACE = load_label_space('mma82')


def entry(label=9, score=0.5, segment=(1, 2.5), **more):
    return {'segment': list(segment), 'label': label, 'score': score, **more}


@pytest.fixture
def read(tmp_path):
    def from_content(content, space=SPACE):
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / 'd.json').write_text(text)
        return read_detections(tmp_path / 'd.json', space)

    return from_content


def test_columns(read):
    name = SPACE.actions[4]
    found = read(
        {
            'version': 1,
            'results': {
                'b': [entry(name, 2), entry('9', -1, (0, 0), rank=3)],
                'empty': [],
                'a': [entry(81, 0.25, (3, 4))],
            },
        }
    )
    assert found.names == ('b', 'empty', 'a')
    assert found.predictions.videos.tolist() == [0, 0, 2]
    assert found.predictions.labels.tolist() == [4, 9, 81]
    assert found.predictions.segments.tolist() == [[1, 2.5], [0, 0], [3, 4]]
    assert found.predictions.scores.tolist() == [2, -1, 0.25]
    assert gc.isenabled()


def test_no_detection_at_all_is_allowed(read):
    assert len(read({'results': {'v': []}}).predictions) == 0


def test_what_is_written_is_read_again(read, tmp_path):
    content = {'results': {'a': [entry(3), entry(5, 0.1)], 'é': [], 'b': [entry(3)]}}
    found = read(content)
    write_detections(tmp_path / 'again.json', found, SPACE)
    again = read_detections(tmp_path / 'again.json', SPACE)
    assert again.names == found.names
    for name, column in vars(found.predictions).items():
        assert (vars(again.predictions)[name] == column).all()
    written = json.loads((tmp_path / 'again.json').read_text())
    assert written['results']['a'][0]['label'] == SPACE.actions[3]


@pytest.mark.parametrize(
    ('content', 'text'),
    [
        ('{', r'd.json:1: not readable as JSON'),
        ([], 'no detections: need'),
        ({'results': {}}, 'no detections: need'),
        ({'database': {}}, 'no detections: need'),
        ({'results': {'v': 3}}, 'v: 3 is no list'),
        ({'results': {'v': [3]}}, r'v \[0\]: must be .*"score"}, not 3'),
        ({'results': {'v': [{'segment': [0, 1]}]}}, r'v \[0\]: must be'),
        ({'results': {'v': [entry(), entry(segment=(2, 1))]}}, r'v \[1\].*start <= en'),
        ({'results': {'v': [entry(segment=(1,))]}}, 'must be seconds'),
        ({'results': {'v': [entry(segment='12')]}}, 'must be seconds'),
        ({'results': {'v': [entry(segment=(0, float('nan')))]}}, 'must be seconds'),
        ({'results': {'v': [entry(score=True)]}}, 'score True: must be a finite'),
        ({'results': {'v': [entry(score='1')]}}, "score '1': must be a finite"),
        ({'results': {'v': [entry(score=float('inf'))]}}, 'score inf: must be a fin'),
        ({'results': {'v': [entry(True)]}}, 'label True: must be the name or index'),
        ({'results': {'v': [entry(1.0)]}}, 'label 1.0: must be the name or index'),
        ({'results': {'v': [entry([1])]}}, r'label \[1\]: must be the name or index'),
        ({'results': {'v': [entry('shaking bdy')]}}, "Did you mean 'shaking body'"),
        ({'results': {'v': [entry('x')] * 6 + [entry(99)]}}, r"'x' \(6\), 99 \(1\)"),
        ('{"results": {"v": [], "v": []}}', 'v: is there twice'),
    ],
)
def test_bad_detections(read, content, text):
    with pytest.raises(ValueError, match=text):
        read(content)


def test_a_label_of_the_other_space_is_told(read):
    space = load_label_space('ma52')
    with pytest.raises(ValueError, match='label 60 is of mma82, but the 52 actions'):
        read({'results': {'v': [entry(60)]}}, space)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match='no such file'):
        read_detections(tmp_path / 'd.json', SPACE)


def video(*marks, subset='test', **more):
    annotations = [{'segment': list(m[1:]), 'label': m[0]} for m in marks]
    return {'subset': subset, 'annotations': annotations, **more}


@pytest.fixture
def read_of_detection_truth(tmp_path):
    def from_content(content):
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / 'det.json').write_text(text)
        return read_truth(tmp_path / 'det.json', SPACE)

    return from_content


def test_anybodys_file(read_of_detection_truth):
    found = read_of_detection_truth(
        {
            'taxonomy': [],
            'database': {
                'a': video((3, 0, 1), (SPACE.actions[5], 2, 4), subset='validation'),
                'b': video(duration=9, domain='lab', subject='s1', url='x'),
                'c': {'subset': 'test'},
            },
        }
    )
    assert found.names == ('a', 'b', 'c')
    assert found.instances.labels.tolist() == [3, 5]
    assert found.instances.segments.tolist() == [[0, 1], [2, 4]]
    assert found.withheld.tolist() == [False, False, True]
    assert found.people() == ['', 'lab/s1', '']
    assert np.array_equal(found.durations, [np.nan, 9, np.nan], equal_nan=True)
    assert found.choose('validation')[1].names == ('a',)


def test_entries_of_a_data_root_are_the_same_truth(read_of_detection_truth, tmp_path):
    place = dict(path='', domain='lab', subject='s', fps=30, frames=300, duration=10)
    found = read_of_detection_truth(
        {'database': {'a': video((3, 0, 1), **place), 'b': video(**place)}}
    )
    same = DetectionTruth.from_videos(read_det(tmp_path / 'det.json', SPACE))
    assert (same.names, same.people()) == (found.names, found.people())
    assert same.durations.tolist() == found.durations.tolist()
    for name, column in vars(found.instances).items():
        assert (vars(same.instances)[name] == column).all()


def test_default_subset(read_of_detection_truth):
    both = {
        'a': video((0, 0, 1), subset='val'),
        'b': video((0, 0, 1), (1, 3, 4)),
        'c': video((7, 0, 1), subset='val'),
    }
    truth = read_of_detection_truth({'database': both})
    subset, chosen = truth.choose()
    assert (subset, chosen.names, len(chosen.instances)) == ('test', ('b',), 2)
    assert truth.choose('val')[1].instances.videos.tolist() == [0, 1]
    assert len(truth.choose('all')[1].names) == 3
    del both['b']
    assert read_of_detection_truth({'database': both}).choose()[0] == 'val'


@pytest.mark.parametrize(
    ('database', 'subset', 'text'),
    [
        ({'a': video((0, 0, 1))}, 'val', r"no videos of subset 'val'.* test \(1 vid"),
        ({'a': video((0, 0, 1))}, 'tes', "no videos of subset 'tes'"),
        ({'a': video()}, None, "no instance in the 1 videos of subset 'test'"),
        ({'a': video((0, 0, 1)), 'b': {'subset': 'test'}}, None, "1 of 2.*'b'.*withh"),
    ],
)
def test_subsets_that_cannot_be_measured(
    read_of_detection_truth, database, subset, text
):
    truth = read_of_detection_truth({'database': database})
    with pytest.raises(ValueError, match=text):
        truth.choose(subset)


@pytest.mark.parametrize(
    ('content', 'text'),
    [
        ('{', 'not readable as JSON'),
        ({'results': {}}, 'no truth: need'),
        ({'database': {'a': 3}}, 'a: must be an object'),
        ({'database': {'a': {'annotations': []}}}, 'subset None: must be a name'),
        ({'database': {'a': video(duration=0)}}, 'duration 0: must be seconds above'),
        ({'database': {'a': {'subset': 'test', 'annotations': 3}}}, 'must be a list'),
        (
            {'database': {'a': {'subset': 'test', 'annotations': [3]}}},
            'annotation 0: must be .*not 3',
        ),
        ({'database': {'a': video((0, 2, 1))}}, r'segment \[2, 1\]: must be seconds'),
        ({'database': {'a': video((0, 2, 2))}}, 'must be seconds, 0 <= start < end'),
        ({'database': {'a': video((0, 0, float('nan')))}}, 'must be seconds'),
        ({'database': {'a': video((0, 0, 9.6), duration=9)}}, 'ends after the video'),
        ({'database': {'a': video(('noding', 0, 1))}}, "Did you mean 'nodding'"),
        ('{"database": {"a": {}, "a": {}}}', 'a: is there twice'),
    ],
)
def test_bad_truth(read_of_detection_truth, content, text):
    with pytest.raises(ValueError, match=text):
        read_of_detection_truth(content)


def test_missing_file_of_detection_truth(tmp_path):
    with pytest.raises(FileNotFoundError, match='no such file'):
        read_truth(tmp_path / 'det.json', SPACE)


TRUTH = {
    'a': video((0, 0, 1), duration=5),
    'b': video((0, 0, 1)),
    'c': video((0, 0, 1), subset='val'),
}


def test_predictions_of_other_subsets_are_counted(read_of_detection_truth):
    truth = read_of_detection_truth({'database': TRUTH})
    rows = [(0, 1, 0, 1, 1), (1, 2, 0, 5.6, 1), (1, 3, -1, 1, 1), (1, 4, 0, 5.5, 1)]
    table = DetectionTable(('c', 'a'), predictions(*rows))
    found, counts = place_predictions(table, truth, truth.choose('test')[1])
    assert found.videos.tolist() == [0, 0, 0]
    assert found.labels.tolist() == [2, 3, 4]
    assert counts == dict(ignored=1, outside=2, without_prediction=1)


@pytest.mark.parametrize(
    ('names', 'rows', 'text'),
    [
        (('a', 'x1', 'bb'), [], r"for 2 unknown videos, .*'x1', 'bb'"),
        (tuple('qrstuvw'), [], r"7 unknown .*'q', 'r', 's', 't', 'u', \.\.\.;"),
        (('a',), [(0, 0, 6, 7, 1)], r'1 predictions start after .*\[6.*5 s\); frames'),
    ],
)
def test_predictions_that_do_not_belong(read_of_detection_truth, names, rows, text):
    truth = read_of_detection_truth({'database': TRUTH})
    with pytest.raises(ValueError, match=text):
        place_predictions(DetectionTable(names, predictions(*rows)), truth, truth)
