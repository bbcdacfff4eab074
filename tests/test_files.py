import errno
import gc
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from kill_points import told_elsewhere

from mmma.files import (
    Problem,
    atomic_write,
    cache_home,
    draft,
    is_filled,
    leaves_root,
    only_writer,
    progress,
    read_json,
    read_table,
    read_text,
    refuse,
    try_out,
    write_file,
)
from mmma.foreign import is_number, parse_json


def test_cache_home(monkeypatch):
    for chosen, home in (('/a', Path('/a')), ('~/a', Path.home() / 'a')):
        monkeypatch.setenv('MMMA_HOME', chosen)
        assert cache_home() == home
    monkeypatch.delenv('MMMA_HOME')
    assert cache_home() == Path.home() / '.cache/mmma'


def test_paths_that_leave_and_stay():
    out = ('/a', '../a', 'a/../../b', 'a/..', r'\\host\a', r'a\..\b', 'C:/a', '..')
    inside = ('', 'a.mp4', 'a/b..c.mp4', 'a/..b/c', '...', './a')
    assert [p for p in (*out, *inside) if leaves_root(p)] == list(out)


def test_a_draft_is_a_path_of_its_own(tmp_path):
    path = tmp_path / 'new' / 'a.bin'
    with draft(path) as part:
        part.write_bytes(b'x')
        assert not path.exists()
    assert path.read_bytes() == b'x'
    assert list(path.parent.iterdir()) == [path]


def test_json_files(tmp_path):
    path = tmp_path / 'f.json'
    path.write_text('{"a": 1, "b": {"a": 2, "a": 3}}')
    with pytest.raises(ValueError, match=r"f.json: 'a' is there twice: keep one"):
        read_json(path)
    assert parse_json(path.read_text(), path)[1] == ['a']
    assert gc.isenabled()
    path.write_text('[1,\n')
    with pytest.raises(ValueError, match=r'f\.json:2: not readable as JSON: Expecting'):
        read_json(path)
    assert [v for v in (1, -0.5, True, '1', float('nan')) if is_number(v)] == [1, -0.5]


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('[' * 100_000, 'nest too deeply'),
        ('{"a":' * 100_000, 'nest too deeply'),
        (f'{{"a":\n[1{"0" * 400}]}}', r'json:2: a number of 401 digits'),
        (f'[-{"9" * 5000}]', r'json:1: a number of 5000 digits'),
    ],
)
def test_json_that_no_reader_takes_is_told_with_the_file(tmp_path, text, message):
    path = tmp_path / 'a.json'
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as told:
        read_json(path)
    assert str(told.value).startswith(str(path))
    path.write_text(f'["{"1" * 400}", 1{"0" * 300}]')
    assert read_json(path) == ['1' * 400, 10**300]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / 'new' / 'file.txt'
    with atomic_write(path) as file:
        file.write('old')
    with pytest.raises(TypeError, match='must be str'), atomic_write(path) as file:
        file.writelines(['half', 7])
    assert path.read_text() == 'old'
    assert list(path.parent.iterdir()) == [path]


WRITER = """
import sys
from pathlib import Path
from mmma.files import atomic_write
for _ in range(60):
    with atomic_write(Path('out.txt')) as file:
        for _ in range(500):
            file.write(sys.argv[1] * 99 + '\\n')
    text = Path('out.txt').read_text()
    assert len(set(text)) == 2 and len(text) == 50000
"""


def test_two_writers_of_one_file_do_not_tear_it(tmp_path):
    writers = [
        subprocess.Popen(
            [sys.executable, '-c', WRITER, letter],
            cwd=tmp_path,
            env={**os.environ, 'PYTHONPATH': str(Path(__file__).parents[1])},
        )
        for letter in 'ab'
    ]
    assert [writer.wait() for writer in writers] == [0, 0]
    assert os.listdir(tmp_path) == ['out.txt']


