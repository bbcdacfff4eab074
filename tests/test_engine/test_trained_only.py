from pathlib import Path

import pytest
import torch
from adapter_runs import make_runner, pretrained_file, train
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope

from mmma.checkpoints.frozen import frozen_names
from mmma.engine.weights import StartFrom, Weights, starting_weights, with_frozen
from mmma.registry import HOOKS

HOOKS.get('TrainedOnlyHook')
OPTIONS = dict(
    hooks=[dict(type='TrainedOnlyHook'), dict(type='TrainedEMAHook', decay=0.5)]
)


@pytest.fixture(autouse=True)
def _scope():
    with DefaultScope.overwrite_default_scope('mmma'):
        yield


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    monkeypatch.setenv('MMMA_HOME', str(tmp_path))
    return pretrained_file(tmp_path / 'checkpoints')


def start(recipe):
    cfg = ConfigDict(pretrained=recipe)
    return StartFrom(starting_weights(cfg, None, pretrained=True))


def run(tmp_path, recipe, **kwargs):
    return train(tmp_path, start=start(recipe), pretrained=recipe, **OPTIONS, **kwargs)


def as_read(checkpoint):
    return Weights(Path('epoch_3.pth'), checkpoint, 'noise')


def test_frozen_weights_are_left_out_and_found_again(tmp_path, recipe):
    runner, saved = run(tmp_path / 'run', recipe)
    names = frozen_names(runner.model)
    assert names
    assert not set(names) & set(saved['state_dict'])
    assert saved['meta']['frozen']['count'] == len(names)
    assert saved['meta']['frozen']['source'] == 'vit.pth'
    other = make_runner(tmp_path / 'other', pretrained=recipe, **OPTIONS)
    whole = with_frozen(other.model, as_read(saved), other.cfg)
    other.model.load_state_dict(whole.content['state_dict'])
    expected = runner.model.state_dict()
    for name in names:
        assert torch.equal(other.model.state_dict()[name], expected[name]), name


def test_a_resumed_run_equals_one_not_interrupted(tmp_path, recipe):
    _, whole = run(tmp_path / 'whole', recipe)
    run(tmp_path / 'parts', recipe, stop=3)
    _, resumed = train(tmp_path / 'parts', resume=True, pretrained=recipe, **OPTIONS)
    assert resumed['meta']['epoch'] == 3
    assert resumed['meta']['frozen'] == whole['meta']['frozen']
    for part in ('state_dict', 'ema_state_dict'):
        assert list(resumed[part]) == list(whole[part])
        for name, value in whole[part].items():
            assert torch.equal(torch.as_tensor(resumed[part][name]), value), name
    for key, state in whole['optimizer']['state'].items():
        for name, value in state.items():
            assert torch.equal(resumed['optimizer']['state'][key][name], value)


def test_all_is_saved_without_the_weights_of_a_recipe(tmp_path):
    runner, saved = train(tmp_path, **OPTIONS)
    assert set(saved['state_dict']) == set(runner.model.state_dict())
    assert 'frozen' not in saved['meta']
    whole = as_read(saved)
    assert with_frozen(runner.model, whole, runner.cfg) is whole


def test_all_is_saved_where_nothing_is_frozen(tmp_path, recipe):
    runner, saved = run(tmp_path / 'run', recipe, frozen=False)
    assert set(saved['state_dict']) == set(runner.model.state_dict())


def test_a_run_that_starts_from_such_a_checkpoint_leaves_them_out_too(tmp_path, recipe):
    _, first = run(tmp_path / 'first', recipe)
    _, second = train(
        tmp_path / 'second',
        start=StartFrom(as_read(first)),
        pretrained=recipe,
        **OPTIONS,
    )
    assert second['meta']['frozen'] == first['meta']['frozen']
    assert list(second['state_dict']) == list(first['state_dict'])


def test_other_frozen_weights_are_an_error(tmp_path, recipe):
    runner, saved = run(tmp_path / 'run', recipe)
    pretrained_file(tmp_path / 'checkpoints', seed=6)
    with pytest.raises(ValueError, match='was trained on other frozen weights'):
        with_frozen(runner.model, as_read(saved), runner.cfg)


def test_a_config_without_pretrained_weights_is_an_error(tmp_path, recipe):
    runner, saved = run(tmp_path / 'run', recipe)
    runner.cfg.pretrained = None
    with pytest.raises(ValueError, match=r'epoch_3\.pth leaves out its .* of vit\.pth'):
        with_frozen(runner.model, as_read(saved), runner.cfg)
