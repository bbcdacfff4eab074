import numpy as np
import pytest
import torch

from mmma.engine import probe_attentive as module
from mmma.engine.probe_attentive import AttentivePooler, fit_attentive
from mmma.engine.probe_linear import Labelled

GRID = ({'lr': 3e-3, 'weight_decay': 0.01},)


def problem(clips=48):
    """The class of a clip is in one of its tokens, at any place; the mean hides it."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, clips)
    tokens = rng.normal(size=(clips, 5, 8)).astype('float32')
    tokens[..., 0] = 0
    tokens[np.arange(clips), rng.integers(0, 5, clips), 0] = 6 * (2 * labels - 1)
    return Labelled(tokens, labels)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(module, 'BATCH_SIZE', 16)


def test_it_learns_and_is_a_function_of_the_seed():
    data = problem()
    torch.manual_seed(5)
    before = torch.get_rng_state()
    setting, pooler, layer = next(fit_attentive(data, 2, GRID, seed=1))
    assert torch.equal(torch.get_rng_state(), before)
    assert setting == GRID[0]
    scores = layer.predict(pooler.embed(data.features))
    assert (scores.argmax(axis=1) == data.labels).mean() > 0.9
    *_, again = next(fit_attentive(data, 2, GRID, seed=1))
    assert torch.equal(again.weight, layer.weight)
    *_, other = next(fit_attentive(data, 2, GRID, seed=2))
    assert not torch.equal(other.weight, layer.weight)


def test_the_order_of_tokens_does_not_matter_and_parts_are_joined(monkeypatch):
    torch.manual_seed(0)
    pooler = AttentivePooler(8)
    tokens = problem().features
    found = pooler.embed(tokens)
    assert found.shape == (48, 1, 8)
    monkeypatch.setattr(module, '_CLIPS_AT_ONCE', 7)
    np.testing.assert_allclose(pooler.embed(tokens[:, ::-1].copy()), found, atol=1e-5)


def test_the_rate_rises_then_falls_to_nothing():
    rates = [module._rate(step, 100) for step in range(100)]
    assert rates[0] == 0.1
    assert max(rates) == rates[10] == 1
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 0.001
