"""Adaptation without labels: its numbers, that no label has a part, what it refuses."""

import copy
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from mmma.cli import main
from mmma.config import load_config
from mmma.data.clips import write_rec
from mmma.data.root import DataRoot
from mmma.engine.adapt import (
    METHODS,
    adapt_settings,
    adapted,
    choose_methods,
    templates,
)
from mmma.engine.fewshot import Classifier
from mmma.evaluation.reports import read_results
from mmma.hub.zoo import checkpoint_path
from mmma.reporting.paper import paper_tables
from mmma.reporting.results import check_comparable, pool_results
from mmma.reporting.table import results_table

CONFIG = 'configs/recog/skeletontcn-tiny_mma82_indomain.py'
ZOO = 'skeletontcn-tiny_mma82_zeroshot-simulated'


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    """The tiny simulated corpus, without its untrimmed videos."""
    folder = tmp_path_factory.mktemp('adapt') / 'root'
    options = ['--scale', 'tiny', '--tasks', 'rec', '--workers', '1']
    assert main('data/simulate', [str(folder), *options]) == 0
    return folder


def score(root, folder, *more, protocol='adapt'):
    """Results and score files by name of the zoo's model, on street."""
    status = main(
        'test',
        [
            *(CONFIG, str(checkpoint_path(ZOO)), '--protocol', protocol),
            *('--target', 'street', '--no-cache', '--data-root', str(root)),
            *('--work-dir', str(folder), '--dump', str(folder / 'scores.npz')),
            *('--cfg-options', 'test_dataloader.num_workers=0', *more),
        ],
    )
    assert status == 0
    scores = {p.stem: np.load(p)['scores'] for p in folder.glob('scores*.npz')}
    return read_results(folder / 'results.json'), scores


@pytest.fixture(scope='module', params=['train', 'test'])
def run(request, root, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    return request.param, *score(root, folder, f'adapt.on={request.param}')


def relabelled(root, folder, change):
    """A copy of a root with other labels of street."""
    shutil.copytree(root, folder)
    opened = DataRoot(root)
    clips = opened.read_rec()
    street = [i for i, clip in enumerate(clips) if clip.domain == 'street']
    for place, clip in zip(street, change([clips[i] for i in street]), strict=True):
        clips[place] = clip
    write_rec(folder / 'rec.csv', clips, opened.label_space())
    return folder


def rolled(clips):
    """The labels of other clips."""
    others = [*clips[7:], *clips[:7]]
    return [
        replace(c, action=o.action, body=o.body)
        for c, o in zip(clips, others, strict=True)
    ]


def withheld(clips):
    """No label of a clip that is not tested."""
    return [c if c.subset == 'test' else replace(c, action=None) for c in clips]


def test_labels_of_the_target_change_no_bit(run, root, tmp_path):
    on, results, scores = run
    for change in (rolled, withheld):
        other = relabelled(root, tmp_path / change.__name__, change)
        folder = tmp_path / f'{change.__name__}-tested'
        folder.mkdir()
        theirs, found = score(other, folder, f'adapt.on={on}')
        assert found.keys() == scores.keys()
        for name, own in scores.items():
            np.testing.assert_array_equal(found[name], own)
        moved = theirs['runs'][0]['metrics'] != results['runs'][0]['metrics']
        assert moved == (change is rolled)


def test_rows_and_what_they_tell(run, root, tmp_path):
    on, results, scores = run
    plain = score(root, tmp_path, protocol='zeroshot')[1]['scores']
    zero_shot, *rows = results['runs']
    np.testing.assert_allclose(scores['scores_street_zero-shot'], plain, atol=1e-6)
    assert zero_shot['control'] == 'zero-shot'
    assert [(r['method'], r.get('control')) for r in rows] == [
        (method, control) for method in METHODS for control in (None, 'source')
    ]
    clips = DataRoot(root).read_rec()
    count = sum((c.subset, c.domain) == (on, 'street') for c in clips)
    for row in rows:
        told = dict(row['adapted_on'])
        sure = told.pop('sure', None)
        assert (sure is None) == (row['method'] != 'pseudo')
        mine = 'control' not in row
        assert told == {
            'subset': on if mine else 'val',
            'domains': ['street' if mine else 'lab'],
            'clips': count,
        }
    assert results['options']['adapt.on'] == on
    assert results['options']['adapt.batch_size'] == 128
    text = results_table([results])
    assert 'adapted, Tent, to the source (control)' in text
    assert {'train': 'inductive', 'test': 'transductive'}[on] in text
    (table,) = paper_tables([results], level='action')
    assert table.title.startswith('Recognition, adapted without labels, from lab')
    assert not any(row.paper for row in table.rows)


def test_rows_stand_beside_no_other_protocol_or_kind_of_clips(run):
    on, results, _ = run
    named = {**results, 'files': ['a.json']}
    zero_shot = {**named, 'protocol': {'name': 'zeroshot', 'target': ['street']}}
    zero_shot['options'] = {k: v for k, v in named['options'].items() if '.' not in k}
    other = 'test' if on == 'train' else 'train'
    other = {**named, 'options': {**named['options'], 'adapt.on': other}}
    for beside, told in ((zero_shot, 'adapted without labels'), (other, 'adapt.on')):
        for refusing in (check_comparable, results_table, paper_tables):
            with pytest.raises(ValueError, match='make two tables') as caught:
                refusing([named, beside])
            assert told in str(caught.value)
    with pytest.raises(ValueError, match='nothing to pool'):
        pool_results([named, zero_shot])


def test_templates_are_those_of_the_definition():
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(4, 6)), rng.normal(size=4)
    x = rng.normal(size=(30, 6))
    layer = Classifier(*(torch.from_numpy(a.astype('float32')) for a in (weight, bias)))
    found = templates(layer, x[:, None].astype('float32'), 3)
    every = np.concatenate([weight, x])
    p = np.exp(every @ weight.T + bias)
    p /= p.sum(axis=1, keepdims=True)
    entropy = -(p * np.log(p)).sum(axis=1)
    for label in range(4):
        own = [i for i in np.argsort(entropy) if p[i].argmax() == label][:3]
        mean = sum(every[i] / np.linalg.norm(every[i]) for i in own)
        np.testing.assert_allclose(
            found.weight[label], mean / np.linalg.norm(mean), atol=1e-5
        )
    assert not found.bias.any()


