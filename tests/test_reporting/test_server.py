"""Pages that save: who is answered, what is read, and what is written, over sockets."""

import json
import os
import re
import socket

import pytest
from page_files import HOSTILE, answer
from page_servers import HEAD, ask, serving, table
from video_files import make_video, moving_frames

from mmma.engine.findings import write_findings
from mmma.packets import index_video
from mmma.reporting import server as module
from mmma.taxonomy import load_label_space


@pytest.fixture(scope='module')
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp('clip') / 'one.mp4'
    return make_video(path, moving_frames(30), 30)


@pytest.fixture
def folder(tmp_path, clip):
    """A folder with two videos, one of them in a subfolder."""
    for name in ('one.mp4', 'sub/two.mp4'):
        (tmp_path / 'videos' / name).parent.mkdir(exist_ok=True)
        (tmp_path / 'videos' / name).write_bytes(clip.read_bytes())
    return tmp_path / 'videos'


def data_of(server, number=0):
    """What the script of a page reads."""
    status, _, page = ask(server, place=f'{number}/')
    assert status == 200, page
    (text,) = re.findall(rb'<script type="application/json" id="data">(.*?)<', page)
    return json.loads(text)


def files_of(folder):
    return {
        str(f.relative_to(folder)): f.read_bytes()
        for f in folder.rglob('*')
        if f.is_file()
    }


def test_nobody_without_the_address(folder):
    before = files_of(folder)
    with serving(folder) as server:
        assert server.server_address[0] == '127.0.0.1'
        port = server.server_address[1]
        token, body = server.token, table('one', 'nodding')
        asked = [
            *({'path': path} for path in ('/', '/x/', f'/{token[:-1]}/', '//', '*')),
            {'path': f'/?token={token}'},
            {'path': f'http://127.0.0.1/{token}/'},
            {'Host': 'evil.example'}, {'Host': f'evil.example:{port}'}, {'Host': None},
            {'Host': '127.0.0.1'}, {'Host': f'127.0.0.1:{port + 1}'},
            {'Host': [f'127.0.0.1:{port}', 'evil.example']},
            {'Host': f'{port}.127.0.0.1:{port}'}, {'path': f'/{token}\xe9/'},
        ]  # fmt: skip
        for how in asked:
            for method in ('GET', 'HEAD', 'POST'):
                place = {} if 'path' in how else {'place': '0/annotations'}
                sent = body if method == 'POST' else b''
                status, head, content = ask(server, method, body=sent, **place, **how)
                assert status == 403, (method, how, content)
                assert token not in str(head) + content.decode()
        ours = f'http://127.0.0.1:{port}'
        others = None, 'null', 'https://evil.example', f'{ours}0', [ours] * 2
        for origin in (*others, ours.replace('http', 'https')):
            how = {'Origin': origin, 'If_Match': 'none'}
            assert ask(server, 'POST', '0/annotations', body, **how)[0] == 403
        assert ask(server, 'OPTIONS', '0/annotations')[0] == 501
        assert ask(server, Host=f'localhost:{port}')[0] == 200
    with serving(folder) as other:
        assert other.token != token
    assert files_of(folder) == before


def test_no_path_leads_elsewhere(folder):
    (folder.parent / 'secret.mp4').write_text('secret')
    (folder / 'secret.txt').write_text('secret')
    places = '0/../secret.txt', '../secret.mp4', '0/%2e%2e/', '%2e%2e/secret.mp4'
    places += ('0/video/../../secret.txt', 'secret.txt', 'one.mp4', '2/', '-1/', '01/x')
    places += ('0/..%2fsecret.txt', '0/video%00', '0/video?x', '9999999/', '\xb2/', '0')
    places += ('0\\..\\secret.txt', '0/' + 'x' * 5000, '0//etc/passwd', '//0/')
    with serving(folder) as server:
        for place in places:
            for method in ('GET', 'POST'):
                status, _, content = ask(server, method, place, If_Match='none')
                assert status in (403, 404), (place, content)
                assert b'secret' not in content
        assert (
            ask(server, 'POST', '0/')[0] == ask(server, place='0/annotations')[0] == 405
        )
        # What is another file since the start is not read, nor written through.
        os.replace(folder.parent / 'secret.mp4', folder / 'one.mp4')
        (folder / 'one.mp4').unlink()
        (folder / 'one.mp4').symlink_to(folder / 'secret.txt')
        assert ask(server, place='0/video')[0] == 422
        (folder / 'sub').rename(folder.parent / 'elsewhere')
        (folder / 'sub').symlink_to(folder.parent / 'elsewhere')
        how = {'body': table('two', 'nodding'), 'If_Match': 'none'}
        status, _, told = ask(server, 'POST', '1/annotations', **how)
        assert (status, b'behind a link' in told) == (422, True)
    assert [*(folder.parent / 'elsewhere').iterdir()] == [
        folder.parent / 'elsewhere' / 'two.mp4'
    ]


