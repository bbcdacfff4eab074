"""Telling which clips were replaced."""

from types import SimpleNamespace

import pytest
from mmaction.structures import ActionDataSample

from mmma.engine import broken_clips
from mmma.registry import HOOKS


@pytest.fixture
def runner():
    said = []
    logger = SimpleNamespace(warning=said.append)
    return SimpleNamespace(epoch=2, logger=logger, said=said)


@pytest.fixture
def hook():
    return HOOKS.build({'type': 'BrokenClipHook'})


def batch(*broken):
    samples = [
        ActionDataSample(metainfo={'broken': name} if name else {}) for name in broken
    ]
    return {'inputs': [], 'data_samples': samples}


def test_distinct_clips_are_told_after_the_epoch(hook, runner):
    hook.after_train_iter(runner, 0, batch('b', None, 'a'))
    hook.after_train_iter(runner, 1, batch(None, 'b'))
    assert runner.said == []
    hook.after_train_epoch(runner)
    (said,) = runner.said
    assert said.startswith('2 broken clips were replaced in epoch 3: a, b;')
    assert 'check.py' in said


def test_only_the_first_five_are_named(hook, runner):
    hook.after_train_iter(runner, 0, batch(*'gfedcba'))
    hook.after_train_epoch(runner)
    assert '7 broken clips' in runner.said[0]
    assert ': a, b, c, d, e, ...;' in runner.said[0]


def test_each_epoch_tells_its_own(hook, runner):
    hook.after_train_iter(runner, 0, batch('a'))
    hook.after_train_epoch(runner)
    hook.after_train_iter(runner, 0, batch(None))
    hook.after_train_epoch(runner)
    hook.after_train(runner)
    assert len(runner.said) == 1


def test_training_without_epochs_tells_at_its_end(hook, runner):
    hook.after_train_iter(runner, 0, batch('a'))
    hook.after_train(runner)
    assert '1 broken clips were replaced in training: a;' in runner.said[0]


def test_all_processes_are_asked(hook, runner, monkeypatch):
    others = [{'z'}, {'a', 'y'}]
    monkeypatch.setattr(broken_clips, 'all_gather_object', lambda own: [own, *others])
    hook.after_train_iter(runner, 0, batch('a'))
    hook.after_train_epoch(runner)
    assert '3 broken clips were replaced in epoch 3: a, y, z;' in runner.said[0]
