"""Files that would run code when read: refused, and nothing of them is run.

Needs torch and safetensors alone, so that it can be run on any torch there is.
"""

import contextlib
import io
import json
import os
import pickle
import random
import tarfile
import zipfile

import pytest
import torch

from mmma.checkpoints import fetch_url, load_weights_file
from mmma.checkpoints.files import read_safetensors_meta, write_safetensors

WEIGHTS = {'w': torch.arange(4.0)}
REFUSED = r'run code from it .*It was not loaded\. .*--trust-checkpoint'


class Call:
    """Pickled as the call of a function that is named; can be called itself."""

    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call

    def __call__(self):
        raise AssertionError


class Getattr(Call):
    """``getattr(__import__('os'), 'system')``, with no ``os`` among the names."""

    def __init__(self):
        super().__init__(getattr, Call(__import__, 'os'), 'system')


class Built(dict):
    """An OrderedDict whose state, set after it is made, is the call."""

    def __init__(self, call):
        self.call = call

    def __reduce__(self):
        return torch.storage._load_from_bytes, (b'',), {'x': self.call}


def nested(command):
    """A checkpoint in a checkpoint, which torch would read without its safeguard."""
    buffer = io.BytesIO()
    torch.save(Call(os.system, command), buffer)
    return Call(torch.storage._load_from_bytes, buffer.getvalue())


HIDDEN = {
    'system': lambda command: Call(os.system, command),
    'eval': lambda command: Call(eval, f'__import__("os").system({command!r})'),
    'getattr': lambda command: Call(Getattr(), command),
    'rebuild': lambda command: Call(
        torch._tensor._rebuild_from_type_v2, os.system, torch.Tensor, (command,), {}
    ),
    'parameter': lambda command: Call(
        torch._utils._rebuild_parameter, Call(os.system, command), True, {}
    ),
    'nested': nested,
    'built': lambda command: Built(Call(os.system, command)),
}


def zipped(content, path):
    torch.save(content, path)


def legacy(content, path):
    torch.save(content, path, _use_new_zipfile_serialization=False)


def bare(content, path):
    path.write_bytes(pickle.dumps(content, protocol=2))


def text(content, path):
    path.write_bytes(pickle.dumps(content, protocol=0))


WRITERS = {'zip': zipped, 'legacy': legacy, 'pickle': bare, 'protocol 0': text}


@pytest.fixture
def mark(tmp_path):
    """A file that only code in a checkpoint makes."""
    path = tmp_path / 'this_ran'
    yield path
    assert not path.exists()


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('writer', WRITERS)
@pytest.mark.parametrize('hidden', HIDDEN)
def test_code_is_refused(tmp_path, mark, hidden, writer):
    path = tmp_path / 'a.pth'
    evil = HIDDEN[hidden](f'touch {mark}')
    WRITERS[writer]({'state_dict': WEIGHTS, 'meta': evil}, path)
    with pytest.raises(ValueError, match=REFUSED):
        load_weights_file(path)


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('writer', WRITERS)
def test_these_files_do_run_code_elsewhere(tmp_path, writer):
    path, ran = tmp_path / 'a.pth', tmp_path / 'ran'
    WRITERS[writer](HIDDEN['getattr'](f'touch {ran}'), path)
    if writer in ('zip', 'legacy'):
        torch.load(path, weights_only=False)
    else:
        pickle.loads(path.read_bytes())
    assert ran.is_file()


@pytest.mark.parametrize('writer', ['zip', 'legacy', 'pickle'])
def test_another_name_does_not_help(tmp_path, mark, writer):
    path = tmp_path / 'a.safetensors'
    WRITERS[writer](HIDDEN['system'](f'touch {mark}'), path)
    with pytest.raises(ValueError, match=r'is a pickle, .*was not loaded.*to \.pth'):
        load_weights_file(path)


@pytest.mark.parametrize('writer', ['zip', 'legacy'])
def test_by_url(tmp_path, mark, monkeypatch, writer):
    monkeypatch.setenv('MMMA_HOME', str(tmp_path / 'home'))
    path = tmp_path / 'a.pth'
    WRITERS[writer](HIDDEN['system'](f'touch {mark}'), path)
    with pytest.raises(ValueError, match=REFUSED):
        load_weights_file(fetch_url(path.as_uri()))


