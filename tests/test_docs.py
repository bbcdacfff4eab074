"""The examples of docs/data_format.md and docs/extending.md are files that are read."""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest

from mmma.data.arrays import SkeletonStore
from mmma.data.clips import OPTIONAL, REQUIRED
from mmma.data.root import DatasetInfo, read_root
from mmma.data.videos import read_detections
from mmma.evaluation.scores import read_scores

REPO = Path(__file__).parents[1]
PAGE = REPO / 'docs' / 'data_format.md'


def write_blocks(page, folder):
    """Write the files of a page that have a name; their number."""
    text = page.read_text('utf-8')
    blocks = re.findall(r'^```\w+ (\S+)\n(.*?)^```$', text, re.M | re.S)
    for name, text in blocks:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding='utf-8')
    return len(blocks)


@pytest.fixture(scope='module')
def examples(tmp_path_factory):
    folder = tmp_path_factory.mktemp('examples')
    assert write_blocks(PAGE, folder) == 10
    return folder


def test_a_root_as_the_page_shows(examples, capsys):
    root = read_root(examples)
    space = root.label_space()
    assert (root.domains, space.bodies) == (
        (('clinic', 'home'), 'clinic'),
        ('hands', 'head'),
    )
    clips = {clip.clip: clip for clip in root.read_rec()}
    assert list(clips) == ['a1', 'a2', 'b1', 'c1', 'c2']
    assert clips['a2'].span == pytest.approx((63.2, 64.1))
    assert (clips['b1'].body, clips['c1'].action, clips['c2'].action) == (0, 2, None)
    visit, evening = root.read_det()
    assert visit.instances[0].text == 'left over right'
    assert [one.point for one in visit.instances] == [False, True]
    assert evening.withheld
    assert not capsys.readouterr().err


def test_a_root_without_groups_as_the_page_shows(examples):
    root = read_root(examples / 'plain')
    assert root.domains == (('ward',), 'ward')
    assert [clip.body for clip in root.read_rec()] == [None, None]


def test_arrays_and_predictions_as_the_page_shows(examples):
    np.save(examples / 'skeletons' / 'rec.npy', np.zeros((63, 1, 3, 3), np.int16))
    assert [*SkeletonStore(examples, 'rec').index] == ['a1', 'a2']
    space = read_root(examples).label_space()
    assert read_scores(examples / 'scores.csv', space).scores.argmax() == 2
    assert read_detections(examples / 'detections.json', space).names == ('evening',)


def test_the_page_names_every_key_and_column():
    page = PAGE.read_text('utf-8')
    columns = {*REQUIRED, *OPTIONAL, *DatasetInfo.__dataclass_fields__}
    assert not [name for name in columns if f'`{name}`' not in page]


def test_parts_of_ones_own_as_the_page_shows(video_root, tmp_path, monkeypatch):
    import torch

    from mmma import build_dataset, load_config
    from mmma.registry import DATA_SAMPLERS, MODELS

    assert write_blocks(REPO / 'docs' / 'extending.md', tmp_path) == 3
    (tmp_path / 'configs').symlink_to(REPO / 'configs')
    monkeypatch.syspath_prepend(tmp_path / 'mine')
    cfg = load_config(str(tmp_path / 'mine' / 'means_mma82_indomain.py'))
    own = cfg.model.backbone.type, cfg.train_dataloader.sampler.type
    registries = MODELS.module_dict, DATA_SAMPLERS.module_dict
    try:
        features = MODELS.build(cfg.model.backbone)(torch.ones(2, 1, 48, 31, 4))
        assert MODELS.build(cfg.model.cls_head)(features).shape == (2, 82)
        rgb = load_config('gctsm-tiny_mma82_indomain', data_root=str(video_root))
        dataset = build_dataset(rgb)
        sampler = cfg.train_dataloader.sampler
        sampler = DATA_SAMPLERS.build({**sampler, 'dataset': dataset, 'seed': 0})
        assert len({dataset.metainfo['subjects'][key.index] for key in sampler}) > 3
    finally:
        for name, known in zip(own, registries, strict=True):
            known.pop(name, None)
    monkeypatch.chdir(tmp_path)
    runpy.run_path('mine/gestures.py')
    root = read_root('data/gestures')
    assert [(clip.action, clip.body) for clip in root.read_rec()] == [(1, 1), (0, 0)]
