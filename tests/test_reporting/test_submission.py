import json
import zipfile

import numpy as np
import pytest

from mmma.evaluation.scores import ScoreTable, write_scores
from mmma.reporting.submission import (
    EDITIONS,
    FILE,
    HEADERS,
    Layout,
    check_archive,
    clip_layout,
    clip_rows,
    match_names,
    read_expected,
    read_ma52_scores,
    read_segments,
    segment_layout,
    segment_rows,
    unique_stems,
    write_archive,
)
from mmma.taxonomy import load_label_space


@pytest.fixture
def listed(tmp_path):
    def read(text):
        (tmp_path / 'list').write_text(text)
        return read_expected(tmp_path / 'list')

    return read


def test_lists_of_names(listed):
    for text, names in {
        'b.mp4 0\na.mp4 0': ['b.mp4', 'a.mp4'],
        'b\n\na\n': ['b', 'a'],
        'b (1).mp4,0\na.mp4,0\n': ['b (1).mp4', 'a.mp4'],
        'id;vid\n0;b\n;\n1; a\n': ['b', 'a'],
        'vid,action_pred_1\nb.mp4,3\na.mp4,2\n': ['b.mp4', 'a.mp4'],
        'id,pred_label_1\nb,3\na,2\n': ['b', 'a'],
        'id,video_id,class\n0,b,1\n1,a,2\n2,b,3\n': ['b', 'a'],
        ',video-id\n0,b\n1,b\n': ['b'],
    }.items():
        assert listed(text) == names


def test_bad_lists(listed, tmp_path):
    with pytest.raises(FileNotFoundError, match='list: no such file'):
        read_expected(tmp_path / 'list')
    for text, message in {
        '': 'no names in it',
        'vid,x\n': 'no names in it',
        'a.mp4 0\nb 0\na 1\n': "1 names repeated: 'a'; list each once",
        'vid,x\na,1\na,2\n': '1 names repeated',
        'file,label\na,0\n': r'line 1 names no column video_id, .* \(file, label\)',
        'x,vid\n1,a\n2\n': "row '2' has no column vid",
    }.items():
        with pytest.raises(ValueError, match=message):
            listed(text)


def test_names_match_with_or_without_suffix():
    matched = match_names(['a', 'b.mp4'], ['b.mp4', 'a.mp4'])
    assert list(matched.items()) == [('b.mp4', 'b.mp4'), ('a.mp4', 'a')]
    assert match_names(['\u00e9'], ['e\u0301.mp4']) == {'e\u0301.mp4': '\u00e9'}


def test_all_that_differs_is_told():
    with pytest.raises(
        ValueError,
        match=r"1 of 2 missing: 'test1.mp4'; 1 not in the list: 'tset1'.*mean 'test1'",
    ):
        match_names(['test0', 'tset1'], ['test0.mp4', 'test1.mp4'])


def test_two_names_for_one():
    with pytest.raises(ValueError, match=r"'a' and 'a.mp4' are the same official name"):
        unique_stems(['a', 'a.mp4'])


def test_released_lists(shared_data):
    clips = read_expected(shared_data / 'ma52' / 'test_list_videos.txt')
    assert (len(clips), clips[0], clips[-1]) == (5586, 'test0000.mp4', 'test5585.mp4')
    videos = read_expected(shared_data / 'mma52' / 'test.csv')
    assert (len(videos), videos[0]) == (519, 'test0000')


LAYOUT = Layout(('vid', 'first', 'second'), 0, {1: 7, 2: 7}, ranked=((1, 2),))
TIMED = Layout(('', 'vid', 'start', 'class'), 1, {0: 100, 3: 7}, numbers=(2,))
ROWS = [['a', 0, 6], ['b', 3, 2]]


@pytest.fixture
def written(tmp_path):
    def write(rows, header=LAYOUT.header):
        write_archive(tmp_path / 'out' / 's.zip', header, rows)
        return tmp_path / 'out' / 's.zip'

    return write


