import argparse
import pickle
import sys
import zipfile

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from mmma.checkpoints import load_weights_file

WEIGHTS = {'state_dict': {'w': torch.arange(6.0).reshape(2, 3)}, 'meta': {'epoch': 3}}


class Malicious:
    def __reduce__(self):
        return (print, ('this ran',))


@pytest.mark.parametrize('zipped', [True, False])
def test_plain_files_load(tmp_path, zipped):
    torch.save(WEIGHTS, tmp_path / 'a.pth', _use_new_zipfile_serialization=zipped)
    found = load_weights_file(tmp_path / 'a.pth')
    assert found['state_dict']['w'].equal(WEIGHTS['state_dict']['w'])
    assert found['meta'] == {'epoch': 3}


def test_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'checkpoint .*a\.pth: no such file'):
        load_weights_file(tmp_path / 'a.pth')


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', 'it is empty'),
        (b'lr: 0.1\n', 'of no format that torch.save writes'),
        (np.random.default_rng(0).bytes(999), 'of no format that torch.save writes'),
        (b'\x80\x02 and no pickle', 'is damaged'),
        (b'\n<!doctype html>', 'a web page: download the file itself'),
        (b'version https://git-lfs.github.com/spec/v1', 'git lfs pull'),
    ],
)
def test_no_checkpoint(tmp_path, content, message):
    path = tmp_path / 'a.pth'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load_weights_file(path)


def test_other_zip(tmp_path):
    with zipfile.ZipFile(tmp_path / 'a.pth', 'w') as archive:
        archive.writestr('readme.txt', 'hello')
    with pytest.raises(ValueError, match='a zip archive without weights'):
        load_weights_file(tmp_path / 'a.pth')


def test_cut_off(tmp_path):
    path = tmp_path / 'a.pth'
    torch.save(WEIGHTS, path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match='a checkpoint that was cut off'):
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


def test_safetensors(tmp_path, monkeypatch):
    path = tmp_path / 'a.safetensors'
    path.write_bytes(b'nothing')
    monkeypatch.setitem(sys.modules, 'safetensors', None)
    with pytest.raises(ValueError, match=r'a\.safetensors: pip install safetensors'):
        load_weights_file(path)


def test_safetensors_load(tmp_path):
    safetensors = pytest.importorskip('safetensors.torch')
    path = tmp_path / 'a.safetensors'
    safetensors.save_file(WEIGHTS['state_dict'], path)
    assert load_weights_file(path)['w'].equal(WEIGHTS['state_dict']['w'])
    path.write_bytes(b'nothing')
    with pytest.raises(ValueError, match='is damaged'):
        load_weights_file(path)
