from collections import Counter

import pytest
from video_files import make_video, moving_frames

from mmma.data.clips import Clip
from mmma.data.convert import convert
from mmma.data.convert.ma52 import check_names
from mmma.data.convert.target import Options, SourceTree
from mmma.data.root import DataRoot
from mmma.data.videos import Instance, Video
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


NEW = 'id,video_id,start_frame,end_frame,class,total_frames,fps\r\n'
OLD = ',video_id,start_frame,end_frame,class,total_frames\n'
TRAIN = NEW + '0,train0000,23,71,9,168,30.0\r\n1,train0003,0,58,12,309,29.0\r\n'
PLACEHOLDER = NEW + ''.join(f'{i},test{i:04},0,20,{i + 1},166,30\n' for i in range(5))
OLD_TRAIN = OLD + '0,196_01_0005_L,0,227,28,228\n1,196_01_0005_L,10,50,9,228\n'


def test_the_later_generation(tree, tmp_path):
    source = tree({'train.csv': TRAIN, 'test.csv': PLACEHOLDER})
    conversion = convert('mma52', source, tmp_path / 'out')
    root = DataRoot(tmp_path / 'out')
    first, second = root.read_det()
    assert first == Video(
        video='train0000',
        path='videos/train/train0000.mp4',
        subset='train',
        domain='lab',
        subject='',
        fps=30.0,
        frames=168,
        duration=5.6,
        instances=(Instance(23 / 30, 71 / 30, 9),),
    )
    assert second.instances == (Instance(0.0, 2.0, 12),)
    assert not root.has_rec
    assert root.info.label_space == 'ma52'
    lines = '\n'.join(conversion.lines(root.path))
    assert 'det.json: 2 train videos\n' in lines
    assert 'det.json: 2 train instances' in lines
    assert 'test.csv skipped: a placeholder, frames 0 to 20' in lines
    assert 'no val.csv: no val videos' in lines


def test_the_earlier_generation_needs_a_rate(tree, tmp_path):
    with pytest.raises(ValueError, match=r'196_01_0005_L: no fps in the table'):
        convert('mma52', tree({'train.csv': OLD_TRAIN}), tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


def test_the_earlier_generation_with_a_rate_given(tree, tmp_path):
    source = tree({'train.csv': OLD_TRAIN})
    conversion = convert('mma52', source, tmp_path / 'out', Options(fps=29))
    (video,) = DataRoot(tmp_path / 'out').read_det()
    assert (video.video, video.subject, video.fps) == ('196_01_0005_L', '196', 29.0)
    assert video.instances[0] == Instance(0.0, 227 / 29, 28)
    assert 'train.csv has no fps: 29 taken for all, as asked' in conversion.notices


def test_the_earlier_generation_with_videos(tree, tmp_path):
    source = tree({'train.csv': OLD_TRAIN})
    make_video(source / 'train' / '196_01_0005_L.mp4', moving_frames(4), fps=25)
    convert('mma52', source, tmp_path / 'out')
    (video,) = DataRoot(tmp_path / 'out').read_det()
    assert video.fps == 25
    assert (tmp_path / 'out' / video.path).is_file()


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (
            'a,b\n1,2\n',
            r'train\.csv:1: no column video_id, start_frame.*expected video_id',
        ),
        (NEW, 'empty table'),
        ('', 'no column video_id'),
        (NEW + '0,v,9,3,1,9,30\n', r'train\.csv:2: v: frames 9 to 3 of 9'),
        (NEW + '0,v\n', r'train\.csv:2: v: not a row of numbers'),
        (
            TRAIN + '2,train0003,0,9,1,309,30\n',
            r'csv:4: train0003: 309 frames at fps 30',
        ),
    ],
)
def test_bad_tables(tree, tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        convert('mma52', tree({'train.csv': text}), tmp_path / 'out')


def test_no_table(tree, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'none of train\.csv, val\.csv, test'):
        convert('mma52', tree({'anns.json': ''}), tmp_path / 'out')


def test_a_video_that_would_leave_the_root(tree, tmp_path):
    text = NEW + '0,../../../v,0,3,1,9,30\n'
    with pytest.raises(ValueError, match='leaves the data root'):
        convert('mma52', tree({'train.csv': text}), tmp_path / 'out')


def test_the_released_tables(shared_data, tmp_path):
    conversion = convert('mma52', shared_data / 'mma52', tmp_path / 'out')
    videos = DataRoot(tmp_path / 'out').read_det()
    assert Counter(v.subset for v in videos) == {'train': 4_534, 'val': 1_475}
    instances = Counter()
    for video in videos:
        instances[video.subset] += len(video.instances)
    assert instances == {'train': 13_698, 'val': 4_735}
    assert {video.fps for video in videos} == {29.0, 30.0}
    slow = next(video for video in videos if video.video == 'train0003')
    assert slow.duration == pytest.approx(309 / 29)
    assert slow.instances[0].end_sec == pytest.approx(308 / 29)
    assert any('test.csv skipped: a placeholder' in n for n in conversion.notices)
