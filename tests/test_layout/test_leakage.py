import dataclasses
import re
import shutil

import numpy as np
import pytest
from video_files import make_video, moving_frames

from mmma.layout.det import Video, write_det
from mmma.layout.leakage import (
    Item,
    find_leakage,
    note_on_subjects,
    read_name_list,
    root_groups,
)
from mmma.layout.rec import Clip, write_rec
from mmma.layout.root import DataRoot, DatasetInfo, write_info
from mmma.packing.encoding import pack_video
from mmma.packing.options import PackOptions
from mmma.taxonomy import load_label_space

SPACE = load_label_space('mma82')
SUBSETS = ('train', 'val', 'test')


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv('MMMA_HOME', str(tmp_path / 'home'))


@pytest.fixture(scope='module')
def videos(tmp_path_factory):
    """Three videos of a second that differ."""
    folder = tmp_path_factory.mktemp('videos')
    for i in range(3):
        make_video(folder / f'{i}.mp4', moving_frames(32, 60, 80, i), 30)
    return folder


def make_root(folder, clips, videos=None, name='mma82'):
    write_info(folder, DatasetInfo(name, 'mma82', True))
    write_rec(folder / 'rec.csv', clips, SPACE)
    if videos:
        write_det(folder / 'det.json', videos, SPACE)
    return DataRoot(folder)


@pytest.fixture
def root(tmp_path, videos):
    """A clip in each subset, and nothing shared."""
    shutil.copytree(videos, tmp_path / 'root/videos')
    clips = [
        Clip(f'c{i}', f'videos/{i}.mp4', subset, 'lab', f's{i}', i, None)
        for i, subset in enumerate(SUBSETS)
    ]
    return make_root(tmp_path / 'root', clips)


def sway(num_frames):
    """Somebody bright sways slowly in a room that stands still."""
    frames = np.repeat(moving_frames(1, 60, 80, 7), num_frames, 0)
    for t, frame in enumerate(frames):
        top, left = 24 + round(9 * np.sin(t / 8)), 34 + round(12 * np.sin(t / 11))
        frame[top : top + 14, left : left + 14] = 230
    return frames


def change(root, number, **values):
    clips = root.read_rec()
    clips[number] = dataclasses.replace(clips[number], **values)
    return make_root(root.path, clips)


def told(report):
    return [(r.level, r.what, r.left, r.right, r.count) for r in report.rows]


def test_nothing_is_shared(root):
    report = find_leakage(root, workers=0)
    assert (told(report), report.ok, report.videos) == ([], True, 3)
    assert report.as_dict() == {'ok': True, 'videos': 3, 'unreadable': [], 'shared': []}


def test_a_planted_subject_is_a_warning(root):
    report = find_leakage(change(root, 2, subject='s0'), workers=0)
    assert told(report) == [('warning', 'subjects', 'rec train', 'rec test', 1)]
    assert report.rows[0].examples == ('lab s0',)
    assert report.ok


def test_one_name_in_two_domains_is_two_people(root):
    report = find_leakage(change(root, 2, subject='s0', domain='street'), workers=0)
    assert told(report) == []


@pytest.mark.parametrize(('short_side', 'crf'), [(48, 33), (32, 23)])
def test_a_planted_copy_of_another_size_is_found(root, short_side, crf):
    options = PackOptions(short_side=short_side, crf=crf, gop=5)
    pack_video(root.path / 'videos/0.mp4', root.path / 'videos/copy.mp4', options)
    report = find_leakage(change(root, 2, path='videos/copy.mp4'), workers=0)
    assert told(report) == [('error', 'frames', 'rec train', 'rec test', 1)]
    assert re.match(r'c0 = c2 \((0\.9\d|1\.00)\)', report.rows[0].examples[0])
    assert not report.ok
    assert find_leakage(change(root, 2, path='videos/copy.mp4'), frames=False).ok


