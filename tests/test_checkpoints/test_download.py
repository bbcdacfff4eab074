"""Downloads: names, resuming, mirrors, and what is said when they fail."""

import contextlib
import errno
import hashlib
import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from http_files import file_server

from mmma.checkpoints import RemoteFile, fetch_file, fetch_url
from mmma.checkpoints import download as module
from mmma.checkpoints.download import (
    file_name,
    hash_in_name,
    local_path,
    mirror_places,
    shown_url,
)

HUB = 'https://huggingface.co'


def test_file_names():
    named = {
        'https://a.org/b/c-0123abcd.pth': ('c-0123abcd.pth', '0123abcd'),
        'https://a.org/b/c_0123abcd.safetensors': (
            *('c_0123abcd.safetensors', '0123abcd'),
        ),
        'https://a.org/b/c-20240101x.pth': ('c-20240101x.pth', ''),
        'https://a.org/b/c.pth?token=x#y': ('c.pth', ''),
        'https://a.org/b/two%20words.pth': ('two words.pth', ''),
        f'{HUB}/a/small/resolve/main/model.bin': ('a-small-model.bin', ''),
        f'{HUB}/a/large/resolve/0123/sub/model.bin': ('a-large-model.bin', ''),
    }
    names = {url: file_name(url) for url in named}
    assert {url: (name, hash_in_name(name)) for url, name in names.items()} == named


def test_names_that_lead_elsewhere():
    for url in (
        *('https://a.org/..', 'https://a.org/', 'https://a.org/%2e%2e%2Fpasswd'),
        *('https://a.org/b%2Fc.pth', 'https://a.org/..%5Cc.pth'),
        *('https://a.org/b\\c.pth', 'https://a.org/c:d.pth'),
        *('https://a.org/.bashrc', 'https://a.org/a%00.pth'),
        f'{HUB}/a/%2e%2e%2f/resolve/main/model.bin',
    ):
        with pytest.raises(ValueError, match=r'names a file .* no slash.*not fetched'):
            RemoteFile(file_name(url), url)


def test_folders_that_lead_elsewhere():
    for folder in ('..', 'a/b', '/etc', 'a\\b'):
        with pytest.raises(ValueError, match=r'the model zoo names a file'):
            RemoteFile('a.pth', folder=folder)


def test_secrets_are_not_shown():
    shown = {
        'https://me:secret@a.org:8/b.pth': 'https://a.org:8/b.pth',
        'https://a.org/b.pth?sig=secret#c': 'https://a.org/b.pth?...',
        'file:///a/b': 'file:///a/b',
        '/a/b': '/a/b',
    }
    assert {url: shown_url(url) for url in shown} == shown


def test_what_is_on_this_machine():
    assert local_path('/a/b') == Path('/a/b')
    assert local_path('~/b') == Path.home() / 'b'
    assert local_path('file:///a/two%20words') == Path('/a/two words')
    assert local_path('https://a.org/b') is None
    for place in ('ftp://me:pw@a.org/b', 'file://other/b', 's3://a/b'):
        with pytest.raises(ValueError, match=r'(a.org|other|a)/b: use http://.* fold'):
            local_path(place)


def test_places_of_a_mirror(monkeypatch, tmp_path):
    file = RemoteFile('a b.pth', folder='model')
    monkeypatch.delenv('MMMA_ZOO_URL', raising=False)
    assert mirror_places(file) == []
    monkeypatch.setenv('MMMA_ZOO_URL', 'https://me:pw@a.org/zoo/?sig=1')
    assert mirror_places(file) == [
        'https://me:pw@a.org/zoo/a%20b.pth?sig=1',
        'https://me:pw@a.org/zoo/model/a%20b.pth?sig=1',
    ]
    monkeypatch.setenv('MMMA_ZOO_URL', tmp_path.as_uri())
    assert mirror_places(file) == [str(tmp_path / 'a b.pth')]
    (tmp_path / 'model').mkdir()
    (tmp_path / 'model/a b.pth').touch()
    assert mirror_places(file) == [str(tmp_path / 'model/a b.pth')]
    monkeypatch.setenv('MMMA_ZOO_URL', str(tmp_path / 'x'))
    with pytest.raises(FileNotFoundError, match=r'MMMA_ZOO_URL is .*/x: no such folde'):
        mirror_places(RemoteFile('a.pth'))


