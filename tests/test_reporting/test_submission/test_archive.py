import zipfile

import pytest

from mmma.reporting.submission.archive import (
    FILE,
    Layout,
    check_archive,
    check_suffix,
    write_archive,
)

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


def test_several_rows_per_video(written):
    rows = [[0, 'a', 0.5, 1], [1, 'a', 1.5, 1], [2, 'b', 0, 6]]
    path = written(rows, TIMED.header)
    assert check_archive(path, TIMED, ['a', 'b']) == 3


@pytest.mark.parametrize(
    ('rows', 'text'),
    [
        ([['a', 0, 7], ['b', 1, 2]], r"1 bad rows: line 2: second '7', expected 0..6"),
        ([['a', 0, -1], ['b', 1, 2]], "second '-1', expected"),
        ([['a', 1, 2.0], ['b', 1, 2]], "second '2.0', expected"),
        ([['a', 0, 1, 2], ['b', 1, 2]], '4 cells, expected 3'),
        ([['a', 0, 1], ['b', 2, 2]], 'line 3: first and following repeat a class'),
        ([['a', 0, 1]], "1 names, expected 2; missing: 'b'"),
        ([['b', 0, 1], ['a', 0, 1]], "name 1 in column 'vid' is 'b', expected 'a'"),
        ([['a', 0, 1], ['a', 0, 1], ['b', 0, 1]], '3 rows of 2 clips'),
        ([['a', 0, 1], ['b', 0, 1], ['a', 0, 1]], '3 names, expected 2'),
    ],
)
def test_bad_rows(written, rows, text):
    with pytest.raises(ValueError, match=text):
        check_archive(written(rows), LAYOUT, ['a', 'b'])


@pytest.mark.parametrize('number', ['x', 'nan', 'inf'])
def test_bad_numbers(written, number):
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


def test_suffix(tmp_path):
    with pytest.raises(ValueError, match=r'ends in .zip'):
        check_suffix(tmp_path / 'prediction.csv')