def test_drafts_in_one_process_are_apart_and_long_names_and_devices_work(tmp_path):
    path = tmp_path / ('ü' * 125)
    with atomic_write(path) as first, atomic_write(path, 'wb') as second:
        first.write('a')
        second.write(b'b')
    assert path.read_text() == 'a'
    write_file(path, b'c')
    assert path.read_text() == 'c'
    pipe = tmp_path / 'pipe'
    os.mkfifo(pipe)
    with subprocess.Popen(['cat', pipe], stdout=subprocess.PIPE) as reader:
        write_file(pipe, 'd')
        assert reader.stdout.read() == b'd'
    assert not pipe.is_file()


def test_what_cannot_be_written_is_named_and_tried_before_the_work(tmp_path):
    folder, file = tmp_path / 'folder', tmp_path / 'file'
    folder.mkdir()
    file.touch()
    kinds = {
        folder: IsADirectoryError,
        file / 'x' / 'y': NotADirectoryError,
        Path('/proc/x/y'): OSError,
    }
    wrong = []
    for path, kind in kinds.items():
        for write in (try_out, lambda path: write_file(path, 'x')):
            with pytest.raises(kind) as raised:
                write(path)
            if not str(path).startswith(raised.value.filename):
                wrong.append((path, raised.value.filename))
    assert wrong == []
    for path in (tmp_path / 'new' / 'a.json', file, Path(os.devnull)):
        assert try_out(str(path)) == path
    assert try_out(tmp_path / 'new', folder=True) == try_out(tmp_path, True) / 'new'
    with pytest.raises(NotADirectoryError):
        try_out(file, folder=True)
    assert sorted(os.listdir(tmp_path)) == ['file', 'folder']
    no_room = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(OSError, match='No space') as raised, atomic_write(file):
        raise no_room
    assert raised.value.filename == str(file)
    assert sorted(os.listdir(tmp_path)) == ['file', 'folder']


def test_one_process_holds_a_folder(tmp_path):
    code = f'from mmma.files import only_writer as w; from pathlib import Path as P\nwith w(P({str(tmp_path)!r})): pass'  # noqa: E501
    command = [sys.executable, '-c', code]
    with only_writer(tmp_path):
        assert not is_filled(tmp_path)
        run = subprocess.run(command, capture_output=True, text=True)
        assert 'another process is at work here' in run.stderr
    (tmp_path / '.mmma.lock').touch()  # of one that was killed
    subprocess.run(command, check=True)
    assert os.listdir(tmp_path) == []
    for name, filled in (('.a.part', False), ('.a', True), ('a.part', True)):
        (tmp_path / name).touch()
        assert is_filled(tmp_path) is filled, name
    assert not is_filled(tmp_path, '.a', 'a.part')


def test_one_process_holds_the_name_of_a_file(tmp_path):
    place = tmp_path / 'new' / 'a.json'

    def held_elsewhere(path):
        return bool(told_elsewhere(lambda: only_writer(path, file=True).__enter__()))

    with only_writer(place, file=True):
        assert held_elsewhere(place)
        assert not held_elsewhere(place.with_name('b.json'))
    assert not place.parent.exists()
    with only_writer(Path(os.devnull), file=True):
        assert not held_elsewhere(Path(os.devnull))


def test_text_without_a_mark_and_with_plain_line_ends(tmp_path):
    path = tmp_path / 'f'
    with pytest.raises(FileNotFoundError, match='f: no such file'):
        read_text(path)
    path.write_bytes(b'\xef\xbb\xbfclip\r\nb\r')
    assert read_text(path) == 'clip\nb\n'
    path.write_bytes(b'abc\xff')
    with pytest.raises(ValueError, match=r'not UTF-8 text \(byte 3\)'):
        read_text(path)


