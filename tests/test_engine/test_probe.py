from dataclasses import replace
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
from mmma.engine.features import Features, weights_sha256
from mmma.engine.fewshot import Classifier
from mmma.engine.probe import (
    AttentivePooler,
    Labelled,
    Prober,
    check_adaptation,
    fit_attentive,
    fit_path,
    fit_probe,
    save_probe,
)
from mmma.engine.run import Run
from mmma.protocols import make_protocol

K, D, N = 4, 6, 80


def problem(seed=0, views=1):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, K, N)
    centres = rng.normal(size=(K, D))
    noise = rng.normal(size=(N, views, D))
    features = 3 + (centres[labels][:, None] + noise) * np.geomspace(0.1, 10, D)
    return Labelled(features.astype('float32'), labels)


@pytest.mark.parametrize('exact', [True, False])
def test_the_minimum_is_that_of_scikit_learn(exact, monkeypatch):
    if not exact:
        monkeypatch.setattr(module, '_EXACT', 0)
    data = problem()
    x = data.features[:, 0].astype(float)
    scaled = (x - x.mean(axis=0)) / x.std(axis=0)
    for l2, found in fit_path(data, K, (0.1, 0.001)):
        oracle = LogisticRegression(C=1 / (l2 * N), tol=1e-10, max_iter=10000)
        expected = oracle.fit(scaled, data.labels).predict_proba(scaled)
        np.testing.assert_allclose(
            found.predict(data.features), expected, atol=1e-4 if exact else 5e-3
        )


def test_views_count_as_clips_and_are_averaged():
    data = problem(views=2)
    apart = Labelled(data.features.reshape(2 * N, 1, D), data.labels.repeat(2))
    (_, found), (_, expected) = (next(fit_path(d, K, (0.01,))) for d in (data, apart))
    np.testing.assert_allclose(found.weight, expected.weight, atol=1e-5)
    scores = expected.predict(apart.features).reshape(N, 2, K).mean(axis=1)
    np.testing.assert_allclose(found.predict(data.features), scores, atol=1e-5)


def test_what_does_not_vary_gets_no_weight():
    data = problem()
    data.features[..., 2] = 7
    _, found = next(fit_path(data, K, (0.01,)))
    assert (found.weight[:, 2] == 0).all()
    assert np.isfinite(found.predict(data.features)).all()


def test_the_scale_of_features_changes_nothing():
    data = problem()
    scaled = Labelled(data.features * 1000, data.labels)
    (_, small), (_, large) = (next(fit_path(d, K, (0.01,))) for d in (data, scaled))
    np.testing.assert_allclose(
        small.predict(data.features), large.predict(scaled.features), atol=1e-4
    )


GRID = ({'lr': 3e-3, 'weight_decay': 0.01},)


def problem_of_probe_attentive(clips=48):
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
    data = problem_of_probe_attentive()
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
    tokens = problem_of_probe_attentive().features
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


K_PROBE, D_PROBE = 82, 5
TINY = 'recog/videomae-tiny_mma82_indomain'


class Backbone:
    """Gives features in which classes lie apart; counts what it is asked for."""

    record = {'pretrain_data': 'none', 'simulated': False}
    seen_domains = None
    sha256 = 'abc'
    is_random = False

    def __init__(self, clips):
        self.clips, self.asked = clips, []

    def source(self, cache):
        return SimpleNamespace(features=self.features)

    def features(self, subset, domain):
        self.asked.append((subset, domain))
        own = [c for c in self.clips if (c.subset, c.domain) == (subset, domain)]
        rng = np.random.default_rng(len(own))
        x = rng.normal(size=(len(own), 1, D_PROBE)).astype('float32')
        for row, clip in zip(x, own, strict=True):
            row[0, clip.action or 0] += 8
        names = [clip.clip for clip in own]
        return Features(
            names, x, np.zeros((len(own), K_PROBE), 'float32'), broken=['gone']
        )


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


