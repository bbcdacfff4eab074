from collections import OrderedDict, deque
from enum import Enum
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer

from mmma.checkpoints import load_weights_file, to_plain


class Colour(Enum):
    RED = 'red'


@pytest.mark.parametrize(
    ('value', 'plain'),
    [
        (np.float32(0.5), 0.5),
        (np.int64(7), 7),
        (np.bool_(True), True),
        (np.str_('a'), 'a'),
        (np.array(['a', 'b']), ['a', 'b']),
        (np.array([2**63], 'uint64'), [2**63]),
        (Path('a/b'), 'a/b'),
        (Colour.RED, 'red'),
        (torch.float16, 'torch.float16'),
        (torch.device('cpu'), 'cpu'),
        (ConfigDict(a=ConfigDict(b=(1, None))), {'a': {'b': (1, None)}}),
        ({2, 1}, [1, 2]),
        (deque([1], 3), [1]),
        (torch.Size([2, 3]), (2, 3)),
        ({1: 'x', None: 0.5}, {1: 'x', None: 0.5}),
    ],
)
def test_plain_form(value, plain, tmp_path):
    found = to_plain(value)
    assert found == plain
    assert type(found) is type(plain)
    torch.save(found, tmp_path / 'a.pth')
    assert load_weights_file(tmp_path / 'a.pth') == plain


@pytest.mark.parametrize('dtype', ['float64', 'float16', 'int32', 'uint8', 'bool'])
def test_arrays_become_tensors(dtype):
    array = np.array([[0, 1], [1, 0]], dtype)
    found = to_plain({'a': array})['a']
    assert found.numpy().dtype == dtype
    np.testing.assert_array_equal(found.numpy(), array)


def test_history():
    buffer = HistoryBuffer([0.1, 0.2], [1, 2], max_length=9)
    found = to_plain(buffer)
    assert found['log'].tolist() == [0.1, 0.2]
    assert found['count'].tolist() == [1, 2]
    assert found['max_length'] == 9


def test_weights_keep_their_versions(tmp_path):
    state = torch.nn.BatchNorm1d(2).state_dict()
    torch.save(to_plain(state), tmp_path / 'a.pth')
    found = load_weights_file(tmp_path / 'a.pth')
    assert type(found) is OrderedDict
    assert found._metadata[''] == {'version': 2}


def test_parameters_lose_their_graph():
    found = to_plain([torch.nn.Parameter(torch.ones(1))])[0]
    assert not found.requires_grad


def test_no_plain_form():
    with pytest.raises(
        ValueError, match=r'checkpoint\.meta\.1: a function has no form'
    ):
        to_plain({'meta': [0, to_plain]})
