"""Files of weights: hashes, plain values, safetensors, pickles, frozen parts."""

import argparse
import io
import json
import pickle
import sys
import zipfile
from collections import OrderedDict, deque
from enum import Enum
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer
from torch import nn

from mmma.checkpoints import (
    file_sha256,
    load_weights_file,
    meta_of,
    to_plain,
    weights_of,
)
from mmma.checkpoints.files import (
    frozen_names,
    mismatch,
    read_safetensors_meta,
    weights_sha256,
    write_safetensors,
)

ABC = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'


def test_what_is_wrong_with_bytes(tmp_path):
    path = tmp_path / 'abc'
    path.write_bytes(b'abc')
    assert file_sha256(path) == ABC  # the example of FIPS 180-4
    for known in (('', None), ('', 3), (ABC, 3), (ABC[:8], None), ('BA78', 3)):
        assert mismatch(path, *known) == ''
    assert mismatch(path, ABC, 4) == 'has 3 bytes, expected 4'
    found = mismatch(path, f'{ABC[:-1]}e')
    assert found == f'has SHA-256 {ABC[:16]}..., expected {ABC[:16]}...'
    for content, told in (
        (b'\n<!DOCTYPE html>', ': it is a web page'),
        (b'version https://git-lfs.github.com/spec/v1', ': it is a Git LFS pointer'),
    ):
        path.write_bytes(content)
        assert mismatch(path, ABC).endswith(told)
        assert mismatch(path, '', 9).endswith(told)


class Colour(Enum):
    RED = 'red'


def test_plain_form(tmp_path):
    for value, plain in (
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
    ):
        found = to_plain(value)
        assert (found, type(found)) == (plain, type(plain))
        torch.save(found, tmp_path / 'a.pth')
        assert load_weights_file(tmp_path / 'a.pth') == plain
    assert not to_plain([nn.Parameter(torch.ones(1))])[0].requires_grad


def test_arrays_become_tensors():
    for dtype in ('float64', 'float16', 'int32', 'uint8', 'bool'):
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


def test_no_plain_form():
    with pytest.raises(
        ValueError, match=r'checkpoint\.meta\.1: a function has no form'
    ):
        to_plain({'meta': [0, to_plain]})


library = pytest.importorskip('safetensors.torch')

STATE = {
    'z.weight': torch.arange(6.0).reshape(2, 3).t(),  # not contiguous
    'half': torch.tensor([1.5, -2.0]).half(),
    'count': torch.tensor(7),
    'flag': torch.tensor([True, False, True]),
    'none': torch.zeros(0, 4),
}
META = {'classes': ['nicken', 'ähm'], 'data': {'simulated': True}, 'epoch': 2}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / 'a.safetensors'
    write_safetensors(path, STATE, META)
    return path


def same(left, right):
    assert left.keys() == right.keys()
    assert all(left[k].equal(right[k]) for k in left)
    assert all(left[k].dtype == right[k].dtype for k in left)


