from collections import Counter
from pathlib import Path

import pytest
from video_files import make_video, moving_frames

from mmma.convert import convert
from mmma.convert.ma52 import FrameRow, is_made_up, parse_frames, to_video
from mmma.data.clips import Clip
from mmma.data.root import DataRoot
from mmma.data.videos import Instance, Video
from mmma.files import OddEntries
from mmma.taxonomy import load_label_space

SPACE = load_label_space('ma52')
NAMES = ''.join(f'{i}\t{name}\r\n' for i, name in enumerate(SPACE.actions))
LISTS = {
    'lists/train_list_videos.txt': '0003_01_0001.mp4 9\r\n0004_01_0001.mp4 0',
    'lists/val_list_videos.txt': '0003_01_0005.mp4 51\r\n',
    'lists/test_list_videos.txt': 'test0000.mp4 0\r\ntest0001.mp4 0\r\n',
}


def test_lists_become_a_root(run):
    root, conversion = run('ma52', {**LISTS, 'lists/label_name.txt': NAMES})
    info = root.info
    assert (info.name, info.label_space, info.simulated) == ('MA-52', 'ma52', False)
    clips = root.read_rec()
    place = ('videos/train/0003_01_0001.mp4', 'train', 'lab', '0003')
    assert clips[0] == Clip('0003_01_0001', *place, 9, SPACE.body_id('head'))
    assert [clip.action for clip in clips] == [9, 0, 51, None, None]
    assert [clip.subject for clip in clips] == ['0003', '0004', '0003', '', '']
    assert 'nodding' in (root.path / 'rec.csv').read_text()
    lines = '\n'.join(conversion.lines())
    assert 'rec.csv: 2 train + 1 val + 2 test clips, 2 unlabelled' in lines
    assert 'test_list_videos.txt: every label is 0, so the truth is withheld' in lines
    assert 'videos: 0 put in place, 5 absent' in lines


def test_a_test_list_with_real_labels_keeps_them(run):
    test = {'lists/test_list_videos.txt': 't0.mp4 0\nt1.mp4 3\n'}
    root, _ = run('ma52', {**LISTS, **test})
    assert [clip.action for clip in root.read_rec()[-2:]] == [0, 3]


@pytest.mark.parametrize('line', ['{} {}', '{}\t{} ', '{},{}', '{};{}', '"{}"  {}'])
@pytest.mark.parametrize('folder', ['videos/', 'videos\\'])
def test_names_of_a_list_may_have_spaces(run, line, folder):
    names = ['nodding (1)', 'nodding  (2)', 'a, b']
    text = '\n'.join(line.format(f'{folder}{n}.mp4', i) for i, n in enumerate(names))
    files = {f'videos/{name}.mp4': '' for name in names}
    root, conversion = run('ma52', {'train_list_videos.txt': text + '\n', **files})
    clips = root.read_rec()
    assert [(clip.clip, clip.action) for clip in clips] == [
        (name, action) for action, name in enumerate(names)
    ]
    assert conversion.placed == 3


def test_videos_that_no_list_mentions_are_named(run):
    files = {f'a/{n}.mp4': '' for n in ('b', '0003_01_0001', *'cdefg')}
    _, conversion = run('ma52', {**LISTS, **files})
    text = '6 videos in {} that no table mentions are left out: a/b.mp4, a/c.mp4, '
    told = text.format(conversion.tree.path) + 'a/d.mp4, a/e.mp4, a/f.mp4, ...'
    assert told in conversion.notices


def test_linked_folders_are_searched_when_asked(run, tmp_path, monkeypatch):
    monkeypatch.delenv('MMMA_FOLLOW_LINKS', raising=False)
    (tmp_path / 'storage').mkdir()
    (tmp_path / 'storage/0003_01_0001.mp4').touch()
    (tmp_path / 'download').mkdir()
    (tmp_path / 'download/train').symlink_to(tmp_path / 'storage')
    (tmp_path / 'download/again').symlink_to(tmp_path / 'download')
    _, conversion = run('ma52', LISTS)
    assert conversion.placed == 0
    assert any(
        '2 links to folders were not followed: again, train; give --follow-links'
        in line
        for line in conversion.notices
    )
    monkeypatch.setenv('MMMA_FOLLOW_LINKS', '1')
    _, conversion = run('ma52', LISTS, force=True)
    assert (conversion.placed, conversion.tree.links) == (1, [])


