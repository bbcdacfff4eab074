import pytest
from real_runs import make_table_root, use_fake

from mmma import estimates
from mmma.cli import main
from mmma.media import mediapipe as mediapipe_backend


@pytest.fixture
def call(tmp_path, monkeypatch):
    calls = use_fake(tmp_path, monkeypatch)
    monkeypatch.setattr(mediapipe_backend, 'describe', lambda _: 'fake')
    make_table_root(tmp_path / 'data')

    def run(*more, preset='cpu-small', estimate=False):
        calls.write_text('')
        argv = [str(tmp_path / 'data'), '--out', str(tmp_path / 'out')]
        argv += ['--preset', preset, *more]
        status = main('real', argv if estimate else [*argv, '--no-estimate'])
        return status, calls.read_text().split()

    return run


def test_from_data_to_table(call, tmp_path, capsys):
    status, ran = call()
    assert (status, len(ran)) == (0, 19)
    out = capsys.readouterr().out
    assert 'the table' in out
    assert out.endswith(f'all done, in {tmp_path}/out\n')
    assert call() == (0, [])
    assert '[2/19] pack: done before' in capsys.readouterr().out


def test_again_runs_what_builds_on_it_too(call):
    call()
    status, ran = call('--again', 'posec3d-lab')
    assert (status, ran) == (0, ['train', 'test', 'test', 'table', 'table'])


def test_a_failure_is_exit_status_one(call, monkeypatch):
    monkeypatch.setenv('FAIL', 'data/check')
    assert call() == (1, ['data/check'])
    status, ran = call('--skip', 'check')
    assert (status, len(ran)) == (0, 18)


def test_a_dry_run_estimates_and_runs_nothing(call, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(estimates, 'measure_part', lambda _: {'failure': 'why'})
    assert call('--dry-run', '--again', 'pack', estimate=True) == (0, [])
    out = capsys.readouterr().out
    assert 'why' in out
    assert f'python -m mmma data/check {tmp_path}/data --leakage' in out
    assert not (tmp_path / 'out/real.json').exists()


def test_a_full_disk_is_told_before_the_start(call, monkeypatch, capsys):
    big = {'pack': (1e18, None, None, '')}
    monkeypatch.setattr(estimates, 'estimate_steps', lambda *_: big)
    assert call(estimate=True) == (2, [])
    assert 'GB are needed' in capsys.readouterr().err


def test_a_missing_extractor_is_told_before_the_start(call, monkeypatch, capsys):
    def describe(_):
        raise ValueError('mediapipe is not installed')

    monkeypatch.setattr(mediapipe_backend, 'describe', describe)
    assert call() == (2, [])
    expected = 'pose: mediapipe is not installed; or --skip pose, and PoseC3D with it'
    assert expected in capsys.readouterr().err
    assert call('--skip', 'pose')[0] == 0


def test_missing_gpus_are_told_before_the_start(call, monkeypatch, capsys):
    monkeypatch.setattr('torch.cuda.device_count', lambda: 3)
    assert call(preset='8gpu') == (2, [])
    assert '--preset 8gpu needs 8 GPUs, torch sees 3' in capsys.readouterr().err
    assert call('--skip', 'gctsm', 'posec3d', preset='8gpu')[0] == 0


def test_misspelt_steps(call, capsys):
    assert call('--again', 'pak') == (2, [])
    assert "unknown step of --again 'pak'" in capsys.readouterr().err
