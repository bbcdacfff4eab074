import io
import tracemalloc
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

from mmma.evaluation.scores import (
    SPACES,
    ScoreTable,
    align_tables,
    are_probabilities,
    check_weights,
    fuse_tables,
    learn_weights,
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
    paths = [tmp_path / 'new' / f'{name}{suffix}' for name in '12']
    for path in paths:
        write_scores(path, table, space)
    assert same(read_scores(paths[0], space), table)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_body_scores_travel_in_npz(tmp_path, table, space):
    path = tmp_path / 'scores.npz'
    write_scores(path, replace(table, body_scores=table.scores[:, :2]), space)
    assert (read_scores(path, space).body_scores == table.scores[:, :2]).all()
    arrays = dict(np.load(path))
    arrays['bodies'] = arrays['bodies'][::-1]
    np.savez(path, **arrays)
    assert (read_scores(path, space).body_scores == table.scores[:, [1, 0]]).all()


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


def test_names_and_numbers_as_spreadsheets_and_macos_write_them(tmp_path, space):
    own = ScoreTable(('e\u0301.mp4', 'a,5.mp4'), SCORES)
    read = ScoreTable(('\u00e9.mp4', 'a,5.mp4'), SCORES)
    for name in ('s.npz', 'S.NPZ', 's.csv', 'S.CSV'):
        write_scores(tmp_path / name, own, space)
        assert same(read_scores(tmp_path / name, space), read)
    rows = [['clip', *space.actions], *zip(own.names, *SCORES.T, strict=True)]
    cells = [[str(cell) for cell in row] for row in rows]
    cells[1:] = [
        [name, *(n.replace('.', ',') for n in row)] for name, *row in cells[1:]
    ]
    text = '\r\n'.join(';'.join(row) for row in cells)
    (tmp_path / 's.csv').write_text(text, encoding='utf-16')
    assert same(read_scores(tmp_path / 's.csv', space), read)


def test_logits_without_classes_are_used_as_given(tmp_path, space):
    logits = SCORES * 10 - 7
    np.savez(tmp_path / 's.npz', clips=NAMES.astype(bytes), scores=logits)
    assert same(read_scores(tmp_path / 's.npz', space), ScoreTable(('x', 'y'), logits))


@pytest.mark.parametrize(
    ('changes', 'text'),
    [
        ({'scores': None}, r"no array 'scores' \(there are \['clips'\]\)"),
        ({'scores': SCORES[:, :3]}, r"'toy' needs \(N, 4\)"),
        ({'scores': SCORES[:1]}, r'shape \(1, 4\) do not fit 2 clips'),
        ({'scores': SCORES.astype(str)}, 'not numbers'),
        ({'clips': np.array(['x', 'x'])}, "1 clip repeated: 'x'"),
        ({'clips': np.full(2, 2**31, '<u4').view('<U1')}, 'clips are no text'),
        ({'scores': SCORES * np.nan}, "NaN or infinite scores of 2 .*'x'"),
        ({'scores': SCORES * np.inf}, 'NaN or infinite'),
        ({'classes': ['nod', 'wave']}, 'do not fit 2 classes'),
        ({'clips': NAMES.astype(object)}, r'names must be an array of strings'),
        ({'body_scores': SCORES}, r'body_scores of shape \(2, 4\)'),
        (
            {'classes': ['nod', 'wav', 'clap', 'shake, slow']},
            "unknown class column: 'wav'.*mean 'wave'",
        ),
        (
            {'classes': ['nod', 'nod', 'clap', 'wave']},
            "column repeated: 'nod'; 1 .* missing: 'shake",
        ),
    ],
)
def test_bad_npz(tmp_path, space, changes, text):
    arrays = {'clips': NAMES, 'scores': SCORES, **changes}
    given = {key: value for key, value in arrays.items() if value is not None}
    np.savez(tmp_path / 's.npz', **given)
    with pytest.raises(ValueError, match=rf'(?s)s\.npz: .*{text}'):
        read_scores(tmp_path / 's.npz', space)


def test_files_that_are_no_npz(tmp_path, space):
    path = tmp_path / 's.npz'
    for content in (b'', b'PK\x03\x04 cut off', b'\x80\x04K\x01.'):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r's\.npz: not a readable score file'):
            read_scores(path, space)
    with path.open('wb') as file:
        np.save(file, SCORES)
    with pytest.raises(ValueError, match='not a zip file'):
        read_scores(path, space)


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
        (HEADER + 'x,' + '1' * 200_000, '2: not readable as CSV: field larger'),
    ],
)
def test_bad_csv(tmp_path, space, text, message):
    (tmp_path / 's.csv').write_text(text)
    with pytest.raises(ValueError, match=rf's\.csv: ?{message}'):
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