NAME, CONTENT = 'a.pth', bytes(range(250)) * 400
SHA = hashlib.sha256(CONTENT).hexdigest()
BLOCK = module._BLOCK


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """No mirror, no MMMA_OFFLINE, no waiting."""
    for name in ('MMMA_ZOO_URL', 'MMMA_OFFLINE'):
        monkeypatch.delenv(name, raising=False)
    patience(monkeypatch, 2, 0.001, 10)


def patience(monkeypatch, retries, backoff_sec, timeout_sec):
    monkeypatch.setattr(module, '_RETRIES', retries)
    monkeypatch.setattr(module, '_BACKOFF_SEC', backoff_sec)
    monkeypatch.setattr(module, '_TIMEOUT_SEC', timeout_sec)


@pytest.fixture
def server():
    with file_server(files={NAME: CONTENT}) as files:
        yield files


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'cache').mkdir()
    return tmp_path / 'cache'


@pytest.fixture
def part(folder):
    return folder / f'{NAME}.part'


def of(server, **kwargs):
    return RemoteFile(NAME, f'{server.url}/{NAME}', **{'sha256': SHA, **kwargs})


def get(server, part, **kwargs):
    """Bytes of a file that is fetched anew."""
    (part.parent / NAME).unlink(missing_ok=True)
    return fetch_file(of(server, **kwargs), part.parent).read_bytes()


def refused(told):
    return pytest.raises(FileNotFoundError, match=rf'/{NAME}: {told}\n')


def leave(part, server, content=CONTENT[:300], **notes):
    """Rest of a download that an earlier process left."""
    part.write_bytes(content)
    notes = {
        'url': f'{server.url}/{NAME}',
        'validator': '"1"',
        'size': len(CONTENT),
        **notes,
    }
    part.with_name(f'{part.name}.json').write_text(json.dumps(notes))


def test_a_cut_connection_is_gone_on_with(server, part):
    server.cuts = [BLOCK, BLOCK]
    assert get(server, part) == CONTENT
    assert server.ranges == [None, f'bytes={BLOCK}-', f'bytes={2 * BLOCK}-']


def test_bytes_that_come_count_the_tries_anew(server, part):
    server.cuts = [BLOCK] * 5
    assert get(server, part, size=len(CONTENT)) == CONTENT
    assert len(server.asked) == 6


def test_a_later_process_goes_on(server, part):
    leave(part, server)
    assert get(server, part) == CONTENT
    assert server.ranges == ['bytes=300-']


def test_only_the_last_step_was_missed(server, part):
    leave(part, server, CONTENT)
    assert get(server, part) == CONTENT
    assert server.asked == []


def test_a_part_of_who_knows_what_is_not_gone_on_with(server, part):
    for notes in (
        {'url': 'https://elsewhere.org/a.pth'},
        *({'validator': ''}, {'validator': None}),
        *('{', '[]', ''),
    ):
        leave(part, server, b'other', **(notes if isinstance(notes, dict) else {}))
        if isinstance(notes, str):
            part.with_name(f'{part.name}.json').write_text(notes)
        assert get(server, part) == CONTENT, notes
    assert set(server.ranges) == {None}


def test_a_file_that_has_changed_starts_anew(server, part):
    leave(part, server, b'x' * 300)
    server.etag = '"2"'
    assert get(server, part) == CONTENT
    assert server.ranges == ['bytes=300-']


def test_a_range_that_is_refused(server, part):
    leave(part, server, b'x' * 200000)
    server.statuses = [416]
    assert get(server, part) == CONTENT
    assert server.ranges == ['bytes=200000-', None]


def test_another_range_than_asked_for(server, part):
    leave(part, server)
    server.headers = {'Content-Range': 'bytes 1-99999/100000'}
    assert get(server, part) == CONTENT
    assert server.ranges == ['bytes=300-', None]


