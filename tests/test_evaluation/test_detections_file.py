import gc
import json

import pytest

from mmma.evaluation.detections_file import read_detections, write_detections
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