class Net(nn.Module):
    """Norms of both kinds, which classify rows of numbers."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(
            nn.BatchNorm1d(5), nn.Linear(5, 8), nn.LayerNorm(8)
        )
        self.cls_head = nn.Module()
        self.cls_head.fc_cls = nn.Linear(8, 3)

    def forward(self, x):
        return self.cls_head.fc_cls(self.backbone(x))

    def test_step(self, batch):
        from mmaction.structures import ActionDataSample

        samples = []
        scores = self(batch['x']).softmax(dim=-1)
        for name, score in zip(batch['data_samples'], scores, strict=True):
            samples.append(ActionDataSample(metainfo={'clip': name}))
            samples[-1].pred_score = score
        return samples


@pytest.fixture
def problem():
    torch.manual_seed(0)
    x = 2 * torch.randn(25, 5) + 1
    names = [f'c{i}' for i in range(25)]
    parts = (slice(0, 13), slice(13, 25))
    loader = [{'x': x[part], 'data_samples': names[part]} for part in parts]
    return SimpleNamespace(model=Net().eval()), x, loader


def test_batch_norms_get_the_statistics_of_all_clips(problem):
    runner, x, loader = problem
    with adapted(runner, loader, None, False):
        torch.testing.assert_close(runner.model.backbone[0].running_mean, x.mean(dim=0))
        assert not runner.model.training


def test_tent_steps_down_the_entropy_and_scores_before_each_step(problem):
    runner, x, loader = problem
    source = runner.model
    before = copy.deepcopy(source.state_dict())
    ours = copy.deepcopy(source)
    ours.backbone[0].train()
    moved = [*ours.backbone[0].parameters(), *ours.backbone[2].parameters()]
    optimizer, expected = torch.optim.Adam(moved, 0.01), []
    for batch in loader:
        spread = torch.distributions.Categorical(logits=ours(batch['x']))
        expected.append(spread.probs.detach())
        optimizer.zero_grad()
        spread.entropy().mean().backward()
        optimizer.step()
    with adapted(runner, loader, 0.01, True) as rows:
        scores = np.stack([row[1] for row in rows.values()])
        np.testing.assert_allclose(scores, torch.cat(expected), atol=1e-6)
        for name, value in runner.model.named_parameters():
            torch.testing.assert_close(
                value, ours.get_parameter(name), atol=1e-6, rtol=0
            )
    assert runner.model is source
    assert all(torch.equal(v, before[k]) for k, v in source.state_dict().items())
    with adapted(runner, loader, 0.01, False) as rows:
        assert not rows
        mean = runner.model.backbone[0].running_mean
        torch.testing.assert_close(mean, x.mean(dim=0))


def test_methods_that_do_not_fit_are_left_out_or_refused():
    def cfg(method):
        return SimpleNamespace(adapt=SimpleNamespace(method=method))

    model = Net()
    assert choose_methods(cfg('all'), model) == ([*METHODS], {})
    model.backbone[0] = nn.Identity()
    found, left = choose_methods(cfg('all'), model)
    assert found == ['t3a', 'tent', 'pseudo']
    assert left == {'bn': 'the model has no batch norm that keeps statistics'}
    with pytest.raises(ValueError, match='does not fit this model: bn: the model has'):
        choose_methods(cfg(['bn', 't3a']), model)
    with pytest.raises(ValueError, match=r"unknown adapt.method 'tend'.*mean 'tent'"):
        choose_methods(cfg('tend'), model)
    model.backbone[2], model.cls_head = nn.Identity(), nn.Identity()
    with pytest.raises(ValueError, match=r'no batch or layer norm .*no linear layer'):
        choose_methods(cfg('all'), model)


def test_settings_and_data_that_are_refused(root, tmp_path, capsys):
    cfg = load_config(CONFIG, 'adapt', data_root=str(root))
    assert adapt_settings(cfg)['batch_size'] == cfg.test_dataloader.batch_size
    for change, told in (
        ({'on': 'val'}, "adapt.on is 'val': need train, test"),
        ({'lr': 0}, 'adapt.lr 0: use a number above 0'),
        ({'supports': 1.5}, 'adapt.supports is 1.5: it must be a whole number'),
    ):
        own = copy.deepcopy(cfg)
        own.adapt.update(change)
        with pytest.raises(ValueError, match=told):
            adapt_settings(own)
    cfg.pop('adapt')
    with pytest.raises(ValueError, match=r'adapt.on is missing'):
        adapt_settings(cfg)
    detector = 'configs/det/skeletondet-tiny_mma82.py'
    with pytest.raises(
        ValueError, match='adaptation without labels is for recognition'
    ):
        load_config(detector, 'adapt')
    opened = DataRoot(root)
    shutil.copytree(root, tmp_path / 'root')
    clips = [c for c in opened.read_rec() if (c.subset, c.domain) != ('val', 'lab')]
    write_rec(tmp_path / 'root/rec.csv', clips, opened.label_space())
    with pytest.raises(AssertionError):
        score(tmp_path / 'root', tmp_path)
    assert 'lab has no val clip to adapt to: use another' in capsys.readouterr().err
