import json

import pytest

from mmma.cli import main

SMALL = ['--frames', '3', '--size', '24', '--clips', '2', '--rounds', '1']


@pytest.mark.parametrize('persons', ['1', '2'])
def test_all_versions_draw_the_same(capsys, persons):
    options = [*SMALL, '--persons', persons, '--device', 'cpu', '--json']
    assert main('benchmark', ['heatmap', *options]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [row['what'] for row in found['rows']] == ['joint'] * 3 + ['limb'] * 3
    stock, ours, batched = found['rows'][:3]
    assert stock['code'] == 'MMAction2 GeneratePoseTarget'
    assert (stock['difference'], stock['times_faster']) == (0, 1)
    assert {ours['code'], batched['code']} == {
        'mmma PoseHeatmap',
        'mmma HeatmapPreprocessor',
    }
    assert all(row['difference'] < 1e-5 for row in found['rows'])
    assert all(row['fastest_milliseconds'] > 0 for row in found['rows'])


def test_the_table_names_the_threads(capsys):
    assert main('benchmark', ['heatmap', *SMALL, '--device', 'cpu']) == 0
    out = capsys.readouterr().out
    assert 'threads 1' in out
    assert 'times faster' in out


def test_bad_numbers_exit_with_two(capsys):
    assert main('benchmark', ['heatmap', '--clips', '0']) == 2
    assert '--clips 0: use at least 1' in capsys.readouterr().err


def test_a_missing_gpu_is_told(capsys, monkeypatch):
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    assert main('benchmark', ['heatmap', '--device', 'cuda']) == 2
    assert '--device cuda: torch sees no GPU' in capsys.readouterr().err
