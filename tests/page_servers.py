"""A server of pages in a thread, and what a browser would ask it, for tests."""

import contextlib
import socket
import threading

from mmma.engine.findings import find_videos
from mmma.reporting.server import PageServer
from mmma.taxonomy import load_label_space

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
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


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
