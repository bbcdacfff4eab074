from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mmma.apis import load_config
from mmma.engine.features import Features
from mmma.engine.fewshot import Classifier
from mmma.engine.frozen_backbone import weights_sha256
from mmma.engine.probe import Prober, check_adaptation, fit_probe
from mmma.engine.probe_checkpoint import save_probe
from mmma.engine.probe_linear import Labelled
from mmma.layout.rec import Clip
from mmma.layout.root import DatasetInfo
from mmma.protocols import make_protocol

K, D = 82, 5
INFO = DatasetInfo('made-up', 'mma82', simulated=True)
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
        x = rng.normal(size=(len(own), 1, D)).astype('float32')
        for row, clip in zip(x, own, strict=True):
            row[0, clip.action or 0] += 8
        names = [clip.clip for clip in own]
        return Features(names, x, np.zeros((len(own), K), 'float32'), broken=['gone'])


def make_clips(domains=('lab', 'street'), subsets=('train', 'val', 'test')):
    return [
        Clip(f'{d}_{s}_{i}', '', s, d, f'{d}{i}', i % 4 if i else None, 0)
        for d in domains
        for s in subsets
        for i in range(9)
    ]


def config(**flags):
    return load_config(TINY, flags)


def candidate(favourite, **setting):
    weight = torch.zeros(K, D)
    bias = torch.nn.functional.one_hot(torch.tensor(favourite), K).float()
    return setting, None, Classifier(weight, bias)


def test_the_best_on_val_is_chosen_of_equals_the_first():
    val = Labelled(np.zeros((4, 1, D), 'float32'), np.array([1, 1, 2, 3]))
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
        probe, outcome = prober.score(config(**flags), INFO)
        probes.append(probe)
    assert probes[0] is probes[1]
    assert len(backbone.asked) == len(set(backbone.asked))
    (street,) = outcome.groups
    assert street.labels == {'target': 'street'}
    assert street.broken == ['gone']
    assert street.table.scores[1:].argmax(axis=1).tolist() == [1, 2, 3, 0, 1, 2, 3, 0]
    assert outcome.seen_domains is None
    assert outcome.selected_on['domains'] == ['lab']
    assert outcome.checkpoint['simulated'] is True


def test_adaptations():
    cfg = config(protocol='fewshot')
    check_adaptation(cfg)
    cfg.fewshot.adapt = 'finetune'
    with pytest.raises(ValueError, match=r"fewshot.adapt 'finetune' trains the backb"):
        check_adaptation(cfg)


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
