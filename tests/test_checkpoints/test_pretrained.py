import subprocess
import sys
from pathlib import Path

import pytest

from mmma.checkpoints import cache_folder, fetch_pretrained, file_sha256

ABC = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'


@pytest.fixture
def remote(tmp_path):
    """A file that can be fetched by URL."""
    path = tmp_path / 'remote' / 'weights.pth'
    path.parent.mkdir()
    path.write_bytes(b'abc')
    return path


def test_hash(remote):
    assert file_sha256(remote) == ABC  # the example of FIPS 180-4


def test_cache_folder(monkeypatch):
    monkeypatch.setenv('MMMA_HOME', '/a')
    assert cache_folder() == Path('/a/checkpoints')
    monkeypatch.delenv('MMMA_HOME')
    assert cache_folder() == Path.home() / '.cache/mmma/checkpoints'


def test_downloaded_once(remote, tmp_path, capsys):
    folder = tmp_path / 'cache'
    found = fetch_pretrained(remote.as_uri(), ABC[:8], folder)
    assert found == folder / 'weights.pth'
    assert found.read_bytes() == b'abc'
    assert f'to {found}' in capsys.readouterr().err
    remote.unlink()
    assert fetch_pretrained(remote.as_uri(), ABC[:8], folder) == found
    assert [p.name for p in folder.iterdir()] == ['weights.pth']


def test_unreachable(tmp_path):
    url = 'http://127.0.0.1:9/weights.pth'
    with pytest.raises(
        FileNotFoundError,
        match=rf'Download {url} .* starts with {ABC[:8]}\).* {tmp_path}/weights\.pth, '
        'or train from scratch with --no-pretrained',
    ):
        fetch_pretrained(url, ABC[:8], tmp_path)
    assert not list(tmp_path.glob('*.p*'))


def test_another_file(remote, tmp_path):
    (tmp_path / 'weights.pth').write_bytes(b'other')
    with pytest.raises(ValueError, match=r'expected ba7816bf\.\.\..* Delete it'):
        fetch_pretrained(remote.as_uri(), ABC[:8], tmp_path)


def test_processes_do_not_disturb_each_other(remote, tmp_path):
    folder = tmp_path / 'cache'
    code = (
        'import sys; from mmma.checkpoints import fetch_pretrained\n'
        'fetch_pretrained(*sys.argv[1:])'
    )
    command = [sys.executable, '-c', code, remote.as_uri(), ABC[:8], str(folder)]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(4)]
    told = [process.communicate()[1].count(b'downloading') for process in running]
    assert [process.returncode for process in running] == [0] * 4
    assert sum(told) == 1


def test_files_of_the_hub_are_told_apart(tmp_path):
    hub = 'https://huggingface.co/'
    for repo, content in (('a/small', b'1'), ('a/large', b'22')):
        (tmp_path / f'{repo.replace("/", "-")}-model.safetensors').write_bytes(content)
    sizes = [
        fetch_pretrained(f'{hub}a/{n}/resolve/main/model.safetensors', '', tmp_path)
        .stat()
        .st_size
        for n in ('small', 'large')
    ]
    assert sizes == [1, 2]
