"""Safetensors: what is written, what of others is read, what is refused."""

import json

import pytest
import torch

from mmma.checkpoints import load_weights_file, meta_of, weights_of
from mmma.checkpoints.safetensors_files import (
    is_safetensors,
    read_safetensors,
    read_safetensors_meta,
    write_safetensors,
)

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
    other = tmp_path / 'b.safetensors'
    write_safetensors(
        other, dict(reversed(STATE.items())), dict(reversed(META.items()))
    )
    assert other.read_bytes() == path.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == [path.name, other.name]


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
    assert is_safetensors(blob)
    assert meta_of(load_weights_file(blob)) == META


@pytest.mark.parametrize('text', ['{"a":', '[1]', '"x"', '', '[' * 100_000])
def test_a_meta_that_is_no_json(path, text):
    with_meta(path, text)
    for read in (read_safetensors, read_safetensors_meta):
        with pytest.raises(
            ValueError, match=r"damaged \('mmma' in its header is no JSON"
        ):
            read(path)


@pytest.mark.parametrize(
    'damage',
    [
        lambda data: data[:-1],
        lambda data: data[:40],
        lambda data: data[:5],
        lambda data: b'',
        lambda data: data + b'x',
        lambda data: b'\xff' * 8 + data[8:],
        lambda data: data[:8] + b'{"a": [[[' + data[17:],
        lambda data: data.replace(b'"F16"', b'"X16"'),
        lambda data: data.replace(b'"shape":[2]', b'"shape":[9]'),
    ],
    ids=[
        'cut',
        'cut header',
        'cut size',
        'empty',
        'long',
        'huge',
        'json',
        'type',
        'shape',
    ],
)
def test_damaged_files(path, damage):
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r'a\.safetensors is damaged \(.+\): copy or'):
        load_weights_file(path)


def test_no_such_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'checkpoint .*no such file'):
        read_safetensors_meta(tmp_path / 'a.safetensors')


@pytest.mark.parametrize('value', [torch.ones(1), {1, 2}, float('nan')])
def test_a_meta_without_form_in_json(tmp_path, value):
    path = tmp_path / 'a.safetensors'
    with pytest.raises(ValueError, match=r'meta of the checkpoint has no form in JSON'):
        write_safetensors(path, STATE, {'a': value})
    assert not list(tmp_path.iterdir())


def test_a_type_that_the_format_lacks(tmp_path):
    with pytest.raises(ValueError, match='w is of type complex64: safetensors has'):
        write_safetensors(tmp_path / 'a', {'w': torch.ones(1, dtype=torch.complex64)})