def test_by_the_door_of_the_commands(tmp_path, mark, monkeypatch):
    pytest.importorskip('mmaction')
    from mmma.engine.weights import read_checkpoint

    monkeypatch.setenv('MMMA_HOME', str(tmp_path / 'home'))
    path = tmp_path / 'a.pth'
    zipped(HIDDEN['system'](f'touch {mark}'), path)
    for name in (str(path), path.as_uri()):
        with pytest.raises(ValueError, match=REFUSED):
            read_checkpoint(name)


@pytest.mark.filterwarnings('ignore')
def test_programs_of_torchscript(tmp_path):
    """Before torch 2.6 ``weights_only=True`` loaded them, as programs."""
    path = tmp_path / 'a.pth'
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)), path)
    for trust in (False, True):
        with pytest.raises(ValueError, match='it is a TorchScript program'):
            load_weights_file(path, trust)


def test_a_program_that_hides_from_other_readers(tmp_path):
    """A second archive before the first, seen by readers that search differently."""
    path = tmp_path / 'a.pth'
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('a/data.pkl', pickle.dumps(1, protocol=2))
        archive.writestr('a/constants.pkl', pickle.dumps((), protocol=2))
        archive.writestr('a/version', '3')
    with pytest.raises(ValueError, match='it is a TorchScript program'):
        load_weights_file(path)


def test_tar_archives_are_not_unpacked(tmp_path):
    """Before torch 2.6 they were, by whatever name, links and all."""
    path, outside = tmp_path / 'a.pth', tmp_path / 'outside'
    options = dict(format=tarfile.USTAR_FORMAT, encoding='latin-1')
    with tarfile.open(path, 'w', **options) as archive:
        archive.addfile(tarfile.TarInfo('\x80\x02'))  # looks like a pickle
        link = tarfile.TarInfo('storages')
        link.type, link.linkname = tarfile.SYMTYPE, str(outside)
        archive.addfile(link)
    with pytest.raises(ValueError, match='it is a tar archive'):
        load_weights_file(path)
    assert not outside.exists()


def meta_file(folder, kind, meta):
    path = folder / f'a.{kind}'
    if kind == 'safetensors':
        write_safetensors(path, {'w': torch.zeros(2)}, meta)
    else:
        torch.save({'state_dict': {'w': torch.zeros(2)}, 'meta': meta}, path)
    return path


@pytest.mark.parametrize('kind', ['safetensors', 'pth'])
@pytest.mark.parametrize(
    ('meta', 'told'),
    [
        ({'classes': 5}, "classes is '5', and must be a list"),
        ({'classes': ['a', 'a']}, 'classes has names twice: it is damaged'),
        ({'bodies': ['a\x1b[2J']}, r"bodies\.0 is 'a\\x1b\[2J', and must be text with"),
        ({'classes': 'nodding'}, "classes is 'nodding', and must be a list"),
        ({'classes': [[1]]}, r"classes\.0 is '\[1\]', and must be text"),
        ({'classes': {'a': 1}}, 'classes is .* must be a list'),
        ({'bodies': [None]}, r'bodies\.0 is .* must be text'),
        ({'body_of': ['0']}, r"body_of\.0 is '0', and must be a whole number"),
        ({'body_of': [True]}, r'body_of\.0 is .* must be a whole number'),
        (
            {'bodies': ['a'], 'body_of': [1]},
            'body_of has 1 for 1 bodies: it is damaged',
        ),
        ({'bodies': ['a'], 'body_of': [-1]}, 'body_of has -1 for 1 bodies'),
        ({'label_space': ['mma82']}, 'label_space is .* must be text'),
        ({'config_name': 3}, "config_name is '3', and must be text"),
        ({'data': 'x'}, "data is 'x', and must be an object"),
        (
            {'data': {'simulated': 'no'}},
            r"data\.simulated is 'no', and must be true or",
        ),
        ({'data': {'name': []}}, r'data\.name is .* must be text'),
        ({'protocol': 'zeroshot'}, 'protocol is .* must be an object'),
        (
            {'protocol': {'train_domains': 'lab'}},
            r'protocol\.train_domains is .* must be a list',
        ),
        ({'seen_domains': 'lab'}, 'seen_domains is .* must be a list'),
        ({'selected_on': 'val'}, 'selected_on is .* must be an object'),
        ({'frozen': 3}, 'frozen is .* must be an object'),
        ({'frozen': {'count': 3}}, 'frozen lacks a key'),
        ({'frozen': {'count': 'x', 'sha256': 'a', 'source': 'b'}}, r'frozen\.count is'),
        ({'parameters': '3'}, 'parameters is .* must be a whole number'),
        ({'epoch': [3]}, 'epoch is .* must be a whole number'),
        ({'data': {'incomplete': [3]}}, r'data\.incomplete\.0 is .* must be text'),
        ({'classes': ['a\x1b[31m']}, r'classes\.0 is .a\\x1b.* without control'),
    ],
)
def test_what_a_checkpoint_tells_is_of_its_kind(kind, meta, told, tmp_path):
    path = meta_file(tmp_path, kind, meta)
    with pytest.raises(
        ValueError, match=rf'^checkpoint .*a\.{kind}: meta\.{told}'
    ) as e:
        load_weights_file(path)
    assert '\n' not in str(e.value)
    if kind == 'safetensors':
        with pytest.raises(ValueError, match=rf'meta\.{told}'):
            read_safetensors_meta(path)