def test_content_and_bytes(written):
    path = written(ROWS)
    with zipfile.ZipFile(path) as archive:
        (entry,) = archive.infolist()
        assert (entry.filename, entry.date_time[0]) == (FILE, 1980)
        assert archive.read(FILE) == b'vid,first,second\na,0,6\nb,3,2\n'
    first = path.read_bytes()
    assert written(ROWS).read_bytes() == first
    assert [p.name for p in path.parent.iterdir()] == ['s.zip']
    assert check_archive(path, LAYOUT, ['a', 'b']) == 2


def test_bad_rows(written):
    for rows, text in (
        ([['a', 0, 7], ['b', 1, 2]], r"1 bad rows: line 2: second '7', expected 0..6"),
        ([['a', 0, -1], ['b', 1, 2]], "second '-1', expected"),
        ([['a', 1, 2.0], ['b', 1, 2]], "second '2.0', expected"),
        ([['a', 0, 1, 2], ['b', 1, 2]], '4 cells, expected 3'),
        ([['a', 0, 1], ['b', 2, 2]], 'line 3: first and following repeat a class'),
        ([['a', 0, 1]], "1 names, expected 2; missing: 'b'"),
        ([['b', 0, 1], ['a', 0, 1]], "name 1 in column 'vid' is 'b', expected 'a'"),
        ([['a', 0, 1], ['a', 0, 1], ['b', 0, 1]], '3 rows of 2 clips'),
        ([['a', 0, 1], ['b', 0, 1], ['a', 0, 1]], '3 names, expected 2'),
    ):
        with pytest.raises(ValueError, match=text):
            check_archive(written(rows), LAYOUT, ['a', 'b'])


def test_bad_numbers(written):
    for number in ('x', 'nan', 'inf'):
        path = written([[0, 'a', number, 1]], TIMED.header)
        with pytest.raises(ValueError, match=f"'start' '{number}' is no number"):
            check_archive(path, TIMED, ['a'])


def test_bad_header(written):
    path = written(ROWS, ('id', 'first', 'second'))
    with pytest.raises(ValueError, match=r"header 'id,first,second', expected 'vid,"):
        check_archive(path, LAYOUT, ['a', 'b'])


def test_other_files(tmp_path):
    path = tmp_path / 's.zip'
    path.write_bytes(b'no zip')
    with pytest.raises(ValueError, match='not a readable zip'):
        check_archive(path, LAYOUT, [])
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('folder/prediction.csv', '')
    with pytest.raises(ValueError, match=r'holds .*folder.* expected prediction.csv'):
        check_archive(path, LAYOUT, [])
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr(FILE, '')
    with pytest.raises(ValueError, match=r'prediction.csv is empty'):
        check_archive(path, LAYOUT, [])


SPACE = load_label_space('ma52')


def one_clip(values, bodies=None):
    scores = np.zeros((1, 52))
    for action, score in values.items():
        scores[0, action] = score
    return ScoreTable(('a',), scores, bodies)


# 9 nodding (head); 12 and 13 upper limb; 45 covering face (head-hand)
TABLE = one_clip(
    {9: 0.4, 12: 0.3, 13: 0.25, 45: 0.05}, np.array([[0, 1, 2, 9, 3, 4, 5]])
)


def rows(edition, body_from, table=TABLE):
    return list(clip_rows(table, edition, body_from, SPACE))


def test_2024_is_body_then_action():
    for body_from, body in {'sum': 2, 'top1': 1, 'head': 3}.items():
        assert rows('mac2024', body_from) == [['a', body, 9]]


def test_2025_is_five_of_each_best_first():
    for body_from, bodies in {
        'sum': [2, 1, 5, 0, 3],
        # after the scored actions come those of score 0, lowest number first
        'top1': [1, 2, 5, 0, 3],
        'head': [3, 6, 5, 4, 2],
    }.items():
        assert rows('mac2025', body_from) == [['a', 9, 12, 13, 45, 0, *bodies]]


def test_unsigned_scores_rank_as_numbers():
    table = ScoreTable(('a',), TABLE.scores.astype(np.uint8))
    strong = table.scores.copy()
    strong[0, 51] = 200
    assert rows('mac2024', 'sum', ScoreTable(('a',), strong)) == [['a', 6, 51]]


