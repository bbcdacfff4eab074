"""Published files of the repository are what the page says of them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mmma.hub.zoo import list_models

REPO = Path(__file__).resolve().parents[1]
OURS = [model for model in list_models() if model.kind == 'ours']
MEGABYTE = 1_000_000


def run_tool(*args):
    command = [sys.executable, *map(str, args)]
    found = subprocess.run(command, cwd=REPO, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr[-2000:]


def test_the_zoo_has_each_kind_of_demonstration():
    kinds = {(model.task, model.modality) for model in OURS}
    assert {('rec', 'Pose'), ('rec', 'RGB'), ('det', 'Pose')} <= kinds
    assert {p.name for p in (REPO / 'zoo').iterdir()} == {m.name for m in OURS}


def test_the_zoo_is_small_enough_for_a_repository():
    files = [p for p in (REPO / 'zoo').rglob('*') if p.is_file()]
    assert max(p.stat().st_size for p in files) < 8 * MEGABYTE
    assert sum(p.stat().st_size for p in files) < 20 * MEGABYTE


def test_the_number_of_the_page(tmp_path):
    """The smallest whose data take seconds to simulate, from its name to its number."""
    poses = [m for m in OURS if (m.task, m.modality) == ('rec', 'Pose')]
    model = min(poses, key=lambda m: m.size)
    published = json.loads((model.local.parent / 'results.json').read_text())
    assert 'scale small' in published['data']['source']
    run_tool('tools/data/simulate.py', tmp_path / 'data', '--scale', 'small',
             '--tasks', 'rec', '--workers', 1)  # fmt: skip
    run_tool('tools/test.py', model.config, model.name,
             '--data-root', tmp_path / 'data', '--work-dir', tmp_path)  # fmt: skip
    found = json.loads((tmp_path / 'results.json').read_text())
    assert found['checkpoint']['sha256'] == model.sha256
    for ours, theirs in zip(found['runs'], published['runs'], strict=True):
        assert ours['counts'] == theirs['counts']
        assert ours['metrics'] == pytest.approx(theirs['metrics'], abs=0.1)
