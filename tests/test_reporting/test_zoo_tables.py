"""The paper beside ours; what is real never beside what is simulated."""

import pytest
from zoo_folders import add_weights, make_checkout

from mmma.hub.metafiles import is_checkpoint, read_metafiles
from mmma.reporting.published import published_rows
from mmma.reporting.tables import DETECTION_COLUMNS
from mmma.reporting.zoo import Method, read_zoo_checkpoint
from mmma.reporting.zoo_tables import (
    FULL_COLUMNS,
    REC_COLUMNS,
    checkpoints_table,
    compare,
    compared_table,
    data_groups,
    measured_table,
    recipes_table,
    upstream_table,
)

URL = 'https://huggingface.co/a/b/resolve/main/model.safetensors'


def recipe(name, **metadata):
    leaf = f'configs/{"det" if "adatad" in name else "recog"}/{name}.py'
    return {
        'Name': name,
        'Config': leaf,
        'Configs': [leaf],
        'Modality': 'RGB',
        'Metadata': metadata,
    }


PAPER = [
    Method('posec3d', {'Name': 'PoseC3D'}, (recipe('posec3d_mma82'),)),
    Method('gctsm', {'Name': 'GC-TSM'}, (recipe('gctsm_mma82'),)),
    Method('adatad', {}, (recipe('adatad_videomae-s_mma82'),)),
]
PAGES = {r['Name']: f'{m.name}.md' for m in PAPER for r in m.recipes}


@pytest.fixture(scope='module')
def methods(tmp_path_factory):
    """Real and simulated weights of both tasks."""
    root = make_checkout(tmp_path_factory.mktemp('zoo'))
    for task in ('rec', 'det'):
        for simulated in (True, False):
            add_weights(root, task, simulated)
    return [
        Method(
            name,
            data['Collections'][0],
            tuple(e for e in data['Models'] if not is_checkpoint(e)),
            tuple(
                read_zoo_checkpoint(root, e) for e in data['Models'] if is_checkpoint(e)
            ),
        )
        for name, data in read_metafiles(root).items()
    ]


def cells(lines, row):
    return lines[row].strip('| ').split(' | ')


def test_every_row_of_the_paper_is_there():
    rows = compare('rec', 'crossdomain', PAPER)
    paper = [(c.row.place, c.row.setting) for c in rows if c.row.paper]
    assert len(paper) == len(published_rows('rec', 'crossdomain')) == 12
    assert paper[:4] == [
        ('psychiatric', 'zero-shot'), ('psychiatric', '1-shot'),
        ('psychiatric', '5-shot'), ('psychiatric', '10-shot'),
    ]  # fmt: skip


def test_a_recipe_that_was_never_measured_has_one_row_of_dashes():
    rows = compare('rec', 'indomain', PAPER)
    assert [c.recipe for c in rows if not c.row.paper] == [
        'posec3d_mma82', 'gctsm_mma82',
    ]  # fmt: skip
    lines = compared_table(rows, REC_COLUMNS, PAGES)
    assert cells(lines, -2) == [
        'each', '[gctsm_mma82](gctsm.md)', '**ours**', *['–'] * 8,
    ]  # fmt: skip
    first = ['all', 'PoseC3D', 'paper', '56.62', '80.45', '36.77', '39.39']
    assert cells(lines, 2)[:7] == first


def test_the_papers_val_figures_are_rows_of_their_own():
    rows = compare('rec', 'indomain', PAPER[:1])
    lines = compared_table(rows, FULL_COLUMNS, PAGES, ('val', 'test'))
    assert cells(lines, 2)[:5] == ['all', 'val', 'PoseC3D', 'paper', '54.43']
    assert cells(lines, 3)[:5] == ['all', 'test', 'PoseC3D', 'paper', '56.62']


def test_a_suspect_figure_has_a_footnote():
    lines = compared_table(compare('rec', 'crossdomain', PAPER), REC_COLUMNS, PAGES)
    marked = [line for line in lines if '17.00†' in line]
    assert len(marked) == 1
    assert marked[0].startswith('| street | 5-shot |')
    assert sum(line.count('†') for line in lines) == 2
    assert '† Stands out; probably a misprint of the paper.' in lines


def test_detection_columns():
    lines = compared_table(compare('det', 'indomain', PAPER), DETECTION_COLUMNS, PAGES)
    assert cells(lines, 0)[3:] == [
        'action .2', 'action .5', 'action .7', 'action mAP',
        'body .2', 'body .5', 'body .7', 'body mAP', 'AVG',
    ]  # fmt: skip
    assert cells(lines, 2)[1:5] == ['AdaTAD VideoMAE-S', 'paper', '20.88', '12.72']
    assert cells(lines, 3)[:2] == ['all', '[adatad_videomae-s_mma82](adatad.md)']