def test_body_scores_that_cannot_be_had():
    with pytest.raises(ValueError, match='without any of a body head'):
        rows('mac2024', 'head', ScoreTable(('a',), TABLE.scores))
    with pytest.raises(ValueError, match=r'negative scores.*top1'):
        rows('mac2024', 'sum', one_clip({9: -1.0}))


def test_rows_fit_the_layout():
    for edition in EDITIONS:
        layout = clip_layout(edition, SPACE)
        (row,) = rows(edition, 'sum')
        assert len(row) == len(layout.header)
        assert all(row[at] < size for at, size in layout.classes.items())
        assert sorted(set(layout.classes.values())) == [7, 52]
    assert ','.join(clip_layout('mac2024', SPACE).header) == (
        'id,pred_label_1,pred_label_2'
    )
    assert ','.join(clip_layout('mac2025', SPACE).header) == (
        'vid,action_pred_1,action_pred_2,action_pred_3,action_pred_4,action_pred_5,'
        'body_pred_1,body_pred_2,body_pred_3,body_pred_4,body_pred_5'
    )


def test_scores_of_mma82_are_refused(tmp_path):
    named, bare = tmp_path / 'a.npz', tmp_path / 'b.npz'
    table = ScoreTable(('a',), np.ones((1, 82)))
    write_scores(named, table, load_label_space('mma82'))
    np.savez(bare, clips=['a'], scores=np.ones((1, 82)))
    for path in (named, bare):
        with pytest.raises(
            ValueError, match=r'npz: scores of the 82 actions of MMA-82'
        ):
            read_ma52_scores(path)
    np.savez(bare, clips=['a'], scores=np.ones((1, 60)))  # others keep their message
    with pytest.raises(ValueError, match=r"label space 'ma52' needs \(N, 52\)"):
        read_ma52_scores(bare)


def test_class_numbers_are_those_of_the_released_names(shared_data):
    text = (shared_data / 'ma52' / 'label_name.txt').read_text(encoding='utf-8')
    pairs = [line.split('\t') for line in text.splitlines()]
    assert pairs == [[str(i), name] for i, name in enumerate(SPACE.actions)]


def entry(label=9, score=0.5, segment=(1, 2.5)):
    return {'segment': list(segment), 'label': label, 'score': score}


@pytest.fixture
def read(tmp_path):
    def from_content(content):
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / 'd.json').write_text(text)
        return read_segments(tmp_path / 'd.json', SPACE)

    return from_content


def test_labels_by_name_or_index(read):
    found = read({'results': {'v': [entry(9), entry('nodding'), entry('9')]}, 'x': 1})
    assert found == {'v': [(1.0, 2.5, 9, 0.5)] * 3}


def test_rows_are_ranked_within_a_video_and_numbered():
    videos = {
        'b': [
            (0, 1, 3, 0.2),
            (1, 2, 4, 0.9),
            (2, 3, 5, 0.9),
        ],
        'c': [],
        'a': [(0, 1, 3, 0.1)],
    }
    assert list(segment_rows(videos, top=2)) == [
        [0, 'b', 1, 2, 4, 0.9],
        [1, 'b', 2, 3, 5, 0.9],
        [2, 'a', 0, 1, 3, 0.1],
    ]
    assert len(list(segment_rows(videos))) == 4
    with pytest.raises(ValueError, match='--top 0: keep at least 1'):
        list(segment_rows({}, top=0))


def test_headers_of_detection():
    assert ','.join(HEADERS['2025']) == ',video_id,t_start,t_end,class,score'
    assert ','.join(HEADERS['2026']) == 'ID,video-id,t-start,t-end,label,score'
    layout = segment_layout('2026', SPACE)
    assert layout.header[layout.name_column] == 'video-id'
    assert {layout.header[at]: size for at, size in layout.classes.items()}[
        'label'
    ] == 52
    assert [layout.header[at] for at in layout.numbers] == ['t-start', 't-end', 'score']


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
