import csv
import json

from det_roots import make_det_root

from mmma.cli import main
from mmma.evaluation.behaviour import TABLES


def read(path):
    with path.open(encoding='utf-8', newline='') as file:
        return list(csv.DictReader(file))


def test_a_root_becomes_tables(tmp_path, capsys):
    root, out = tmp_path / 'root', tmp_path / 'out'
    make_det_root(root)
    assert main('summarize', [str(root), '--out', str(out), '--per', 'condition']) == 0
    printed, told = capsys.readouterr()
    assert f'{out}/behaviour.csv: ' in printed
    assert '(simulated data)' in printed
    assert '2 of 8 videos left out: truth withheld' in told
    assert sorted(p.name for p in out.iterdir()) == sorted(f'{n}.csv' for n in TABLES)
    rows = read(out / 'behaviour.csv')
    assert {row['condition'] for row in rows} == {'lab', 'street'}
    assert {row['simulated'] for row in rows} == {'true'}
    street = [r for r in rows if r['condition'] == 'street' and r['level'] == 'any']
    assert [r['videos'] for r in street] == ['2']  # one of them without an event
    assert (street[0]['observed_sec'], street[0]['events']) == ('6.0', '1')
    assert street[0]['rate_per_min'] == '10.0'
    assert street[0]['sd_sec'] == ''
    lab = [r for r in rows if r['condition'] == 'lab' and r['level'] == 'action']
    assert sum(int(r['events']) for r in lab) == 7
    assert len(lab) == 82
    pairs = [r for r in read(out / 'cooccurrence.csv') if r['level'] == 'action']
    assert [float(row['together_sec']) for row in pairs] == [1.5, 0.0]


def test_predictions_with_a_table_and_names_that_spreadsheets_run(tmp_path, capsys):
    path, table, out = (tmp_path / n for n in ('p.json', 't.csv', 'out'))
    rows = [(0, 1, '=nod', 0.9), (2, 3, 'größer', 0.2)]
    found = [{'segment': [s, e], 'label': k, 'score': p} for s, e, k, p in rows]
    path.write_text(json.dumps({'results': {'a': found, 'b': []}}))
    table.write_text('video,subject\na,P1\nb,P1\n')
    argv = [str(path), '--out', str(out), '--table', str(table), '--threshold', '0.1']
    assert main('summarize', argv) == 0
    assert '2 videos of unknown length' in capsys.readouterr().err
    rows = read(out / 'behaviour.csv')
    assert [row['label'] for row in rows] == ["'=nod", 'größer', 'any']
    assert {(row['subject'], row['videos']) for row in rows} == {('P1', '2')}
    assert read(out / 'transitions.csv')[0]['to_label'] == 'größer'


def test_what_is_wrong_is_one_line(tmp_path, capsys):
    (tmp_path / 'file').touch()
    path = tmp_path / 'd.json'
    path.write_text(
        '{"database": {"a": {"subset": "test", "duration": 9, "annotations": null}}}'
    )
    out = ['--out', str(tmp_path / 'out')]
    assert main('summarize', [str(path), *out]) == 2
    assert 'd.json: no video with annotations' in capsys.readouterr().err
    assert main('summarize', [str(tmp_path / 'no.eaf'), *out]) == 2
    assert 'no.eaf: no annotation is there' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()
    assert main('summarize', [str(path), '--out', str(tmp_path / 'file')]) == 2
    assert 'file: Not a directory' in capsys.readouterr().err
