from dataclasses import replace

import numpy as np
import pytest

from mmma.evaluation.scores import (
    ScoreTable,
    match_scores,
    read_scores,
    write_scores,
)

NAMES = np.array(['x', 'y'])
SCORES = np.array([[0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1]])


def same(left: ScoreTable, right: ScoreTable) -> bool:
    return left.names == right.names and np.array_equal(left.scores, right.scores)


@pytest.mark.parametrize('suffix', ['.npz', '.csv'])
@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_what_is_written_is_read(tmp_path, table, space, suffix, dtype):
    table = replace(table, scores=table.scores.astype(dtype))
    path = tmp_path / 'new' / f'scores{suffix}'
    write_scores(path, table, space)
    assert same(read_scores(path, space), table)


def test_body_scores_travel_in_npz(tmp_path, table, space):
    path = tmp_path / 'scores.npz'
    write_scores(path, replace(table, body_scores=table.scores[:, :2]), space)
    assert (read_scores(path, space).body_scores == table.scores[:, :2]).all()
    arrays = dict(np.load(path))
    arrays['bodies'] = arrays['bodies'][::-1]
    np.savez(path, **arrays)
    assert (read_scores(path, space).body_scores == table.scores[:, [1, 0]]).all()


def test_same_bytes_each_time(tmp_path, table, space):
    paths = [tmp_path / name for name in ('1.npz', '2.npz')]
    for path in paths:
        write_scores(path, table, space)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_columns_are_matched_by_name(tmp_path, table, space):
    order = [2, 0, 3, 1]
    np.savez(
        tmp_path / 's.npz',
        clips=np.array(table.names),
        scores=table.scores[:, order],
        classes=np.array(space.actions)[order],
    )
    assert same(read_scores(tmp_path / 's.npz', space), table)
    (tmp_path / 's.csv').write_text(
        'wave,nod,clip,clap,"shake, slow"\n0.3,0.1,x,0.4,0.2\n\n0.2,0.4,y,0.1,0.3\n'
    )
    assert same(read_scores(tmp_path / 's.csv', space), ScoreTable(('x', 'y'), SCORES))


def test_without_classes_columns_are_in_index_order(tmp_path, space):
    np.savez(tmp_path / 's.npz', clips=NAMES.astype(bytes), scores=SCORES)
    assert same(read_scores(tmp_path / 's.npz', space), ScoreTable(('x', 'y'), SCORES))


def test_scores_are_used_as_given(tmp_path, space):
    logits = SCORES * 10 - 7
    np.savez(tmp_path / 's.npz', clips=NAMES, scores=logits)
    assert (read_scores(tmp_path / 's.npz', space).scores == logits).all()


@pytest.mark.parametrize(
    ('arrays', 'text'),
    [
        ({'clips': NAMES}, r"no array 'scores' \(there are \['clips'\]\)"),
        ({'clips': NAMES, 'scores': SCORES[:, :3]}, r"'toy' needs \(N, 4\)"),
        ({'clips': NAMES, 'scores': SCORES[:1]}, r'shape \(1, 4\) do not fit 2 clips'),
        ({'clips': NAMES, 'scores': SCORES.astype(str)}, 'not numbers'),
        ({'clips': np.array(['x', 'x']), 'scores': SCORES}, "1 clip repeated: 'x'"),
        (
            {'clips': NAMES, 'scores': SCORES * np.nan},
            "NaN or infinite scores of 2 .*'x'",
        ),
        ({'clips': NAMES, 'scores': SCORES * np.inf}, 'NaN or infinite'),
        (
            {'clips': NAMES, 'scores': SCORES, 'classes': np.array(['nod', 'wave'])},
            'do not fit 2 classes',
        ),
        (
            {'clips': NAMES.astype(object), 'scores': SCORES},
            r'names must be an array of strings',
        ),
        (
            {'clips': NAMES, 'scores': SCORES, 'body_scores': SCORES},
            r'body_scores of shape \(2, 4\)',
        ),
    ],
)
def test_bad_npz(tmp_path, space, arrays, text):
    np.savez(tmp_path / 's.npz', **arrays)
    with pytest.raises(ValueError, match=rf'(?s)s\.npz: .*{text}'):
        read_scores(tmp_path / 's.npz', space)


