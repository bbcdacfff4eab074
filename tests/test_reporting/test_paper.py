"""Our results beside the paper's, and how the tables are written."""

import csv
import io
import json
import re
import shutil
import subprocess

import pytest
from result_files import (
    EMOTIONS,
    make_rec_root,
    write_ablation,
    write_fewshot,
    write_fusion,
    write_model,
)

from mmma.evaluation.bootstrap import spread
from mmma.reporting.paper import (
    Cell,
    PaperTable,
    Row,
    load_published,
    paper_tables,
    published_rows,
    render,
)
from mmma.reporting.results import read_named
from mmma.reporting.table import MARK, escape
from mmma.taxonomy import load_label_space


def test_rows_of_the_paper_by_hand():
    rows = published_rows('rec', 'indomain')
    assert (rows[1].place, rows[1].model) == ('all', 'GC-TSM')
    assert rows[1].cells['action/top1', 'test'].value == 60.43
    street = [r for r in published_rows('rec', 'crossdomain') if r.place == 'street']
    assert [r.setting for r in street] == ['zero-shot', '1-shot', '5-shot', '10-shot']
    assert {subset for _, subset in street[0].cells} == {'test'}
    large = published_rows('det', 'indomain')[3]
    assert large.model == 'AdaTAD VideoMAE-H'
    assert large.recipe == 'adatad_videomae-h_mma82'
    assert {row.recipe for row in street} == {'posec3d_mma82'}
    assert large.cells['body/mAP@0.50', 'test'].value == 33.64
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


def read(*files):
    return read_named([str(file) for file in files])


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
        for run in entry['runs']
        if (run['domain'], run['subset']) == ('street', 'val')
    ]
    mean, _, half_width = spread(values)
    cell = row.cells['action/mca', 'val']
    assert (cell.n, cell.value, cell.interval) == (2, mean, 'seeds')
    assert cell.high - cell.value == pytest.approx(half_width)
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
    run = entries[0]['runs'][0]
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


def test_models_of_all_domains_but_the_target_stand_without_the_paper(fewshot):
    (entry,) = read(fewshot)
    entry['protocol'] = {**entry['protocol'], 'source': 'rest'}
    table, _ = paper_tables([entry])
    assert 'cross-domain, from all domains but the target' in table.title
    assert rows(table, paper=True) == []
    assert 'The paper trains on lab: no row of it is shown.' in table.notes


def test_the_prior_of_supports_stands_before_what_it_explains(rec_root, tmp_path):
    settings = {'adapt': 'prototype', 'temperature': 0.1}
    files = [
        write_fewshot(tmp_path / n, rec_root, 'a_mma82', 0.5, supports=True, **changes)
        for n, changes in (('l', {}), ('p', {'adaptation': settings}))
    ]
    table, _ = paper_tables(read(*files), published=False)
    assert [(row.setting, row.model, row.seeds) for row in table.rows[2:]] == [
        ('zero-shot, class prior of the 5-shot supports', 'a_mma82', '1 x 3'),
        ('5-shot', 'a_mma82, linear (proximity 0.1)', '1 x 3'),
        ('5-shot', 'a_mma82, prototype (temperature 0.1)', '1 x 3'),
    ]


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


def test_a_planted_difference_is_refused(rec_root, seeds, tmp_path):
    other = write_model(tmp_path / 'o', rec_root, 'b_mma82', 0.5, options__views=3)
    with pytest.raises(ValueError, match=r'options\.views differs'):
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
    results = {**entry, 'classes': list(load_label_space('ma52').actions)}
    table, _ = paper_tables([results])
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
    return results


def test_detection_has_the_columns_of_the_paper():
    (table,) = paper_tables([detection()])
    assert table.name == 'indomain-detection'
    assert len(table.columns) == 9
    assert [row.paper for row in table.rows] == [True] * 4 + [False]
    assert table.rows[-1].cells['action/mAP@0.50', 'test'].value == 10.0
    (bare,) = paper_tables([detection('mac')])
    assert [row.paper for row in bare.rows] == [False]
    assert any("mAP of preset 'mac' is not the paper's" in n for n in bare.notes)


