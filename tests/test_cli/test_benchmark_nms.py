import json

import pytest

from mmma.cli import benchmark_nms, main

SMALL = ['--candidates', '80', '--classes', '5', '--videos', '2', '--rounds', '1']


def test_all_versions_keep_the_same(capsys):
    assert main('benchmark', ['nms', *SMALL, '--device', 'cpu', '--json']) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [row['what'] for row in found['rows']] == ['even'] * 3 + ['longtail'] * 3
    assert [row['code'] for row in found['rows'][:3]] == [
        'one pick at a time',
        'mmma class_nms',
        'mmma class_nms_batch',
    ]
    assert all(row['difference'] < 1e-6 for row in found['rows'])
    assert all(0 < row['kept'] <= 80 for row in found['rows'])
    assert found['rows'][0]['times_faster'] == 1
    assert found['candidates'] == 80


def test_other_detections_are_no_small_difference(monkeypatch):
    monkeypatch.setattr(
        'mmma.structures.samples.class_nms_batch',
        lambda *parts: list(zip(*parts[:3], strict=True)),
    )
    case = benchmark_nms.Case(80, 5, 1, 3, 10, 1, 'cpu')
    assert [row['difference'] for row in benchmark_nms.measure('even', case)][2] is None


@pytest.mark.parametrize('option', ['candidates', 'classes', 'max-per-video'])
def test_bad_numbers_exit_with_two(capsys, option):
    assert main('benchmark', ['nms', f'--{option}', '0']) == 2
    assert f'--{option} 0: use at least 1' in capsys.readouterr().err


def test_a_missing_gpu_is_told(capsys, monkeypatch):
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    assert main('benchmark', ['nms', '--device', 'cuda']) == 2
    assert '--device cuda: torch sees no GPU' in capsys.readouterr().err