def candidate(favourite, **setting):
    weight = torch.zeros(K_PROBE, D_PROBE)
    bias = torch.nn.functional.one_hot(torch.tensor(favourite), K_PROBE).float()
    return setting, None, Classifier(weight, bias)


def test_the_best_on_val_is_chosen_of_equals_the_first():
    val = Labelled(np.zeros((4, 1, D_PROBE), 'float32'), np.array([1, 1, 2, 3]))
    tried = [candidate(3, l2=1.0), candidate(1, l2=0.1), candidate(1, l2=0.01)]
    found = fit_probe(iter(tried), 'linear', ['lab'], val)
    assert found.chosen == {'l2': 0.1}
    assert [t['val_top1'] for t in found.tried] == [25, 50, 50]
    assert found.record()['domains'] == ['lab']
    assert found.sha256() != replace(found, classifier=tried[0][2]).sha256()


def test_the_plan_has_what_the_data_can_fill():
    prober = Prober(Backbone([]), make_clips(), 'linear')
    assert prober.plan(('indomain', 'zeroshot', 'fewshot')) == [
        {'protocol': 'indomain', 'domain': 'all'},
        {'protocol': 'indomain', 'domain': 'lab'},
        {'protocol': 'indomain', 'domain': 'street'},
        {'protocol': 'zeroshot', 'target': ['street']},
        {'protocol': 'fewshot', 'target': ['street']},
    ]
    assert len(Prober(Backbone([]), make_clips(['lab'])).plan(['indomain'])) == 1
    parts = prober.parts([make_protocol({'name': 'fewshot'})], 'test')
    assert parts == [
        ('train', 'lab'), ('val', 'lab'), ('test', 'street'), ('train', 'street')
    ]  # fmt: skip


def test_nothing_to_fill():
    prober = Prober(Backbone([]), make_clips(['lab'], ['train']))
    with pytest.raises(ValueError, match=r'no protocol of indomain.*lab train 9'):
        prober.plan(['indomain'])


def test_clips_go_through_the_backbone_once_and_lab_is_fitted_once():
    backbone = Backbone(make_clips())
    prober = Prober(backbone, backbone.clips)
    shown = []
    prober.extract([('train', 'lab'), ('val', 'lab')], lambda *p: shown.append(p))
    assert shown == [(9, 18), (18, 18)]
    probes = []
    for flags in ({'protocol': 'indomain', 'domain': 'lab'}, {'protocol': 'zeroshot'}):
        probe, groups, origin = prober.score(opened(**flags))
        probes.append(probe)
    assert probes[0] is probes[1]
    assert len(backbone.asked) == len(set(backbone.asked))
    (street,) = groups
    assert street.labels == {'target': 'street'}
    assert street.broken == ['gone']
    assert street.table.scores[1:].argmax(axis=1).tolist() == [1, 2, 3, 0, 1, 2, 3, 0]
    assert origin['seen_domains'] is None
    assert origin['selected_on']['domains'] == ['lab']
    assert origin['checkpoint']['simulated'] is True


def test_adaptations():
    run = opened(protocol='fewshot')
    check_adaptation(run)
    run.cfg.fewshot.adapt = 'finetune'
    with pytest.raises(ValueError, match=r"fewshot.adapt 'finetune' trains the backb"):
        check_adaptation(run)


def test_an_attentive_probe_is_no_checkpoint(tmp_path):
    backbone = SimpleNamespace(model=torch.nn.Identity())
    probe = SimpleNamespace(kind='attentive')
    with pytest.raises(ValueError, match='this attentive probe is no checkpoint'):
        save_probe(Path(tmp_path, 'a.pth'), None, backbone, probe, None)


def test_a_hash_of_weights_is_of_names_and_values():
    layer = torch.nn.Linear(2, 2)
    first = weights_sha256(layer)
    assert first == weights_sha256(layer)
    with torch.no_grad():
        layer.bias[0] += 1
    assert weights_sha256(layer) != first