def test_a_link_in_the_place_of_a_file_is_not_read(folder):
    (folder / 'secret').write_bytes(table('one', 'a secret'))
    (folder / 'one.annotations.csv').symlink_to(folder / 'secret')
    with serving(folder) as server:
        for place in ('0/', ''):
            content = ask(server, place=place)[2]
            assert b'behind a link' in content
            assert b'a secret' not in content
        assert ask(server, 'POST', '0/annotations', table('one', 'x'))[0] == 422
    assert (folder / 'secret').read_bytes() == table('one', 'a secret')


def test_ranges(folder, clip):
    whole = clip.read_bytes()
    size = len(whole)
    with serving(folder) as server:
        for given, first, end in (
            ('bytes=0-0', 0, 1), ('bytes=5-', 5, size), ('bytes=-7', size - 7, size),
            (f'bytes=9-{size + 9}', 9, size), ('bytes=-99999999', 0, size),
        ):  # fmt: skip
            status, head, content = ask(server, place='0/video', Range=given)
            assert (status, content) == (206, whole[first:end])
            assert head['Content-Range'] == f'bytes {first}-{end - 1}/{size}'
        for given in (f'bytes={size}-', 'bytes=-0', 'bytes=9-8'):
            status, head, content = ask(server, place='0/video', Range=given)
            assert (status, content) == (416, b'')
            assert head['Content-Range'] == f'bytes */{size}'
        more = {'Range': 'bytes=0-0', 'If_Range': '"x"'}
        odd = [{'Range': x} for x in ('bytes=0-1,3-4', 'x', 'bytes=-', 'bytes=a-')]
        for how in ({}, more, *odd):
            status, head, content = ask(server, place='0/video', **how)
            assert (status, content) == (200, whole)
        status, head, content = ask(server, 'HEAD', '0/video', Range='bytes=0-0')
        assert (status, content) == (200, b'')
        assert (int(head['Content-Length']), head['Accept-Ranges']) == (size, 'bytes')
        assert head['Content-Type'] == 'video/mp4'
        assert head['X-Content-Type-Options'] == 'nosniff'


def test_what_is_saved_and_that_nothing_is_lost(folder):
    file, before = folder / 'one.annotations.csv', files_of(folder)
    with serving(folder) as server:
        assert data_of(server)['served']['state'] == 'none'
        first, second = table('one', 'nodding'), table('one', 'nodding', 'a new label')
        status, _, state = ask(server, 'POST', '0/annotations', first, If_Match='none')
        assert (status, file.read_bytes()) == (200, first)
        assert data_of(server)['served']['state'] == state.decode()
        for stale in ('none', 'x', None):
            how = {'If_Match': stale}
            status, _, told = ask(server, 'POST', '0/annotations', second, **how)
            assert (status, file.read_bytes()) == (409, first)
            assert b'has changed' in told
        how = {'If_Match': state.decode()}
        status, _, state = ask(server, 'POST', '0/annotations', second, **how)
        assert (status, file.read_bytes()) == (200, second)
        served = data_of(server)['served']
        assert served['by'] == 'Ann'
        assert [item[2] for item in served['items']] == ['nodding', 'a new label']
        assert ask(server)[2].count(b'a new label (1), nodding (1)') == 1
        file.write_bytes(first)  # somebody else
        how = {'If_Match': state.decode()}
        assert ask(server, 'POST', '0/annotations', second, **how)[0] == 409
        file.unlink()  # or has it moved away
        assert ask(server, 'POST', '0/annotations', second, **how)[0] == 409
        file.write_text('my own notes')
        status, _, told = ask(server, 'POST', '0/annotations', second, **how)
        assert (status, file.read_text()) == (422, 'my own notes')
        assert ask(server, place='0/')[0] == 422
        file.unlink()
    assert files_of(folder) == before


def test_what_is_no_table_of_the_video(folder, monkeypatch):
    before, how = files_of(folder), {'If_Match': 'none'}
    bad = b'', b'\xff\xfe\x00', b'a,b\r\n1,2\r\n', HEAD.encode(), table('two', 'x')
    bad += (table('one', 'x') + table('other', 'y')[3 + len(HEAD) :], b'x' * 5000)
    bad += (table('one', 'x').replace(b'0.0,', b'soon,'), table('one', 'x\0'))
    with serving(folder) as server:
        for body in bad:
            status, _, told = ask(server, 'POST', '0/annotations', body, **how)
            assert status == 422, (body, told)
            assert b'.part' not in told
        body = table('one', 'x')
        for more, status in (
            ({'Content_Type': 'text/plain'}, 415),
            ({'Content_Type': 'multipart/form-data; boundary=text/csv'}, 415),
            ({'Content_Type': None}, 415),
            ({'Content_Length': None}, 413), ({'Content_Length': '-1'}, 413),
            ({'Content_Length': '9' * 5000}, 413),
            ({'Content_Length': None, 'Transfer_Encoding': 'chunked'}, 413),
            ({'Content_Length': str(module.MOST_BYTES + 1)}, 413),
        ):  # fmt: skip
            found, head, _ = ask(server, 'POST', '0/annotations', body, **how, **more)
            assert (found, head['Connection']) == (status, 'close'), more
        with socket.create_connection(server.server_address) as link:  # cut off
            host = f'127.0.0.1:{server.server_address[1]}'
            head = f'Host: {host}\r\nOrigin: http://{host}\r\nIf-Match: none\r\n'
            head += f'Content-Type: text/csv\r\nContent-Length: {len(body) + 9}\r\n\r\n'
            place = f'/{server.token}/0/annotations'
            link.sendall(f'POST {place} HTTP/1.1\r\n{head}'.encode() + body)
            link.shutdown(socket.SHUT_WR)
            assert link.recv(99).split()[1] == b'400'
        monkeypatch.setattr(module, 'MOST_BYTES', len(body) - 1)
        assert ask(server, 'POST', '0/annotations', body, **how)[0] == 413
    assert files_of(folder) == before