def test_one_file_or_source_in_two_subsets(root):
    root = change(root, 2, path='videos/0.mp4', source_video='Talk.avi')
    report = find_leakage(change(root, 1, source_video='old/talk'), workers=0)
    assert told(report) == [
        ('error', 'files', 'rec train', 'rec test', 1),
        ('warning', 'sources', 'rec val', 'rec test', 1),
    ]


def test_a_clip_that_was_cut_from_a_video_of_the_other_task(root):
    frames = sway(90)
    make_video(root.path / 'videos/long.mp4', frames, 30)
    make_video(root.path / 'videos/0.mp4', frames[31:65], 30, options={'qp': '25'})
    long = Video('long', 'videos/long.mp4', 'test', 'lab', 'x', 30.0, 90, 3.0)
    root = make_root(root.path, root.read_rec(), [long])
    report = find_leakage(root, workers=0)
    assert told(report) == [('error', 'frames', 'rec train', 'det test', 1)]


def test_another_root_and_lists(root, tmp_path):
    clip = Clip('C2', 'videos/b.mp4', 'train', 'lab', 's2', 0, None)
    other = make_root(tmp_path / 'ma52', [clip])
    (other.path / 'videos').mkdir()
    shutil.copy(root.path / 'videos/2.mp4', other.path / 'videos/b.mp4')
    (tmp_path / 'val_list.txt').write_text('c0.mp4 3\nc9.mp4 4\n')
    report = find_leakage(root, [other.path, tmp_path / 'val_list.txt'], workers=0)
    assert told(report) == [
        ('error', 'names', 'rec train', 'val_list.txt val', 1),
        ('error', 'names', 'rec test', 'ma52 rec train', 1),
        ('error', 'frames', 'rec test', 'ma52 rec train', 1),
        ('warning', 'subjects', 'rec test', 'ma52 rec train', 1),
    ]


def test_lists_of_names(tmp_path):
    table = tmp_path / 'train.csv'
    table.write_text('id,video_id,class\n0,train0000,9\n1,train0000,3\n')
    group = read_name_list(table)
    assert (group.subset, group.items) == ('train', (Item('train0000'),))
    assert group.name == 'train.csv train'


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('a.csv', 'id,class\n', r'a\.csv:1: no column of names; one of clip, video_id'),
        ('a.txt', '\n', r'a\.txt: no names in it'),
    ],
)
def test_bad_lists(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        read_name_list(tmp_path / name)


def test_missing_lists_and_broken_videos(root, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'gone\.txt: no such file'):
        find_leakage(root, [tmp_path / 'gone.txt'])
    (root.path / 'videos/1.mp4').write_bytes(b'')
    report = find_leakage(root, workers=0)
    assert report.unreadable == [(str(root.path / 'videos/1.mp4'), 'zero bytes')]
    (root.path / 'videos/1.mp4').unlink()
    assert [len(g.items) for g in root_groups(root, '')] == [1, 1, 1]


@pytest.mark.parametrize(
    ('name', 'subset', 'said'),
    [('MA-52', 'val', True), ('MA-52', 'test', False), ('MMA-52', 'val', False)],
)
def test_ma52_shares_its_people(name, subset, said):
    assert ('share all 186 subjects' in note_on_subjects(name, subset)) == said


def test_published_clips_do_not_match_each_other(shared_data, tmp_path):
    (tmp_path / 'real').mkdir()
    shutil.copytree(shared_data / 'clips', tmp_path / 'real/videos')
    clips = [
        Clip(file.stem, f'videos/{file.name}', subset, 'lab', file.stem[:4], 0, None)
        for subset, file in zip(
            SUBSETS, sorted((tmp_path / 'real/videos').iterdir()), strict=True
        )
    ]
    root = make_root(tmp_path / 'real', clips)
    assert told(find_leakage(root, workers=2)) == []
    source = root.path / clips[0].path
    pack_video(source, root.path / clips[2].path, PackOptions(short_side=240, crf=28))
    report = find_leakage(root, workers=2)
    assert told(report) == [('error', 'frames', 'rec train', 'rec test', 1)]
