import os
from pathlib import Path, PurePosixPath

import pytest
from video_files import make_video, moving_frames

from mmma.data.convert import convert
from mmma.data.convert.ma52 import (
    FrameRow,
    disagreements,
    is_placeholder,
    rate_source,
    to_video,
)
from mmma.data.convert.target import Options, SourceTree, split_name, subject_of
from mmma.data.videos import Instance
from mmma.taxonomy import load_label_space


def test_files_nearest_to_the_top_come_first(tree):
    source = SourceTree(tree({'b/train.csv': '', 'train.csv': '', '.cache/x.csv': ''}))
    assert [str(file) for file in source.files] == ['train.csv', 'b/train.csv']
    assert source.find('train.csv') == source.path / 'train.csv'
    assert source.find('test.csv') is None


def test_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match='no such folder to convert from'):
        SourceTree(tmp_path / 'gone')


@pytest.mark.parametrize(
    ('files', 'name', 'found'),
    [
        (['a.mp4'], 'a.mp4', 'a.mp4'),
        (['x/a.avi'], 'a.mp4', 'x/a.avi'),
        (['x/a.mp4'], 'a', 'x/a.mp4'),
        (['x/a.MP4'], 'a', 'x/a.MP4'),
        (['x/a.b.mp4'], 'a.b', 'x/a.b.mp4'),
        (['x/a.txt'], 'a', None),
        (['train/a.mp4', 'val/a.mp4'], 'a.mp4', 'train/a.mp4'),
        (['train/a.mp4', 'a.mp4'], 'a.mp4', 'train/a.mp4'),
        (['val/a.mp4'], 'a.mp4', None),
        (['lab/a.mp4', 'street/a.mp4'], 'street/a.mp4', 'street/a.mp4'),
        (['lab/a.mp4', 'Street/a.mp4'], 'a.mp4', 'Street/a.mp4'),
        (['a.avi', 'a.mp4'], 'a.mp4', 'a.mp4'),
    ],
)
def test_which_video_a_table_means(tree, files, name, found):
    source = SourceTree(tree(dict.fromkeys(files, 'x')))
    expected = PurePosixPath(found) if found else None
    assert source.find_video(name, 'train', ['street']) == expected


def test_several_videos_that_fit(tree):
    source = SourceTree(tree({'x/a.mp4': '', 'y/a.mp4': ''}))
    with pytest.raises(ValueError, match=r'could be x/a\.mp4 or y/a\.mp4'):
        source.find_video('a.mp4', 'train')


@pytest.mark.parametrize(
    ('name', 'parts'),
    [
        ('x/a.mp4', ('a', '.mp4')),
        ('a.AVI', ('a', '.AVI')),
        ('a.b', ('a.b', '.mp4')),
        ('a', ('a', '.mp4')),
    ],
)
def test_name_and_suffix(name, parts):
    assert split_name(name) == parts


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


SPACE = load_label_space('ma52')
VALUES = {
    'video_id': 'v',
    'start_frame': '0',
    'end_frame': '29',
    'class': '9',
    'total_frames': '58',
    'fps': '29.0',
}


def row(**changes):
    return FrameRow.parse({**VALUES, **changes}, 2, SPACE)


def test_a_row():
    assert row() == FrameRow(2, 'v', 0, 29, 9, 58, 29.0)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'start_frame': 'x'}, 'not a row of numbers'),
        ({'end_frame': None}, 'not a row of numbers'),
        ({'end_frame': '0'}, r'frames 0 to 0 of 58.*0 <= start < end <= total'),
        ({'end_frame': '59'}, 'frames 0 to 59 of 58'),
        ({'start_frame': '-1'}, 'frames -1 to 29'),
        ({'start_frame': '0.5'}, 'need whole numbers'),
        ({'class': '52'}, r'class 52: must be 0\.\.51'),
        ({'fps': '0'}, r'fps 0: must be 1\.\.1000'),
        ({'fps': 'nan'}, 'fps nan'),
        ({'end_frame': 'nan'}, 'frames 0 to nan'),
        ({'end_frame': 'inf', 'total_frames': 'inf'}, 'frames 0 to inf of inf'),
        ({'video_id': ''}, 'video_id is empty'),
    ],
)
def test_bad_rows(changes, message):
    with pytest.raises(ValueError, match=message):
        row(**changes)


def test_seconds_follow_the_rate():
    place = {'path': 'v.mp4', 'subset': 'train', 'domain': 'lab', 'subject': ''}
    video = to_video([row()], 29.0, place)
    assert video.instances == (Instance(0.0, 1.0, 9),)
    assert (video.fps, video.frames, video.duration) == (29.0, 58, 2.0)


def test_rows_of_one_video_that_disagree():
    rows = [row(), row(fps='30'), row(total_frames='60')]
    found = [problem.text for problem in disagreements(Path('t.csv'), rows)]
    assert found == [
        '58 frames at fps 30.0, but line 2 says 58 at 29.0',
        '60 frames at fps 29.0, but line 2 says 58 at 29.0',
    ]


def counting(videos, **changes):
    return [
        row(**{'video_id': v, 'class': str(i + 1), **changes})
        for i, v in enumerate(videos)
    ]


@pytest.mark.parametrize(
    ('rows', 'expected'),
    [
        (counting('abcd'), True),
        (counting('aabc'), False),
        (counting('ab'), False),
        (counting('abcd', **{'class': '9'}), False),
        (
            [*counting('abc'), row(video_id='d', end_frame='21', **{'class': '4'})],
            False,
        ),
    ],
)
def test_placeholders(rows, expected):
    assert is_placeholder(rows, [str(row.label) for row in rows]) == expected


def test_named_classes_do_not_count_up():
    assert not is_placeholder(counting('abcd'), ['nodding'] * 4)


def test_a_rate_in_the_table_wins_and_says_so():
    notices = []
    rate = rate_source(Path('t.csv'), [row()], 25, notices)
    assert rate(row(), None) == 29
    assert notices == ['t.csv has its own fps: --fps is not used for it']


def without_fps():
    return FrameRow(2, 'v', 0, 29, 9, 58, None)


def test_a_rate_the_user_gives_is_told():
    notices = []
    rate = rate_source(Path('t.csv'), [without_fps()], 25, notices)
    assert rate(without_fps(), None) == 25
    assert notices == ['t.csv has no fps: 25 taken for all, as asked']


def test_a_rate_is_read_from_the_video(tmp_path):
    file = make_video(tmp_path / 'v.mp4', moving_frames(10), fps=29)
    rate = rate_source(Path('t.csv'), [without_fps()], None, [])
    assert rate(without_fps(), file) == 29


def test_a_rate_is_never_guessed():
    rate = rate_source(Path('t.csv'), [without_fps()], None, [])
    with pytest.raises(ValueError, match=r't\.csv:2: v: no fps in the table.*--fps N'):
        rate(without_fps(), None)


def test_a_broken_video_tells_no_rate(tmp_path):
    (tmp_path / 'v.mp4').touch()
    rate = rate_source(Path('t.csv'), [without_fps()], None, [])
    with pytest.raises(ValueError, match=r'no fps to read from .*v\.mp4: zero bytes'):
        rate(without_fps(), tmp_path / 'v.mp4')