def test_faults_are_told_in_a_line(folder, monkeypatch, capsys):
    def full(path, content):
        raise OSError(28, 'No space left on device', str(path))

    with serving(folder) as server:
        with monkeypatch.context() as patch:
            patch.setattr(module, 'draft', full)
            body = table('one', 'x')
            status, _, told = ask(
                server, 'POST', '0/annotations', body, If_Match='none'
            )
            assert status == 500  # not called as it should be: a fault of ours
            patch.setattr(module, 'draft', lambda path: full(path, 0))
            status, _, told = ask(
                server, 'POST', '0/annotations', body, If_Match='none'
            )
            assert (status, b'No space left' in told) == (507, True)
        (folder / 'sub' / 'two.mp4').unlink()
        assert ask(server, place='1/video')[0] == ask(server, place='1/')[0] == 404
        (folder / 'one.mp4').write_bytes(b'no video')
        status, _, told = ask(server, place='0/')
        assert (status, b'Traceback' in told) == (422, False)
        assert ask(server)[0] == 200
    told = capsys.readouterr().err
    assert told.count('\n') == 1
    assert told.startswith('error: TypeError')


def test_predictions_are_corrected(folder, tmp_path):
    space, answers = load_label_space(), tmp_path / 'answers'
    (answers / 'sub').mkdir(parents=True)
    facts = {'request': {'video': {}}, 'top_k': 5, 'path': ''}
    write_findings(answers, 'sub/two', [answer(folder / 'sub/two.mp4', space)], facts)
    (answers / 'one.json').write_text('["of somebody"]')
    with serving(folder, answers=answers, coder='Ann') as server:
        data = data_of(server, 1)
        assert (len(data['items']), data['simulated']) == (15, True)
        assert data['served']['by'] == 'Ann'
        assert (data['file'], data['video']) == ('sub/two.mp4', 'sub/two')
        assert data_of(server)['items'] == []  # one.json is none of ours
        assert ask(server)[2].count(b'what infer.py found is not saved yet') == 1
        file = answers / 'sub' / 'two.json'
        text = file.read_text()
        for key, other, told in (
            ('"frames": 30', '"frames": 31', b'of another video'),
            ('"threshold"', '"x"', b'no JSON of infer.py'),
        ):
            file.write_text(text.replace(key, other))
            status, _, content = ask(server, place='1/')
            assert (status, told in content) == (422, True), content


def test_what_browsers_do_not_play_is_copied_once(tmp_path, capsys):
    video, out = tmp_path / 'videos' / 'old.avi', tmp_path / 'out'
    make_video(video, moving_frames(9), 30, codec='mpeg4')
    for again in range(3):
        with serving(video.parent, out) as server:
            assert 'mpeg4' in data_of(server)['copied']
            status, _, content = ask(server, place='0/video', Range='bytes=0-99')
            assert (status, len(content)) == (206, 100)
        copy = out / 'old.page.mp4'
        assert [*index_video(copy).times_sec] == [*index_video(video).times_sec]
        told = capsys.readouterr().out
        assert told.count(f'old: browsers get a copy of it: {copy}') == (again != 1)
        if again == 1:  # another video
            os.utime(video, (0, 0))
    assert [*video.parent.iterdir()] == [video]


def test_hostile_names_are_text(tmp_path, clip):
    names = [name.replace('/', '')[:60] for name in HOSTILE] + ['a\u202e\nb', 'x\udcff']
    for name in names:
        (tmp_path / f'{name}.mp4').write_bytes(clip.read_bytes())
    with serving(tmp_path) as server:
        index = ask(server)[2].decode()
        assert index.count('<tr><th><a href="') == len(names)
        assert not re.search('<img|<script|[\u202e\udcff]', index)
        for number, (_, stem) in enumerate(server.videos):
            data = data_of(server, number)
            assert data['video'] == stem
        number = next(i for i, own in enumerate(server.videos) if '{{title}}' in own[1])
        page = ask(server, place=f'{number}/')[2].decode()
        assert page.count('<script') == 2
        assert '{{title}}' in page


def test_a_folder_has_a_port_of_its_own(folder):
    with serving(folder) as one, serving(folder) as two:
        assert len({one.server_address[1], two.server_address[1]}) == 2
        taken = serving(folder, port=one.server_address[1])
        with pytest.raises(OSError, match='--port'), taken:
            pass
    with serving(folder) as again:
        assert again.server_address == one.server_address
