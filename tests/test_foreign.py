"""Letters of others that steer: refused in names, and shown as what they are."""

import csv
import io
import json
import os
import sys

import numpy as np
import pytest

from mmma.cli import main
from mmma.data.clips import scan_rec
from mmma.data.root import read_info
from mmma.data.videos import scan_det
from mmma.evaluation.scores import read_scores
from mmma.files import Problem, tell
from mmma.foreign import has_controls, markdown, shown, shown_streams, spreadsheet
from mmma.reporting.table import Table, escape
from mmma.taxonomy import load_label_space

SPACE = load_label_space('mma82')
HOSTILE = (
    '\x1b]0;title\x07\x1b[31m', 'a\nerror: all is well', 'a\rb', 'a\x9b31mb',
    'a\u202eb', 'a\u2066b', 'a\u2028b', 'a\udcffb', 'a\tb',
)  # fmt: skip
MARKUP = (
    '=HYPERLINK("http://a.b")', '+1+1', '@SUM(A1)', '-cmd|x', '[a](http://a.b)', '`a`',
    '![a](http://a.b/i.png)', '<script>alert(1)</script>', 'a|b', '*a*', '_a_', '~~a~~',
    '$x^2$', r'\input{/etc/passwd}', '100 % & # { } ~ ^', '[1mm] a', '*a',
)  # fmt: skip


@pytest.mark.parametrize('name', HOSTILE)
def test_names_that_steer_are_refused_with_their_place(tmp_path, name):
    def refused(read, *args, text=name):
        with pytest.raises(ValueError, match='control characters') as error:
            read(*args)
        assert repr(text)[1:-1] in str(error.value)
        assert not has_controls(str(error.value).replace('\n', ''))

    rec = tmp_path / 'rec.csv'
    for column in ('clip', 'subject', 'path', 'source_video', 'emotion'):
        row = {
            'clip': 'c',
            'path': 'c.mp4',
            'subject': 's',
            'action': '0',
            column: name,
        }
        row.update(subset='test', domain='lab', body='')
        table = io.StringIO()
        writer = csv.DictWriter(table, row)
        writer.writeheader()
        writer.writerows([row, {**row, 'clip': 'good', column: 'good'}])
        rec.write_bytes(table.getvalue().encode('utf-8', 'surrogatepass'))
        if '\udcff' not in name:
            clips, odd = scan_rec(rec, SPACE)
            assert [c.clip for c in clips] == ['good']
            refused(odd.notes, True, text=name.replace('\r', '\n'))
    video = {'subset': 'test', 'domain': 'lab', 'fps': 5, 'frames': 50, 'duration': 10}
    file = tmp_path / 'det.json'
    for key in ('name', 'path', 'subject', 'domain', 'subset'):
        own = {**video, key: name} if key != 'name' else video
        file.write_text(json.dumps({'database': {name if own is video else 'v': own}}))
        found, *odd = scan_det(file, SPACE, of_root=False)
        assert not found
        refused(odd[0].notes)
    info = {'name': 'a', 'label_space': 'mma82', 'simulated': True, 'domains': ['a']}
    for key in ('name', 'source', 'version', 'domains'):
        told = {**info, key: [name] if key == 'domains' else name}
        (tmp_path / 'dataset.json').write_text(json.dumps(told))
        if key != 'domains':
            refused(read_info, tmp_path)
        with pytest.raises(ValueError, match=r'dataset.json: '):
            read_info(tmp_path)
    if '\udcff' not in name:
        scores = np.full((1, 82), 1 / 82)
        np.savez(tmp_path / 's.npz', clips=np.array([name]), scores=scores)
        refused(read_scores, tmp_path / 's.npz', SPACE)


@pytest.mark.parametrize('name', HOSTILE + MARKUP)
def test_a_name_is_neutral_in_every_form(name, capsys):
    table = Table(['name', 'n'], [[name, 1.5]])
    lines = table.text().splitlines()
    assert len(lines) == 5
    written = [*lines, *table.markdown(), *table.latex(), table.csv().split('\n')[1]]
    assert not any(map(has_controls, written))
    (_, (cell, number)) = csv.reader(io.StringIO(table.csv()))
    assert cell[0] not in '=+-@\t\r'
    assert number == '1.5'
    row = table.markdown()[2]
    assert row.count(' | ') == 1
    for run in ('<s', '](', '| *', '| _', '| ~~', '| `', '| $'):
        assert run not in row.replace('\\]', ']\\')
    row = table.latex()[4]
    assert not row.startswith(('[', '*'))
    assert r'\input' not in row
    assert row.count('&') - row.count(r'\&') == 1
    with shown_streams():
        print(name)
        tell([name])
        print(Problem('f', 1, name, 'is odd'), file=sys.stderr)
    out, err = capsys.readouterr()
    assert not has_controls((out + err).replace('\n', '').replace('\t', ''))
    assert err.count('\n') == 2


def test_what_is_neither_steering_nor_markup_stays():
    for name in ('Ünïcode 中文 عربي', 'a_mma82', '1.5', '-1.5', '–', 'a = b', 'p < 1'):
        assert shown(name) == markdown(name) == name
        assert spreadsheet(name) == name
    assert escape('a [b] – c') == 'a [b] -- c'


def test_messages_show_what_they_quote(tmp_path, capsys):
    file = tmp_path / 'a\x1b[31m\nerror: b'
    assert main('table', [str(file)]) == 2
    assert main('table', [os.fsdecode(b'\xff\x9b.json')]) == 2
    with pytest.raises(SystemExit):
        main('table', ['a', '--level', '\x1b[31m'])
    out, err = capsys.readouterr()
    assert not has_controls((out + err).replace('\n', ''))
    assert err.count('error: ') == 4  # of the third, the name has one


@pytest.mark.parametrize('checkout', [True, False])
def test_tools_are_called_as_they_are_here(checkout, monkeypatch, capsys):
    monkeypatch.setattr('mmma.foreign.CHECKOUT', checkout)
    with shown_streams():
        print(
            'next: python tools/data/check.py ROOT, or my_tools/train.py (tools/a.md)'
        )
    first = 'python tools/data/check.py' if checkout else 'mmma data/check'
    assert capsys.readouterr().out == (
        f'next: {first} ROOT, or my_tools/train.py (tools/a.md)\n'
    )
