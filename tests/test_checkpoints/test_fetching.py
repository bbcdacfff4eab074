import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from http_files import file_server

from mmma.checkpoints import (
    RemoteFile,
    cache_folder,
    fetch_file,
    fetch_pretrained,
    fetch_url,
    fetching,
)
from mmma.checkpoints.transfer import Patience

NAME, CONTENT = 'a.pth', b'weights' * 10_000
SHA = hashlib.sha256(CONTENT).hexdigest()
FAST = Patience(retries=1, backoff_sec=0.001, timeout_sec=10)


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """No mirror, no MMMA_OFFLINE, no waiting."""
    for name in ('MMMA_ZOO_URL', 'MMMA_OFFLINE'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(fetching, 'Patience', lambda: FAST)


@pytest.fixture
def server():
    with file_server(files={NAME: CONTENT}) as files:
        yield files


@pytest.fixture
def folder(tmp_path):
    return tmp_path / 'cache'


def of(server, **kwargs):
    return RemoteFile(NAME, f'{server.url}/{NAME}', **{'sha256': SHA, **kwargs})


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_cache_folder(monkeypatch):
    monkeypatch.setenv('MMMA_HOME', '/a')
    assert cache_folder() == Path('/a/checkpoints')


def test_fetched_once(server, folder, capsys):
    found = fetch_file(of(server, size=len(CONTENT)), folder)
    assert found == folder / NAME
    assert found.read_bytes() == CONTENT
    assert fetch_file(of(server), folder) == found
    assert len(server.asked) == 1
    assert names(folder) == [NAME]
    told = capsys.readouterr()
    assert told.err == f'downloading {server.url}/{NAME} to {found}\n'
    assert told.out == ''


def test_by_url(server, monkeypatch, tmp_path):
    monkeypatch.setenv('MMMA_HOME', str(tmp_path))
    name = f'b-{SHA[:8]}.pth'
    server.files[name] = CONTENT
    assert fetch_url(f'{server.url}/{name}?a=b') == tmp_path / 'checkpoints' / name
    server.files['c-01234567.pth'] = CONTENT
    with pytest.raises(
        ValueError, match=r'expected 01234567\.\.\.; kept as .*bad-hash'
    ):
        fetch_url(f'{server.url}/c-01234567.pth')


def test_without_a_hash_it_says_so(server, folder, capsys):
    fetch_file(of(server, sha256=''), folder)
    assert 'its hash is not known, so it was not checked' in capsys.readouterr().err


def test_a_restart_goes_on(server, folder):
    server.cuts = [16_384, 0]
    with pytest.raises(
        FileNotFoundError, match='cut the connection after 16,384 bytes'
    ):
        fetch_file(of(server), folder)
    assert names(folder) == [f'{NAME}.lock', f'{NAME}.part', f'{NAME}.part.json']
    server.asked.clear()
    fetch_file(of(server), folder)
    assert server.ranges == ['bytes=16384-']
    assert names(folder) == [NAME]


@pytest.mark.parametrize('known', [{'sha256': 'f' * 64}, {'sha256': 'f' * 8}])
def test_another_hash_is_kept_aside(server, folder, known):
    aside = folder / f'{NAME}.bad-hash'
    with pytest.raises(
        ValueError,
        match=rf'{server.url}/{NAME}: has SHA-256 {SHA[:16]}\.\.\., expected '
        rf'f+\.\.\.; kept as {aside}, not used\nDownload .* starts with f+\)',
    ):
        fetch_file(of(server, **known), folder)
    assert aside.read_bytes() == CONTENT
    assert not (folder / NAME).exists()


def test_a_damaged_file_is_replaced(server, folder, capsys):
    folder.mkdir()
    (folder / NAME).write_bytes(b'damaged')
    assert fetch_file(of(server), folder).read_bytes() == CONTENT
    assert (folder / f'{NAME}.bad-hash').read_bytes() == b'damaged'
    assert f'{NAME}.bad-hash, not used' in capsys.readouterr().err


def test_a_missing_file_is_explained(server, folder):
    with pytest.raises(
        FileNotFoundError,
        match=rf'^b\.pth cannot be fetched\.\n  {server.url}/b\.pth: has no such file '
        rf'\(HTTP 404\)\nDownload {server.url}/b\.pth on another machine \(its SHA-256 '
        rf'starts with {SHA}\) and put it here as {folder}/b\.pth\.$',
    ):
        fetch_file(RemoteFile('b.pth', f'{server.url}/b.pth', SHA), folder)


def test_pretrained_weights_are_not_a_must(folder):
    url = 'http://127.0.0.1:9/weights.pth'
    with pytest.raises(
        FileNotFoundError,
        match=rf'Download {url} .* starts with {SHA[:8]}\).* {folder}/weights\.pth, '
        'or train from scratch with --no-pretrained',
    ):
        fetch_pretrained(url, SHA[:8], folder)


def test_size_of_pretrained_weights(server, folder):
    with pytest.raises(ValueError, match=r'has 70,000 bytes there, expected 7'):
        fetch_pretrained(f'{server.url}/{NAME}', '', folder, size=7)


def test_credentials_are_not_printed(server, folder, capsys):
    url = server.url.replace('//', '//me:secret@')
    with pytest.raises(FileNotFoundError) as error:
        fetch_file(RemoteFile('b.pth', f'{url}/b.pth?token=secret'), folder)
    fetch_file(RemoteFile(NAME, f'{url}/{NAME}?token=secret', SHA), folder)
    server.cuts = [20_000, 0, 0]
    with pytest.raises(FileNotFoundError):
        fetch_file(RemoteFile(NAME, f'{url}/{NAME}?token=secret'), folder / 'c')
    written = (folder / f'c/{NAME}.part.json').read_text()
    assert 'secret' not in str(error.value) + capsys.readouterr().err + written


@pytest.mark.parametrize('kind', ['http', 'file', 'folder'])
def test_a_mirror_is_asked_first(server, folder, tmp_path, monkeypatch, kind):
    (tmp_path / NAME).write_bytes(CONTENT)
    places = {'http': server.url, 'file': tmp_path.as_uri(), 'folder': str(tmp_path)}
    monkeypatch.setenv('MMMA_ZOO_URL', places[kind])
    file = RemoteFile(NAME, 'http://127.0.0.1:9/a.pth', SHA)
    assert fetch_file(file, folder).read_bytes() == CONTENT
    assert len(server.asked) == (kind == 'http')


def test_a_mirror_laid_out_as_the_zoo(server, folder, monkeypatch):
    server.files = {f'model/{NAME}': CONTENT}
    monkeypatch.setenv('MMMA_ZOO_URL', server.url)
    fetch_file(RemoteFile(NAME, '', SHA, folder='model'), folder)
    assert [path for path, _ in server.asked] == [f'/{NAME}', f'/model/{NAME}']


def test_the_origin_is_asked_when_the_mirror_has_it_not(
    server, folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv('MMMA_ZOO_URL', str(tmp_path))
    fetch_file(of(server), folder)
    told = capsys.readouterr().err
    assert f'{tmp_path}/{NAME}: there is no such file. Now asked: {server.url}' in told


def test_a_mirror_with_other_bytes_is_named(
    server, folder, tmp_path, monkeypatch, capsys
):
    (tmp_path / NAME).write_bytes(b'other')
    monkeypatch.setenv('MMMA_ZOO_URL', str(tmp_path))
    fetch_file(of(server), folder)
    assert f'{tmp_path}/{NAME}: has SHA-256' in capsys.readouterr().err
    with pytest.raises(
        ValueError, match=rf'{tmp_path}/{NAME}: has SHA-256 .* not used'
    ):
        fetch_file(RemoteFile(NAME, '', SHA), folder / 'b')
    assert (tmp_path / NAME).read_bytes() == b'other'


def test_files_near_by_are_copied(server, folder, tmp_path):
    near = tmp_path / 'b.pth'
    near.write_bytes(CONTENT)
    fetch_file(of(server), folder, near=[near])
    assert server.asked == []


def test_no_place_is_known(folder):
    with pytest.raises(
        FileNotFoundError, match=r'No place is known that has it: let MMMA_ZOO_URL name'
    ):
        fetch_file(RemoteFile(NAME), folder)


@pytest.mark.parametrize('by', ['environment', 'argument'])
def test_offline(server, folder, tmp_path, monkeypatch, by):
    if by == 'environment':
        monkeypatch.setenv('MMMA_OFFLINE', '1')
    offline = by == 'argument'
    with pytest.raises(
        FileNotFoundError, match=r'not asked, for this is offline \(MMMA'
    ):
        fetch_file(of(server), folder, offline=offline)
    (tmp_path / NAME).write_bytes(CONTENT)
    monkeypatch.setenv('MMMA_ZOO_URL', str(tmp_path))
    fetch_file(of(server), folder, offline=offline)
    (tmp_path / NAME).unlink()
    fetch_file(of(server), folder, offline=offline)
    assert server.asked == []


def test_a_folder_that_cannot_be_written(server, tmp_path):
    (tmp_path / 'a').touch()
    with pytest.raises(FileNotFoundError, match=r'/a/b cannot be written .* MMMA_HOME'):
        fetch_file(of(server), tmp_path / 'a' / 'b')


def test_one_download_for_two_processes(server, folder):
    server.wait_sec = 0.5
    code = (
        'import sys; from mmma.checkpoints import fetch_pretrained\n'
        'print(fetch_pretrained(*sys.argv[1:]).stat().st_size)'
    )
    url = f'{server.url}/{NAME}'
    command = [sys.executable, '-c', code, url, SHA, str(folder)]
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    running = [subprocess.Popen(command, **pipes) for _ in range(2)]
    told = [process.communicate() for process in running]
    assert [out.strip() for out, _ in told] == [b'70000'] * 2
    assert len(server.asked) == 1
    assert sum(err.count(b'waiting for another process') for _, err in told) <= 1
    assert names(folder) == [NAME]