def test_only_what_is_significantly_better_is_bold():
    for difference, p, bold in ((1, 0.04, True), (1, 0.05, False), (-1, 0.01, False)):
        cell = Cell(50.0, difference=difference, p_holm=p, test='x')
        assert cell.is_bold() is bold
    assert not Cell(99.0).is_bold()
    assert '**50' not in render([made_up_table(bold=False)], 'md')
    assert '*50' not in render([made_up_table(bold=False)], 'paper')


KEY = ('action/top1', 'test')


def made_up_table(simulated=True, bold=True):
    test = (5.0, 0.001, 0.002 if bold else 0.2, 'McNemar exact')
    paper = Row('lab', '', 'PoseC3D', paper=True, cells={KEY: Cell(64.84)})
    ours = Row('lab', '', 'a|b_mma82', name='a|b_mma82', simulated=simulated, seeds='3')
    ours.cells[KEY] = Cell(50.0, 3, 1.0, 47.5, 52.5, 'seeds', *test)
    other = Row('street', '', 'c', name='c', simulated=simulated, seeds='1')
    other.cells[KEY] = Cell(20.0, low=10.0, high=30.0, interval='clips')
    data = {'name': 'tiny_set', 'fingerprint': 'f' * 64, 'simulated': simulated}
    columns = {'Top-1': 'action/top1', 'MCA': 'action/mca'}
    rows = [paper, ours, other]
    return PaperTable(
        'indomain-action', 'A title', columns, ('test',), rows, data, ['A note.']
    )


@pytest.mark.parametrize('form', ['paper', 'md'])
def test_marks_stand_in_the_row_of_every_simulated_number(form):
    text = render([made_up_table()], form)
    lines = [line for line in text.splitlines() if line.startswith('|')]
    (paper,) = (line for line in lines if 'PoseC3D [paper]' in line)
    assert '64.84' in paper
    assert MARK not in paper
    simulated = [line for line in lines if '50.00' in line or '20.00' in line]
    assert len(simulated) == 2
    assert all(MARK in line and '(simulated)' in line for line in simulated)
    assert 'SIMULATED' in text
    assert f'{MARK}: measured on simulated data, so beside [paper]' in text


def test_real_numbers_have_no_such_mark():
    for form in ('paper', 'md', 'csv'):
        text = render([made_up_table(simulated=False)], form)
        assert MARK not in text
        assert 'imulated' not in text.replace('simulated,data', '')


def test_text_has_data_notes_and_a_rule_between_domains():
    text = render([made_up_table()], 'paper')
    assert text.startswith(
        'A title, data tiny_set (ffffffffffff, SIMULATED), test subset\n'
    )
    assert 'A note.' in text
    assert '*50.00 ± 2.50ˢ*' in text
    assert '20.00ˢ |' in text  # an interval over clips is not one over seeds
    assert text.count('+--') > 4
    assert text.splitlines()[-2].count('–') == 1  # no MCA


def test_markdown_is_a_table_of_equal_rows():
    lines = render([made_up_table()], 'md').splitlines()
    cells = [line.replace('\\|', '').count('|') for line in lines if line[:1] == '|']
    assert cells == [6] * 5
    assert '**50.00 ± 2.50ˢ**' in lines[-2]
    assert lines[3] == '|:--|:--|:--|--:|--:|'


def test_csv_has_a_line_per_cell_with_its_source_and_test():
    rows = list(csv.DictReader(io.StringIO(render([made_up_table()], 'csv'))))
    assert [row['source'] for row in rows] == ['paper', 'ours', 'ours']
    assert [row['simulated'] for row in rows] == ['false', 'true', 'true']
    assert rows[0]['data'] == rows[0]['n'] == ''
    ours = rows[1]
    assert (ours['value'], ours['sd'], ours['n']) == ('50.000000', '1.000000', '3')
    assert (ours['p'], ours['p_holm'], ours['bold']) == ('0.001', '0.002', 'true')
    assert rows[2]['bold'] == 'false'
    assert rows[2]['low'] == '10.000000'


NASTY = r'a_b & 50% $x$ #1 {y} ~^\ <|>"'