@pytest.mark.parametrize(
    ('text', 'header', 'rows'),  # a and b hold numbers
    [
        ('c;a\n1,5;1,5E-05\n', ['c', 'a'], [(2, ['1,5', '1.5E-05'])]),
        ('a,b\n1,2\n', ['a', 'b'], [(2, ['1', '2'])]),
        ('\n a ;b;;\n"x; y" ; z;;\n;;\n', ['a', 'b'], [(3, ['x; y', 'z'])]),
        ('sep=|\na|b\n1,5|\n', ['a', 'b'], [(3, ['1.5', ''])]),
        ('a\tb\n-1,234\tx, y\n', ['a', 'b'], [(2, ['-1.234', 'x, y'])]),
        ('a,b\n"29,97", "0,123"\n', ['a', 'b'], [(2, ['29.97', '0.123'])]),
        ('a,b\n"1,234",3\n', ['a', 'b'], [(2, ['1,234', '3'])]),  # a thousand?
        ('a,b\n1\n1,2,3,\n', ['a', 'b'], [(2, ['1']), (3, ['1', '2', '3'])]),
        ('name\nx\n', ['name'], [(2, ['x'])]),
        ('', [], []),
    ],
)
def test_tables_as_spreadsheets_write_them(tmp_path, text, header, rows):
    (tmp_path / 't.csv').write_text(text)
    found, lines = read_table(tmp_path / 't.csv', numbers='ab')
    assert (found, list(lines)) == (header, rows)


def test_keys_have_composed_letters(tmp_path):
    keys = '{"e\u0301": 1, "\\u0065\\u0301": 2, "\\\\u0301": 3, "\u00e9": 4}'
    assert parse_json(keys.replace('\\":', '":', 1), tmp_path) == (
        {'\u00e9': 4, '\\u0301': 3},
        ['\u00e9'],
    )


@pytest.mark.parametrize('reaped', [True, False])
def test_a_draft_of_a_process_that_is_gone_goes(tmp_path, reaped):
    child = subprocess.Popen(['true'])
    if reaped:
        child.wait()
    elif sys.platform != 'linux':
        pytest.skip('who has ended is told by /proc')
    else:  # ended, but its parent does not ask
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    with draft(tmp_path / 'a.csv') as part:
        own = part.name.replace('.a.csv.', '.b.csv.')
        gone = own.replace(str(os.getpid()), str(child.pid))
        elsewhere = re.sub(r'-\w{8}', '-00000000', gone)
        for name in (part.name, own, gone, elsewhere):
            (tmp_path / name).touch()
        if not (child := os.fork()):
            write_file(tmp_path / 'c.csv', '')
            os._exit(0)
        os.waitpid(child, 0)
        assert part.exists()
    left = {p.name for p in tmp_path.iterdir()} - {'a.csv', 'c.csv'}
    assert left == {own, elsewhere}


def test_first_five_problems_are_shown_and_the_rest_counted():
    problems = [Problem('f', line, f'c{line}', 'bad') for line in range(1, 8)]
    with pytest.raises(ValueError, match='7 problems') as error:
        refuse(problems, Path('f'), 'look there')
    text = str(error.value)
    assert 'f:5: c5: bad' in text
    assert 'c6' not in text
    assert text.endswith('... and 2 more (look there)')
    with pytest.raises(ValueError, match=r'^f: 1 problem\n  f:1: bad$'):
        refuse([Problem('f', 1, '', 'bad')], Path('f'))
    assert str(Problem('f', 0, 'a', 'bad')) == 'f: a: bad'
    refuse([], Path('f'))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_items_pass_and_a_log_gets_ten_lines(capsys):
    assert list(progress(range(1000), 1000, 'decode')) == list(range(1000))
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1] == 'decode 1000/1000'
    assert len(lines) <= 11


def test_a_terminal_gets_a_bar(monkeypatch, capsys):
    for total in (0, 3):
        assert list(progress([], total, 'decode')) == []
    assert capsys.readouterr().err == ''
    terminal = Terminal()
    monkeypatch.setattr(sys, 'stderr', terminal)
    assert list(progress('ab', 2, 'decode [x]')) == ['a', 'b']
    assert re.search(r'decode \[x\] .*2/2', terminal.getvalue())
