"""Subjects, sources, files and moments that subsets share."""

import dataclasses
import re
import shutil

import numpy as np
import pytest
from video_files import make_span_root, make_video, moving_frames

from mmma.data import leakage
from mmma.data.clips import Clip, write_rec
from mmma.data.leakage import (
    _root_groups,
    all_marks,
    find_leakage,
    marks_agreement,
    read_marks,
    same_moments,
)
from mmma.data.root import DataRoot, DatasetInfo, write_info
from mmma.data.videos import Video, write_det
from mmma.media.encode import PackOptions, pack_video
from mmma.taxonomy import load_label_space


def test_eight_a_second_of_the_frame_shown_then(tmp_path):
    frames = np.zeros((12, 32, 32, 3), np.uint8)
    frames += np.arange(12, dtype=np.uint8)[:, None, None, None] * 20
    times = [0, 50, 120, 126, 240, 260, 300, 390, 500, 510, 520, 640]
    video = make_video(tmp_path / 'a.mkv', frames, times_ms=[t + 7 for t in times])
    shown = [0, 2, 4, 6, 8, 10]  # at 0, 125, 250, 375, 500, 625 ms
    marks = read_marks(video)
    assert marks.shape == (6, 16, 16)
    levels = marks.mean((1, 2)).astype(float)
    assert levels == pytest.approx([20 * i for i in shown], abs=4)


def test_size_quality_and_rotation_hardly_matter(tmp_path):
    frames = moving_frames(31)
    marks = read_marks(make_video(tmp_path / 'a.mp4', frames)).astype(float)
    large = np.repeat(np.repeat(frames, 3, 1), 3, 2)
    other = make_video(tmp_path / 'b.mp4', large, options={'qp': '30'})
    assert np.abs(read_marks(other) - marks).mean() < 2
    turned = make_video(tmp_path / 'c.mp4', frames, rotation=90)
    assert np.abs(read_marks(turned) - np.rot90(marks, axes=(1, 2))).mean() < 2


def test_what_was_seen_is_not_read_again(tmp_path, monkeypatch):
    monkeypatch.setenv('MMMA_HOME', str(tmp_path / 'home'))
    monkeypatch.setattr(leakage, '_SHARD', 2)
    videos = [make_video(tmp_path / f'{i}.mp4', moving_frames(3 + i)) for i in range(3)]
    first, _ = all_marks([*videos, *videos], tmp_path, 0)
    assert len(list((tmp_path / 'home/frame_marks').glob('*/*.npz'))) == 2
    with monkeypatch.context() as patch:
        patch.setattr(leakage, 'read_marks', None)
        again, _ = all_marks(videos, tmp_path, 0)
    assert all((again[v] == first[v]).all() for v in videos)
    make_video(videos[0], moving_frames(9), 30)
    assert len(all_marks(videos, tmp_path, 2)[0][videos[0]]) == 3


