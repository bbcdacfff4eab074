"""Pages of videos that save: a server for whoever knows its address, on this computer.

A request names the number of a video that was listed at the start, never a path. The
token stands in the address, for cookies go to every port of a computer.
"""

import hashlib
import hmac
import io
import os
import re
import secrets
import sys
from http.server import BaseHTTPRequestHandler
from pathlib import Path, PurePath
from socketserver import ThreadingTCPServer
from threading import Lock
from typing import Any
from zlib import crc32

from mmma.convert.events import Recording
from mmma.convert.spreadsheets import SAVED, read_csv
from mmma.engine.findings import FRAMES, PAGE_VIDEO, SCHEMA
from mmma.files import draft, read_json
from mmma.foreign import first_line, short, shown
from mmma.media.encode import pack_video
from mmma.packets import index_video
from mmma.reporting import pages
from mmma.taxonomy import LabelSpace

MOST_BYTES = 1 << 24  # of a table that is saved
_EVENT = 'start_sec', 'end_sec', 'label', 'tier', 'score', 'subject', 'text'
_STATUS = {FileExistsError: 409, FileNotFoundError: 404, OSError: 507}
_STATUS |= {ValueError: 422, Exception: 500}
_HEADERS = """Cache-Control: no-store, Cross-Origin-Resource-Policy: same-origin,
Referrer-Policy: no-referrer, X-Content-Type-Options: nosniff, Accept-Ranges: bytes,
Content-Security-Policy: frame-ancestors 'none'"""
Saved = tuple[Recording, Path, str]


class PageServer(ThreadingTCPServer):
    """Pages of videos, given as files and stems; ``url`` opens them.

    Places are the folders of the videos, of what is written, of answers of infer.py.
    Without a port it is the folder's own, by which browsers keep edits, or a free one.
    """

    allow_reuse_address = daemon_threads = True

    def __init__(
        self, videos: dict[Path, str], places: list[Path], space: LabelSpace,
        coder: str = '', port: int | None = None,
    ) -> None:  # fmt: skip
        folder, self.out, self.answers = (place.resolve() for place in places)
        self.videos = [(path.resolve(), stem) for path, stem in videos.items()]
        self.space, self.coder, self.token = space, coder, secrets.token_urlsafe(24)
        self.saving, self.copying = Lock(), Lock()
        own = port or 49152 + crc32(os.fsencode(folder)) % 16384
        try:
            super().__init__(('127.0.0.1', own), _Handler)
        except OSError as error:
            if port:
                raise OSError(error.errno, error.strerror, f'--port {port}') from None
            super().__init__(('127.0.0.1', 0), _Handler)
        own = self.server_address[1]
        self.hosts = [f'127.0.0.1:{own}'], [f'localhost:{own}']
        self.url = f'http://127.0.0.1:{own}/{self.token}/'

    def handle_error(self, *_: object) -> None:
        """Tell nothing: a browser went away; what else fails was answered before."""

    def saved(self, number: int, part: Path | None = None) -> Saved:
        """Annotations of a video, their file and its state; or those of a draft."""
        path = self.out / f'{self.videos[number][1]}{SAVED}'
        name = path.name.removesuffix(SAVED)
        if path.is_symlink() or path.parent.resolve() != path.parent:
            raise ValueError(f'{path} is behind a link: put the file itself there')
        file = part or path
        if not file.exists():
            return Recording(''), path, 'none'
        state = hashlib.sha256(file.read_bytes()).hexdigest()  # before it is read
        found = read_csv(file)
        if [PurePath(own.name).name for own in found] != [name]:
            told = ', '.join(own.name for own in found) or 'nothing'
            raise ValueError(f'{file}: of {told}: need {name}, by one annotator')
        return found[0], path, state

    def save(self, number: int, content: bytes, state: str) -> str:
        """Put a table of a video in the place of one in this state; the state then."""
        with self.saving:
            _, path, known = self.saved(number)
            if state != known:
                raise FileExistsError(f'{path.name} has changed since it was read here')
            with draft(path) as part:
                part.write_bytes(content)
                try:
                    return self.saved(number, part)[2]
                except ValueError as error:
                    told = str(error).replace(str(part), 'the table')
                    raise ValueError(told) from None

    def played(self, number: int) -> Path:
        """A video, or the copy of it that browsers play, which is made if need be."""
        video, stem = self.videos[number]
        stamp, copy = video.stat(), self.out / f'{stem}{PAGE_VIDEO}'
        if video.is_symlink():
            raise ValueError(f'{video} is another file than at the start')
        if not pages.why_copied(video, index_video(video).facts):
            return video
        with self.copying:  # it has the time of the video that it was made of
            made = copy.is_file() and not copy.is_symlink() and copy.stat().st_mtime
            if abs(made - stamp.st_mtime) > 2:
                print(f'{stem}: browsers get a copy of it: {copy}', flush=True)
                pack_video(video, copy, pages.COPY, sound=True)
                os.utime(copy, ns=(stamp.st_mtime_ns, stamp.st_mtime_ns))
        return copy

    def found(self, number: int) -> dict[str, Any]:
        """What infer.py wrote of a video, if it did."""
        file = self.answers / f'{self.videos[number][1]}.json'
        content = read_json(file) if file.is_file() else {}
        ours = isinstance(content, dict) and content.get('schema') == SCHEMA
        return content if ours else {}

    def page(self, number: int) -> str:
        """The page of a video: what was saved, else what a model found, or nothing."""
        (video, stem), (own, path, state) = self.videos[number], self.saved(number)
        told, file = index_video(video).facts, self.answers / f'{stem}.json'
        content = self.found(number) or {'video': told, 'simulated': False}
        name = stem if stem.endswith(video.suffix) else stem + video.suffix
        facts = {'stem': PurePath(stem).name, 'video': stem, 'identity': str(path)}
        facts['copied'] = pages.why_copied(video, told)
        facts |= {'file': name, 'link': 'video'}
        try:
            if content['video']['frames'] != told['frames']:
                raise ValueError(f'{file} is of another video: move it away')
            if self.found(number):
                facts |= pages.frame_curves(file.with_suffix(FRAMES), self.space)
            data = pages.page_data(content, facts, self.space, video)
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f'{file}: no JSON of infer.py: {error!r}') from None
        rows = [[getattr(event, key) for key in _EVENT] for event in own.events]
        by = own.annotator or self.coder
        data['simulated'] |= by.startswith('simulated')
        data['served'] = {'state': state, 'by': by, 'path': str(path), 'items': rows}
        return pages.fill_page(name, data, connect="connect-src 'self'; ")

    def index(self) -> str:
        """All videos, who annotated them, and how many instances each has."""
        rows = []
        for number, (_, stem) in enumerate(self.videos):
            try:
                own = self.saved(number)[0]
                scored = sum(event.score is not None for event in own.events)
                labels = [event.label for event in own.events]
                if not own.name and self.found(number):
                    labels = 'what infer.py found is not saved yet'
                cells = own.annotator, scored, len(own.events), labels
            except ValueError as error:
                cells = '', '–', '–', first_line(error)
            rows.append(pages.index_row(stem, f'{number}/', cells, False))
        heads = {'a': 'Annotator', 'b': 'To review', 'c': 'Instances'}
        note = 'What is saved. To review: what nobody has looked at yet.'
        return pages.fill_page('Videos', rows='\n'.join(rows), note=note, **heads)