def test_what_is_untold_or_unknown_is_let_through(tmp_path):
    meta = dict.fromkeys(('classes', 'data', 'protocol', 'frozen', 'bodies', 'body_of'))
    meta |= {'anything': [{'x': 1}], 'label_space': 'mma82', 'data': {'name': None}}
    for kind in ('safetensors', 'pth'):
        assert load_weights_file(meta_file(tmp_path, kind, meta))['meta'] == meta


def test_what_a_checkpoint_tells_has_an_end(tmp_path):
    deep, wide = [], ['a']
    for _ in range(200):
        deep = [deep]
    for _ in range(30):  # of few bytes in a pickle, for it holds each once
        wide = [wide, wide]
    for meta in (deep, wide, 'a' * 2**25):
        path = meta_file(tmp_path, 'pth', {'x': meta})
        with pytest.raises(ValueError, match=r'a\.pth: its meta has no end'):
            load_weights_file(path)
    path = meta_file(tmp_path, 'safetensors', {'x': deep})
    with pytest.raises(ValueError, match='its meta has no end'):
        load_weights_file(path)
    texts = ('[' * 100_000, '{"a": ' + '9' * 5000 + '}', '{"a": 1, "a": 2}', '"a')
    for text in texts:
        header = {'__metadata__': {'mmma': text}}
        header['w'] = {'dtype': 'F32', 'shape': [1], 'data_offsets': [0, 4]}
        content = json.dumps(header).encode()
        path.write_bytes(len(content).to_bytes(8, 'little') + content + b'0000')
        with pytest.raises(ValueError, match='in its header is no JSON'):
            load_weights_file(path)


@pytest.mark.filterwarnings('ignore')
def test_damaged_and_packed_archives_are_one_line(tmp_path):
    torch.save({'w': torch.zeros(1000)}, tmp_path / 'a.pth')
    torch.save(
        {'w': torch.zeros(9)}, tmp_path / 'o.pth', _use_new_zipfile_serialization=False
    )
    with zipfile.ZipFile(tmp_path / 'a.pth') as old:
        parts = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(tmp_path / 'p.pth', 'w', zipfile.ZIP_DEFLATED) as packed:
        for name, content in parts.items():
            packed.writestr(name, content)
    with pytest.raises(ValueError, match='whose parts are compressed or encrypted'):
        load_weights_file(tmp_path / 'p.pth')
    rng = random.Random(0)
    for name in ('a.pth', 'o.pth', 'p.pth'):
        whole = (tmp_path / name).read_bytes()
        for _ in range(60):
            content = bytearray(whole[: rng.randrange(1, len(whole) + 1)])
            for _ in range(rng.randrange(3)):
                content[rng.randrange(len(content))] = rng.randrange(256)
            (tmp_path / 'x.pth').write_bytes(content)
            with contextlib.suppress(ValueError):
                load_weights_file(tmp_path / 'x.pth')
