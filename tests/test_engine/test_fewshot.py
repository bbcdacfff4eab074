import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement
from scipy.optimize import minimize
from torch import nn

from mmma.engine.fewshot import (
    Classifier,
    adapt_linear,
    extract_features,
    find_classifier,
    source_classifier,
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


def test_proximity_must_be_positive():
    with pytest.raises(ValueError, match=r'fewshot.proximity 0: use a number above 0'):
        adapt_linear(*problem(), proximity=0)


class Recognizer(nn.Module):
    def __init__(self):
        super().__init__()
        self.cls_head = nn.Module()
        self.cls_head.fc_cls = nn.Linear(D, K)

    def test_step(self, batch):
        scores = self.cls_head.fc_cls(batch['inputs']).softmax(dim=1)
        return [
            BaseDataElement(metainfo=sample, pred_score=score)
            for sample, score in zip(batch['data_samples'], scores, strict=True)
        ]


def test_features_are_what_the_classifier_sees_sorted_and_without_broken_clips():
    model = Recognizer()
    inputs = torch.randn(4, D)
    batches = [
        {'inputs': inputs[:2], 'data_samples': [{'clip': 'c'}, {'clip': 'a'}]},
        {
            'inputs': inputs[2:],
            'data_samples': [{'clip': 'b'}, {'clip': 'x', 'broken': 'x'}],
        },
    ]
    found = extract_features(model, batches)
    assert found.names == ['a', 'b', 'c']
    assert found.broken == ['x']
    np.testing.assert_array_equal(found.features[:, 0], inputs[[1, 2, 0]])
    again = source_classifier(model).predict(found.features)
    np.testing.assert_allclose(again, found.scores, atol=1e-6)
    assert found.take(['c', 'a']).names == ['c', 'a']
    np.testing.assert_array_equal(found.take(['c']).features[0, 0], inputs[0])


def test_a_head_without_linear_classifier():
    model = nn.Module()
    model.cls_head = nn.Identity()
    with pytest.raises(ValueError, match='Identity has no linear layer'):
        find_classifier(model)
