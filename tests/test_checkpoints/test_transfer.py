import errno
import json
import sys
from pathlib import Path

import pytest
from http_files import file_server

from mmma.checkpoints import transfer as module
from mmma.checkpoints.transfer import Patience, Unavailable, WrongBytes, transfer

NAME, CONTENT = 'a.pth', bytes(range(250)) * 400
BLOCK = module._BLOCK
FAST = Patience(retries=2, backoff_sec=0.001, timeout_sec=10)


@pytest.fixture
def server():
    with file_server(files={NAME: CONTENT}) as files:
        yield files


@pytest.fixture
def part(tmp_path):
    return tmp_path / f'{NAME}.part'


def get(server, part, size=None, patience=FAST):
    transfer(f'{server.url}/{NAME}', part, patience, size)
    return part.read_bytes()


def leave(part, server, content=CONTENT[:300], **notes):
    """What an earlier process left of a download."""
    part.write_bytes(content)
    notes = {
        'url': f'{server.url}/{NAME}',
        'validator': '"1"',
        'size': len(CONTENT),
        **notes,
    }
    part.with_name(f'{part.name}.json').write_text(json.dumps(notes))


def test_whole_at_once(server, part):
    assert get(server, part, len(CONTENT)) == CONTENT
    assert server.ranges == [None]


def test_a_cut_connection_is_gone_on_with(server, part):
    server.cuts = [BLOCK, BLOCK]
    assert get(server, part) == CONTENT
    assert server.ranges == [None, f'bytes={BLOCK}-', f'bytes={2 * BLOCK}-']


def test_bytes_that_come_count_the_tries_anew(server, part):
    server.cuts = [BLOCK] * 5
    assert get(server, part) == CONTENT
    assert len(server.asked) == 6


def test_a_server_that_always_cuts(server, part):
    server.cuts = [BLOCK, 0, 0]
    with pytest.raises(Unavailable, match=r'cut the .* 16,384 bytes, again and again'):
        get(server, part)
    assert part.read_bytes() == CONTENT[:BLOCK]
    assert len(server.asked) == 3


def test_a_later_process_goes_on(server, part):
    leave(part, server)
    assert get(server, part) == CONTENT
    assert server.ranges == ['bytes=300-']


def test_only_the_last_step_was_missed(server, part):
    leave(part, server, CONTENT)
    assert get(server, part) == CONTENT
    assert server.asked == []


@pytest.mark.parametrize(
    'notes',
    [{'url': 'https://elsewhere.org/a.pth'}, {'validator': ''}, {'validator': None}],
)
def test_a_part_of_who_knows_what_is_not_gone_on_with(server, part, notes):
    leave(part, server, b'other', **notes)
    assert get(server, part) == CONTENT
    assert server.ranges == [None]


@pytest.mark.parametrize('notes', ['{', '[]', ''])
def test_notes_that_cannot_be_read(server, part, notes):
    leave(part, server, b'other')
    part.with_name(f'{part.name}.json').write_text(notes)
    assert get(server, part) == CONTENT


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


@pytest.mark.parametrize(
    ('etag', 'headers', 'ranges'),
    [
        (
            'W/"1"',
            {'Last-Modified': 'Mon, 01 Jan 2024 00:00:00 GMT'},
            f'bytes={BLOCK}-',
        ),
        ('W/"1"', {}, None),
        (None, {}, None),
    ],
)
def test_without_a_strong_mark_of_the_file(server, part, etag, headers, ranges):
    server.etag, server.headers, server.cuts = etag, headers, [BLOCK]
    assert get(server, part) == CONTENT
    assert server.ranges == [None, ranges]


def test_a_busy_server_is_asked_again(server, part):
    server.statuses = [503, 429]
    assert get(server, part) == CONTENT
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ('status', 'told', 'asked'),
    [
        (401, 'asks for a login', 1),
        (403, 'does not allow it', 1),
        (404, 'has no such file', 1),
        (410, 'has no such file any more', 1),
        (418, 'does not give it', 1),
        (500, 'is busy or broken, try later', 3),
    ],
)
def test_what_a_status_means(server, part, status, told, asked):
    server.statuses = [status] * 3
    with pytest.raises(Unavailable, match=rf'^{told} \(HTTP {status}\)$'):
        get(server, part)
    assert len(server.asked) == asked
    assert not part.exists()


def test_a_web_page_instead(server, part):
    server.headers = {'Content-Type': 'text/html; charset=utf-8'}
    with pytest.raises(Unavailable, match='sends a web page, as a login or a proxy'):
        get(server, part)


def test_another_size_is_not_downloaded(server, part):
    with pytest.raises(WrongBytes, match='has 100,000 bytes there, expected 999'):
        get(server, part, 999)
    assert not part.exists()


def test_a_slow_server(server, part):
    server.wait_sec = 0.5
    with pytest.raises(Unavailable, match=r'^127\.0\.0\.1 does not answer in time$'):
        get(server, part, patience=Patience(0, 0, 0.05))


@pytest.mark.parametrize(
    ('url', 'told'),
    [
        ('http://127.0.0.1:9/a', r'127\.0\.0\.1 is not reached: no network here'),
        (
            'http://no.such.host.invalid/a',
            r'no\.such\.host\.invalid is not found: no n',
        ),
        ('http:///a', r'no usable URL \(InvalidURL\)'),
        ('http://[/a', 'Invalid IPv6|no usable URL'),
    ],
)
def test_no_network(part, url, told):
    with pytest.raises((Unavailable, ValueError), match=told):
        transfer(url, part, Patience(0, 0, 5), None)


def test_errors_hold_no_secrets(part):
    with pytest.raises(Unavailable) as error:
        transfer('http://me:secret@127.0.0.1:9/a?token=secret', part, FAST, None)
    assert 'secret' not in str(error.value)
    assert error.value.__cause__ is None


def test_a_certificate_that_is_not_accepted(server, part):
    import requests

    error = requests.exceptions.SSLError('secret')
    told = module._reason(error, 'https://a.org/b')
    assert told.startswith('the certificate of a.org is not accepted: behind a proxy')
    assert 'REQUESTS_CA_BUNDLE' in told
    assert 'HTTPS_PROXY' in module._reason(requests.exceptions.ProxyError(), 'http://a')
    missing = OSError('no CA bundle: x.pem')
    assert module._reason(missing, 'http://a') == 'no CA bundle: x.pem'


def test_from_a_folder(tmp_path, part):
    source = tmp_path / 'b.pth'
    with pytest.raises(Unavailable, match='there is no such file'):
        transfer(str(source), part, FAST, None)
    source.write_bytes(CONTENT)
    transfer(source.as_uri(), part, FAST, None)
    assert part.read_bytes() == CONTENT


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


@pytest.mark.parametrize('is_terminal', [True, False])
def test_a_bar_on_terminals_only(server, part, capsys, monkeypatch, is_terminal):
    monkeypatch.setattr(sys.stderr, 'isatty', lambda: is_terminal)
    get(server, part, len(CONTENT))
    printed = capsys.readouterr()
    assert printed.out == ''
    assert ('100.0/100.0 kB' in printed.err) == is_terminal
