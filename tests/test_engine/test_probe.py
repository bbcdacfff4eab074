from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from mmma.apis import load_config
from mmma.data.clips import Clip
from mmma.data.root import DatasetInfo
from mmma.engine import probe as module
from mmma.engine.features import Features
from mmma.engine.fewshot import Classifier
from mmma.engine.probe import (
    AttentivePooler,
    Prober,
    fit_attentive,
    fit_linear,
    save_probe,
)
from mmma.engine.run import Run
from mmma.protocols import make_protocol

K, D, N = 4, 6, 80


def problem(views=1):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, K, N)
    centres = rng.normal(size=(K, D))
    noise = rng.normal(size=(N, views, D))
    features = 3 + (centres[labels][:, None] + noise) * np.geomspace(0.1, 10, D)
    return features.astype('float32'), labels


def fit(features, labels, l2=0.01):
    ((_, _, found),) = fit_linear(features, labels, K, grid=(l2,))
    return found


@pytest.mark.parametrize('exact', [True, False])
def test_the_minimum_is_that_of_scikit_learn(exact, monkeypatch):
    if not exact:
        monkeypatch.setattr(module, '_EXACT', 0)
    features, labels = problem()
    x = features[:, 0].astype(float)
    scaled = (x - x.mean(axis=0)) / x.std(axis=0)
    for setting, _, found in fit_linear(features, labels, K, grid=(0.1, 0.001)):
        oracle = LogisticRegression(
            C=1 / (setting['l2'] * N), tol=1e-10, max_iter=10000
        )
        expected = oracle.fit(scaled, labels).predict_proba(scaled)
        room = 1e-4 if exact else 5e-3
        np.testing.assert_allclose(found.predict(features), expected, atol=room)


def test_views_count_as_clips_and_are_averaged():
    features, labels = problem(views=2)
    apart = features.reshape(2 * N, 1, D)
    found, expected = fit(features, labels), fit(apart, labels.repeat(2))
    np.testing.assert_allclose(found.weight, expected.weight, atol=1e-5)
    scores = expected.predict(apart).reshape(N, 2, K).mean(axis=1)
    np.testing.assert_allclose(found.predict(features), scores, atol=1e-5)


def test_what_does_not_vary_gets_no_weight():
    features, labels = problem()
    features[..., 2] = 7
    found = fit(features, labels)
    assert (found.weight[:, 2] == 0).all()
    assert np.isfinite(found.predict(features)).all()


def test_the_scale_of_features_changes_nothing():
    features, labels = problem()
    scores = [fit(x, labels).predict(x) for x in (features, features * 1000)]
    np.testing.assert_allclose(*scores, atol=1e-4)


GRID = ({'lr': 3e-3, 'weight_decay': 0.01},)


