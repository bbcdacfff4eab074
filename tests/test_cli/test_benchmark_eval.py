import json
import sys

import pytest

from mmma.cli import benchmark, benchmark_eval, main

SMALL = ['--predictions', '20000', '--json-predictions', '500', '--videos', '25']


def test_both_inputs_are_measured(capsys):
    assert main('benchmark', ['eval', *SMALL, '--json']) == 0
    arrays, files = json.loads(capsys.readouterr().out)['rows']
    assert (arrays['predictions'], files['predictions']) == (20000, 500)
    for row in (arrays, files):
        assert row['seconds'] > 0
        assert row['cpu_seconds'] > 0
        assert 0 < row['peak_mib'] < 1000
        assert 0 < row['avg'] < 100


def test_arrays_and_files_agree():
    arrays = benchmark_eval.measure_arrays(300, 5)
    assert benchmark_eval.measure_files(300, 5)['avg'] == pytest.approx(arrays['avg'])


@pytest.mark.parametrize('option', ['--predictions', '--json-predictions', '--videos'])
def test_bad_options_exit_with_two(capsys, option):
    assert main('benchmark', ['eval', option, '0']) == 2
    assert f'{option} 0: use at least 1' in capsys.readouterr().err


def test_a_failed_measurement_says_why(monkeypatch):
    command = [sys.executable, '-c', 'raise SystemExit("no such thing")']
    monkeypatch.setattr(benchmark_eval, 'python_command', lambda *_: command)
    with pytest.raises(ValueError, match='measuring arrays failed: no such thing'):
        benchmark_eval._fresh_process('arrays', 1, 1)
    assert 'eval' in benchmark.PARTS
