"""A local HTTP server for tests: knows ranges, and fails as it is told."""

import contextlib
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class FileServer:
    """Files to serve, what goes wrong, and what was asked.

    Attributes:
        files: Path below the root -> bytes.
        etag: Of all files; None sends none.
        cuts: Bytes after which each of the next answers is cut off.
        statuses: Of the next answers, before any good one.
        wait_sec: Silence before each answer.
        headers: More headers of each answer.
        asked: (path, Range or None) of each request.
    """

    files: dict
    etag: str | None = '"1"'
    cuts: list = field(default_factory=list)
    statuses: list = field(default_factory=list)
    wait_sec: float = 0
    headers: dict = field(default_factory=dict)
    asked: list = field(default_factory=list)
    url: str = ''

    @property
    def ranges(self):
        return [given for _, given in self.asked]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_GET(self):
        server = self.server.files
        given = self.headers.get('Range')
        server.asked.append((self.path, given))
        time.sleep(server.wait_sec)
        content = server.files.get(self.path.partition('?')[0].lstrip('/'))
        status = server.statuses.pop(0) if server.statuses else 200
        if content is None or status != 200:
            self._answer(404 if status == 200 else status, b'no')
            return
        start = 0
        same = self.headers.get('If-Range') in (None, server.etag)
        if given and same:
            start = int(given.removeprefix('bytes=').removesuffix('-'))
            span = f'bytes {start}-{len(content) - 1}/{len(content)}'
            self._answer(206, content[start:], {'Content-Range': span})
        else:
            self._answer(200, content)

    def _answer(self, status, body, headers=()):
        server = self.server.files
        self.send_response(status)
        more = {'Content-Length': str(len(body)), **dict(headers), **server.headers}
        more['Connection'] = 'close'  # else the next request may meet a dead end
        if server.etag:
            more['ETag'] = server.etag
        for name, value in more.items():
            self.send_header(name, value)
        self.end_headers()
        cut = server.cuts.pop(0) if server.cuts and status < 300 else None
        with contextlib.suppress(OSError):  # the client may have given up
            self.wfile.write(body[:cut])
        self.close_connection = True

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def answering(server):
    """A server that answers in a thread, and is closed."""
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def file_server(**kwargs):
    """A running :class:`FileServer`."""
    files = FileServer(**kwargs)
    server = ThreadingHTTPServer(('127.0.0.1', 0), _Handler)
    server.files = files
    files.url = f'http://127.0.0.1:{server.server_port}'
    with answering(server):
        yield files
