from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from mmma.engine.fewshot import (
    Classifier,
    adapt_linear,
    adapt_prototype,
    fewshot_settings,
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


def test_probabilities_are_averaged_over_views():
    source, features, _ = problem()
    two = np.concatenate([features[:10], features[10:]], axis=1)
    mean = (source.predict(features[:10]) + source.predict(features[10:])) / 2
    np.testing.assert_allclose(source.predict(two), mean, rtol=1e-6)


def test_logits_are_averaged_over_views_where_the_head_does_so():
    source, features, _ = problem()
    two = np.concatenate([features[:10], features[10:]], axis=1)
    expected = source.predict(two.mean(axis=1, keepdims=True))
    found = replace(source, average='score').predict(two)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_span_of_few_supports_holds_the_minimum(monkeypatch):
    source, features, labels = problem(clips=3)
    short = adapt_linear(source, features, labels, proximity=0.01)
    monkeypatch.setattr(torch.linalg, 'qr', None)
    padded = np.concatenate([features, features], axis=1)  # 6 rows: not few
    whole = adapt_linear(source, padded, labels, proximity=0.01)
    torch.testing.assert_close(short.weight, whole.weight, atol=1e-5, rtol=0)
    torch.testing.assert_close(short.bias, whole.bias, atol=1e-5, rtol=0)


def test_prototypes_are_means_of_directions():
    features = np.array([[[2.0, 0]], [[0, 5.0]], [[-3.0, 0]]], 'float32')
    found = adapt_prototype(features, np.array([1, 1, 3]), 4, temperature=0.5)
    np.testing.assert_array_equal(found.classes, [1, 3])
    root = np.sqrt(0.5)
    np.testing.assert_allclose(found.prototypes, [[root, root], [-1, 0]], atol=1e-6)
    clip = np.array([[[1.0, 0], [0, 7.0]]], 'float32')  # two views
    first = np.exp([2 * root, -2.0])
    second = np.exp([2 * root, 0.0])
    known = (first / first.sum() + second / second.sum()) / 2
    np.testing.assert_allclose(found.predict(clip), [[0, known[0], 0, known[1]]], 1e-5)


CONFIGURED = dict(
    adapt='linear', proximity=0.1, temperature=0.1, train='all', iters=9, lr=None
)


@pytest.mark.parametrize(
    ('adapt', 'settings'),
    [
        ('linear', {'proximity': 0.1}),
        ('prototype', {'temperature': 0.1}),
        ('finetune', {'train': 'all', 'iters': 9, 'lr': None}),
    ],
)
def test_settings_are_those_of_the_adaptation(adapt, settings):
    found = fewshot_settings({**CONFIGURED, 'adapt': adapt})
    assert found == {'adapt': adapt, **settings}


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'adapt': 'liner'}, r"unknown fewshot.adapt 'liner'.*Did you mean 'linear'"),
        ({'proximity': 0}, r'fewshot.proximity 0: use a number above 0'),
        ({'proximty': 1}, r"unknown fewshot.proximty: .*Did you mean 'proximity'"),
        ({'adapt': 'finetune', 'train': 'neck'}, r"unknown fewshot.train 'neck'"),
        ({'adapt': 'finetune', 'iters': 0}, r'fewshot.iters 0: use a number above 0'),
        ({'adapt': 'finetune', 'lr': -1}, r'fewshot.lr -1: use a number above 0'),
    ],
)
def test_bad_settings(change, message):
    with pytest.raises(ValueError, match=message):
        fewshot_settings({**CONFIGURED, **change})


def test_a_setting_that_is_missing():
    with pytest.raises(ValueError, match=r"fewshot.proximity is missing; 'linear'"):
        fewshot_settings({'adapt': 'linear'})