def test_composed_letters_find_letters_with_marks(run):
    lines = 'J\u00f6rg.mp4 1\nRe\u0301ne\u0301.mp4 2\n'
    files = {'a/Jo\u0308rg.mp4': '', 'R\u00e9n\u00e9.mp4': ''}
    _, conversion = run('ma52', {'train_list_videos.txt': lines, **files})
    assert (conversion.placed, conversion.absent) == (2, set())


def test_a_missing_list_is_told_and_videos_keep_their_container(run):
    files = {'train_list_videos.txt': 'a.mp4 1', 'train/a.avi': b'film'}
    root, conversion = run('ma52', files)
    assert 'no val_list_videos.txt: no val clips' in conversion.notices
    path = root.read_rec()[0].path
    assert path == 'videos/train/a.avi'
    assert root.video_path(path).read_bytes() == b'film'


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (
            'a.mp4 52',
            r"txt:1: a\.mp4: 'a\.mp4 52': expected \"file label\", label 0\.\.51",
        ),
        ('a.mp4 x', 'expected "file label"'),
        ('a.mp4 120 9', 'expected "file label"'),
        ('\n', 'empty list'),
    ],
)
def test_bad_lists(run, text, message):
    with pytest.raises(ValueError, match=message):
        run('ma52', {'train_list_videos.txt': text})


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
def test_names_of_another_label_space(run, names, message):
    with pytest.raises(ValueError, match=message):
        run('ma52', {**LISTS, 'label_name.txt': names})


def test_the_released_lists(shared_data, tmp_path):
    convert('ma52', shared_data / 'ma52', tmp_path / 'out')
    clips = DataRoot(tmp_path / 'out').read_rec()
    labelled = Counter((clip.subset, clip.action is not None) for clip in clips)
    expected = {('train', True): 11_250, ('val', True): 5_586, ('test', False): 5_586}
    assert labelled == expected
    train = [clip for clip in clips if clip.subset == 'train']
    assert Counter(c.action for c in train)[SPACE.action_id('nodding')] == 1_283
    assert len({clip.subject for clip in train}) == 186


NEW = 'id,video_id,start_frame,end_frame,class,total_frames,fps\r\n'
OLD = ',video_id,start_frame,end_frame,class,total_frames\n'
TRAIN = NEW + '0,train0000,23,71,9,168,30.0\r\n1,train0003,0,58,12,309,29.0\r\n'
PLACEHOLDER = NEW + ''.join(f'{i},test{i:04},0,20,{i + 1},166,30\n' for i in range(5))
OLD_TRAIN = OLD + '0,196_01_0005_L,0,227,28,228\n1,196_01_0005_L,10,50,9,228\n'


def test_the_later_generation(run):
    files = {'train.csv': TRAIN, 'test.csv': PLACEHOLDER}
    root, conversion = run('mma52', files, fps=25)
    first, second, *listed = root.read_det()
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
    lines = '\n'.join(conversion.lines())
    assert [video.video for video in listed] == [f'test{i:04}' for i in range(5)]
    assert {(v.subset, v.withheld, v.instances) for v in listed} == {('test', True, ())}
    assert 'det.json: 2 train + 5 test videos, 5 unlabelled\n' in lines
    assert 'det.json: 2 train instances' in lines
    assert 'test.csv: made-up instances, frames 0 to 20' in lines
    assert 'the truth of its 5 videos is withheld' in lines
    assert 'no val.csv: no val videos' in lines
    assert 'train.csv has its own fps: --fps is not used for it' in lines


def test_the_earlier_generation_needs_a_rate(run, tmp_path):
    files = {'train.csv': OLD_TRAIN}
    with pytest.raises(
        ValueError, match=r'csv:2: 196_01_0005_L: no fps in the table.*--fps N'
    ):
        run('mma52', files)
    assert not (tmp_path / 'out').exists()
    root, conversion = run('mma52', files, fps=29)
    (video,) = root.read_det()
    assert (video.video, video.subject, video.fps) == ('196_01_0005_L', '196', 29.0)
    assert video.instances[0] == Instance(0.0, 227 / 29, 28)
    assert 'train.csv has no fps: 29 taken for all, as asked' in conversion.notices


