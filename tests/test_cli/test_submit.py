import csv
import io
import json
import re
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from mmma.cli import main, submit
from mmma.evaluation.scores import ScoreTable, write_scores
from mmma.reporting.submission import EDITIONS, HEADERS
from mmma.taxonomy import load_label_space

SPACE = load_label_space('ma52')
NAMES = ('test0000', 'test0001', 'test0002')


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Scores, detections and official lists of three clips; the current folder."""
    monkeypatch.chdir(tmp_path)
    scores = np.random.default_rng(0).random((3, 52))
    write_scores('s.npz', ScoreTable(NAMES, scores, np.eye(3, 7)), SPACE)
    (tmp_path / 'list.txt').write_text('\n'.join(f'{n}.mp4 0' for n in NAMES))
    found = [{'segment': [0, 1], 'label': i, 'score': i / 9} for i in range(4)]
    results = {NAMES[0]: found, NAMES[1]: found[:1], NAMES[2]: []}
    (tmp_path / 'd.json').write_text(json.dumps({'results': results}))
    (tmp_path / 'list.csv').write_text(
        'id,video_id\n' + ''.join(f'{i},{n}\n' for i, n in enumerate(NAMES))
    )
    return tmp_path


def rows_of(path):
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ['prediction.csv']
        text = archive.read('prediction.csv').decode()
    return list(csv.reader(io.StringIO(text)))


def test_choices_are_those_of_the_library():
    assert tuple(submit._CLIP_HELP) == EDITIONS


@pytest.mark.parametrize(
    ('edition', 'width'), [('mac2024', 3), ('mac2025', 11), ('mac2026', 11)]
)
def test_clips_without_a_list(folder, capsys, edition, width):
    assert main('submit', [edition, 's.npz', 'o.zip']) == 0
    rows = rows_of('o.zip')
    assert [row[0] for row in rows[1:]] == [f'{name}.mp4' for name in NAMES]
    assert {len(row) for row in rows} == {width}
    captured = capsys.readouterr()
    assert 'no --expect LIST: not checked that every official name' in captured.err
    assert '3 clips; the servers expect 5586 (MA-52 test) or 1138' in captured.err
    assert '3 clips, body from top1; names not checked' in captured.out
    assert ','.join(rows[1]) in captured.out


def test_body_head(folder):
    assert main('submit', ['mac2024', 's.npz', 'o.zip', '--body-from', 'head']) == 0
    assert [row[1] for row in rows_of('o.zip')[1:]] == ['0', '1', '2']


def test_a_list_gives_names_and_order(folder, capsys):
    assert main('submit', ['mac2024', 's.npz', 'a.zip', '--expect', 'list.txt']) == 0
    captured = capsys.readouterr()
    assert 'names as in list.txt' in captured.out
    assert '--expect' not in captured.err
    assert 'order' not in captured.err
    reordered = '\n'.join(f'{name}.mp4 0' for name in (NAMES[0], NAMES[2], NAMES[1]))
    (folder / 'list.txt').write_text(reordered)
    assert main('submit', ['mac2024', 's.npz', 'b.zip', '--expect', 'list.txt']) == 0
    told = capsys.readouterr().err
    assert 'put into the order of list.txt: the file differs from row 2 on' in told
    first, second = rows_of('a.zip'), rows_of('b.zip')
    assert second == [first[0], first[1], first[3], first[2]]


@pytest.mark.parametrize('header', HEADERS)
def test_detections(folder, capsys, header):
    arguments = ['mmad', 'd.json', 'o.zip', '--header', header, '--top', '2']
    assert main('submit', [*arguments, '--expect', 'list.csv']) == 0
    rows = rows_of('o.zip')
    assert tuple(rows[0]) == HEADERS[header]
    assert [row[:2] + row[4:5] for row in rows[1:]] == [
        ['0', NAMES[0], '3'],
        ['1', NAMES[0], '2'],
        ['2', NAMES[1], '0'],
    ]
    captured = capsys.readouterr()
    assert '3 segments of 2 videos, at most 2 per video' in captured.out
    assert '3 videos; the MMA-52 test subset has 519' in captured.err
    assert "1 videos without a detection, and so a row: 'test0002'" in captured.err


def test_the_server_of_2026_takes_scores_and_detections(folder, capsys):
    assert main('submit', ['mac2025', 's.npz', 'a.zip', '--expect', 'list.txt']) == 0
    assert main('submit', ['mac2026', 's.npz', 'b.zip', '--expect', 'list.txt']) == 0
    assert rows_of('a.zip') == rows_of('b.zip')
    more = ['--top', '2', '--expect', 'list.csv']
    assert main('submit', ['mmad', 'd.json', 'a.zip', '--header', '2026', *more]) == 0
    assert main('submit', ['mac2026', 'd.json', 'b.zip', *more]) == 0
    assert rows_of('a.zip') == rows_of('b.zip')
    assert main('submit', ['mac2026', 's.npz', 'c.zip', '--top', '2']) == 2
    assert '--top is of detections' in capsys.readouterr().err


def test_detections_without_a_list(folder, capsys):
    assert main('submit', ['mmad', 'd.json', 'o.zip']) == 0
    assert len(rows_of('o.zip')) == 6
    assert 'no --expect LIST' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('arguments', 'listed', 'text'),
    [
        (
            ['mac2025', 's.npz'],
            'test0000\ntest0001\n',
            r"1 not in the list: 'test0002'",
        ),
        (['mac2025', 's.npz'], 'a\n' + '\n'.join(NAMES), r"1 of 4 missing: 'a'"),
        (['mmad', 'd.json'], 'a\n' + '\n'.join(NAMES), r"1 of 4 missing: 'a'"),
        (['mac2025', 'none.npz'], 'a', 'no score file none.npz'),
        (['mmad', 'none.json'], 'a', 'none.json: no such file'),
        (['mmad', 's.npz'], 'a', 'mmad takes detections; scores of clips go to mac'),
        (['mac2025', 'd.json'], 'a', 'takes scores of clips; detections go to mac2026'),
        (['mmad', 'd.json', '--top', '0'], '\n'.join(NAMES), '--top 0: keep at least'),
    ],
)
def test_bad_input_is_told_and_nothing_written(folder, capsys, arguments, listed, text):
    (folder / 'other.txt').write_text(listed)
    server, scores, *more = arguments
    argv = [server, scores, 'o.zip', '--expect', 'other.txt', *more]
    assert main('submit', argv) == 2
    captured = capsys.readouterr()
    assert captured.out == ''
    assert re.search(f'error: .*{text}', captured.err, re.DOTALL)
    assert not (folder / 'o.zip').exists()


def test_output_is_a_zip(folder, capsys):
    assert main('submit', ['mac2025', 's.npz', 'o.csv']) == 2
    assert 'ending in .zip' in capsys.readouterr().err


def test_needs_no_torch(folder):
    code = (
        'import sys; from mmma.cli import main; '
        'assert main("submit", ["mac2025", "s.npz", "o.zip"]) == 0; '
        'assert main("submit", ["mmad", "d.json", "o.zip"]) == 0; '
        'heavy = {"torch", "mmengine", "mmaction", "mmcv", "cv2", "scipy", "sklearn"}; '
        'print(sorted(heavy & set(sys.modules)))'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == '[]', done.stderr


def test_scores_that_are_no_probabilities_are_told(folder, capsys):
    assert main('submit', ['mac2024', 's.npz', 'o.zip']) == 0
    assert 's.npz: rows add up to 2' in capsys.readouterr().err
    scores = np.full((3, 52), 1 / 52)
    write_scores('s.npz', ScoreTable(NAMES, scores), SPACE)
    assert main('submit', ['mac2024', 's.npz', 'o.zip']) == 0
    assert 'probabilities' not in capsys.readouterr().err
