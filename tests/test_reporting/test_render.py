import csv
import io
import re
import shutil
import subprocess

import pytest
from result_files import write_fewshot, write_model

from mmma.reporting.paper import Cell, CellTest, Row, Table, paper_tables
from mmma.reporting.render import MARK, csv_text, escape, latex, markdown, plain_text
from mmma.reporting.results import read_entries

KEY = ('action/top1', 'test')


def table(simulated=True, bold=True):
    test = CellTest(5.0, 0.001, 0.002 if bold else 0.2, 'McNemar exact')
    paper = Row('lab', '', 'PoseC3D', paper=True, cells={KEY: Cell(64.84)})
    ours = Row('lab', '', 'a|b_mma82', name='a|b_mma82', simulated=simulated, seeds='3')
    ours.cells[KEY] = Cell(50.0, 3, 1.0, 47.5, 52.5, 'seeds', test)
    other = Row('street', '', 'c', name='c', simulated=simulated, seeds='1')
    other.cells[KEY] = Cell(20.0, low=10.0, high=30.0, interval='clips')
    data = {'name': 'tiny_set', 'fingerprint': 'f' * 64, 'simulated': simulated}
    columns = {'Top-1': 'action/top1', 'MCA': 'action/mca'}
    rows = [paper, ours, other]
    return Table(
        'indomain-action', 'A title', columns, ('test',), rows, data, ['A note.']
    )


@pytest.mark.parametrize('render', [plain_text, markdown])
def test_marks_stand_in_the_row_of_every_simulated_number(render):
    text = render([table()])
    lines = [line for line in text.splitlines() if line.startswith('|')]
    (paper,) = (line for line in lines if 'PoseC3D [paper]' in line)
    assert '64.84' in paper
    assert MARK not in paper
    simulated = [line for line in lines if '50.00' in line or '20.00' in line]
    assert len(simulated) == 2
    assert all(MARK in line and '(simulated)' in line for line in simulated)
    assert 'SIMULATED' in text
    assert f'{MARK}: measured on simulated data, so beside [paper]' in text


@pytest.mark.parametrize('render', [plain_text, markdown, csv_text])
def test_real_numbers_have_no_such_mark(render):
    text = render([table(simulated=False)])
    assert MARK not in text
    assert 'imulated' not in text.replace('simulated,data', '')


def test_text_has_data_notes_and_a_rule_between_domains():
    text = plain_text([table()])
    assert text.startswith(
        'A title, data tiny_set (ffffffffffff, SIMULATED), test subset\n'
    )
    assert 'A note.' in text
    assert '*50.00 ± 2.50ˢ*' in text
    assert '20.00ˢ |' in text  # an interval over clips is not one over seeds
    assert text.count('+--') > 4
    assert text.splitlines()[-2].count('–') == 1  # no MCA


def test_markdown_is_a_table_of_equal_rows():
    lines = markdown([table()]).splitlines()
    cells = [line.replace('\\|', '').count('|') for line in lines if line[:1] == '|']
    assert cells == [6] * 5
    assert '**50.00 ± 2.50ˢ**' in lines[-2]
    assert lines[3] == '|:--|:--|:--|--:|--:|'


def test_csv_has_a_line_per_cell_with_its_source_and_test():
    rows = list(csv.DictReader(io.StringIO(csv_text([table()]))))
    assert [row['source'] for row in rows] == ['paper', 'ours', 'ours']
    assert [row['simulated'] for row in rows] == ['false', 'true', 'true']
    assert rows[0]['data'] == rows[0]['n'] == ''
    ours = rows[1]
    assert (ours['value'], ours['sd'], ours['n']) == ('50.000000', '1.000000', '3')
    assert (ours['p'], ours['p_holm'], ours['bold']) == ('0.001', '0.002', 'true')
    assert rows[2]['bold'] == 'false'
    assert rows[2]['low'] == '10.000000'


def test_nothing_is_bold_that_is_not_significant():
    assert '**50' not in markdown([table(bold=False)])
    assert '*50' not in plain_text([table(bold=False)])


NASTY = r'a_b & 50% $x$ #1 {y} ~^\ <|>"'


def check(text):
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
def tables(rec_root, tmp_path_factory):
    folder = tmp_path_factory.mktemp('latex')
    files = [
        write_model(folder / f'{s}{t}', rec_root, NASTY, 0.5, seed=s, subset=t)
        for s in (0, 1)
        for t in ('val', 'test')
    ]
    files.append(write_fewshot(folder / 'f', rec_root, 'a_mma82', 0.5))
    return paper_tables(read_entries([str(file) for file in files]))


def test_the_tables_are_sound(tables):
    text = latex(tables)
    check(text)
    assert text.count(r'\begin{table*}') == len(tables) == 4
    assert text.count(r'\midrule') > 4
    assert r'\label{tab:crossdomain-body}' in text


@pytest.mark.parametrize(
    'broken',
    [
        (r'\end{tabular}', ''),
        (r'\toprule', '{'),
        (r' & \textbf', r' \textbf'),
        (r'\_mma82', '_mma82'),
    ],
)
def test_the_checker_sees_what_is_broken(tables, broken):
    row = next(row for row in tables[0].rows if not row.paper)
    text = latex(tables).replace(f' & {row.seeds} & ', f' & {row.seeds} & \\textbf{{}}')
    text = latex(tables) if r'\textbf' not in broken[0] else text
    damaged = text.replace(broken[0], broken[1], 1)
    assert damaged != latex(tables)
    with pytest.raises((AssertionError, IndexError)):
        check(damaged)


def test_caption_and_every_cell_say_that_data_are_simulated(tables):
    text = latex(tables)
    captions = re.findall(r'\\caption\{(.*)\}', text)
    assert len(captions) == 4
    fingerprint = tables[0].data['fingerprint'][:12]
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


def test_the_same_tables_give_the_same_text(tables):
    assert latex(tables) == latex(tables)


def test_every_special_letter_is_escaped():
    assert escape('50 % of a_b & c') == r'50 \% of a\_b \& c'
    assert escape('1 ± 2ˢ –') == r'1 $\pm$ 2$^{\mathrm{s}}$ --'
    assert not re.search(r'(?<!\\)[%&#_$]', escape(NASTY))


@pytest.mark.skipif(not shutil.which('pdflatex'), reason='no pdflatex')
def test_it_compiles(tables, tmp_path):
    text = (
        '\\documentclass{article}\\usepackage[T1]{fontenc}\\usepackage{booktabs}\n'
        f'\\begin{{document}}\n{latex(tables)}\n\\end{{document}}\n'
    )
    (tmp_path / 'a.tex').write_text(text)
    command = ['pdflatex', '-interaction=nonstopmode', '-halt-on-error', 'a.tex']
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