def with_header(path, change):
    """The file with another header before the same tensors."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], 'little')
    header = change(data[8 : 8 + size])
    path.write_bytes(len(header).to_bytes(8, 'little') + header + data[8 + size :])


def with_meta(path, text):
    def change(header):
        told = json.loads(header)
        told['__metadata__']['mmma'] = text
        return json.dumps(told).encode()

    with_header(path, change)


def test_what_is_written_is_read(path):
    found = load_weights_file(path)
    same(weights_of(found), STATE)
    assert meta_of(found) == META
    assert read_safetensors_meta(path) == META


def test_the_library_reads_it_too(path):
    same(library.load_file(path), STATE)
    with library.safe_open(path, framework='pt') as file:
        told = file.metadata()
    assert told['format'] == 'pt'
    assert json.loads(told['mmma']) == META


def test_the_same_contents_are_the_same_bytes(path, tmp_path):
    tied = STATE['z.weight']
    for number, state in enumerate((STATE, {**STATE, 'tied': tied})):
        one, other = tmp_path / f'{number}.safetensors', tmp_path / 'b.safetensors'
        write_safetensors(one, state, META)
        write_safetensors(
            other, dict(reversed(state.items())), dict(reversed(META.items()))
        )
        assert other.read_bytes() == one.read_bytes()
        same(weights_of(load_weights_file(one)), state)
        other.unlink()
    assert sorted(p.suffix for p in tmp_path.iterdir()) == ['.safetensors'] * 3


def test_tensors_are_aligned(path):
    data = path.read_bytes()
    size = int.from_bytes(data[:8], 'little')
    header = json.loads(data[8 : 8 + size])
    starts = {k: v['data_offsets'][0] for k, v in header.items() if k in STATE}
    assert size % 8 == 0
    assert all(s % STATE[k].element_size() == 0 for k, s in starts.items())


def test_files_of_others_are_tensors_alone(tmp_path):
    path = tmp_path / 'model.safetensors'
    library.save_file({'w': torch.ones(2)}, path, {'format': 'pt', 'source': 'us'})
    same(load_weights_file(path), {'w': torch.ones(2)})
    assert read_safetensors_meta(path) == {}


def test_by_its_contents_under_any_name(path):
    blob = path.rename(path.with_name('0f3a'))
    assert meta_of(load_weights_file(blob)) == META


def test_a_meta_that_is_no_json(path):
    for text in ('{"a":', '[1]', '"x"', '', '[' * 100_000):
        with_meta(path, text)
        for read in (load_weights_file, read_safetensors_meta):
            with pytest.raises(
                ValueError, match=r"damaged \('mmma' in its header is no JSON"
            ):
                read(path)


def test_damaged_files(path):
    whole = path.read_bytes()
    for damaged in (
        *(whole[:-1], whole[:40], whole[:5], b'', whole + b'x'),
        b'\xff' * 8 + whole[8:],  # a huge header
        whole[:8] + b'{"a": [[[' + whole[17:],
        whole.replace(b'"F16"', b'"X16"'),
        whole.replace(b'"shape":[2]', b'"shape":[9]'),
    ):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r'a\.safetensors is damaged \(.+\): copy'):
            load_weights_file(path)


def test_no_such_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'checkpoint .*no such file'):
        read_safetensors_meta(tmp_path / 'a.safetensors')


def test_a_meta_without_form_in_json(tmp_path):
    for value in (torch.ones(1), {1, 2}, float('nan')):
        with pytest.raises(ValueError, match=r'meta of the checkpoint has no form'):
            write_safetensors(tmp_path / 'a.safetensors', STATE, {'a': value})
    assert not list(tmp_path.iterdir())


def test_a_type_that_the_format_lacks(tmp_path):
    with pytest.raises(ValueError, match='w is of type complex64: safetensors has'):
        write_safetensors(tmp_path / 'a', {'w': torch.ones(1, dtype=torch.complex64)})


WEIGHTS = {'state_dict': {'w': torch.arange(6.0).reshape(2, 3)}, 'meta': {'epoch': 3}}


class Malicious:
    def __reduce__(self):
        return (print, ('this ran',))


def test_plain_files_load(tmp_path):
    path = tmp_path / 'a.pth'
    with pytest.raises(FileNotFoundError, match=r'checkpoint .*a\.pth: no such file'):
        load_weights_file(path)
    for zipped in (True, False):
        torch.save(WEIGHTS, path, _use_new_zipfile_serialization=zipped)
        found = load_weights_file(path)
        assert found['state_dict']['w'].equal(WEIGHTS['state_dict']['w'])
        assert found['meta'] == {'epoch': 3}


def test_no_checkpoint(tmp_path):
    path = tmp_path / 'a.pth'
    torch.save(WEIGHTS, path)
    cut, archive = path.read_bytes()[:-200], io.BytesIO()
    with zipfile.ZipFile(archive, 'w') as file:
        file.writestr('readme.txt', 'hello')
    for content, message in (
        (b'', 'it is empty'),
        (b'lr: 0.1\n', 'of no format that torch.save writes'),
        (np.random.default_rng(0).bytes(999), 'of no format that torch.save writes'),
        (b'\x80\x02 and no pickle', 'is damaged'),
        (b'\n<!doctype html>', 'a web page: download the file itself'),
        (b'version https://git-lfs.github.com/spec/v1', 'git lfs pull'),
        (archive.getvalue(), 'a zip archive without weights'),
        (cut, 'a checkpoint that was cut off'),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            load_weights_file(path)


def test_changed_bytes(tmp_path):
    path = tmp_path / 'a.pth'
    torch.save(WEIGHTS, path)
    data = path.read_bytes()
    path.write_bytes(data.replace(b'state_dict', b'state\xffdict'))
    with pytest.raises(ValueError, match=r'a\.pth is damaged \(.+\): copy or download'):
        load_weights_file(path)


@pytest.mark.parametrize('zipped', [True, False])
def test_code_is_refused_and_not_run(tmp_path, capsys, zipped):
    path = tmp_path / 'a.pth'
    torch.save({'meta': Malicious()}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r'run code from it \(\w+\.print\).*--trust'):
        load_weights_file(path)
    assert capsys.readouterr().out == ''
    load_weights_file(path, trust=True)
    assert capsys.readouterr().out == 'this ran\n'


@pytest.mark.filterwarnings('ignore:Detected pickle protocol')
@pytest.mark.parametrize('protocol', [2, 4])
def test_code_in_a_bare_pickle(tmp_path, capsys, protocol):
    path = tmp_path / 'a.pkl'
    path.write_bytes(pickle.dumps({'meta': Malicious()}, protocol=protocol))
    with pytest.raises(ValueError, match=r'run code from it \(\w+\.print\)'):
        load_weights_file(path)
    assert capsys.readouterr().out == ''


@pytest.mark.parametrize(
    ('extra', 'message'),
    [
        (HistoryBuffer([1.0], [1]), r'of another MMEngine program.*HistoryBuffer'),
        (argparse.Namespace(lr=0.1), r'run code from it \(argparse\.Namespace\)'),
        (np.float64(0.5), r'run code from it \(numpy\.\S+scalar'),
    ],
)
def test_training_checkpoints_of_other_programs(tmp_path, extra, message):
    path = tmp_path / 'a.pth'
    torch.save({**WEIGHTS, 'extra': extra}, path)
    with pytest.raises(ValueError, match=message):
        load_weights_file(path)
    assert load_weights_file(path, trust=True)['meta'] == {'epoch': 3}


def test_trusted_file_of_an_absent_package(tmp_path, monkeypatch):
    path = tmp_path / 'a.pth'
    module = type(sys)('absent_package')
    module.Thing = type('Thing', (), {'__module__': 'absent_package'})
    monkeypatch.setitem(sys.modules, 'absent_package', module)
    torch.save({'thing': module.Thing()}, path)
    monkeypatch.delitem(sys.modules, 'absent_package')
    with pytest.raises(ValueError, match=r'another package.*absent_package'):
        load_weights_file(path, trust=True)


def test_safetensors_without_the_library(tmp_path, monkeypatch):
    path = tmp_path / 'a.safetensors'
    path.write_bytes(b'nothing')
    with pytest.raises(ValueError, match='is damaged'):
        load_weights_file(path)
    monkeypatch.setitem(sys.modules, 'safetensors', None)
    with pytest.raises(ValueError, match=r'a\.safetensors: pip install safetensors'):
        load_weights_file(path)


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
    hashes = [weights_sha256(model.state_dict(), frozen_names(model))]
    model['a'].second.weight.data += 1
    assert weights_sha256(model.state_dict(), frozen_names(model)) == hashes[0]
    for change in (
        lambda: model['a'].table.add_(1),
        lambda: setattr(model['a'], 'table', model['a'].table.double()),
        model.bfloat16,  # which numpy lacks
        lambda: model['a'].first.bias.data.add_(1),
    ):
        change()
        hashes.append(weights_sha256(model.state_dict(), frozen_names(model)))
    assert len(set(hashes)) == 5