def test_only_real_numbers_of_ours_stand_beside_the_paper(methods):
    for task in ('rec', 'det'):
        rows = compare(task, 'indomain', methods)
        assert rows
        assert not any(c.row.simulated for c in rows)
        assert {c.row.name.endswith('_real') for c in rows} == {True}


def test_numbers_over_other_classes_stay_out(methods, monkeypatch):
    (results,) = {
        id(e.results): e.results
        for c in methods[0].checkpoints
        if not c.simulated
        for e in c.measured
    }.values()
    monkeypatch.setitem(results, 'classes', ['a', 'b'])
    assert compare('det', 'indomain', methods) == []


def test_real_and_simulated_in_one_table_is_an_error(methods):
    checkpoints = methods[0].checkpoints
    assert {c.simulated for c in checkpoints} == {True, False}
    with pytest.raises(ValueError, match='must not stand in one table'):
        measured_table(checkpoints)


def simulated(methods, task):
    every = [c for m in methods for c in m.checkpoints]
    return [c for c in every if c.simulated and c.task == task]


def test_what_was_measured_with_counts_intervals_and_marks(methods):
    lines = measured_table(simulated(methods, 'det'))
    assert cells(lines, 0)[:4] == ['name', 'tested on', 'videos', 'instances']
    found = dict(zip(cells(lines, 0), cells(lines, 2), strict=True))
    assert (found['videos'], found['instances']) == ('3', '1,234')
    assert (found['action .2'], found['AVG']) == ('12.00ˢ', '16.25ˢ [15.2, 17.2]')
    lines = measured_table(simulated(methods, 'det'), every_interval=True)
    assert cells(lines, 2)[4] == '12.00ˢ [11.0, 13.0]'
    lines = measured_table(simulated(methods, 'rec'))
    assert [cells(lines, i)[1:3] for i in (2, 3)] == [['all', '48'], ['lab', '12']]


def test_weights_are_grouped_by_what_they_were_tested_on(methods):
    every = [c for m in methods for c in m.checkpoints if c.simulated]
    (text, own), (_, other) = data_groups(every)
    assert text == 'tiny_set, fingerprint `12345678`'
    assert (own[0].task, other[0].task) == ('det', 'rec')
    own[0].measured[0].results['data']['source'] = 'simulation, seed 3'
    assert data_groups(own)[0][0].startswith('tiny_set (simulation, seed 3), finger')


def test_files_of_our_weights(methods):
    (checkpoint,) = simulated(methods, 'rec')
    name, sha256 = checkpoint.name, checkpoint.entry['Weights SHA256']
    row = cells(checkpoints_table([checkpoint], '../', {name: 'a.md'}), 2)
    assert row[:2] == [
        f'[`{name}`](a.md#{name})',
        '[skeletontcn-tiny_mma82_indomain]'
        '(../configs/recog/skeletontcn-tiny_mma82_indomain.py)',
    ]
    assert row[2:4] == ['indomain', '0.79']
    assert row[5] == (
        f'[`{sha256[:8]}`](../zoo/{name}/{name}-{sha256[:8]}.safetensors)'
    )
    assert row[6] == (
        f'[log](../zoo/{name}/train.log), [results](../zoo/{name}/results.json)'
    )


def test_upstream_weights_are_listed_once():
    start = {'Pretrained': 'kinetics', 'Pretrained Weights': URL}
    known = {
        'Pretrained Weights SHA256': 'abcdef0123',
        'Pretrained Weights Size': 10**9,
    }
    methods = [
        Method(
            'a',
            {'License': {'Pretrained Weights': 'MIT'}},
            (recipe('a', **start), recipe('b')),
        ),
        Method('c', {}, (recipe('c', **start, **known),)),
    ]
    lines = upstream_table(methods)
    assert len(lines) == 4
    assert cells(lines, 2) == [
        f'[`a-b-model`]({URL})', 'kinetics', '1000.00 MB', '`abcdef01`', 'MIT',
        '[a](configs/recog/a.py), [c](configs/recog/c.py)',
    ]  # fmt: skip
    assert cells(upstream_table(methods[:1]), 2)[2:4] == ['unknown', 'unknown']
    assert upstream_table([Method('b', {}, (recipe('b'),))]) == []


def test_recipes_with_and_without_weights(methods):
    det, rec = methods
    row = cells(recipes_table(det, ''), 2)
    assert row[0] == 'skeletondet-tiny_mma82'
    assert row[5].split(', ')[0] == '`skeletondet-tiny_mma82-simulated`'
    assert row[-1] == '17.07'
    assert 'window (s)' not in cells(recipes_table(rec, ''), 0)
    plain = cells(recipes_table(PAPER[0], '../'), 2)
    assert plain[4:] == ['scratch', 'none yet: train it', '–', '–', '–']
