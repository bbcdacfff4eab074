"""A server of pages in a thread, and what a browser would ask it, for tests."""

import contextlib
import re
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

from http_files import answering

from mmma.engine.findings import find_videos
from mmma.reporting.server import PageServer
from mmma.taxonomy import load_label_space

REPO = Path(__file__).resolve().parents[1]
ENDS = r'(\d) of \d videos have a <stem>\.annotations\.csv in \S+; next: python (.*)\n'
"""What the command prints at its end."""
HEAD = (
    'video,subject,start,end,start_sec,end_sec,label,body,tier,score,text,point,'
    'annotator,video_path,video_fps,video_duration_sec\r\n'
)


def table(video, *labels, annotator='Ann'):
    """What a page sends of instances with these labels, each a tenth of a second."""
    rows = (
        f'{video},,,,{i / 10},{i / 10 + 0.1},{label},head,head,,,,{annotator},,30,1\r\n'
        for i, label in enumerate(labels)
    )
    return ('\ufeff' + HEAD + ''.join(rows)).encode()


@contextlib.contextmanager
def serving(folder, out=None, answers=None, space=None, **how):
    """A running server of the videos of a folder."""
    videos = {path: stem for path, (_, stem) in find_videos([folder], False)[0].items()}
    places = [folder, out or folder, answers or folder]
    server = PageServer(videos, places, space or load_label_space(), **how)
    with answering(server):
        yield server


def ask(server, method='GET', place='', body=b'', path=None, **headers):
    """Status, headers and content of an answer; ``If_Match='x'`` is a header.

    A header that is None is left out, one that is a list comes several times.
    """
    port = server.server_address[1]
    given = {'Host': f'127.0.0.1:{port}', 'Connection': 'close'}
    if method == 'POST':
        given |= {'Origin': f'http://127.0.0.1:{port}', 'Content-Type': 'text/csv'}
        given['Content-Length'] = str(len(body))
    given |= {name.replace('_', '-'): value for name, value in headers.items()}
    path = f'/{server.token}/{place}' if path is None else path
    lines = [f'{method} {path} HTTP/1.1']
    for name, value in given.items():
        values = value if isinstance(value, list) else [value]
        lines += [f'{name}: {own}' for own in values if own is not None]
    with socket.create_connection(('127.0.0.1', port), timeout=10) as link:
        link.sendall('\r\n'.join([*lines, '', '']).encode('latin-1') + body)
        answer = b''
        with contextlib.suppress(ConnectionResetError):
            while part := link.recv(1 << 16):
                answer += part
    head, _, content = answer.partition(b'\r\n\r\n')
    first, *rest = head.decode('latin-1').split('\r\n')
    return int(first.split()[1]), dict(x.split(': ', 1) for x in rest), content


@contextlib.contextmanager
def annotating(*argv, **how):
    """The command in a process of its own, and the address that it prints."""
    words = [sys.executable, 'tools/annotate.py', *map(str, argv)]
    pipes = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, 'text': True}
    with subprocess.Popen(words, cwd=REPO, **pipes, **how) as process:
        try:
            yield process, re.search(r'http:\S+', process.stdout.readline())[0]
        finally:
            process.kill()


def save(url, number, content, state='none'):
    """Save as a page does; returns the state of the file."""
    headers = {'Origin': url[: url.index('/', 8)], 'Content-Type': 'text/csv'}
    headers['If-Match'] = state
    asked = urllib.request.Request(f'{url}{number}/annotations', content, headers)
    with urllib.request.urlopen(asked, timeout=10) as answer:
        return answer.read().decode()
