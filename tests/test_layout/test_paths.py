import pytest

from mmma.layout.paths import atomic_write, leaves_root, read_text


@pytest.mark.parametrize(
    'path', ['/a', '../a', 'a/../../b', 'a/..', r'\\host\a', r'a\..\b', 'C:/a', '..']
)
def test_paths_that_leave(path):
    assert leaves_root(path)


@pytest.mark.parametrize('path', ['', 'a.mp4', 'a/b..c.mp4', 'a/..b/c', '...', './a'])
def test_paths_that_stay(path):
    assert not leaves_root(path)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / 'new' / 'file.txt'
    with atomic_write(path) as file:
        file.write('old')
    with pytest.raises(TypeError, match='must be str'), atomic_write(path) as file:
        file.writelines(['half', 7])
    assert path.read_text() == 'old'
    assert list(path.parent.iterdir()) == [path]


def test_byte_order_mark_is_dropped(tmp_path):
    (tmp_path / 'f').write_bytes(b'\xef\xbb\xbfclip')
    assert read_text(tmp_path / 'f') == 'clip'


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match='gone: no such file'):
        read_text(tmp_path / 'gone')


def test_not_text(tmp_path):
    (tmp_path / 'f').write_bytes(b'abc\xff')
    with pytest.raises(ValueError, match=r'not UTF-8 text \(byte 3\)'):
        read_text(tmp_path / 'f')
