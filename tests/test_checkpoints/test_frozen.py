import pytest
import torch
from torch import nn

from mmma.checkpoints.frozen import frozen_names, frozen_sha256, frozen_state


class Half(nn.Module):
    """Its first layer is frozen."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(2, 2), nn.Linear(2, 2)
        self.register_buffer('table', torch.tensor(1.0))

    def frozen_names(self):
        return ['first.weight', 'first.bias', 'table']


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.ModuleDict({'a': Half(), 'b': nn.Linear(2, 2)})


def test_names_are_those_of_the_whole_model(model):
    assert frozen_names(model) == ['a.first.weight', 'a.first.bias', 'a.table']
    assert frozen_names(model['a'])[0] == 'first.weight'
    assert frozen_names(nn.Linear(2, 2)) == []


def test_the_hash_is_of_frozen_weights_alone(model):
    before = frozen_sha256(model)
    model['a'].second.weight.data += 1
    assert frozen_sha256(model) == before
    model['a'].table += 1
    assert frozen_sha256(model) != before


def test_the_hash_tells_types(model):
    before = frozen_sha256(model)
    model['a'].table = model['a'].table.double()
    assert frozen_sha256(model) != before


def test_types_without_numpy_counterpart_are_hashed(model):
    first = frozen_sha256(model.bfloat16())
    model['a'].first.bias.data += 1
    assert frozen_sha256(model) != first


def test_frozen_weights_are_those_that_were_trained_on(model):
    state = frozen_state(model, frozen_sha256(model), 'a.pth')
    assert list(state) == frozen_names(model)
    with pytest.raises(ValueError, match=r'a\.pth was trained on other frozen weights'):
        frozen_state(model, 'f' * 64, 'a.pth')
