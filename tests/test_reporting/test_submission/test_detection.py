import json

import pytest

from mmma.reporting.submission.detection import (
    HEADERS,
    Detection,
    read_detections,
    segment_layout,
    segment_rows,
    video_id,
)
from mmma.taxonomy import load_label_space

SPACE = load_label_space('ma52')


def entry(label=9, score=0.5, segment=(1, 2.5)):
    return {'segment': list(segment), 'label': label, 'score': score}


@pytest.fixture
def read(tmp_path):
    def from_content(content):
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / 'd.json').write_text(text)
        return read_detections(tmp_path / 'd.json', SPACE)

    return from_content


def test_labels_by_name_or_index(read):
    found = read({'results': {'v': [entry(9), entry('nodding'), entry('9')]}, 'x': 1})
    assert found == {'v': [Detection(1.0, 2.5, 9, 0.5)] * 3}


def test_rows_are_ranked_within_a_video_and_numbered():
    videos = {
        'b': [
            Detection(0, 1, 3, 0.2),
            Detection(1, 2, 4, 0.9),
            Detection(2, 3, 5, 0.9),
        ],
        'c': [],
        'a': [Detection(0, 1, 3, 0.1)],
    }
    assert list(segment_rows(videos, top=2)) == [
        [0, 'b', 1, 2, 4, 0.9],
        [1, 'b', 2, 3, 5, 0.9],
        [2, 'a', 0, 1, 3, 0.1],
    ]
    assert len(list(segment_rows(videos))) == 4


def test_top_needs_one():
    with pytest.raises(ValueError, match='--top 0: keep at least 1'):
        list(segment_rows({}, top=0))


def test_headers():
    assert ','.join(HEADERS['2025']) == ',video_id,t_start,t_end,class,score'
    assert ','.join(HEADERS['2026']) == 'ID,video-id,t-start,t-end,label,score'
    layout = segment_layout('2026', SPACE)
    assert layout.header[layout.name_column] == 'video-id'
    assert {layout.header[at]: size for at, size in layout.classes.items()}[
        'label'
    ] == 52
    assert [layout.header[at] for at in layout.numbers] == ['t-start', 't-end', 'score']


def test_video_id():
    assert video_id('test0000.mp4') == video_id('test0000') == 'test0000'


@pytest.mark.parametrize(
    ('content', 'text'),
    [
        ('{', r'd.json:1: not readable as JSON'),
        ([], 'no detections: need'),
        ({'results': {}}, 'no detections: need'),
        ({'results': {'v': 3}}, 'v: 3 is no list'),
        ({'results': {'v': [3]}}, r'v \[0\]: must be .*"score"}, not 3'),
        ({'results': {'v': [entry(segment=(2, 1))]}}, 'start <= end'),
        ({'results': {'v': [entry(segment=(2, 2))]}}, '0 <= start < end'),
        ({'results': {'v': [entry(segment=(-1, 1))]}}, '0 <= start < end'),
        ({'results': {'v': [entry(segment=(1,))]}}, 'must be seconds'),
        ({'results': {'v': [entry(score=1.5)]}}, 'score 1.5: must be a number 0..1'),
        (
            {'results': {'v': [entry(score=float('nan'))]}},
            'score nan: must be a finite',
        ),
        ({'results': {'v': [entry(True)]}}, 'label True: must be the name or index'),
        ({'results': {'v': [entry('noding')]}}, "Did you mean 'nodding'"),
        ({'results': {'v': [entry(60)]}}, 'label 60 is of mma82, but the 52'),
        ({'results': {'v': [entry(99)]}}, "unknown action 99 in label space 'ma52'"),
        ('{"results": {"v": [], "v": []}}', 'v: is there twice'),
    ],
)
def test_bad_detections(read, content, text):
    with pytest.raises(ValueError, match=text):
        read(content)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match='no such file'):
        read_detections(tmp_path / 'd.json', SPACE)