def check_latex(text):
    """Balanced environments and braces, equal rows, no bare special letter."""
    open_ones = []
    for kind, name in re.findall(r'\\(begin|end)\{([^}]*)\}', text):
        if kind == 'begin':
            open_ones.append(name)
        else:
            assert open_ones.pop() == name
    assert not open_ones
    bare = re.sub(r'\\.', '', text)
    assert bare.count('{') == bare.count('}')
    for spec, body in re.findall(
        r'\\begin\{tabular\}\{([lr]+)\}(.*?)\\end\{tabular\}', text, re.S
    ):
        rows = [line for line in body.splitlines() if line.endswith(r'\\')]
        assert len(rows) > 2
        for row in rows:
            spans = [int(n) - 1 for n in re.findall(r'\\multicolumn\{(\d+)\}', row)]
            cells = re.sub(r'\\.', '', row).count('&') + 1
            assert cells + sum(spans) == len(spec), row
        for first, last in re.findall(r'\\cmidrule\(lr\)\{(\d+)-(\d+)\}', body):
            assert 1 <= int(first) <= int(last) <= len(spec)
    plain = re.sub(r'\$\\pm\$|\$\^\{\\mathrm\{s\}\}\$', '', text)
    plain = '\n'.join(plain.splitlines()[1:])  # the comment
    plain = re.sub(r'\\[&%$#_{}]|\\label\{[^}]*\}', '', plain)
    assert not re.findall(r'[%$#_^~<>|"]', plain)
    assert plain.isascii()


@pytest.fixture(scope='module')
def latex_tables(rec_root, tmp_path_factory):
    folder = tmp_path_factory.mktemp('latex')
    files = [
        write_model(folder / f'{s}{t}', rec_root, NASTY, 0.5, seed=s, subset=t)
        for s in (0, 1)
        for t in ('val', 'test')
    ]
    files.append(write_fewshot(folder / 'f', rec_root, 'a_mma82', 0.5))
    return paper_tables(read_named([str(file) for file in files]))


def test_the_tables_are_sound(latex_tables):
    text = render(latex_tables, 'latex')
    check_latex(text)
    assert text.count(r'\begin{table*}') == len(latex_tables) == 4
    assert text.count(r'\midrule') > 4
    assert r'\label{tab:crossdomain-body}' in text


def test_caption_and_every_cell_say_that_data_are_simulated(latex_tables):
    text = render(latex_tables, 'latex')
    captions = re.findall(r'\\caption\{(.*)\}', text)
    assert len(captions) == 4
    fingerprint = latex_tables[0].data['fingerprint'][:12]
    assert all(f'tiny\\_set ({fingerprint}, SIMULATED)' in c for c in captions)
    rows = [line for line in text.splitlines() if '(simulated)' in line]
    number = r'\d+\.\d\d(?: \$\\pm\$ \d+\.\d\d)?'
    for row in rows:
        values = re.findall(number, row.split('(simulated)')[1])
        assert len(values) == row.count(r'$^{\mathrm{s}}$') >= 5
    assert rows
    papers = [line for line in text.splitlines() if '[paper] &' in line]
    assert papers
    assert not any('mathrm' in line for line in papers)


def test_every_special_letter_is_escaped():
    assert escape('50 % of a_b & c') == r'50 \% of a\_b \& c'
    assert escape('1 ± 2ˢ –') == r'1 $\pm$ 2$^{\mathrm{s}}$ --'
    assert not re.search(r'(?<!\\)[%&#_$]', escape(NASTY))


@pytest.mark.skipif(not shutil.which('pdflatex'), reason='no pdflatex')
def test_it_compiles(latex_tables, tmp_path):
    text = (
        '\\documentclass{article}\\usepackage[T1]{fontenc}\\usepackage{booktabs}\n'
        f'\\begin{{document}}\n{render(latex_tables, "latex")}\n\\end{{document}}\n'
    )
    (tmp_path / 'a.tex').write_text(text)
    command = ['pdflatex', '-interaction=nonstopmode', '-halt-on-error', 'a.tex']
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)


@pytest.fixture(scope='module')
def study(tmp_path_factory):
    """Results of an ablation and of a fusion of emotions, on the same data."""
    folder = tmp_path_factory.mktemp('study')
    fused = write_fusion(folder / 'fuse.json', videos=70, options__weights='learnt')
    return [write_ablation(folder / 'ablate.json', videos=70), fused]


