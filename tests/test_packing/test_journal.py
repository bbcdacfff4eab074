import pytest

from mmma.packing.journal import JOURNAL_FILE, Journal, source_identity


@pytest.fixture
def source(tmp_path):
    file = tmp_path / 'a.avi'
    file.write_bytes(b'12345')
    return file


def add(journal, out, source, path='a.avi'):
    (out / 'a.mp4').write_bytes(b'123')
    record = {'path': path, 'packed': 'a.mp4', 'bytes': 3}
    journal.add({**record, **source_identity(source)})


def test_a_line_that_was_cut_off_does_not_count(tmp_path, source):
    out = tmp_path / 'out'
    journal = Journal(out, {'gop': 4}, force=False)
    add(journal, out, source)
    with (out / JOURNAL_FILE).open('a') as file:
        file.write('{"path": "b.avi", "pac')
    again = Journal(out, {'gop': 4}, force=False)
    assert again.holds('a.avi', source)
    assert not again.holds('b.avi', source)
    assert (out / JOURNAL_FILE).read_text().count('\n') == 2


def test_what_makes_a_record_void(tmp_path, source):
    out = tmp_path / 'out'
    journal = Journal(out, {}, force=False)
    add(journal, out, source)
    assert journal.holds('a.avi', source)
    (out / 'a.mp4').write_bytes(b'1234')
    assert not journal.holds('a.avi', source)
    add(journal, out, source)
    source.write_bytes(b'123456')
    assert not journal.holds('a.avi', source)
    source.unlink()
    assert not journal.holds('a.avi', source)


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / 'mine.txt').touch()
    with pytest.raises(ValueError, match='not empty and was not packed'):
        Journal(tmp_path, {}, force=True)
