from pathlib import PurePosixPath

import pytest

from mmma.layout.converters.source import SourceTree, split_name


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