def test_emotions_stand_beside_the_two_tables_of_the_paper(study):
    inputs, ablation = paper_tables(read(*study))
    assert [table.name for table in (inputs, ablation)] == [
        'emotion', 'emotion_top5_ablation',
    ]  # fmt: skip
    assert [(row.place, row.paper, row.setting) for row in inputs.rows] == [
        (place, paper, '' if paper else 'test, 70 videos')
        for place in ('micro-expression', 'micro-action', 'both')
        for paper in (True, False)
    ]
    tsm = rows(inputs, paper=True, place='micro-action')[0]
    assert tsm.model == 'TSM'
    assert tsm.cells == {
        ('emotion/top1', ''): Cell(32.38), ('emotion/macro_f1', ''): Cell(31.86),
    }  # fmt: skip
    first, *_ = ablation.rows
    assert first.cells['emotion/top1', ''].value == pytest.approx(27.1)
    chosen = rows(ablation, paper=False, place='top-5 micro-actions only')
    assert [row.setting for row in chosen] == [
        'nested, folds, 70 videos', 'all videos, folds, 70 videos',
    ]  # fmt: skip
    run = read(study[0])[0]['runs'][2]
    cell = chosen[0].cells['emotion/top1', '']
    assert cell.value == run['metrics']['emotion/top1']
    assert [cell.low, cell.high] == run['intervals']['bounds']['emotion/top1']


def test_emotions_in_every_form(study):
    tables = paper_tables(read(*study))
    for form in ('paper', 'md', 'latex'):
        text = render(tables, form)
        mark = r'$^{\mathrm{s}}$' if form == 'latex' else 'ˢ'
        for title in ('Top-1', 'acc', 'F1'):
            assert len(re.findall(rf'[|&] +{title} ', text)) == (
                2 if title == 'F1' else 1
            )
        for word in ('TSM [paper]', f'{mark} [', 'nested, folds, 70 videos', 'input'):
            assert word in text, (form, word)
        assert 'the tested videos had no part in choosing the actions' in text
        assert 'SIMULATED DATA' in text
        assert ' subset' not in text
    cells = list(csv.DictReader(io.StringIO(render(tables, 'csv'))))
    assert len(cells) == 2 * (6 + 8)
    (cell,) = [
        c
        for c in cells
        if (c['model'], c['metric']) == ('DeepFace', 'emotion/macro_f1')
    ]
    assert (cell['value'], cell['source'], cell['place']) == (
        '17.540000', 'paper', 'micro-expression',
    )  # fmt: skip
    assert {c['simulated'] for c in cells if c['source'] == 'ours'} == {'true'}


def test_seeds_of_a_study_are_a_mean(study, tmp_path):
    other = write_ablation(tmp_path / 'r.json', videos=70, options__seed=1)
    (table,) = paper_tables(read(study[0], other), published=False)
    assert {row.seeds for row in table.rows} == {'2'}
    assert {cell.n for row in table.rows for cell in row.cells.values()} == {2}
    with pytest.raises(ValueError, match='seed 0 is in'):
        paper_tables(
            read(study[0], write_ablation(tmp_path / '2.json', videos=70, x=1))
        )


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'data__fingerprint': 'e'}, 'data.fingerprint differs'),
        ({'data__simulated': False}, 'data.simulated differs'),
        ({'options__features': 'rate'}, 'options.features differs'),
        ({'videos': 77, 'name': 'other'}, '70 clips in study, 77 in other'),
    ],
)
def test_emotions_that_were_measured_differently_are_refused(
    study, tmp_path, changes, message
):
    other = write_ablation(tmp_path / 'r.json', **{'videos': 70, **changes})
    with pytest.raises(ValueError, match=message):
        paper_tables(read(study[0], other))
    if 'options' not in message and 'clips' not in message:  # of another table, too
        with pytest.raises(ValueError, match=message):
            paper_tables(read(other, study[1]))


def test_other_emotions_have_no_row_of_the_paper(tmp_path):
    path = write_fusion(tmp_path / 'r.json', videos=40, emotions=('calm', 'happy'))
    (table,) = paper_tables(read(path))
    assert rows(table, paper=True) == []
    assert "These are not the paper's emotions: no row of it is shown." in table.notes
    names = [name.title() for name in EMOTIONS]
    path = write_fusion(tmp_path / 'r.json', videos=70, emotions=names)
    (table,) = paper_tables(read(path))
    assert len(rows(table, paper=True)) == 3