def test_without_a_strong_mark_of_the_file(server, part):
    dated = {'Last-Modified': 'Mon, 01 Jan 2024 00:00:00 GMT'}
    for etag, headers, given in (
        ('W/"1"', dated, f'bytes={BLOCK}-'),
        ('W/"1"', {}, None),
        (None, {}, None),
    ):
        part.unlink(missing_ok=True)
        server.etag, server.headers, server.cuts = etag, headers, [BLOCK]
        assert get(server, part) == CONTENT
        assert server.ranges[-2:] == [None, given]


def test_a_busy_server_is_asked_again(server, part):
    server.statuses = [503, 429]
    assert get(server, part) == CONTENT
    assert len(server.asked) == 3


def test_what_a_status_means(server, part):
    for status, told, asked in (
        (401, 'asks for a login', 1),
        (403, 'does not allow it', 1),
        (404, 'has no such file', 1),
        (410, 'has no such file any more', 1),
        (418, 'does not give it', 1),
        (500, 'is busy or broken, try later', 3),
    ):
        server.statuses, server.asked = [status] * asked, []
        with refused(rf'{told} \(HTTP {status}\)'):
            get(server, part)
        assert len(server.asked) == asked
        assert not part.exists()


def test_a_web_page_instead(server, part):
    server.headers = {'Content-Type': 'text/html; charset=utf-8'}
    with refused('sends a web page, as a login or a proxy does'):
        get(server, part)


def test_another_size_is_not_downloaded(server, part):
    with pytest.raises(ValueError, match='has 100,000 bytes there, expected 999'):
        get(server, part, size=999)
    assert not part.exists()


def test_a_slow_server(server, part, monkeypatch):
    server.wait_sec = 0.5
    patience(monkeypatch, 0, 0, 0.05)
    with refused(r'127\.0\.0\.1 does not answer in time'):
        get(server, part)


def test_no_network(folder, monkeypatch):
    patience(monkeypatch, 0, 0, 5)
    for url, told in (
        ('http://127.0.0.1:9/a', r'127\.0\.0\.1 is not reached: no network here'),
        ('http://no.such.host.invalid/a', r'\.host\.invalid is not found: no n'),
        ('http:///a', r'no usable URL \(InvalidURL\)'),
        ('http://[/a', 'Invalid IPv6|no usable URL'),
    ):
        with pytest.raises((FileNotFoundError, ValueError), match=told):
            fetch_file(RemoteFile(NAME, url), folder)


def test_a_certificate_that_is_not_accepted():
    import requests

    error = requests.exceptions.SSLError('secret')
    told = module._reason(error, 'https://a.org/b')
    assert told.startswith('the certificate of a.org is not accepted: behind a proxy')
    assert 'REQUESTS_CA_BUNDLE' in told
    assert 'HTTPS_PROXY' in module._reason(requests.exceptions.ProxyError(), 'http://a')
    missing = OSError('no CA bundle: x.pem')
    assert module._reason(missing, 'http://a') == 'no CA bundle: x.pem'


class _FullDisk:
    """A file on a disk with room for 30 000 bytes."""

    def __init__(self, file):
        self.file = file

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()

    def write(self, block):
        if self.file.tell() + len(block) > 30_000:
            raise OSError(errno.ENOSPC, 'No space left on device')
        return self.file.write(block)


def test_a_full_disk(server, part, monkeypatch):
    real = Path.open

    def full(path, mode='r', **kwargs):
        file = real(path, mode, **kwargs)
        return _FullDisk(file) if path == part and mode != 'r' else file

    monkeypatch.setattr(Path, 'open', full)
    with pytest.raises(
        FileNotFoundError,
        match=r'a\.pth\.part cannot be written \(No space left on device\); what was '
        r'there of it is deleted\. Make room, or let MMMA_HOME',
    ):
        get(server, part)
    assert not part.exists()


