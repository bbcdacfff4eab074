from dataclasses import replace

import numpy as np
import pytest
import torch
from fewshot_runs import make_run
from scipy.optimize import minimize
from torch import nn

from mmma.engine import fewshot as module
from mmma.engine.fewshot import (
    Classifier,
    adapt_linear,
    fewshot_settings,
    finetuned,
    prototype_scores,
    trained_parameters,
)

K, D = 4, 6


def problem(seed=0, clips=20):
    rng = np.random.default_rng(seed)
    source = Classifier(
        torch.from_numpy(rng.normal(size=(K, D)).astype('float32')),
        torch.from_numpy(rng.normal(size=K).astype('float32')),
    )
    features = rng.normal(size=(clips, 1, D)).astype('float32')
    return source, features, rng.integers(0, K, clips)


def test_adaptation_finds_the_minimum_that_scipy_finds():
    source, features, labels = problem()
    x = features[:, 0].astype(float)
    scale = np.sqrt((x**2).sum(axis=1).mean())
    x, w0 = x / scale, source.weight.double().numpy() * scale
    b0 = source.bias.double().numpy()

    def objective(flat):
        w, b = flat[: K * D].reshape(K, D), flat[K * D :]
        logits = x @ w.T + b
        nll = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(x)), labels]
        return nll.mean() + 0.05 * (((w - w0) ** 2).sum() + ((b - b0) ** 2).sum())

    best = minimize(objective, np.r_[w0.ravel(), b0], options={'gtol': 1e-8}).x
    adapted = adapt_linear(source, features, labels, proximity=0.1)
    weight = best[: K * D].reshape(K, D) / scale
    np.testing.assert_allclose(adapted.weight.numpy(), weight, atol=1e-4)
    np.testing.assert_allclose(adapted.bias.numpy(), best[K * D :], atol=1e-4)


def test_little_proximity_fits_the_supports_and_much_stays_with_the_source():
    source, features, labels = problem(clips=8)
    free = adapt_linear(source, features, labels, proximity=1e-4)
    assert (free.predict(features).argmax(axis=1) == labels).all()
    held = adapt_linear(source, features, labels, proximity=1e6)
    torch.testing.assert_close(held.weight, source.weight, atol=1e-4, rtol=0)


@pytest.mark.parametrize('average', ['prob', 'score'])
def test_probabilities_or_logits_are_averaged_over_views(average):
    source, features, _ = problem()
    two = np.concatenate([features[:10], features[10:]], axis=1)
    if average == 'prob':
        mean = (source.predict(features[:10]) + source.predict(features[10:])) / 2
    else:
        mean = source.predict(two.mean(axis=1, keepdims=True))
    found = replace(source, average=average).predict(two)
    np.testing.assert_allclose(found, mean, rtol=1e-5)


def test_the_span_of_few_supports_holds_the_minimum(monkeypatch):
    source, features, labels = problem(clips=3)
    short = adapt_linear(source, features, labels, proximity=0.01)
    monkeypatch.setattr(torch.linalg, 'qr', None)
    padded = np.concatenate([features, features], axis=1)  # 6 rows: not few
    whole = adapt_linear(source, padded, labels, proximity=0.01)
    torch.testing.assert_close(short.weight, whole.weight, atol=1e-5, rtol=0)
    torch.testing.assert_close(short.bias, whole.bias, atol=1e-5, rtol=0)


def test_prototypes_are_means_of_directions():
    supports = np.array([[[2.0, 0]], [[0, 5.0]], [[-3.0, 0]]], 'float32')
    clip = np.array([[[1.0, 0], [0, 7.0]]], 'float32')  # two views
    found = prototype_scores(supports, np.array([1, 1, 3]), clip, 4, temperature=0.5)
    root = np.sqrt(0.5)  # prototypes of 1 and 3: (root, root), (-1, 0)
    first = np.exp([2 * root, -2.0])
    second = np.exp([2 * root, 0.0])
    known = (first / first.sum() + second / second.sum()) / 2
    np.testing.assert_allclose(found, [[0, known[0], 0, known[1]]], 1e-5)


CONFIGURED = dict(
    adapt='linear', proximity=0.1, temperature=0.1, train='all', iters=9, lr=None
)


def test_settings_are_those_of_the_adaptation():
    for adapt, settings in {
        'linear': {'proximity': 0.1},
        'prototype': {'temperature': 0.1},
        'finetune': {'train': 'all', 'iters': 9, 'lr': None},
    }.items():
        found = fewshot_settings({**CONFIGURED, 'adapt': adapt})
        assert found == {'adapt': adapt, **settings}