@pytest.mark.parametrize(
    ('classes', 'text'),
    [
        (
            ['nod', 'wav', 'clap', 'shake, slow'],
            "unknown class column: 'wav'.*mean 'wave'",
        ),
        (
            ['nod', 'nod', 'clap', 'wave'],
            "column repeated: 'nod'; 1 .* missing: 'shake",
        ),
    ],
)
def test_bad_classes(tmp_path, space, classes, text):
    np.savez(tmp_path / 's.npz', clips=NAMES, scores=SCORES, classes=classes)
    with pytest.raises(ValueError, match=text):
        read_scores(tmp_path / 's.npz', space)


@pytest.mark.parametrize('content', [b'', b'PK\x03\x04 cut off', b'\x80\x04K\x01.'])
def test_file_that_is_no_npz(tmp_path, space, content):
    (tmp_path / 's.npz').write_bytes(content)
    with pytest.raises(ValueError, match=r's\.npz: not a readable score file'):
        read_scores(tmp_path / 's.npz', space)


def test_single_array_is_no_score_file(tmp_path, space):
    with (tmp_path / 's.npz').open('wb') as file:
        np.save(file, SCORES)
    with pytest.raises(ValueError, match='a single array'):
        read_scores(tmp_path / 's.npz', space)


HEADER = 'clip,nod,"shake, slow",wave,clap\n'


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', 'no column clip in line 1'),
        ('name,nod\n', r"no column clip in line 1 \('name', 'nod'\)"),
        ('clip,nod,wave,clap\nx,1,2,3\n', "1 class column missing: 'shake, slow'"),
        (
            HEADER + 'x,1,2,3\ny,1,2,3,z\n',
            '2 rows not of 4 numbers: line 2, 3',
        ),
        (HEADER + 'x,1,2,3,nan\n', "NaN or infinite scores of 1 clip: 'x'"),
        (HEADER + 'x,1,2,3,4\nx,1,2,3,4\n', "1 clip repeated: 'x'"),
        (HEADER + 'x,' + '1' * 200_000, 'field larger than field limit'),
    ],
)
def test_bad_csv(tmp_path, space, text, message):
    (tmp_path / 's.csv').write_text(text)
    with pytest.raises(ValueError, match=rf's\.csv: {message}'):
        read_scores(tmp_path / 's.csv', space)


def test_missing_file_and_other_suffix(tmp_path, table, space):
    with pytest.raises(FileNotFoundError, match='no score file'):
        read_scores(tmp_path / 's.npz', space)
    with pytest.raises(ValueError, match=r'ends in \.npz or \.csv'):
        read_scores(tmp_path / 's.pkl', space)
    with pytest.raises(ValueError, match=r'ends in \.npz or \.csv'):
        write_scores(tmp_path / 's', table, space)


def test_table_of_another_width_is_not_written(tmp_path, space):
    with pytest.raises(ValueError, match=r"label space 'toy' needs \(N, 4\)"):
        write_scores(tmp_path / 's.npz', ScoreTable(('x',), np.ones((1, 3))), space)


def test_select_takes_rows_in_order(table):
    selected = table.select(['f', 'a'])
    assert selected.names == ('f', 'a')
    assert (selected.scores == table.scores[[5, 0]]).all()
    with pytest.raises(ValueError, match="1 of 2 clips have no scores: 'z'"):
        table.select(['a', 'z'])


def test_known_clips_that_are_not_wanted_are_counted(table):
    matched, ignored = match_scores(table, ['c', 'a'], known=table.names)
    assert matched.names == ('c', 'a')
    assert ignored == 4


def test_missing_and_unknown_clips_are_told_together(table):
    with pytest.raises(
        ValueError,
        match=r"1 of 2 clips .*: 'z'; scores of 5 unknown clips.*'b'.*'f'; use",
    ):
        match_scores(table, ['a', 'z'], known=['a', 'z'])
