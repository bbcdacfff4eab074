import logging

import pytest
import torch
from adapter_runs import make_runner, train
from mmengine.hooks import Hook
from mmengine.registry import DefaultScope

from mmma.checkpoints import weights_of
from mmma.engine.ema import TrainedEMAHook
from mmma.registry import HOOKS

HOOKS.get('TrainedEMAHook')
DECAY = 0.75
OPTIONS = dict(hooks=[dict(type='TrainedEMAHook', decay=DECAY)])
NAME = 'rpn_head.cls_head.weight'


@pytest.fixture(autouse=True)
def _scope():
    with DefaultScope.overwrite_default_scope('mmma'):
        yield


class Watch(Hook):
    """Keeps a weight after each iteration, and in validation."""

    priority = 'VERY_LOW'

    def __init__(self):
        self.steps, self.validated = [], []

    def _now(self, runner):
        return runner.model.state_dict()[NAME].clone()

    def before_train(self, runner):
        self.start = self._now(runner)

    def after_train_iter(self, runner, *args, **kwargs):
        self.steps.append(self._now(runner))

    def before_val_iter(self, runner, *args, **kwargs):
        self.validated.append(self._now(runner))


def test_averages_are_validated_and_saved(tmp_path):
    watch = Watch()
    runner, saved = train(tmp_path, start=watch, **OPTIONS)
    average, averages = watch.start, []
    for value in watch.steps:
        average = DECAY * average + (1 - DECAY) * value
        averages.append(average)
    torch.testing.assert_close(watch.validated[0], averages[1])
    torch.testing.assert_close(watch.validated[-1], averages[-1])
    torch.testing.assert_close(saved['state_dict'][NAME], averages[-1])
    assert torch.equal(saved['ema_state_dict'][f'module.{NAME}'], watch.steps[-1])
    assert torch.equal(runner.model.state_dict()[NAME], watch.steps[-1])


def test_only_trained_parameters_are_averaged(tmp_path):
    runner, saved = train(tmp_path, **OPTIONS)
    trained = {n for n, p in runner.model.named_parameters() if p.requires_grad}
    names = {n.removeprefix('module.') for n in saved['ema_state_dict']}
    assert names == trained
    last = weights_of(saved, averaged=False)
    assert set(last) == set(runner.model.state_dict())
    for name, value in runner.model.state_dict().items():
        assert torch.equal(last[name], value), name


def test_a_resumed_run_equals_one_not_interrupted(tmp_path):
    _, whole = train(tmp_path / 'whole', **OPTIONS)
    train(tmp_path / 'parts', stop=3, **OPTIONS)
    _, resumed = train(tmp_path / 'parts', resume=True, **OPTIONS)
    for part in ('state_dict', 'ema_state_dict'):
        for name, value in whole[part].items():
            assert torch.equal(resumed[part][name], value), name


def test_a_checkpoint_without_averages_is_told(tmp_path, caplog):
    train(tmp_path, hooks=[], stop=3)
    runner = make_runner(tmp_path, resume=True, **OPTIONS)
    runner.logger.addHandler(caplog.handler)
    with caplog.at_level(logging.WARNING):
        runner.train()
    assert 'has no averages: they start from its weights' in caplog.text


@pytest.mark.parametrize('decay', [0, 1, 1.5])
def test_bad_decays_are_refused(decay):
    with pytest.raises(ValueError, match='decay of TrainedEMAHook is'):
        TrainedEMAHook(decay)