def test_the_earlier_generation_with_videos(run, tmp_path):
    files = {'train.csv': OLD_TRAIN, 'train/196_01_0005_L.mp4': ''}
    with pytest.raises(ValueError, match=r'no fps to read from .*L\.mp4: zero bytes'):
        run('mma52', files)
    film = make_video(tmp_path / 'a.mp4', moving_frames(4), fps=25).read_bytes()
    root, conversion = run('mma52', {**files, 'train/196_01_0005_L.mp4': film})
    (video,) = root.read_det()
    assert video.fps == 25
    assert root.video_path(video.path).is_file()
    assert 'train.csv has no fps: read from the video files' in conversion.notices


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
            r'csv:4: train0003: 309 frames at fps 30.0, but line 3 says 309 at 29.0',
        ),
        (NEW + '0,../../../v,0,3,1,9,30\n', 'leaves the data root'),
    ],
)
def test_bad_tables(run, text, message):
    with pytest.raises(ValueError, match=message):
        run('mma52', {'train.csv': text}, strict=True)


def test_odd_lines_of_lists_are_left_out_and_told(run):
    lines = ['a.mp4 9', 'b.mp4', 'c.mp4 120 3', 'd.mp4 4', 'e.mp4 5']
    root, conversion = run('ma52', {'train_list_videos.txt': '\n'.join(lines)})
    assert [clip.clip for clip in root.read_rec()] == ['a', 'd', 'e']
    told = '\n'.join(conversion.notices)
    assert "2 of 5 clips left out of train_list_videos.txt: b.mp4: 'b.mp4': exp" in told
    text = '\n'.join([*lines, 'f.mp4 52'])  # counted from 1?
    with pytest.raises(ValueError, match=r'label 0\.\.51'):
        run('ma52', {'train_list_videos.txt': text}, force=True)


def test_odd_rows_of_tables_are_left_out_or_cut_and_told(run):
    rows = [
        '2,v,0,9,1,90,30',
        '3,v,80,190,2,90,30',
        '4,v,9,3,1,90,30',
        '5,v,3,9,1,90,30',
    ]
    root, conversion = run('mma52', {'train.csv': NEW + '\n'.join(rows)})
    (video,) = root.read_det()
    times = [time for i in video.instances for time in (i.start_sec, i.end_sec)]
    assert times == pytest.approx([0, 0.3, 80 / 30, 3, 0.1, 0.3])
    told = '\n'.join(conversion.notices)
    assert '2 of 4 instances cut or left out of train.csv: v: frames 80 to 190' in told


def test_no_table(run):
    for kind, first in (
        ('ma52', 'train_list_videos.txt, val_'),
        ('mma52', 'train.csv'),
    ):
        with pytest.raises(FileNotFoundError, match=f'none of {first}'):
            run(kind, {'anns.json': ''})


def row(**changes):
    values = {
        **{'video_id': 'v', 'start_frame': '0', 'end_frame': '29', 'class': '9'},
        **{'total_frames': '58', 'fps': '29.0', **changes},
    }
    odd = OddEntries(Path('t.csv'))
    rows = parse_frames(odd, [(2, 'v', values)], SPACE)
    odd.notes()  # refuses it where it is odd
    return rows[0]


def test_seconds_follow_the_rate():
    assert row() == FrameRow(2, 'v', 0, 29, 9, 58, 29.0)
    place = {'path': 'v.mp4', 'subset': 'train', 'domain': 'lab', 'subject': ''}
    video = to_video([row()], 29.0, place)
    assert video.instances == (Instance(0.0, 1.0, 9),)
    assert (video.fps, video.frames, video.duration) == (29.0, 58, 2.0)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'start_frame': 'x'}, 'not a row of numbers'),
        ({'end_frame': None}, 'not a row of numbers'),
        ({'end_frame': '0'}, r'frames 0 to 0 of 58.*0 <= start < end <= total'),
        ({'end_frame': '99'}, 'frames 0 to 99 of 58: 41 lie outside the video'),
        ({'start_frame': '-29'}, 'frames -29 to 29 of 58: 29 lie'),
        ({'start_frame': '58', 'end_frame': '60'}, 'frames 58 to 60 of 58'),
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


def test_frames_just_outside_the_video_are_cut():
    assert row(end_frame='59').end_frame == 58
    assert row(start_frame='-1').start_frame == 0


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
    assert is_made_up(rows, [str(row.label) for row in rows]) == expected
    assert not is_made_up(rows, ['nodding'] * len(rows))  # names do not count up
