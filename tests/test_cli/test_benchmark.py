import json

import pytest

from mmma.cli import benchmark, benchmark_model, main


def run_model(*options):
    return main('benchmark', ['model', '--arch', 'tiny', '--steps', '1', *options])


def test_attention_is_that_of_upstream(capsys, monkeypatch):
    memory = dict(peak_mib=2.0, start_mib=1.0)
    monkeypatch.setattr(
        benchmark_model, '_memory_of_a_fresh_process', lambda *_: memory
    )
    assert run_model('--what', 'attention', '--device', 'cpu', '--json') == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    upstream, ours, checkpointed = found['rows']
    assert upstream['backbone'] == 'MMAction2 VisionTransformer'
    assert upstream['output_difference'] is None
    assert 0 <= ours['output_difference'] < 1e-5
    assert 0 <= ours['gradient_difference'] < 1e-4
    assert checkpointed['gradient_difference'] < 1e-4
    assert all(row['seconds'] >= row['fastest_seconds'] > 0 for row in found['rows'])
    assert found['clip'] == '16x112x112'


def test_recomputing_blocks_with_adapters_changes_nothing(capsys, monkeypatch):
    memory = dict(peak_mib=2.0, start_mib=1.0)
    monkeypatch.setattr(
        benchmark_model, '_memory_of_a_fresh_process', lambda *_: memory
    )
    options = ['--what', 'tia', '--frames', '32', '--size', '32', '--device', 'cpu']
    assert run_model(*options, '--json') == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    plain, checkpointed, half = found['rows']
    assert plain['output_difference'] is None
    assert checkpointed['gradient_difference'] < 1e-4
    assert 0 < half['output_difference'] < 0.1
    assert found['clip'] == '32x32x32'


def test_memory_is_measured_in_a_process_of_its_own():
    case = benchmark_model.Case('tiny', 1, 'cpu', 1)
    found = benchmark_model._memory_of_a_fresh_process('mmma VideoMAEViT', case)
    assert found['peak_mib'] > found['start_mib'] > 0


def test_a_failed_measurement_says_why(monkeypatch):
    monkeypatch.setattr(
        benchmark_model,
        'python_command',
        lambda *_: benchmark.python_command('mmma.cli.no_such_module', []),
    )
    case = benchmark_model.Case('tiny', 1, 'cpu', 1)
    with pytest.raises(
        ValueError, match=r'measuring mmma VideoMAEViT failed: .*no_such'
    ):
        benchmark_model._memory_of_a_fresh_process('mmma VideoMAEViT', case)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--arch', 'smal'], "unknown arch 'smal'"),
        (['--batch-size', '0'], '--batch-size 0: use at least 1'),
        (['--steps', '0'], '--steps 0: use at least 1'),
        (['--what', 'tia', '--frames', '0'], '--frames 0: use at least 1'),
        (['--size', '64'], '--size is of --what tia'),
    ],
)
def test_bad_options_exit_with_two(capsys, options, message):
    assert run_model(*options) == 2
    assert message in capsys.readouterr().err


def test_a_missing_gpu_is_told(capsys, monkeypatch):
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    assert run_model('--device', 'cuda') == 2
    assert '--device cuda: torch sees no GPU' in capsys.readouterr().err


def test_a_part_is_needed(capsys):
    with pytest.raises(SystemExit, match='2'):
        main('benchmark', [])
    assert 'PART' in capsys.readouterr().err


def test_the_table_shows_conditions_and_missing_values(capsys):
    rows = [dict(name='a', value=None), dict(name='b', value=1234.5)]
    columns = dict(name='what', value='how much')
    benchmark.report(dict(threads=2, rows=rows), columns, as_json=False)
    out = capsys.readouterr().out
    assert out.startswith('threads 2\n')
    assert '| a    |        – |' in out
    assert '| b    | 1,234.50 |' in out


def test_timing_leaves_the_first_round_out(monkeypatch):
    clock = iter([0, 10, 11, 20, 23, 30, 32])  # one reading in the first round
    monkeypatch.setattr(benchmark.time, 'perf_counter', lambda: next(clock))
    assert benchmark.seconds_in_turns({'a': int}, rounds=3) == {'a': [1, 3, 2]}
