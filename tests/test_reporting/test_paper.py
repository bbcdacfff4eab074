import json

import pytest
from result_files import make_rec_root, write_fewshot, write_model

from mmma.evaluation.bootstrap import spread
from mmma.reporting.paper import (
    Cell,
    CellTest,
    is_published_space,
    load_published,
    paper_tables,
    published_rows,
)
from mmma.reporting.results import Entry, read_entries
from mmma.taxonomy import load_label_space


def test_rows_of_the_paper_by_hand():
    rows = published_rows('rec', 'indomain')
    assert (rows[1].place, rows[1].method) == ('all', 'GC-TSM')
    assert rows[1].values['test']['action/top1'] == 60.43
    street = [r for r in published_rows('rec', 'crossdomain') if r.place == 'street']
    assert [row.shots for row in street] == [0, 1, 5, 10]
    assert list(street[0].values) == ['test']
    large = published_rows('det', 'indomain')[3]
    assert large.method == 'AdaTAD VideoMAE-H'
    assert large.recipe == 'adatad_videomae-h_mma82'
    assert {row.recipe for row in street} == {'posec3d_mma82'}
    assert large.values['test']['body/mAP@0.50'] == 33.64
    assert published_rows('det', 'crossdomain') == []


def test_the_detection_averages_are_means_of_the_levels():
    for row in load_published()['detection']:
        mean = (row['test']['action/mAP'] + row['test']['body/mAP']) / 2
        assert row['test']['AVG'] == pytest.approx(mean, abs=0.006)


def test_every_cell_equals_the_transcription(shared_data):
    """Numbers in order of appearance: the two files differ in layout alone."""

    def numbers(value):
        items = value.values() if isinstance(value, dict) else value
        if isinstance(value, dict | list):
            return sorted(n for item in items for n in numbers(item))
        return [value] if isinstance(value, float) else []

    theirs = json.loads((shared_data / 'mma82_published_results.json').read_text())
    assert numbers(load_published()) == numbers(theirs)


def test_only_the_82_actions_are_compared_with_the_paper():
    assert is_published_space(load_label_space('mma82').actions)
    assert not is_published_space(load_label_space('ma52').actions)
    assert not is_published_space(None)


def read(*files):
    return read_entries([str(file) for file in files])


def rows(table, **wanted):
    return [r for r in table.rows if all(getattr(r, k) == v for k, v in wanted.items())]


@pytest.fixture(scope='module')
def seeds(rec_root, tmp_path_factory):
    """Results of one recipe: two seeds, val and test."""
    folder = tmp_path_factory.mktemp('seeds')
    return [
        write_model(folder / f'{s}{t}', rec_root, 'a_mma82', 0.5, seed=s, subset=t)
        for s in (0, 1)
        for t in ('val', 'test')
    ]


@pytest.fixture(scope='module')
def fewshot(rec_root, tmp_path_factory):
    """Results of one model under the few-shot protocol, three draws."""
    folder = tmp_path_factory.mktemp('fewshot')
    return write_fewshot(folder / 'f', rec_root, 'a_mma82', 0.5)


def test_seeds_of_a_recipe_are_one_row_with_val_and_test_columns(seeds):
    entries = read(*seeds)
    action, body = paper_tables(entries)
    assert (action.name, body.name) == ('indomain-action', 'indomain-body')
    assert action.subsets == ('val', 'test')
    (row,) = rows(action, paper=False, place='street')
    assert (row.model, row.seeds, row.simulated) == ('a_mma82', '2', True)
    values = [
        run['metrics']['action/mca']
        for entry in entries
        for run in entry.results['runs']
        if (run['domain'], run['subset']) == ('street', 'val')
    ]
    expected = spread(values)
    cell = row.cells['action/mca', 'val']
    assert (cell.n, cell.value, cell.interval) == (2, expected.mean, 'seeds')
    assert cell.high - cell.value == pytest.approx(expected.half_width)
    assert cell.value != row.cells['action/mca', 'test'].value


def test_published_rows_stand_first_in_their_domain_and_enter_no_mean(seeds):
    table, _ = paper_tables(read(*seeds))
    found = [row.model for row in rows(table, place='lab')]
    assert found == ['PoseC3D', 'GC-TSM', 'a_mma82']
    paper = rows(table, place='lab')[1]
    assert (paper.paper, paper.simulated, paper.samples) == (True, False, {})
    assert paper.cells['action/top1', 'test'] == Cell(68.15)
    bare, _ = paper_tables(read(*seeds), published=False)
    assert rows(bare, paper=True) == []
    assert [r.cells for r in bare.rows] == [r.cells for r in rows(table, paper=False)]


def test_one_seed_has_the_interval_of_its_results(seeds):
    entries = read(seeds[1])
    (table,) = paper_tables(entries, level='body', published=False)
    cell = table.rows[0].cells['body/top1', 'test']
    run = entries[0].results['runs'][0]
    assert (cell.low, cell.high) == tuple(run['intervals']['bounds']['body/top1'])
    assert (cell.n, cell.sd, cell.interval) == (1, None, 'clips')