class _Handler(BaseHTTPRequestHandler):
    """Answers one connection; nothing without the token."""

    protocol_version, server_version, sys_version = 'HTTP/1.1', 'mmma', ''
    error_message_format, error_content_type, timeout = '%(code)d\n', 'text/plain', 60

    def log_message(self, *_: object) -> None:
        """Print nothing: addresses have the token."""

    def do_GET(self) -> None:
        """Answer, or say why not."""
        try:
            status, content = self._found()
        except Exception as error:
            status = next(n for kind, n in _STATUS.items() if isinstance(error, kind))
            content = shown(short(str(error)), lines=True)
            if status == 500:
                print(f'error: {error!r}', file=sys.stderr)
        if isinstance(content, Path):
            kind = 'video/webm' if content.suffix.lower() == '.webm' else 'video/mp4'
            with content.open('rb') as file:
                return self._send(status, kind, file)
        kind = 'html' if content.startswith(pages.MARK) else 'plain'
        self._send(status, f'text/{kind}; charset=utf-8', io.BytesIO(content.encode()))

    do_HEAD = do_POST = do_GET

    def _found(self) -> tuple[int, str | Path]:
        """Status, and a text or file, of what is asked for or saved."""
        server, host, given = self.server, self.headers.get_all('Host'), self.headers
        token, _, place = self.path[1:].partition('/')
        known = hmac.compare_digest(token.encode(), server.token.encode())
        if not known or host not in server.hosts:
            return 403, 'open the address that annotate.py printed'
        found = re.fullmatch(r'(?:(\d{1,6})/(video|annotations)?)?', place)
        if not found or int(found[1] or 0) >= len(server.videos):
            return 404, 'there is no such page'
        number, kind = int(found[1] or 0), found[2]
        if (self.command == 'POST') != (kind == 'annotations'):
            return 405, 'annotations are sent, and all else is read'
        if not kind:
            return 200, server.page(number) if found[1] else server.index()
        if kind == 'video':
            return 200, server.played(number)
        if given.get_all('Origin') != [f'http://{host[0]}']:
            return 403, 'only pages of this server save'
        if given.get_content_type() != 'text/csv':
            return 415, 'annotations are text/csv'
        length = given.get('Content-Length', '')
        if not re.fullmatch(r'\d{1,9}', length) or int(length) > MOST_BYTES:
            return 413, f'tables have up to {MOST_BYTES} bytes, told as Content-Length'
        content = self.rfile.read(int(length))
        if len(content) < int(length):  # the browser went away
            return 400, 'the table is cut'
        return 200, server.save(number, content, given.get('If-Match', ''))

    def _send(self, status: int, kind: str, file: io.BufferedIOBase) -> None:
        """Send a file, or the range of it that is asked for."""
        first, size, given = 0, file.seek(0, os.SEEK_END), self.headers
        end, wanted = size, '' if 'If-Range' in given else given.get('Range', '')
        span = re.fullmatch(r'bytes=(\d{0,15})-(\d{0,15})', wanted)
        if span and span[0] != 'bytes=-' and (status, self.command) == (200, 'GET'):
            first = int(span[1] or max(0, size - int(span[2])))
            end = min(size, int(span[2]) + 1) if span[1] and span[2] else size
            status, end = (206, end) if first < end else (416, first)
        part = f'{first}-{end - 1}' if status == 206 else '*'
        more = [f'Content-Range: bytes {part}/{size}'] * (status in (206, 416))
        self.close_connection |= status > 206  # what came with it is not read
        more += ['Connection: close'] * self.close_connection
        more += [f'Content-Type: {kind}', f'Content-Length: {end - first}']
        self.send_response(status)
        for line in (*re.split(r',\s', _HEADERS), *more):
            self.send_header(*line.split(': '))
        self.end_headers()
        self.connection.settimeout(None)  # a player that pauses reads no more
        file.seek(first)
        left = end - first if self.command != 'HEAD' else 0
        while left and (chunk := file.read(min(left, 1 << 18))):
            self.wfile.write(chunk)
            left -= len(chunk)
        self.close_connection |= left > 0
