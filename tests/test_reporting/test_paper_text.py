import csv
import io

import pytest

from mmma.reporting.paper_table import Cell, CellTest, Row, Table
from mmma.reporting.paper_text import MARK, csv_text, markdown, plain_text

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