def test_fewshot_rows_stand_beside_their_controls_and_the_paper(fewshot):
    table, _ = paper_tables(read(fewshot))
    assert (table.name, table.subsets) == ('crossdomain-action', ('test',))
    assert [(row.setting, row.paper) for row in table.rows] == [
        ('zero-shot', True),
        ('zero-shot', False),
        ("zero-shot, target's classes only", False),
        ('1-shot', True),
        ('5-shot', True),
        ('5-shot', False),
        ('10-shot', True),
    ]
    adapted = rows(table, setting='5-shot', paper=False)[0]
    assert adapted.model == 'a_mma82, linear (proximity 0.1)'
    assert adapted.seeds == '1 x 3'
    assert adapted.cells['action/top1', 'test'].interval == 'draws'
    assert any('not unseen' in note for note in table.notes)


def test_a_misprint_of_the_paper_is_pointed_out(fewshot):
    action, body = paper_tables(read(fewshot))
    assert 'PoseC3D, street, 5-shot: macro F1 is probably a misprint.' in body.notes
    assert not any('misprint' in note for note in action.notes)


def test_adaptations_are_rows_of_their_own(fewshot, rec_root, tmp_path):
    settings = {'adapt': 'prototype', 'temperature': 0.1}
    other = write_fewshot(tmp_path / 'p', rec_root, 'a_mma82', 0.5, adaptation=settings)
    table, _ = paper_tables(read(fewshot, other), published=False)
    assert [row.model for row in rows(table, setting='5-shot')] == [
        'a_mma82, linear (proximity 0.1)',
        'a_mma82, prototype (temperature 0.1)',
    ]
    assert [row.seeds for row in rows(table, setting='zero-shot')] == ['1']


def test_a_model_of_one_domain_is_told_from_a_joint_one(rec_root, seeds, tmp_path):
    file = write_model(tmp_path / 's', rec_root, 'a_mma82', 0.5, domain='street')
    table, _ = paper_tables(read(seeds[1], file), published=False)
    street = [row.model for row in rows(table, place='street')]
    assert street == ['a_mma82', 'a_mma82, trained on street alone']
    assert len(rows(table, place='all')) == 1


@pytest.mark.parametrize(
    ('change', 'value'),
    [
        ('options__body_scores', 'top1'),
        ('options__views', 3),
        ('data__fingerprint', 'f'),
        ('data__simulated', False),
        ('task', 'det'),
    ],
)
def test_a_planted_difference_is_refused(rec_root, seeds, tmp_path, change, value):
    other = write_model(tmp_path / 'o', rec_root, 'b_mma82', 0.5, **{change: value})
    with pytest.raises(ValueError, match=f'{change.replace("__", ".")} differs'):
        paper_tables(read(seeds[1], other))


def test_rows_over_other_clips_are_refused(rec_root, seeds, tmp_path):
    fewer = make_rec_root(tmp_path / 'r', clips=18)
    other = write_model(
        tmp_path / 'o', fewer, 'b_mma82', 0.5, data__fingerprint=rec_root.fingerprint()
    )
    with pytest.raises(ValueError, match='all, test: 96 clips in a_mma82, 72 in b_mma'):
        paper_tables(read(seeds[1], other))


def test_seeds_that_are_none_are_refused(rec_root, seeds, tmp_path):
    other = write_model(
        tmp_path / 'o', rec_root, 'a_mma82', 0.9, config={'model': {'type': 'other'}}
    )
    with pytest.raises(ValueError, match=r'config\.model\.type differs'):
        paper_tables(read(seeds[1], other))


def test_results_of_other_actions_stand_alone(seeds):
    (entry,) = read(seeds[1])
    results = {**entry.results, 'classes': list(load_label_space('ma52').actions)}
    table, _ = paper_tables([Entry(results, entry.files)])
    assert rows(table, paper=True) == []
    assert any('not the 82 actions of the paper' in note for note in table.notes)


def detection(preset='mma82'):
    metrics = {f'{n}/mAP{t}': 10.0 for n in ('action', 'body') for t in ('', '@0.50')}
    options = {
        'preset': preset, 'subset': 'test', 'thresholds': [0.1, 0.9],
        'body_detections': 'head',
    }  # fmt: skip
    results = {
        'task': 'det',
        'name': 'adatad_mma82',
        'protocol': {'name': 'indomain', 'domain': 'all', 'seed': 0},
        'classes': list(load_label_space('mma82').actions),
        'checkpoint': {'simulated': False},
        'data': {'name': 'x', 'fingerprint': 'f', 'simulated': False},
        'options': options,
        'runs': [
            {'domain': 'all', 'counts': {'videos': 3}, 'metrics': {**metrics, 'AVG': 1}}
        ],
    }
    return Entry(results, ())


def test_detection_has_the_columns_of_the_paper():
    (table,) = paper_tables([detection()])
    assert table.name == 'indomain-detection'
    assert len(table.columns) == 9
    assert [row.paper for row in table.rows] == [True] * 4 + [False]
    assert table.rows[-1].cells['action/mAP@0.50', 'test'].value == 10.0
    (bare,) = paper_tables([detection('mac')])
    assert [row.paper for row in bare.rows] == [False]
    assert any("mAP of preset 'mac' is not the paper's" in n for n in bare.notes)


@pytest.mark.parametrize(
    ('difference', 'p', 'bold'), [(1, 0.04, True), (1, 0.05, False), (-1, 0.01, False)]
)
def test_only_what_is_significantly_better_is_bold(difference, p, bold):
    assert Cell(50.0, test=CellTest(difference, 0.001, p, 'x')).is_bold() is bold
    assert not Cell(99.0).is_bold()
