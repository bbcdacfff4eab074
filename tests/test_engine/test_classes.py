"""What a model is told of the classes, through real runners."""

import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from torch import nn

from mmma.apis import load_config
from mmma.engine.classes import tell_classes
from mmma.engine.testing import TestOptions, load_runner, score_protocol
from mmma.engine.training import TrainOptions, latest_checkpoint, prepare, shorten
from mmma.evaluation.functional.bodies import BODY_SCORES
from mmma.evaluation.recognition import EvaluationOptions, Truth, body_variants
from mmma.layout.joints import WHOLEBODY65
from mmma.layout.rec import Clip, write_rec
from mmma.layout.root import DataRoot, DatasetInfo, write_info
from mmma.layout.skeletons import SkeletonWriter
from mmma.taxonomy import load_label_space

SPACE = load_label_space('mma82')
MOVED = 20  # an action to which the data give another body group than the taxonomy
ROWS = [
    *(('lab', 'train', action) for action in (0, 0, 0, 7, MOVED, None)),
    *(('street', 'train', action) for action in (7, 7)),
    *(('lab', subset, a) for subset in ('val', 'test') for a in (0, 7, MOVED)),
]


def body_of(action):
    return (SPACE.body_of[action] + (action == MOVED)) % SPACE.num_bodies


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    """A data root of skeletons with one action in another body group."""
    folder = tmp_path_factory.mktemp('skeleton_root')
    rng = np.random.default_rng(0)
    clips = []
    with SkeletonWriter(folder, 'rec', WHOLEBODY65) as writer:
        for i, (domain, subset, action) in enumerate(ROWS):
            known = action is not None
            clips.append(
                Clip(
                    clip=f'c{i:02}',
                    path='',
                    subset=subset,
                    domain=domain,
                    subject=f's{i}',
                    action=action,
                    body=body_of(action) if known else None,
                )
            )
            place = rng.uniform(20, 200, (1, 12, 65, 2))
            writer.append(f'c{i:02}', place, np.ones((1, 12, 65)), 30, 320, 240)
    write_rec(folder / 'rec.csv', clips, SPACE)
    write_info(folder, DatasetInfo('skeletons', 'mma82', simulated=True))
    return folder


def config(root, **flags):
    path = 'configs/recog/skeletontcn-tiny_mma82_indomain.py'
    cfg = load_config(path, flags, data_root=str(root))
    cfg.model.cls_head.update(
        body=dict(loss_weight=0.5),
        loss_cls=dict(type='LogitAdjustedCrossEntropy'),
    )
    shorten(cfg)
    return cfg


def expected_map():
    return [body_of(action) for action in range(SPACE.num_actions)]


@pytest.fixture(scope='module')
def trained(root, tmp_path_factory):
    work_dir = str(tmp_path_factory.mktemp('work'))
    cfg = config(root, domain='lab')
    prepare(cfg, TrainOptions(work_dir=work_dir))
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner, latest_checkpoint(work_dir)


def test_training_counts_the_clips_that_it_may_use(trained):
    head = trained[0].model.cls_head
    counts = head.loss_cls.class_counts
    assert {k: int(counts[k]) for k in counts.nonzero()[:, 0].tolist()} == {
        0: 3, 7: 1, MOVED: 1
    }  # fmt: skip
    assert head.body_of.tolist() == expected_map()


def test_testing_tells_the_map_but_not_the_truth(root, trained, tmp_path):
    options = TestOptions(work_dir=str(tmp_path))
    runner, _ = load_runner(config(root, domain='lab'), trained[1], options)
    head = runner.model.cls_head
    assert head.body_of.tolist() == expected_map()
    assert len(head.loss_cls.class_counts) == 0
    stored = trained[0].model.cls_head.fc_body.weight
    assert torch.equal(head.fc_body.weight, stored)
    clips = DataRoot(root).read_rec()
    (scored,) = score_protocol(runner, clips, 'test')
    space = SPACE.with_body_of(expected_map())
    options = EvaluationOptions(body_scores='head')
    variants = body_variants(scored.table, space, options.body_scores)
    assert set(variants) == set(BODY_SCORES)
    truth = Truth.from_clips(c for c in clips if c.subset == 'test')
    assert variants['head'].shape == (len(truth.names), SPACE.num_bodies)
    np.testing.assert_allclose(variants['head'].sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(scored.table.scores.sum(axis=1), 1, rtol=1e-5)


class Listening(nn.Module):
    def set_classes(self, dataset_meta):
        self.heard = dataset_meta


@pytest.mark.parametrize('training', [True, False])
def test_every_part_is_told_through_wrappers(training):
    inner = Listening()
    wrapped = nn.DataParallel(nn.Sequential(nn.Linear(1, 1), inner))
    tell_classes(wrapped, dict(classes=['a'], labels=[0]), training)
    labels = dict(labels=[0]) if training else {}
    assert inner.heard == dict(classes=['a'], **labels)