A = ScoreTable(('x', 'y'), np.array([[0.8, 0.2], [0.5, 0.5]]))
B = ScoreTable(('y', 'x'), np.array([[0.9, 0.1], [0.2, 0.8]]))


def random_models(qualities, clips=300, classes=6, seed=0):
    """Probabilities of models that see the truth more or less, and the truth."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, clips)
    names = tuple(map(str, range(clips)))
    tables = []
    for quality in qualities:
        logits = rng.normal(size=(clips, classes))
        logits[np.arange(clips), labels] += quality * (rng.random(clips) < 0.8)
        powers = np.exp(2 * logits)
        tables.append(ScoreTable(names, powers / powers.sum(axis=1, keepdims=True)))
    return tables, labels


def test_clips_are_matched_by_name():
    first, second = align_tables([A, B], ['a', 'b'])
    assert first.names == second.names == ('x', 'y')
    assert second.scores.tolist() == [[0.2, 0.8], [0.9, 0.1]]


def test_missing_clips_are_named_with_their_file():
    with pytest.raises(ValueError, match=r"b lacks 1 of 3 clips: 'z'; fused files"):
        align_tables([ScoreTable(('x', 'y', 'z'), np.ones((3, 2)) / 2), B], ['a', 'b'])
    with pytest.raises(ValueError, match=r'a lacks 1 of 3 .* b lacks 1 of 3 clips'):
        align_tables([A, ScoreTable(('x', 'w'), A.scores)], ['a', 'b'])


def test_means_by_hand():
    tables = align_tables([A, B], 'ab')
    fused = fuse_tables(tables, [0.75, 0.25])
    assert fused.scores == pytest.approx(np.array([[0.65, 0.35], [0.6, 0.4]]))
    assert fused.body_scores is None
    fused = fuse_tables(tables, [0.5, 0.5], 'logit')
    # x: sqrt(0.8 * 0.2) twice; y: sqrt(0.45) to sqrt(0.05), 3 to 1
    assert fused.scores == pytest.approx(np.array([[0.5, 0.5], [0.75, 0.25]]))


def test_geometric_mean_ignores_the_scale_and_survives_zeros():
    table = ScoreTable(('x',), np.array([[10.0, 0.0]]))
    logit = fuse_tables([table, table], [0.5, 0.5], 'logit')
    assert logit.scores == pytest.approx(np.array([[1.0, 0.0]]))


@pytest.mark.parametrize('space', SPACES)
def test_weight_one_is_the_model_itself(space):
    tables, _ = random_models([1, 0])
    fused = fuse_tables(tables, [1.0, 0.0], space)
    assert fused.scores == pytest.approx(tables[0].scores)


def test_body_scores_are_fused_if_all_have_them():
    body = ScoreTable(A.names, A.scores, np.array([[1.0], [0.5]]))
    assert fuse_tables([body, A], [0.5, 0.5]).body_scores is None
    fused = fuse_tables([body, ScoreTable(A.names, A.scores, np.zeros((2, 1)))], [1, 3])
    assert fused.body_scores.tolist() == [[1.0], [0.5]]


def test_negative_scores_have_no_logarithm():
    logits = ScoreTable(('x',), np.array([[-1.0, 2.0]]))
    with pytest.raises(ValueError, match=r'negative scores \(lowest -1\).*probabil'):
        fuse_tables([logits], [1.0], 'logit')


def test_unknown_space():
    with pytest.raises(ValueError, match=r"unknown fusion space 'men'.* 'mean'"):
        fuse_tables([A], [1.0], 'men')
    with pytest.raises(ValueError, match='unknown fusion space'):
        learn_weights([A], [0, 1], 'log')


@pytest.mark.parametrize(
    ('weights', 'text'),
    [
        ([1], '1 weights for 2 score files'),
        ([1, -1], r'weights \[1.0, -1.0\]: use numbers from 0'),
        ([0, 0], 'not all 0'),
        ([1, float('inf')], 'from 0'),
    ],
)
def test_bad_weights(weights, text):
    assert check_weights([3, 1], 2).tolist() == [0.75, 0.25]
    with pytest.raises(ValueError, match=text):
        check_weights(weights, 2)


def test_are_probabilities():
    rows = [[0.5, 0.5], [0.5, 0.6], [-0.5, 1.5]]
    answers = [are_probabilities(np.array([row])) for row in rows]
    assert answers == [True, False, False]


@pytest.mark.parametrize('space', SPACES)
@pytest.mark.parametrize('qualities', [(1, 0.5), (1, 0.9, 0.1, 0), (1, 1, 1, 0.8, 0.4)])
def test_learnt_weights_are_those_of_another_solver(space, qualities):
    tables, labels = random_models(qualities)
    weights, learnt = learn_weights(tables, labels, space)

    def nll(weights):
        fused = fuse_tables(tables, weights, space).scores
        return -np.log(fused[np.arange(len(labels)), labels]).mean()

    size = len(tables)
    # A search without gradients or constraints: weights are a softmax.
    other = minimize(
        lambda x: nll(np.exp(x) / np.exp(x).sum()),
        np.zeros(size),
        method='Powell',
        options={'ftol': 1e-14, 'xtol': 1e-8, 'maxfev': 20000},
    )
    assert learnt['nll'] == pytest.approx(nll(weights), abs=1e-9)
    assert learnt['nll'] <= other.fun + 1e-8
    assert learnt['gap'] <= 1e-6
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1)
    assert learnt['nll'] <= min(learnt['equal_nll'], *learnt['single_nll'])


@pytest.mark.parametrize('space', SPACES)
def test_learning_is_deterministic_and_follows_the_order_of_models(space):
    tables, labels = random_models([1, 0.6, 0.3])
    one, two = (learn_weights(tables, labels, space)[0] for _ in range(2))
    assert one.tolist() == two.tolist()
    turned, _ = learn_weights(tables[::-1], labels, space)
    assert turned == pytest.approx(one[::-1], abs=1e-5)


@pytest.mark.parametrize('space', SPACES)
def test_a_model_that_rules_out_the_truth_gets_nothing(space):
    tables, labels = random_models([2])
    wrong = np.zeros_like(tables[0].scores)
    wrong[np.arange(len(labels)), (labels + 1) % 6] = 1
    tables.append(ScoreTable(tables[0].names, wrong))
    weights, learnt = learn_weights(tables, labels, space)
    assert weights[1] < 0.01
    assert learnt['gap'] <= 1e-6


def test_learning_needs_probabilities_and_clips():
    with pytest.raises(ValueError, match='learnt from probabilities alone'):
        learn_weights([ScoreTable(('x',), np.array([[3.0, 4.0]]))], [0])
    with pytest.raises(ValueError, match='no clips to learn weights from'):
        learn_weights([A], [])
    tables, labels = random_models([1])
    assert learn_weights(tables, labels)[0].tolist() == [1.0]


def damaged_scores(path, kind):
    """A score file of two clips that is no such file, in one of many ways."""
    good = {'clips': np.array(['a', 'b']), 'scores': np.zeros((2, 82), np.float32)}
    declared = {
        'more': (10**11, 82), 'below': (-1, 82), 'scalar': (), 'fewer': (1, 82),
    }  # fmt: skip
    if kind == 'single':
        with path.open('wb') as file:
            np.save(file, good['scores'])
        return
    if kind == 'zeros':
        good['scores'] = np.zeros((10**6, 82), np.float32)
    np.savez_compressed(path, **good)
    content = path.read_bytes()
    if kind == 'encrypted':
        at = content.index(b'PK\x01\x02') + 8
        content = content[:at] + b'\x01' + content[at + 1 :]
    elif kind == 'method':
        at = content.index(b'PK\x01\x02') + 10
        content = content[:at] + b'\x0e' + content[at + 1 :]
    elif kind == 'half':
        content = content[: len(content) // 2]
    elif kind == 'empty':
        content = b''
    path.write_bytes(content)
    if kind not in {*declared, 'text', 'header'}:
        return
    with zipfile.ZipFile(path, 'w') as archive:
        start = io.BytesIO()
        np.save(start, good['clips'])
        archive.writestr('clips.npy', start.getvalue())
        start = io.BytesIO()
        shape = {'descr': '<f4', 'fortran_order': False, 'shape': declared.get(kind)}
        if kind in declared:
            np.lib.format.write_array_header_1_0(start, shape)
        text = b"\x93NUMPY\x01\x00\x10\x00{'descr': ('<f4',"
        own = {'text': b'no array', 'header': text}.get(kind, start.getvalue())
        archive.writestr('scores.npy', own)


@pytest.mark.parametrize(
    'kind',
    [
        'encrypted', 'method', 'half', 'empty', 'text', 'header', 'single',
        'more', 'below', 'scalar', 'fewer', 'zeros',
    ],
)  # fmt: skip
def test_damaged_score_files_are_told_in_one_line_before_they_are_unpacked(
    tmp_path, space, kind
):
    path = tmp_path / 's.npz'
    damaged_scores(path, kind)
    tracemalloc.start()
    with pytest.raises(ValueError, match=r's\.npz: not a readable score file') as told:
        read_scores(path, space)
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()
    assert '\n' not in str(told.value)