def token_problem(clips=48):
    """The class of a clip is in one of its tokens, at any place; the mean hides it."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, clips)
    tokens = rng.normal(size=(clips, 5, 8)).astype('float32')
    tokens[..., 0] = 0
    tokens[np.arange(clips), rng.integers(0, 5, clips), 0] = 6 * (2 * labels - 1)
    return tokens, labels


def test_attention_learns_and_is_a_function_of_the_seed(monkeypatch):
    monkeypatch.setattr(module, 'BATCH_SIZE', 16)
    tokens, labels = token_problem()
    torch.manual_seed(5)
    before = torch.get_rng_state()
    ((setting, pooler, layer),) = fit_attentive(tokens, labels, 2, 1, GRID)
    assert torch.equal(torch.get_rng_state(), before)
    assert setting == GRID[0]
    scores = layer.predict(pooler.embed(tokens))
    assert (scores.argmax(axis=1) == labels).mean() > 0.9
    ((*_, again),) = fit_attentive(tokens, labels, 2, 1, GRID)
    assert torch.equal(again.weight, layer.weight)
    ((*_, other),) = fit_attentive(tokens, labels, 2, 2, GRID)
    assert not torch.equal(other.weight, layer.weight)


def test_the_order_of_tokens_does_not_matter_and_parts_are_joined(monkeypatch):
    torch.manual_seed(0)
    pooler = AttentivePooler(8)
    tokens, _ = token_problem()
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


ACTIONS, DIMS = 82, 5
TINY = 'recog/videomae-tiny_mma82_indomain'
ORIGIN = {
    'checkpoint': {'backbone_sha256': 'abc', 'simulated': False},
    'seen_domains': None,
}


class Source:
    """Gives features in which classes lie apart; notes what it is asked for."""

    def __init__(self, clips):
        self.clips, self.asked = clips, []

    def features(self, subset, domain):
        self.asked.append((subset, domain))
        own = [c for c in self.clips if (c.subset, c.domain) == (subset, domain)]
        rng = np.random.default_rng(len(own))
        x = rng.normal(size=(len(own), 1, DIMS)).astype('float32')
        for row, clip in zip(x, own, strict=True):
            row[0, clip.action or 0] += 8
        scores = np.zeros((len(own), ACTIONS), 'float32')
        return Features([clip.clip for clip in own], x, scores, broken=['gone'])


def make_clips(domains=('lab', 'street'), subsets=('train', 'val', 'test')):
    return [
        Clip(f'{d}_{s}_{i}', '', s, d, f'{d}{i}', i % 4 if i else None, 0)
        for d in domains
        for s in subsets
        for i in range(9)
    ]


def opened(**flags):
    """A run without data."""
    cfg = load_config(TINY, flags)
    root = SimpleNamespace(info=DatasetInfo('made-up', 'mma82', simulated=True))
    return Run(cfg, make_protocol(cfg.protocol), root)


def candidate(favourite, l2):
    weight = torch.zeros(ACTIONS, DIMS)
    bias = torch.nn.functional.one_hot(torch.tensor(favourite), ACTIONS).float()
    return {'l2': l2}, None, Classifier(weight, bias)


def test_the_best_on_val_is_chosen_of_equals_the_first(monkeypatch):
    tried = [candidate(5, 1.0), candidate(1, 0.1), candidate(2, 0.01)]
    monkeypatch.setattr(module, 'fit_linear', lambda *_: iter(tried))
    prober = Prober(None, ORIGIN, make_clips())
    prober.source = Source(make_clips())
    found = prober.probe(['lab'], ACTIONS, 'prob')
    assert found.chosen == {'l2': 0.1}
    assert [t['val_top1'] for t in found.tried] == [0, 25, 25]
    assert found.record()['domains'] == ['lab']
    assert found.state()['cls_head.fc_cls.bias'].argmax() == 1


def test_the_plan_has_what_the_data_can_fill():
    prober = Prober(None, ORIGIN, make_clips())
    assert prober.plan(('indomain', 'zeroshot', 'fewshot')) == [
        {'protocol': 'indomain', 'domain': 'all'},
        {'protocol': 'indomain', 'domain': 'lab'},
        {'protocol': 'indomain', 'domain': 'street'},
        {'protocol': 'zeroshot', 'target': ['street']},
        {'protocol': 'fewshot', 'target': ['street']},
    ]
    assert len(Prober(None, ORIGIN, make_clips(['lab'])).plan(['indomain'])) == 1
    prober = Prober(None, ORIGIN, make_clips(['lab'], ['train']))
    with pytest.raises(ValueError, match=r'no protocol of indomain.*lab train 9$'):
        prober.plan(['indomain'])


def test_clips_go_through_the_backbone_once_and_lab_is_fitted_once():
    source, shown = Source(make_clips()), []
    prober = Prober(None, ORIGIN, source.clips)
    prober.source = source
    prober.extract([opened(protocol='fewshot')], 'test', lambda *p: shown.append(p))
    assert shown == [(9, 36), (18, 36), (27, 36), (36, 36)]
    assert source.asked == [
        ('train', 'lab'), ('val', 'lab'), ('test', 'street'), ('train', 'street')
    ]  # fmt: skip
    probes = []
    for flags in ({'protocol': 'indomain', 'domain': 'lab'}, {'protocol': 'zeroshot'}):
        probe, groups, origin = prober.score(opened(**flags))
        probes.append(probe)
    assert probes[0] is probes[1]
    assert source.asked[4:] == [('test', 'lab')]
    (street,) = groups
    assert street.labels == {'target': 'street'}
    assert street.broken == ['gone']
    assert street.table.scores[1:].argmax(axis=1).tolist() == [1, 2, 3, 0, 1, 2, 3, 0]
    assert origin['seen_domains'] is None
    assert origin['selected_on']['domains'] == ['lab']
    assert origin['checkpoint']['simulated'] is True


def test_an_attentive_probe_is_no_checkpoint(tmp_path):
    probe = SimpleNamespace(kind='attentive', state=dict)
    with pytest.raises(ValueError, match='this attentive probe is no checkpoint'):
        save_probe(Path(tmp_path, 'a.pth'), None, torch.nn.Identity(), probe, None)