def test_a_damaged_cache_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setenv('MMMA_HOME', str(tmp_path / 'home'))
    video = make_video(tmp_path / 'a.mp4', moving_frames(5))
    expected = all_marks([video], tmp_path, 0)[0][video]
    (cache,) = (tmp_path / 'home').rglob('*.npz')
    whole = cache.read_bytes()
    flipped = whole[:90] + b'x' + whole[91:]
    for damage in (whole[: len(whole) // 2], b'', b'PK', flipped):
        cache.write_bytes(damage)
        with pytest.warns(UserWarning, match='is damaged .*: it is made again'):
            found = all_marks([video], tmp_path, 0)[0][video]
        assert (found == expected).all()
        assert cache.read_bytes()[:2] == b'PK'


def scene(seed, frames=24, camera=0):
    """Marks of somebody who moves before a camera that stands still."""
    room = np.random.default_rng(camera).uniform(60, 200, (16, 16))
    rng = np.random.default_rng(1000 + seed)
    path = 7 + np.cumsum(rng.normal(0, 0.5, (frames, 2)), 0)
    y, x = np.mgrid[:16, :16]
    marks = [room + 20 * np.exp(-((y - a) ** 2 + (x - b) ** 2) / 4) for a, b in path]
    return np.array(marks, np.float16)


def noisy(marks, sigma, seed=5):
    return marks + np.random.default_rng(seed).normal(0, sigma, marks.shape)


def test_a_copy_is_found_and_another_take_is_not():
    left = {'a': scene(0), 'b': scene(1), 'c': scene(2, camera=1)}
    right = {'copy': noisy(left['b'], 0.5), 'take': scene(3)}
    right['room'] = scene(2, camera=2)
    assert ('a', 'take') in leakage._candidates(left, right)  # the same still picture
    assert [same[:2] for same in same_moments(left, right)] == [('b', 'copy')]
    assert list(same_moments({}, right)) == []


def test_a_part_is_found_also_between_two_marks():
    whole = scene(0, 40).astype(float)
    assert marks_agreement(noisy(whole[9:20], 0.3), whole) > 0.9
    between = ((whole[1:] + whole[:-1]) / 2)[5:20]
    assert marks_agreement(between, whole) > 0.99
    assert marks_agreement(whole[:5], whole) == 0  # too short


def test_lamps_that_flicker_are_no_motion():
    flicker = 10 * np.random.default_rng(0).normal(0, 1, (24, 1, 1))
    assert marks_agreement(scene(0) + flicker, scene(1) + flicker) < 0.5


def test_too_still_to_tell_is_said():
    room = scene(0)[:1]
    short = np.repeat(room, 24, 0)
    for frames, brighter, still in ((24, 0, True), (25, 0, True), (40, 0, False),
                                    (24, 5, False)):  # fmt: skip
        found = marks_agreement(short, np.repeat(room + brighter, frames, 0))
        assert np.isnan(found) == still
        assert still or found == 0


def test_the_hash_leaves_flat_places_open():
    flat, ramp = np.full((16, 16), 90), np.tile(np.arange(16) * 4.0, (16, 1))
    hashes = [leakage._difference_hash(picture).tolist() for picture in (flat, ramp)]
    assert hashes == [[0] * 64, [1] * 64]


SPACE = load_label_space('mma82')
SUBSETS = ('train', 'val', 'test')


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
    columns = ('level', 'what', 'left', 'right', 'count')
    return [tuple(row[c] for c in columns) for row in report['shared']]


def test_nothing_is_shared(root):
    report = find_leakage(root, workers=0)
    assert report == {'ok': True, 'videos': 3, 'unreadable': [], 'shared': []}


def test_a_planted_subject_is_a_warning(root):
    report = find_leakage(change(root, 2, subject='s0'), workers=0)
    assert told(report) == [('warning', 'subjects', 'rec train', 'rec test', 1)]
    assert report['shared'][0]['examples'] == ['lab s0']
    assert report['ok']
    # One name in two domains is two people.
    report = find_leakage(change(root, 2, domain='street'), workers=0)
    assert told(report) == []


@pytest.mark.parametrize(('short_side', 'crf'), [(48, 33), (32, 23)])
def test_a_planted_copy_of_another_size_is_found(root, short_side, crf):
    options = PackOptions(short_side=short_side, crf=crf, gop=5)
    pack_video(root.path / 'videos/0.mp4', root.path / 'videos/copy.mp4', options)
    report = find_leakage(change(root, 2, path='videos/copy.mp4'), workers=0)
    assert told(report) == [('error', 'frames', 'rec train', 'rec test', 1)]
    assert re.match(r'c0 = c2 \((0\.9\d|1\.00)\)', report['shared'][0]['examples'][0])
    assert not report['ok']
    assert find_leakage(change(root, 2, path='videos/copy.mp4'), frames=False)['ok']


def test_one_file_or_source_in_two_subsets(root):
    root = change(root, 2, path='videos/0.mp4', source_video='Talk.avi')
    report = find_leakage(change(root, 1, source_video='old/talk'), workers=0)
    assert told(report) == [
        ('error', 'files', 'rec train', 'rec test', 1),
        ('warning', 'sources', 'rec val', 'rec test', 1),
    ]


def test_still_videos_that_look_the_same_are_a_warning(root):
    for number in (0, 2):
        frames = np.repeat(moving_frames(1, 60, 80, 7), 32, 0)
        make_video(root.path / f'videos/{number}.mp4', frames)
    report = find_leakage(root, workers=0)
    assert told(report) == [('warning', 'still', 'rec train', 'rec test', 1)]
    assert report['shared'][0]['examples'] == ['c0 = c2']


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


def test_lists_of_names(root, tmp_path):
    table = tmp_path / 'train.csv'
    table.write_text('id,video_id,class\n0,C1.avi,9\n1,c1,3\n2,,1\n')
    report = find_leakage(root, [table], frames=False)
    assert told(report) == [('error', 'names', 'rec val', 'train.csv train', 1)]


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('a.csv', 'id,class\n', r'a\.csv: line 1 names no column clip, video_id'),
        ('a.txt', '\n', r'a\.txt: no names in it'),
    ],
)
def test_bad_lists(root, tmp_path, name, content, message):
    with pytest.raises(FileNotFoundError, match=rf'{name}: no such file'):
        find_leakage(root, [tmp_path / name])
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        find_leakage(root, [tmp_path / name])


def test_missing_and_broken_videos(root):
    (root.path / 'videos/1.mp4').write_bytes(b'')
    (root.path / 'videos/2.mp4').unlink()
    report = find_leakage(root, workers=0)
    assert report['unreadable'] == [[str(root.path / 'videos/1.mp4'), 'zero bytes']]
    assert report['videos'] == 1


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


def test_spans_are_compared_not_their_files(tmp_path):
    rows = ['a,videos/talk.mp4,train,1,,0,1', 'b,videos/talk.mp4,test,2,,1,3']
    root = DataRoot(make_span_root(tmp_path, rows))
    train, test = _root_groups(root, '')
    file = root.video_path('videos/talk.mp4')
    marks = {file: read_marks(file)}
    seen = {**train.marks(marks), **test.marks(marks)}
    assert [len(marks[file]), len(seen['a']), len(seen['b'])] == [24, 8, 16]
    assert (np.concatenate([seen['a'], seen['b']]) == marks[file]).all()
