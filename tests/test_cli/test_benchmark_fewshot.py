import json

import pytest

from mmma.cli import main


def test_the_grid_is_timed_at_the_published_size(capsys):
    options = ['--dim', '16', '--shots', '1', '2', '--runs', '1', '--views', '2']
    assert main('benchmark', ['fewshot', *options, '--json']) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row['step'] for row in found['rows']] == ['linear', 'prototype', 'metrics']
    for row in found['rows']:
        assert row['times'] == 3 * 2  # targets, shots
        assert row['seconds'] >= row['slowest_seconds'] >= row['mean_seconds'] > 0


@pytest.mark.parametrize('option', ['--dim', '--views'])
def test_sizes_start_at_one(capsys, option):
    assert main('benchmark', ['fewshot', option, '0']) == 2
    assert f'{option} 0: use at least 1' in capsys.readouterr().err
