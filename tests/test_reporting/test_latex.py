import re
import shutil
import subprocess

import pytest
from result_files import write_fewshot, write_model

from mmma.reporting.latex import escape, latex
from mmma.reporting.paper_table import paper_tables
from mmma.reporting.results import read_entries

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
