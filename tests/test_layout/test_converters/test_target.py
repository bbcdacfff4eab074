import os

import pytest

from mmma.layout.converters import convert
from mmma.layout.converters.target import Options, subject_of

LIST = {'train_list_videos.txt': 'a_1.mp4 9\n', 'train/a_1.mp4': b'film'}


def test_the_default_is_a_hard_link(tree, tmp_path):
    source = tree(LIST)
    conversion = convert('ma52', source, tmp_path / 'out')
    target = tmp_path / 'out' / 'videos' / 'train' / 'a_1.mp4'
    assert os.path.samefile(target, source / 'train' / 'a_1.mp4')
    assert not target.is_symlink()
    assert conversion.placed == 1


def test_copies_where_links_cannot_be_made(tree, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError('another file system')

    monkeypatch.setattr(os, 'link', refuse)
    source = tree(LIST)
    convert('ma52', source, tmp_path / 'out')
    target = tmp_path / 'out' / 'videos' / 'train' / 'a_1.mp4'
    assert target.read_bytes() == b'film'
    assert not os.path.samefile(target, source / 'train' / 'a_1.mp4')


def test_a_link_in_the_download_is_followed(tree, tmp_path):
    source = tree({'train_list_videos.txt': 'a_1.mp4 9\n', 'blob': b'film'})
    (source / 'a_1.mp4').symlink_to('blob')
    convert('ma52', source, tmp_path / 'out')
    target = tmp_path / 'out' / 'videos' / 'train' / 'a_1.mp4'
    assert not target.is_symlink()
    assert target.read_bytes() == b'film'


def test_copy(tree, tmp_path):
    source = tree(LIST)
    convert('ma52', source, tmp_path / 'out', Options(videos='copy'))
    target = tmp_path / 'out' / 'videos' / 'train' / 'a_1.mp4'
    assert not os.path.samefile(target, source / 'train' / 'a_1.mp4')


def test_none_says_where_the_videos_belong(tree, tmp_path):
    conversion = convert('ma52', tree(LIST), tmp_path / 'out', Options(videos='none'))
    assert not (tmp_path / 'out' / 'videos').exists()
    assert (conversion.placed, len(conversion.absent)) == (0, 1)
    place = tmp_path / 'out' / 'videos' / 'train' / 'a_1.mp4'
    assert conversion.notices[-1] == (
        '1 videos are not in place: put them where the tables expect them, such as '
        f'{place}'
    )


def test_a_folder_that_is_not_empty_needs_force(tree, tmp_path):
    out = tmp_path / 'out'
    out.mkdir()
    (out / 'det.json').write_text('old')
    (out / 'mine.txt').write_text('kept')
    with pytest.raises(ValueError, match='is not empty: give --force'):
        convert('ma52', tree(LIST), out)
    assert (out / 'det.json').read_text() == 'old'
    convert('ma52', tree(LIST), out, Options(force=True))
    assert not (out / 'det.json').exists()
    assert (out / 'mine.txt').read_text() == 'kept'


def test_force_never_writes_through_an_old_link(tree, tmp_path):
    source = tree(LIST)
    convert('ma52', source, tmp_path / 'out')
    (source / 'train' / 'a_1.mp4').unlink()
    (source / 'train' / 'a_1.mp4').write_bytes(b'new')
    (tmp_path / 'other').hardlink_to(tmp_path / 'out' / 'videos' / 'train' / 'a_1.mp4')
    convert('ma52', source, tmp_path / 'out', Options(videos='copy', force=True))
    assert (tmp_path / 'other').read_bytes() == b'film'


def test_skeletons_of_before_are_left_and_named(tree, tmp_path):
    (tmp_path / 'out' / 'skeletons').mkdir(parents=True)
    conversion = convert('ma52', tree(LIST), tmp_path / 'out', Options(force=True))
    assert any('skeletons was there before' in text for text in conversion.notices)


@pytest.mark.parametrize('inner', ['.', 'root', '..'])
def test_folders_that_overlap(tree, inner):
    source = tree(LIST)
    with pytest.raises(ValueError, match='overlap: convert into another folder'):
        convert('ma52', source, source / inner, Options(force=True))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (Options(videos='symlink'), "unknown --videos 'symlink'"),
        (Options(fps=0), r'--fps 0: must be 1\.\.1000'),
    ],
)
def test_bad_options(tree, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        convert('mma52', tree(LIST), tmp_path / 'out', options)


def test_unknown_format(tree, tmp_path):
    with pytest.raises(ValueError, match=r"format 'ma25'.*Did you mean 'ma52'"):
        convert('ma25', tree(LIST), tmp_path / 'out')


def test_tables_that_do_not_hold_leave_no_root(tree, tmp_path):
    source = tree(
        {'train_list_videos.txt': 'a.mp4 9\n', 'val_list_videos.txt': 'a.mp4 9\n'}
    )
    with pytest.raises(ValueError, match='a: duplicate clip'):
        convert('ma52', source, tmp_path / 'out')
    assert list((tmp_path / 'out').iterdir()) == []


@pytest.mark.parametrize(
    ('name', 'subject'), [('0003_01_0001', '0003'), ('test0000', ''), ('_x', '')]
)
def test_subject(name, subject):
    assert subject_of(name) == subject
