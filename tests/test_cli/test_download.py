import json
import subprocess
import sys

import pytest
import torch
from http_files import file_server
from zoo_metafiles import FILE, NAME, OURS, SHA, URL, ours, recipe, write_metafiles
from zoo_metafiles import write_weights as put

from mmma.checkpoints import download as fetching
from mmma.cli import main
from mmma.hub import zoo as index

UPSTREAM = 'net_2022-0123abcd'


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """Root of a checkout with a zoo of its own, and with an empty cache."""
    root = write_metafiles(tmp_path / 'checkout', recipe('a', URL), ours())
    monkeypatch.setattr(index, 'config_folders', lambda: [root / 'configs'])
    monkeypatch.setattr(fetching, '_RETRIES', 0)
    monkeypatch.setenv('MMMA_HOME', str(tmp_path / 'home'))
    for name in ('MMMA_ZOO_URL', 'MMMA_OFFLINE'):
        monkeypatch.delenv(name, raising=False)
    return root


def test_list(zoo, capsys):
    assert main('download', ['--list']) == 0
    text = capsys.readouterr().out
    named, *told = text.splitlines()
    assert named == NAME
    assert told[0].startswith(
        '    ours, 0.0 MB, Pose: names the action of a clip (infer'
    )
    assert 'trained on simulated data, a demonstration' in ' '.join(text.split())
    start = '    upstream, size unknown, RGB: the start of '
    assert told[told.index(UPSTREAM) + 1].startswith(start)


def test_the_list_of_the_zoo_fits_100_columns(capsys):
    assert main('download', ['--list']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    assert 'size unknown' not in ' '.join(lines)


def test_list_as_json(zoo, capsys):
    assert main('download', ['--list', '--json']) == 0
    printed = capsys.readouterr()
    first, second = json.loads(printed.out)
    assert first == {
        'name': NAME,
        'kind': 'ours',
        'task': 'rec',
        'modality': 'Pose',
        'size': len(OURS),
        'sha256': SHA,
        'config': 'configs/recog/tiny_mma82_zeroshot.py',
        'simulated': True,
    }
    assert (second['name'], second['size'], second['simulated']) == (
        *(UPSTREAM, None, False),
    )
    assert printed.err == ''


def test_list_needs_no_torch():
    code = (
        'import sys; from mmma.cli import main\n'
        'main("download", ["--list", "--json"])\n'
        'assert not {"torch", "mmengine", "requests"} & set(sys.modules)'
    )
    command = [sys.executable, '-c', code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert all(model['name'] for model in json.loads(done.stdout))


def test_one_thing_at_a_time(zoo, capsys):
    for argv in (
        [],
        ['--json', 'a'],
        ['--list', 'a'],
        ['--list', '--verify'],
        ['--json'],
    ):
        assert main('download', argv) == 2
        told = capsys.readouterr().err
        assert '--json goes with --list' in told or 'give names or --for CONFIG' in told
    assert main('download', ['--list', '--dest', 'x']) == 2
    assert '--dest goes with names or --for CONFIG' in capsys.readouterr().err


def test_one_failure_does_not_stop_the_others(zoo, tmp_path, capsys):
    put(zoo)
    dest = tmp_path / 'dest'
    names = ['tini', UPSTREAM, NAME, NAME]
    assert main('download', [*names, '--dest', str(dest)]) == 2
    printed = capsys.readouterr()
    assert printed.out == f'{NAME}: {dest / FILE}\n'
    assert "error: no model 'tini' in the zoo." in printed.err
    assert f'error: {UPSTREAM}.pth cannot be fetched' in printed.err
    assert printed.err.endswith(f'not fetched: tini, {UPSTREAM}\n')


def test_a_name(zoo, tmp_path, monkeypatch, capsys):
    with file_server(files={FILE: OURS}) as server:
        monkeypatch.setenv('MMMA_ZOO_URL', server.url)
        assert main('download', [NAME]) == 0
    path = tmp_path / 'home/checkpoints' / FILE
    assert capsys.readouterr().out == f'{NAME}: {path}\n'


@pytest.mark.parametrize('listed', [True, False])
def test_weights_of_a_config(zoo, tmp_path, capsys, listed):
    remote = tmp_path / 'net.pth'
    remote.write_bytes(OURS)
    if listed:
        write_metafiles(zoo, recipe('a', remote.as_uri()))
    config = tmp_path / 'config.py'
    start = dict(url=remote.as_uri(), sha8=SHA[:8], size=len(OURS), data='k400')
    config.write_text(f'pretrained = {start}\n')
    dest = tmp_path / 'dest'
    assert main('download', ['--for', str(config), '--dest', str(dest)]) == 0
    assert capsys.readouterr().out == f'net: {dest}/net.pth\n'
    start['sha8'] = 'ffffffff'
    config.write_text(f'pretrained = {start}\n')
    assert main('download', ['--for', str(config), '--dest', str(tmp_path / 'b')]) == 2
    assert 'expected ffffffff' in capsys.readouterr().err


def test_a_config_from_scratch(zoo, capsys):
    assert main('download', ['--for', 'recog/skeletontcn-tiny_mma82_indomain']) == 0
    assert 'random weights: nothing to download' in capsys.readouterr().out


def test_verify(zoo, tmp_path, capsys):
    assert main('download', ['--verify']) == 0
    assert 'nothing was downloaded yet' in capsys.readouterr().err
    folder = put(zoo).parent
    (folder / 'other.pth').touch()
    assert main('download', ['--verify', str(folder)]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [
        'unknown  other.pth: not in the index',
        f'ok       {FILE}',
    ]
    assert printed.err == f'{folder}: 1 ok, 0 damaged, 1 unknown\n'
    (folder / FILE).write_bytes(OURS[::-1])
    assert main('download', ['--verify', str(folder)]) == 1
    assert f'damaged  {FILE}: has SHA-256' in capsys.readouterr().out
    assert main('download', ['--verify', str(folder / 'x')]) == 2


CONFIG = 'recog/videomae-tiny_mma82_indomain'
COMMANDS = [
    ('test', [CONFIG, 'tini']),
    ('train', [CONFIG, '--load-from', 'tini']),
    ('probe', ['videomae-tiny', '--ckpt', 'tini']),
    ('data/features', ['{root}', 'videomae-tiny', 'tini']),
    ('convert_weights', ['tini', 'out.pth', '--from', 'pyskl']),
]


@pytest.mark.parametrize(('command', 'argv'), COMMANDS, ids=[c for c, _ in COMMANDS])
def test_checkpoints_have_names(zoo, video_root, capsys, command, argv):
    argv = [arg.format(root=video_root) for arg in argv]
    if command in ('test', 'train'):
        argv += ['--data-root', str(video_root)]
    assert main(command, argv) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: checkpoint tini: no such file, and no model 'tini'")
    assert f'Near: {NAME}. All names: download.py --list' in told


def test_a_checkpoint_by_name(zoo, tmp_path, monkeypatch, capsys):
    weights = {'backbone.gcn.0.w': torch.ones(1), 'cls_head.fc.weight': torch.ones(1)}
    torch.save({'state_dict': weights}, tmp_path / 'net.pth')
    write_metafiles(zoo, recipe('a', (tmp_path / 'net.pth').as_uri()))
    argv = ['net', str(tmp_path / 'out.pth'), '--from', 'pyskl']
    assert main('convert_weights', argv) == 0
    path = tmp_path / 'home/checkpoints/net.pth'
    assert f'{path}: 2 weights of pyskl' in capsys.readouterr().out
