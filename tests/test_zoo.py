"""Published files of the repository are what the page says of them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mmma.cli import main
from mmma.hub.zoo import list_models
from mmma.simulation.corpus import write_corpus, write_tables
from mmma.simulation.plan import SimulationOptions
from mmma.simulation.planner import make_plan

REPO = Path(__file__).resolve().parents[1]
OURS = [model for model in list_models() if model.kind == 'ours']
MEGABYTE = 1_000_000


def test_the_zoo_has_each_kind_of_demonstration():
    kinds = {(model.task, model.modality) for model in OURS}
    assert {('rec', 'Pose'), ('rec', 'RGB'), ('det', 'Pose')} <= kinds
    assert ('emotion', 'Pose') in kinds
    studies = {'emotion_mma82-simulated'}
    assert {p.name for p in (REPO / 'zoo').iterdir()} == {
        m.name for m in OURS
    } | studies


def test_the_zoo_is_small_enough_for_a_repository():
    files = [p for p in (REPO / 'zoo').rglob('*') if p.is_file()]
    assert max(p.stat().st_size for p in files) < 8 * MEGABYTE
    assert sum(p.stat().st_size for p in files) < 25 * MEGABYTE


def test_the_number_of_the_page(tmp_path):
    """The smallest whose data take seconds to simulate, from its name to its number.

    The tables are whole; of clips that are not tested there are no skeletons.
    """
    poses = [m for m in OURS if (m.task, m.modality) == ('rec', 'Pose')]
    model = min(poses, key=lambda m: m.size)
    published = json.loads((model.local.parent / 'results.json').read_text())
    plan = make_plan(SimulationOptions('small', tasks=('rec',)))
    assert 'scale small' in published['data']['source']
    tested = tuple(item for item in plan.rec if item.subset == 'test')
    write_corpus(replace(plan, rec=tested), tmp_path / 'data')
    write_tables(tmp_path / 'data', plan)
    place = ['--data-root', str(tmp_path / 'data'), '--work-dir', str(tmp_path)]
    quick = ['--cfg-options', 'test_dataloader.num_workers=0']
    assert main('test', [model.config, model.name, *place, *quick]) == 0
    found = json.loads((tmp_path / 'results.json').read_text())
    assert found['checkpoint']['sha256'] == model.sha256
    for ours, theirs in zip(found['runs'], published['runs'], strict=True):
        assert ours['counts'] == theirs['counts']
        assert ours['metrics'] == pytest.approx(theirs['metrics'], abs=0.1)
