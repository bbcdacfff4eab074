from collections import Counter

import pytest

from mmma.layout.converters import convert
from mmma.layout.converters.ma52 import check_names
from mmma.layout.converters.source import SourceTree
from mmma.layout.rec import Clip
from mmma.layout.root import DataRoot
from mmma.taxonomy import load_label_space

SPACE = load_label_space('ma52')
NAMES = ''.join(f'{i}\t{name}\r\n' for i, name in enumerate(SPACE.actions))
LISTS = {
    'lists/train_list_videos.txt': '0003_01_0001.mp4 9\r\n0004_01_0001.mp4 0',
    'lists/val_list_videos.txt': '0003_01_0005.mp4 51\r\n',
    'lists/test_list_videos.txt': 'test0000.mp4 0\r\ntest0001.mp4 0\r\n',
}


def test_lists_become_a_root(tree, tmp_path):
    source = tree({**LISTS, 'lists/label_name.txt': NAMES})
    conversion = convert('ma52', source, tmp_path / 'out')
    root = DataRoot(tmp_path / 'out')
    assert (root.info.name, root.info.label_space, root.info.simulated) == (
        *('MA-52', 'ma52'),
        False,
    )
    head = SPACE.body_id('head')
    clips = root.read_rec()
    assert clips[0] == Clip(
        '0003_01_0001', 'videos/train/0003_01_0001.mp4', 'train', 'lab', '0003', 9, head
    )
    assert [clip.action for clip in clips] == [9, 0, 51, None, None]
    assert [clip.subject for clip in clips] == ['0003', '0004', '0003', '', '']
    assert 'nodding' in (root.path / 'rec.csv').read_text()
    lines = '\n'.join(conversion.lines(root.path))
    assert 'rec.csv: 2 train + 1 val + 2 test clips, 2 unlabelled' in lines
    assert 'test_list_videos.txt: every label is 0, so the truth is withheld' in lines
    assert 'videos: 0 put in place, 5 absent' in lines


def test_a_test_list_with_real_labels_keeps_them(tree, tmp_path):
    source = tree({**LISTS, 'lists/test_list_videos.txt': 't0.mp4 0\nt1.mp4 3\n'})
    convert('ma52', source, tmp_path / 'out')
    assert [clip.action for clip in DataRoot(tmp_path / 'out').read_rec()[-2:]] == [
        0,
        3,
    ]


def test_a_missing_list_is_told(tree, tmp_path):
    source = tree({'train_list_videos.txt': 'a.mp4 1'})
    conversion = convert('ma52', source, tmp_path / 'out')
    assert 'no val_list_videos.txt: no val clips' in conversion.notices


def test_videos_keep_their_container(tree, tmp_path):
    source = tree({'train_list_videos.txt': 'a.mp4 1', 'train/a.avi': b'film'})
    convert('ma52', source, tmp_path / 'out')
    root = DataRoot(tmp_path / 'out')
    path = root.read_rec()[0].path
    assert path == 'videos/train/a.avi'
    assert root.video_path(path).read_bytes() == b'film'


def test_no_list(tree, tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r'none of train_list_videos\.txt, val_'
    ):
        convert('ma52', tree({'train.csv': ''}), tmp_path / 'out')


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (
            'a.mp4 52',
            r"txt:1: a\.mp4: 'a\.mp4 52': expected \"file label\", label 0\.\.51",
        ),
        ('a.mp4 x', 'expected "file label"'),
        ('a.mp4', 'expected "file label"'),
        ('a.mp4 120 9', 'expected "file label"'),
        ('\n', 'empty list'),
    ],
)
def test_bad_lists(tree, tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        convert('ma52', tree({'train_list_videos.txt': text}), tmp_path / 'out')


@pytest.mark.parametrize(
    ('names', 'message'),
    [
        (NAMES.replace('9\tnodding', '9\tbowing'), "10: '9\\\\tbowing', expected"),
        (
            NAMES + '52\tanother\n',
            "expected 'nothing': these are not the names of ma52",
        ),
        ('0\tshaking body\n', '1 names, expected 52'),
    ],
)
def test_names_of_another_label_space(tree, names, message):
    with pytest.raises(ValueError, match=message):
        check_names(SourceTree(tree({'label_name.txt': names})), SPACE)


def test_the_released_lists(shared_data, tmp_path):
    convert('ma52', shared_data / 'ma52', tmp_path / 'out')
    clips = DataRoot(tmp_path / 'out').read_rec()
    labelled = Counter((clip.subset, clip.action is not None) for clip in clips)
    assert labelled == {
        ('train', True): 11_250,
        ('val', True): 5_586,
        ('test', False): 5_586,
    }
    nodding = SPACE.action_id('nodding')
    train = Counter(clip.action for clip in clips if clip.subset == 'train')
    assert train[nodding] == 1_283
    assert len({clip.subject for clip in clips if clip.subset == 'train'}) == 186
