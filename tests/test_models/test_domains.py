import copy
import os

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from torch import distributed as dist
from torch import nn

from mmma.config import apply_options, config_folders
from mmma.engine.hooks import tell_classes
from mmma.models.domains import mix_styles
from mmma.models.heads.action_head import ActionHead
from mmma.registry import MODELS

CONFIGS = config_folders()[0]
NAMES = ['lab', 'st.reet', 'zoo']
DOMAINS = [NAMES[i] for i in (0, 1, 0, 2, 1, 0, 2, 1)]
METHODS = dict(GroupDRO={}, CORAL={}, MixStyle=dict(layers=['0']))
META = dict(labels=[0], domains=DOMAINS)


def samples(domains=DOMAINS):
    made = (ActionDataSample(metainfo=dict(domain=d)) for d in domains)
    return [sample.set_gt_label(i % 5) for i, sample in enumerate(made)]


def head_of(kind=None, domains=DOMAINS, **options):
    torch.manual_seed(0)
    method = dict(type=kind, **METHODS[kind], **options) if kind else None
    head = ActionHead(5, 3, 'none', dropout_ratio=0.0, domains=method)
    tell_classes(head, dict(META, domains=domains), training=True)
    return head


def features(seed=1):
    return torch.randn(8, 3, generator=torch.Generator().manual_seed(seed))


def plain(head, chosen):
    given = [samples()[i] for i in chosen]
    return head._losses(features()[chosen], given)['loss_cls'].item()


def test_groupdro_weighs_the_worse_domain_more():
    head = head_of('GroupDRO', eta=2.0)
    losses = head.loss(features(), samples())
    own = [[i for i, d in enumerate(DOMAINS) if d == name] for name in NAMES]
    means = np.array([plain(head, chosen) for chosen in own])
    weights = np.exp(2 * means) / np.exp(2 * means).sum()
    assert losses['loss_cls'].item() == pytest.approx(weights @ means, rel=1e-5)
    found = [b.item() for b in head.domains.buffers()]
    assert found == pytest.approx(weights.tolist(), rel=1e-5)
    every = head._losses(features(), samples())
    assert losses['top1_acc'].item() == pytest.approx(every['top1_acc'].item())
    two = [i for i in range(8) if i not in own[2]]  # without zoo, whose loss is 0
    losses = head.loss(features()[two], [samples()[i] for i in two])
    weights *= np.exp(2 * means * [1, 1, 0])
    weights /= weights.sum()
    assert losses['loss_cls'].item() == pytest.approx(weights[:2] @ means[:2], rel=1e-5)


def test_weights_are_kept_by_domain_and_go_on_bit_for_bit():
    head = head_of('GroupDRO', eta=2.0)
    head.loss(features(), samples())
    names = [n for n in head.state_dict() if 'domains' in n]
    assert names == [
        'domains.weight_lab', 'domains.weight_st%2Ereet', 'domains.weight_zoo'
    ]  # fmt: skip
    stored = copy.deepcopy(head.state_dict())
    fresh = ActionHead(5, 3, 'none', dropout_ratio=0.0, domains=dict(type='GroupDRO'))
    fresh.load_state_dict(stored)
    fresh.domains.eta = 2.0
    tell_classes(fresh, META, training=True)
    for other in (head, fresh):
        other.loss(features(2), samples())['loss_cls'].backward()
    assert torch.equal(head.fc_cls.weight.grad, fresh.fc_cls.weight.grad)
    same = zip(head.domains.buffers(), fresh.domains.buffers(), strict=True)
    assert all(torch.equal(*pair) for pair in same)
    tell_classes(fresh, dict(domains=['lab']))  # in testing
    assert fresh.domains.names == tuple(NAMES)
    tell_classes(fresh, dict(META, domains=['lab', 'moon', 'zoo']), training=True)
    assert {b.item() for b in fresh.domains.buffers()} == {torch.tensor(1 / 3).item()}