def test_bad_settings():
    for change, message in (
        ({'adapt': 'liner'}, r"unknown fewshot.adapt 'liner'.*Did you mean 'linear'"),
        ({'proximity': 0}, r'fewshot.proximity 0: use a number above 0'),
        (
            {'proximty': 1},
            r"unknown setting 'proximty' in fewshot.*Did you mean 'proximity'",
        ),
        ({'adapt': 'finetune', 'train': 'neck'}, r"unknown fewshot.train 'neck'"),
        ({'adapt': 'finetune', 'iters': 0}, r'fewshot.iters 0: use a number above 0'),
        ({'adapt': 'finetune', 'lr': -1}, r'fewshot.lr -1: use a number above 0'),
    ):
        with pytest.raises(ValueError, match=message):
            fewshot_settings({**CONFIGURED, **change})
    with pytest.raises(ValueError, match=r"fewshot.proximity is missing; 'linear'"):
        fewshot_settings({'adapt': 'linear'})


SUPPORTS = ['street_train_0', 'street_train_1', 'street_train_2']
HEAD = {'cls_head.fc_cls.weight', 'cls_head.fc_cls.bias'}


@pytest.fixture(scope='module')
def runner(video_root, tmp_path_factory):
    return make_run(video_root, tmp_path_factory.mktemp('finetune'))[1]


def state(runner):
    return {k: v.clone() for k, v in runner.model.state_dict().items()}


def train(runner, seeds=(0, 1), **settings):
    settings = {'train': 'all', 'iters': 3, 'lr': 1e-3, **settings}
    with finetuned(runner, 'street', SUPPORTS, settings, seeds):
        return state(runner)


def changed(before, after):
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_training_follows_from_the_seeds_and_is_undone(runner):
    source = state(runner)
    first = train(runner)
    assert not changed(source, state(runner))
    torch.manual_seed(9)
    assert not changed(first, train(runner))
    assert changed(first, train(runner, seeds=(0, 2)))
    assert all(p.requires_grad and p.grad is None for p in runner.model.parameters())


def test_the_model_is_restored_after_an_error(runner):
    source = state(runner)
    settings = {'train': 'head', 'iters': 1, 'lr': 1.0}
    with (
        pytest.raises(KeyboardInterrupt),
        finetuned(runner, 'street', SUPPORTS, settings, (0,)),
    ):
        raise KeyboardInterrupt
    assert not changed(source, state(runner))


def test_only_the_part_asked_for_is_trained(runner):
    source = state(runner)
    assert changed(source, train(runner, train='head')) == HEAD
    last = changed(source, train(runner, train='last'))
    assert last >= HEAD
    assert any(name.startswith('backbone.blocks.3.') for name in last)
    assert not any(name.startswith('backbone.blocks.2.') for name in last)
    names = {name for name, _ in runner.model.named_parameters()}
    assert changed(source, train(runner)) == names


def test_the_rate_falls_linearly_from_that_of_the_config(runner, monkeypatch):
    rates = []
    original = type(runner.model).train_step

    def note(model, batch, optim_wrapper):
        rates.append(optim_wrapper.param_groups[0]['lr'])
        return original(model, batch, optim_wrapper)

    monkeypatch.setattr(type(runner.model), 'train_step', note)
    train(runner, iters=4, lr=0.4)
    assert rates == pytest.approx([0.4, 0.3, 0.2, 0.1])
    rates.clear()
    train(runner, iters=1, lr=None)
    # A tenth of the recipe's 1e-3, which is for batches of 8, here of 2.
    assert rates == pytest.approx([1e-4 * 2 / 8])


class Blocks(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Module()
        self.backbone.layer1 = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
        self.backbone.layer2 = nn.Sequential(
            nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout()),
            nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout()),
        )
        self.backbone.norm = nn.LayerNorm(2)
        self.cls_head = nn.Module()
        self.cls_head.fc_cls = nn.Linear(2, 3)


def test_the_last_block_and_all_after_it_is_trained():
    model = Blocks().train()
    chosen = trained_parameters(model, 'last')
    stems = {name.rpartition('.')[0] for name in chosen}
    assert stems == {
        'backbone.layer2.1.0', 'backbone.layer2.1.1', 'backbone.norm', 'cls_head.fc_cls'
    }  # fmt: skip
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in chosen)
    module._freeze(model)  # what is frozen neither drops nor counts
    first, second = model.backbone.layer2
    assert not first[2].training
    assert second[2].training
    assert not second[1].training
    model.backbone = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="'last': Linear has no numbered blocks"):
        trained_parameters(model, 'last')
