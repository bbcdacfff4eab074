"""The wheel, installed where there is no checkout."""

import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

import mmma

REPO = Path(__file__).resolve().parents[1]
SOURCES = (
    *('mmma', 'configs', 'zoo', 'model-index.yml'),
    *('setup.py', 'pyproject.toml', 'README.md', 'LICENSE'),
)


def call(*command, cwd):
    """Run a command away from the checkout; a failure shows what it printed."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith('PYTHON')}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=clean,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    """Built from a copy: a build leaves files behind, and takes up old ones."""
    folder = tmp_path_factory.mktemp('build')
    for name in SOURCES:
        source = REPO / name
        ignored = shutil.ignore_patterns('__pycache__')
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=ignored)
        else:
            shutil.copy2(source, folder)
    build = ('-m', 'build', '--wheel', '--no-isolation', '--outdir', folder / 'dist')
    call(sys.executable, *build, folder, cwd=folder)
    return next((folder / 'dist').glob('*.whl'))


@pytest.fixture(scope='module')
def python(wheel, tmp_path_factory):
    """The interpreter of a clean environment that has the wheel alone."""
    folder = tmp_path_factory.mktemp('env')
    venv.create(folder)
    python = folder / ('Scripts' if os.name == 'nt' else 'bin') / 'python'
    options = ('--quiet', '--no-compile', '-c', REPO / 'constraints.txt')
    install = ('-m', 'pip', '--python', python, 'install')
    call(sys.executable, *install, *options, wheel, cwd=folder)
    return python


@pytest.mark.install
def test_wheel_works_where_there_is_no_checkout(python, video_root, tmp_path):
    # One test, so that parallel runs install once.
    where = call(python, '-c', 'import mmma; print(mmma.__file__)', cwd=tmp_path)
    assert REPO not in Path(where).parents
    assert 'problems:\n  none' in call(python, '-m', 'mmma', 'doctor', cwd=tmp_path)
    script = python.with_name('mmma')
    shown = call(script, 'print_config', 'recog/videomae_mma82_fewshot', cwd=tmp_path)
    assert "name='fewshot'" in shown
    ours = 'gctsm-tiny_mma82_zeroshot-simulated'
    shown = call(python, '-m', 'mmma', 'download', ours, cwd=tmp_path)
    assert f'.mim/zoo/{ours}/' in Path(shown.strip()).as_posix()
    config = 'recog/videomae-tiny_mma82_indomain.py'
    options = ('--data-root', video_root, '--work-dir', tmp_path / 'run')
    command = ('-m', 'mmma', 'train', config, '--no-pretrained', '--fast-dev-run')
    call(python, *command, *options, cwd=tmp_path)
    assert (tmp_path / 'run' / 'fast-dev-run' / 'results.json').is_file()


def test_version_is_told_alike():
    citation = (REPO / 'CITATION.cff').read_text()
    assert f'\nversion: {mmma.__version__}\n' in citation


def test_constraints_pin_every_direct_requirement():
    pinned = re.findall(r'^([\w.-]+)==', (REPO / 'constraints.txt').read_text(), re.M)
    listed = re.search(
        r'install_requires=\[(.+?)\n    \]', (REPO / 'setup.py').read_text(), re.S
    ).group(1)
    needed = re.findall(r"f?'([\w-]+)", listed)
    assert len(needed) > 10
    assert {n.replace('_', '-') for n in needed} <= set(pinned)
