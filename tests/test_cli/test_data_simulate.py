"""The command that writes the simulated corpus."""

import os
import subprocess
import sys

import pytest

from mmma.cli import main
from mmma.data.root import DataRoot
from mmma.simulation.plan import NEVER_A_BENCHMARK


@pytest.fixture(autouse=True)
def keep_environment(monkeypatch):
    monkeypatch.setenv('OMP_NUM_THREADS', os.environ.get('OMP_NUM_THREADS', '1'))


def simulate(*arguments):
    return main('data/simulate', [str(a) for a in arguments])


def test_tables(tmp_path, capsys):
    assert simulate(tmp_path / 'a', '--scale', 'tiny', '--tables-only') == 0
    out = capsys.readouterr().out
    assert '409 trimmed clips' in out
    assert NEVER_A_BENCHMARK in out
    assert str(tmp_path / 'a') in out
    assert DataRoot(tmp_path / 'a').info.simulated
    assert len(DataRoot(tmp_path / 'a').read_rec()) == 409


def test_second_call_has_nothing_to_do(tmp_path, capsys):
    for _ in range(2):
        assert simulate(tmp_path / 'a', '--scale', 'tiny', '--tables-only') == 0
    assert 'complete already, nothing to do' in capsys.readouterr().out


def test_few_videos(tmp_path, capsys):
    arguments = ['--scale', 'tiny', '--modality', 'video', '--tasks', 'rec']
    assert simulate(tmp_path / 'a', *arguments, '--videos', 2, '--workers', 2) == 0
    clips = DataRoot(tmp_path / 'a').read_rec()
    assert [(tmp_path / 'a' / clip.path).is_file() for clip in clips] == [True, True]
    assert 'with 2 workers' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--scale', 'medium'], "unknown scale 'medium': use one of tiny, small, full"),
        (['--modality', 'pose'], "unknown modality 'pose'"),
        (['--tasks', 'recognition'], "unknown task 'recognition'"),
        (['--workers', '0'], 'workers 0: use 1 or more'),
        (['--videos', '3'], 'with modality video or both'),
    ],
)
def test_bad_usage(tmp_path, capsys, arguments, message):
    assert simulate(tmp_path / 'a', '--tables-only', *arguments) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / 'a').exists()


@pytest.mark.parametrize(
    ('error', 'status'), [(KeyboardInterrupt(), 130), (OSError(28, 'disk full'), 2)]
)
def test_interruption_says_how_to_go_on(tmp_path, capsys, monkeypatch, error, status):
    def stop(*_):
        raise error

    monkeypatch.setattr('mmma.simulation.corpus.write_tables', stop)
    assert simulate(tmp_path / 'a', '--scale', 'tiny', '--tables-only') == status
    assert 'kept: the same command goes on' in capsys.readouterr().err


def test_needs_neither_torch_nor_mmaction(tmp_path):
    code = (
        'import sys; from mmma.cli import main; '
        f'main("data/simulate", [{str(tmp_path / "a")!r}, "--scale", "tiny", '
        '"--tables-only"]); print(*{m.split(".")[0] for m in sys.modules})'
    )
    out = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=True
    ).stdout
    loaded = out.splitlines()[-1].split()
    assert not {'torch', 'mmaction', 'mmengine'} & set(loaded)
