import pytest
import torch
from fewshot_runs import make_runner
from torch import nn

from mmma.engine import finetune
from mmma.engine.finetune import finetuned, trained_parameters

SUPPORTS = ['street_train_0', 'street_train_1', 'street_train_2']
HEAD = {'cls_head.fc_cls.weight', 'cls_head.fc_cls.bias'}


@pytest.fixture(scope='module')
def runner(video_root, tmp_path_factory):
    return make_runner(video_root, tmp_path_factory.mktemp('finetune'))


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
    assert not runner.model.training


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


def test_the_last_block_and_all_after_it():
    chosen = trained_parameters(Blocks(), 'last')
    stems = {name.rpartition('.')[0] for name in chosen}
    assert stems == {
        'backbone.layer2.1.0', 'backbone.layer2.1.1', 'backbone.norm', 'cls_head.fc_cls'
    }  # fmt: skip


def test_a_backbone_without_blocks():
    model = Blocks()
    model.backbone = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="'last': Linear has no numbered blocks"):
        trained_parameters(model, 'last')


def test_what_is_frozen_neither_drops_nor_counts():
    model = Blocks().train()
    chosen = trained_parameters(model, 'last')
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in chosen)
    finetune._freeze(model)
    first, second = model.backbone.layer2
    assert not first[2].training
    assert second[2].training
    assert not second[1].training