def test_no_room_is_told_before(server, part, monkeypatch):
    usage = module.shutil.disk_usage(part.parent)._replace(free=99_699)
    monkeypatch.setattr(module.shutil, 'disk_usage', lambda folder: usage)
    with pytest.raises(
        FileNotFoundError, match=r'has no room for a\.pth: 0\.1 MB are to come'
    ):
        get(server, part)
    leave(part, server)
    with pytest.raises(FileNotFoundError, match='has no room'):
        get(server, part)
    assert part.read_bytes() == CONTENT[:300]
    leave(part, server, CONTENT[:301])
    assert get(server, part) == CONTENT


class _Endless(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_GET(self):
        self.send_response(200)
        for name, value in self.server.headers:
            self.send_header(name, value)
        self.end_headers()
        chunked = any(value == 'chunked' for _, value in self.server.headers)
        block = bytes(1 << 16)
        block = b'10000\r\n' + block + b'\r\n' if chunked else block
        with contextlib.suppress(OSError):
            while True:
                self.wfile.write(block)

    def log_message(self, *args):
        pass


@pytest.fixture(
    params=[
        [('Transfer-Encoding', 'chunked')],
        [('Connection', 'close')],
        [('Content-Length', '9' * 30), ('Connection', 'close')],
        [('Content-Length', '²'), ('Connection', 'close')],
    ]
)
def endless(request):
    server = ThreadingHTTPServer(('127.0.0.1', 0), _Endless)
    server.headers = request.param
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}/{NAME}'
    server.shutdown()
    server.server_close()


def test_a_server_that_does_not_stop(endless, part, monkeypatch):
    told = r'sends more than the 4,000 bytes expected; nothing is kept'
    with pytest.raises(ValueError, match=told):
        fetch_file(RemoteFile(NAME, endless, SHA, 4000), part.parent)
    assert [p.suffix for p in part.parent.iterdir()] in ([], ['.lock'])
    usage = module.shutil.disk_usage(part.parent)._replace(free=1_000_000)
    monkeypatch.setattr(module.shutil, 'disk_usage', lambda folder: usage)
    told = r'sends more than the 950,000 bytes that there is room for; nothing is'
    with pytest.raises(ValueError, match=told):
        fetch_file(RemoteFile(NAME, endless, SHA), part.parent)
    assert [p.suffix for p in part.parent.iterdir()] in ([], ['.lock'])


def test_a_bar_on_terminals_only(server, part, capsys, monkeypatch):
    for is_terminal in (True, False):
        monkeypatch.setattr(sys.stderr, 'isatty', lambda shown=is_terminal: shown)
        get(server, part, size=len(CONTENT))
        printed = capsys.readouterr()
        assert printed.out == ''
        assert ('100.0/100.0 kB' in printed.err) == is_terminal


def names(folder):
    return sorted(path.name for path in folder.iterdir())


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


