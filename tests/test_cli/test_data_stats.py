"""The command that tells what a root holds."""

import csv
import json

from mmma.cli import main
from mmma.data.root import DatasetInfo, write_info
from mmma.reporting import plots


def test_tables_sentences_and_pictures(det_root, tmp_path, capsys, monkeypatch):
    real = plots.draw_statistics

    def draw(table, path, title):  # few of them: pictures take seconds
        if len(table.rows) < 5 and path.suffix == '.svg':
            real(table, path, title)
        path.touch()

    monkeypatch.setattr(plots, 'draw_statistics', draw)
    out = tmp_path / 'out'
    assert main('data/stats', [str(det_root), '--out', str(out), '--workers', '0']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith('SIMULATED DATA')
    assert max(len(line) for line in lines if line[:1] in '+|') <= 100
    names = ('actions', 'groups', 'together', 'domains', 'subjects')
    files = {f'det_{n}.{s}' for n in names for s in ('csv', 'png', 'svg')}
    assert {file.name for file in out.iterdir()} == files
    with (out / 'det_actions.csv').open(encoding='utf-8', newline='') as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 82
    assert {row['simulated'] for row in rows} == {'true'}
    assert rows[-1]['median_sec'] == ''
    assert 'simulated data' in (out / 'det_domains.svg').read_text(encoding='utf-8')
    assert main('data/stats', [str(det_root), '--json', '--workers', '0']) == 0
    content = json.loads(capsys.readouterr().out)
    assert content['simulated']
    assert content['det_actions']['shows'][0].startswith('1 of 82 actions have half')


def test_a_root_without_tables(tmp_path, capsys):
    write_info(tmp_path, DatasetInfo('empty', 'mma82', simulated=False))
    assert main('data/stats', [str(tmp_path)]) == 2
    assert 'neither rec.csv nor det.json' in capsys.readouterr().err