def test_coral_is_of_means_and_covariances():
    head = head_of('CORAL', weight=3.0)
    own = [i for i, d in enumerate(DOMAINS) if d != 'zoo'] + [3]  # one of the zoo
    losses = head.loss(features()[own], [samples()[i] for i in own])
    x = features().double().numpy()
    a, b = (x[[d == name for d in DOMAINS]] for name in NAMES[:2])
    apart = np.square(a.mean(0) - b.mean(0)).mean()
    apart += np.square(np.cov(a.T) - np.cov(b.T)).mean()
    assert losses['loss_coral'].item() == pytest.approx(3 * apart, rel=1e-5)
    assert losses['loss_cls'].item() == pytest.approx(plain(head, own))


def test_mixed_styles_are_between_those_of_both():
    maps = torch.randn(6, 4, 5, 7)  # of three clips, two frames each
    shares, partners = torch.tensor([0.25, 1.0, 0.0]), torch.tensor([2, 0, 0])
    mixed = mix_styles(maps, shares, partners).unflatten(0, (3, 2)).double()
    clips = maps.unflatten(0, (3, 2)).double()
    for clip, (share, other) in enumerate(zip(shares, partners, strict=True)):
        for moment in (torch.mean, torch.std):
            own, theirs, now = (
                moment(x, dim=(0, 2, 3))
                for x in (clips[clip], clips[other], mixed[clip])
            )
            torch.testing.assert_close(
                now, share * own + (1 - share) * theirs, atol=1e-4, rtol=1e-4
            )
    torch.testing.assert_close(mixed[1], clips[1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('kind', METHODS)
def test_one_domain_is_plain_and_told_once(kind, monkeypatch):
    told = []
    monkeypatch.setattr('mmma.models.domains.print_log', lambda m, *_: told.append(m))
    head, bare = head_of(kind, ['lab'] * 8), head_of()
    for other in (head, bare):
        for _ in range(2):
            losses = other.loss(features(), samples(['lab'] * 8))
        losses['loss_cls'].backward()
    assert told == [f'{kind}: one domain (lab): training is plain']
    assert set(losses) == {'loss_cls', 'top1_acc', 'top5_acc'}
    assert torch.equal(head.fc_cls.weight.grad, bare.fc_cls.weight.grad)


@pytest.mark.parametrize('kind', METHODS)
def test_what_is_refused(kind):
    head = head_of(kind)
    for given, text in (
        (samples(['moon'] * 8), f"{kind}: samples of .'moon'.*PackClip"),
        ([ActionDataSample().set_gt_label(0)] * 8, 'samples of .None'),
        ([s.set_gt_label(torch.rand(5)) for s in samples()], 'blending=None'),
    ):
        with pytest.raises(ValueError, match=text):
            head.domains.places(given)
    head.domains.names = ()
    with pytest.raises(ValueError, match='are unknown: use ClassInfoHook'):
        head.domains.places(samples())
    option = dict(GroupDRO='eta', CORAL='weight', MixStyle='alpha')[kind]
    with pytest.raises(ValueError, match=f'{kind}: {option} -1: use a number from 0'):
        head_of(kind, **{option: -1})
    with pytest.raises(ValueError, match='alpha 0: use a number above 0'):
        head_of('MixStyle', alpha=0)


def test_layers_of_mixstyle_are_maps_of_the_backbone():
    model = nn.Module()
    model.backbone = nn.Sequential(nn.Conv1d(2, 2, 1), nn.LayerNorm(3))
    for layers, text in (('2', "unknown layer of MixStyle '2'"), ('1', 'gives tokens')):
        method = MODELS.build(dict(type='MixStyle', layers=layers))
        with pytest.raises(ValueError, match=text):
            method.attach(model)


def _worker(rank, folder):
    dist.init_process_group(
        'gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2
    )
    torch.save([gradients(kind, [rank]) for kind in ('GroupDRO', 'CORAL')],
               folder / f'{rank}.pt')  # fmt: skip
    dist.destroy_process_group()
    os._exit(0)  # a fork of the test process: leave its exit handlers alone


def gradients(kind, ranks):
    """Of features and classifier, and state, after the second of two steps."""
    options = dict(GroupDRO=dict(eta=1.0), CORAL=dict(weight=1.0))[kind]
    head, own = head_of(kind, **options), [i for r in ranks for i in range(r, 8, 2)]
    given = [samples()[i] for i in own]
    for seed in (1, 2):
        x = features(seed)[own].requires_grad_()
        head.zero_grad()
        losses = head.loss(x, given)
        sum(v for k, v in losses.items() if 'loss' in k).backward()
    state = torch.stack([*head.domains.buffers(), torch.tensor(0.0)])
    return x.grad[np.argsort(own)], head.fc_cls.weight.grad, state


def test_two_processes_learn_as_one(tmp_path):
    mp.start_processes(_worker, (tmp_path,), nprocs=2, start_method='fork')
    ranks = [torch.load(tmp_path / f'{r}.pt', weights_only=True) for r in range(2)]
    for kind, *both in zip(('GroupDRO', 'CORAL'), *ranks, strict=True):
        x, weight, state = gradients(kind, [0, 1])
        (x0, weight0, state0), (x1, weight1, state1) = both
        together = torch.stack([x0, x1], dim=1).flatten(0, 1) / 2  # as DDP averages
        torch.testing.assert_close(together, x)
        torch.testing.assert_close((weight0 + weight1) / 2, weight)
        torch.testing.assert_close(state0, state)
        assert torch.equal(state0, state1)


RECIPES = {
    'skeletontcn-tiny': ((1, 1, 48, 31, 4), 'stem'),
    'gctsm-tiny': ((8, 3, 32, 32), 'layer1'),
}


@pytest.mark.parametrize('recipe', RECIPES)
@pytest.mark.parametrize('kind', METHODS)
def test_recognizers_learn_one_batch_by_one_option(recipe, kind):
    cfg = Config.fromfile(CONFIGS / f'recog/{recipe}_mma82_indomain.py')
    shape, layer = RECIPES[recipe]
    options = [f'+model.cls_head.domains.type={kind}']
    options += [f'+model.cls_head.domains.layers={layer}'] * (kind == 'MixStyle')
    apply_options(cfg, options)
    cfg.model.cls_head.dropout_ratio = 0
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    tell_classes(model, META, training=True)
    if kind == 'MixStyle':
        model.cls_head.domains.attach(model)
        model.cls_head.domains.p = 1.0
    wrapper = build_optim_wrapper(model, dict(optimizer=dict(type='AdamW', lr=3e-3)))
    four = samples(DOMAINS[:4])
    inputs = torch.randn(4, *shape)
    if recipe == 'gctsm-tiny':
        inputs = inputs.mul(50).add(128).clamp(0, 255).byte()
    batch = dict(inputs=list(inputs), data_samples=four)
    losses = [model.train_step(batch, wrapper) for _ in range(25)]
    first, last = (step['loss_cls'].item() for step in (losses[0], losses[-1]))
    assert last < 0.6 * first
    data = model.data_preprocessor(batch, True)
    same = [model(**data, mode='tensor') for _ in range(2)]
    assert torch.equal(*same)  # styles are mixed for losses alone
    changed = [model(**data, mode='loss')['loss_cls'].item() for _ in range(2)]
    assert (changed[0] != changed[1]) == (kind != 'CORAL')


def test_named_recipes_are_these():
    found = {}
    for name in ('domains', 'groupdro', 'coral', 'mixstyle'):
        path = CONFIGS / f'recog/skeletontcn-tiny-{name}_mma82_indomain.py'
        cfg = Config.fromfile(path)
        method = cfg.model.cls_head.get('domains', {}).get('type')
        found[name] = method or cfg.train_dataloader.sampler.type
        MODELS.build(cfg.model)
    assert found == dict(
        domains='DomainBalancedSampler', groupdro='GroupDRO', coral='CORAL',
        mixstyle='MixStyle',
    )  # fmt: skip