def test_by_url(server, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv('MMMA_HOME', str(tmp_path))
    name = f'b-{SHA[:8]}.pth'
    server.files[name] = CONTENT
    assert fetch_url(f'{server.url}/{name}?a=b') == tmp_path / 'checkpoints' / name
    fetch_url(f'{server.url}/{NAME}')
    assert 'its hash is not known, so it was not checked' in capsys.readouterr().err
    server.files['c-01234567.pth'] = CONTENT
    with pytest.raises(
        ValueError, match=r'expected 01234567\.\.\.; kept as .*bad-hash'
    ):
        fetch_url(f'{server.url}/c-01234567.pth')


def test_a_restart_goes_on(server, folder):
    server.cuts = [16_384, 0, 0]
    with pytest.raises(
        FileNotFoundError, match='cut the connection after 16,384 bytes, again'
    ):
        fetch_file(of(server), folder)
    assert names(folder) == [
        f'{NAME}.lock',
        f'{NAME}.part',
        f'{NAME}.part.json',
    ]
    server.asked.clear()
    fetch_file(of(server), folder)
    assert server.ranges == ['bytes=16384-']
    assert names(folder) == [NAME]


def test_another_hash_is_kept_aside(server, folder):
    aside = folder / f'{NAME}.bad-hash'
    for sha256 in ('f' * 64, 'f' * 8):
        with pytest.raises(
            ValueError,
            match=rf'{server.url}/{NAME}: has SHA-256 {SHA[:16]}\.\.\., expected '
            rf'f+\.\.\.; kept as {aside}, not used\nDownload .* starts with f+\)',
        ):
            fetch_file(of(server, sha256=sha256), folder)
        assert aside.read_bytes() == CONTENT
        assert not (folder / NAME).exists()


def test_a_damaged_file_is_replaced(server, folder, capsys):
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


def test_credentials_are_not_printed(server, folder, capsys):
    url = server.url.replace('//', '//me:secret@')
    with pytest.raises(FileNotFoundError) as error:
        fetch_file(RemoteFile('b.pth', f'{url}/b.pth?token=secret'), folder)
    fetch_file(RemoteFile(NAME, f'{url}/{NAME}?token=secret', SHA), folder)
    server.cuts = [20_000, 0, 0]
    with pytest.raises(FileNotFoundError):
        fetch_file(
            RemoteFile(NAME, f'{url}/{NAME}?token=secret'),
            folder / 'c',
        )
    written = (folder / f'c/{NAME}.part.json').read_text()
    assert 'secret' not in str(error.value) + capsys.readouterr().err + written


def test_a_mirror_is_asked_first(server, folder, tmp_path, monkeypatch):
    (tmp_path / NAME).write_bytes(CONTENT)
    file = RemoteFile(NAME, 'http://127.0.0.1:9/a.pth', SHA)
    for place in (server.url, tmp_path.as_uri(), str(tmp_path)):
        monkeypatch.setenv('MMMA_ZOO_URL', place)
        assert fetch_file(file, folder).read_bytes() == CONTENT
        assert len(server.asked) == 1
        (folder / NAME).unlink()


def test_a_mirror_laid_out_as_the_zoo(server, folder, monkeypatch):
    server.files = {f'model/{NAME}': CONTENT}
    monkeypatch.setenv('MMMA_ZOO_URL', server.url)
    fetch_file(RemoteFile(NAME, '', SHA, folder='model'), folder)
    assert [path for path, _ in server.asked] == [
        f'/{NAME}',
        f'/model/{NAME}',
    ]


def test_the_server_is_asked_when_the_mirror_has_it_not(
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


@pytest.mark.parametrize('value', ['1', 'true', '0', 'False', ''])
def test_offline(server, folder, tmp_path, monkeypatch, value):
    monkeypatch.setenv('MMMA_OFFLINE', value)
    offline = value in ('', '0', 'False')  # by the argument, then
    with pytest.raises(
        FileNotFoundError,
        match=r'not asked, for this is offline \(MMMA_OFFLINE\)(.|\n)*, or so\.$',
    ):
        fetch_file(of(server), folder, offline=offline, advice=', or so')
    (tmp_path / NAME).write_bytes(CONTENT)
    monkeypatch.setenv('MMMA_ZOO_URL', str(tmp_path))
    fetch_file(of(server), folder, offline=offline)
    (tmp_path / NAME).unlink()
    fetch_file(of(server), folder, offline=offline)
    assert server.asked == []
    if offline:
        assert get(server, folder / 'x') == CONTENT
        assert len(server.asked) == 1


def test_a_folder_that_cannot_be_written(server, tmp_path):
    (tmp_path / 'a').touch()
    with pytest.raises(FileNotFoundError, match=r'/a/b cannot be written .* MMMA_HOME'):
        fetch_file(of(server), tmp_path / 'a' / 'b')


def test_one_download_for_two_processes(server, folder):
    server.wait_sec = 0.5
    code = (
        'import sys; from mmma.checkpoints import RemoteFile, fetch_file\n'
        'print(fetch_file(RemoteFile(*sys.argv[2:]), sys.argv[1]).stat().st_size)'
    )
    url = f'{server.url}/{NAME}'
    command = [sys.executable, '-c', code, str(folder), NAME, url, SHA]
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    running = [subprocess.Popen(command, **pipes) for _ in range(2)]
    told = [process.communicate() for process in running]
    assert [out.strip() for out, _ in told] == [b'100000'] * 2
    assert len(server.asked) == 1
    assert sum(err.count(b'waiting for another process') for _, err in told) <= 1
    assert names(folder) == [NAME]
