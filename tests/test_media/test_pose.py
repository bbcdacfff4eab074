import dataclasses
import multiprocessing
import os
import signal
import time

import cv2
import numpy as np
import pytest
from pose_backends import FakeExtractor, use_fake
from video_files import (
    make_audio,
    make_span_root,
    make_video,
    moving_frames,
    read_numbers,
    spoil_packet,
)

from mmma.data.arrays import SkeletonStore, SkeletonWriter
from mmma.data.clips import Clip, write_rec
from mmma.data.joints import WHOLEBODY65
from mmma.data.root import DataRoot, DatasetInfo, write_info
from mmma.data.videos import Video, write_det
from mmma.media.pose import (
    JOINTS,
    Extractor,
    Partial,
    PoseOptions,
    VideoFrames,
    build_extractor,
    describe_extractor,
    detection_rates,
    draw_over,
    extract_clip,
    extract_root,
    open_partials,
    partial_path,
    read_partial,
    write_partial,
    write_sheet,
)
from mmma.taxonomy import load_label_space
from mmma.video import BrokenVideoError, open_video


def test_options_and_the_backend_by_name(monkeypatch):
    with pytest.raises(ValueError, match="Did you mean 'mediapipe'"):
        PoseOptions('mediapip')
    with pytest.raises(ValueError, match='--persons 0: must be 1 or more'):
        PoseOptions('mediapipe', persons=0)
    use_fake(monkeypatch)
    options = PoseOptions('mediapipe', persons=2)
    assert describe_extractor(options) == 'fake 1 persons=2 smooth=False'
    assert isinstance(build_extractor(options), FakeExtractor)


@pytest.fixture
def source(tmp_path):
    file = tmp_path / 'a.mp4'
    file.write_bytes(b'video')
    return file


EMPTY = Partial(np.zeros((1, 1, 1, 3), np.int16), 30, 8, 8)


def test_what_is_written_is_read(tmp_path, source):
    path = partial_path(tmp_path, 'rec', 'a/b')
    assert path != partial_path(tmp_path, 'det', 'a/b')
    joints = np.arange(12, dtype=np.int16).reshape(2, 1, 2, 3)
    write_partial(path, Partial(joints, 29.97, 64, 48), source)
    found = read_partial(path, source)
    assert np.array_equal(found.joints, joints)
    assert (found.fps, found.width, found.height) == (29.97, 64, 48)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_changed_video_is_not_done(tmp_path, source):
    path = partial_path(open_partials(tmp_path, 'x 1', False), 'rec', 'a')
    write_partial(path, EMPTY, source)
    os.utime(source, (1, 1))
    assert read_partial(path, source) is None
    assert read_partial(path) is not None
    source.unlink()
    assert read_partial(path, source) is None


def test_runs_of_two_extractors_do_not_mix(tmp_path, source):
    path = partial_path(open_partials(tmp_path, 'x 1', False), 'rec', 'a')
    write_partial(path, EMPTY, source)
    with pytest.raises(ValueError, match="holds a run with 'x 1', now it is 'x 2'"):
        open_partials(tmp_path, 'x 2', False)
    open_partials(tmp_path, 'x 1', True)
    assert path.is_file()
    open_partials(tmp_path, 'x 2', True)
    assert not path.is_file()


@pytest.mark.parametrize('damage', ['', '5', '[1]', '{}', '\xff', '{"extractor": "x'])
def test_a_damaged_header_is_named_and_a_lost_one_adopts_nothing(
    tmp_path, source, damage
):
    path = partial_path(open_partials(tmp_path, 'x 1', False), 'rec', 'a')
    write_partial(path, EMPTY, source)
    header = tmp_path / '.pose/run.json'
    header.write_bytes(damage.encode('latin-1'))
    with pytest.raises(ValueError, match=r'run\.json: not of this program, or damaged'):
        open_partials(tmp_path, 'x 1', False)
    header.unlink()
    open_partials(tmp_path, 'x 1', False)  # whose clips they were is unknown
    assert not path.is_file()


@pytest.mark.parametrize('damage', ['cut', 'empty', 'shape', 'facts', 'array'])
def test_a_damaged_clip_is_made_again(tmp_path, source, damage):
    path = partial_path(tmp_path, 'rec', 'a')
    write_partial(path, EMPTY, source)
    with np.load(path) as content:
        facts = content['facts']
    if damage in ('cut', 'empty'):
        path.write_bytes(path.read_bytes()[: 100 * (damage == 'cut')])
    elif damage == 'array':
        with path.open('wb') as file:
            np.save(file, np.zeros(3))
    else:
        facts = np.array('{}') if damage == 'facts' else facts
        np.savez(path, joints=np.zeros(3), facts=facts)
    with pytest.warns(UserWarning, match='is damaged .*: it is made again'):
        assert read_partial(path, source) is None
    assert not path.exists()


@pytest.mark.parametrize(
    ('name', 'options'),
    [
        ('plain.mp4', {'fps': 25}),
        ('uneven.mkv', {'times_ms': [0, 40, 100, 120, 200, 210, 260]}),
        ('turned.mp4', {'rotation': 90}),
    ],
)
def test_frames_are_those_of_the_readers(tmp_path, name, options):
    path = make_video(tmp_path / name, moving_frames(7), **options)
    video = VideoFrames(path)
    frames = list(video)
    with open_video(path, 'pyav') as reader:
        assert np.array_equal(frames, reader.get_frames(range(reader.num_frames)))
        assert video.fps == reader.fps
        assert len(video) == 7
        assert video.size == reader.get_frames([0]).shape[2:0:-1]


def test_a_frame_that_does_not_decode_is_told(tmp_path):
    path = make_video(tmp_path / 'a.mp4', moving_frames(9))
    spoil_packet(path, 4)
    with pytest.raises(BrokenVideoError, match='damaged'):
        list(VideoFrames(path))


def test_what_is_no_video_is_told_at_once(tmp_path):
    with pytest.raises(BrokenVideoError, match='audio only'):
        VideoFrames(make_audio(tmp_path / 'a.mp4'))


CLIPS = ('b', 'a', 'c', 'e', 'd')
OPTIONS = PoseOptions('mediapipe', persons=2)
HERE = {'workers': 0}


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Five clips in an order of their own, and one untrimmed video of other size."""
    use_fake(monkeypatch)
    path, space = tmp_path / 'root', load_label_space('mma82')
    rows = []
    for i, name in enumerate(CLIPS):
        make_video(path / f'videos/{name}.mp4', moving_frames(3 + i, seed=i))
        row = Clip(name, f'videos/{name}.mp4', 'train', 'lab', 's', 0, space.body_of[0])
        rows.append(row)
    make_video(path / 'videos/long.mp4', moving_frames(9, 32, 40), 25)
    video = Video('long', 'videos/long.mp4', 'test', 'lab', 's', 25.0, 9, 0.36)
    write_rec(path / 'rec.csv', rows, space)
    write_det(path / 'det.json', [video], space)
    write_info(path, DatasetInfo('toy', 'mma82', simulated=True))
    return DataRoot(path)


def contents(root):
    """Bytes of everything below ``skeletons``."""
    folder = root.path / 'skeletons'
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob('*'))
        if file.is_file()
    }


def lose(root, *names):
    for name in names:
        (root.path / f'videos/{name}.mp4').write_bytes(b'no video')


def test_what_is_stored(root):
    told = []
    progress = lambda *now: told.append(now)  # noqa: E731
    report = extract_root(root, OPTIONS, **HERE, on_progress=progress)
    assert (report.clips, report.extracted, report.frames) == (6, 6, 34)
    assert report.complete
    total = sum(f.stat().st_size for f in (root.path / 'videos').iterdir())
    assert (told[-1], len(told)) == ((total, total), 6)
    store = SkeletonStore(root, 'rec')
    assert store.names == list(CLIPS)
    assert store.layout.extractor == 'fake 1 persons=2 smooth=False'
    keypoints, scores = store.get('c')
    assert keypoints.shape == (2, 5, 65, 2)
    assert (store.fps('c'), store.size('c')) == (30, (64, 48))
    assert keypoints[1, 0, 3, 0] - keypoints[0, 0, 3, 0] == 1
    assert not scores[:, :, -1].any()  # outside the picture
    assert scores[0, 0, 5] == 0.5
    assert SkeletonStore(root, 'det').size('long') == (40, 32)
    assert report.rates['rec'][1]['left hand'] == 14 / 25
    assert not (root.path / 'skeletons/.pose').exists()


def test_a_killed_run_goes_on_to_the_same_bytes(root, monkeypatch):
    extract_root(root, OPTIONS, **HERE)
    whole = contents(root)
    for file in (root.path / 'skeletons').iterdir():
        file.unlink()
    monkeypatch.setattr(FakeExtractor, 'delay_sec', 0.2)
    context = multiprocessing.get_context('fork')
    for done in (1, 3, 4):
        process = context.Process(
            target=extract_root, args=(root, OPTIONS), kwargs=HERE
        )
        process.start()
        folder = root.path / 'skeletons/.pose'
        deadline = time.monotonic() + 20
        while len(list(folder.rglob('[!.]*.npz'))) < done:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert not (root.path / 'skeletons/rec.npy').exists()
    assert extract_root(root, OPTIONS, **HERE).extracted <= 2
    assert contents(root) == whole


def test_clips_of_a_finished_store_are_kept(root):
    extract_root(root, OPTIONS, **HERE)
    whole = contents(root)
    assert extract_root(root, OPTIONS, **HERE).extracted == 0
    rows = root.read_rec()
    space = root.label_space()
    write_rec(root.path / 'rec.csv', rows[:2], space)
    assert extract_root(root, OPTIONS, **HERE).extracted == 0
    assert SkeletonStore(root, 'rec').names == ['b', 'a']
    write_rec(root.path / 'rec.csv', rows, space)
    assert extract_root(root, OPTIONS, **HERE).extracted == 3
    assert contents(root) == whole


def test_a_store_cut_short_is_made_anew(root):
    extract_root(root, OPTIONS, **HERE)
    whole = contents(root)
    index = root.path / 'skeletons/rec_index.csv'
    index.write_text('\n'.join(index.read_text().splitlines()[:3]) + '\n')
    assert extract_root(root, OPTIONS, **HERE).extracted == 5
    assert contents(root) == whole


def test_failures_are_listed_and_no_store_is_written(root):
    lose(root, 'd', 'a')
    report = extract_root(root, OPTIONS, workers=2)
    assert [failure[:2] for failure in report.failures] == [('rec', 'a'), ('rec', 'd')]
    assert 'not readable as video' in report.failures[0][2]
    assert not report.complete
    assert not root.has_skeletons('det')
    make_video(root.path / 'videos/a.mp4', moving_frames(4))
    make_video(root.path / 'videos/d.mp4', moving_frames(4))
    again = extract_root(root, OPTIONS, **HERE)
    assert (again.extracted, again.complete) == (2, True)


def test_broken_clips_can_be_left_out(root):
    lose(root, 'a')
    skip = {**HERE, 'skip_broken': True}
    assert extract_root(root, OPTIONS, **skip).complete
    store = SkeletonStore(root, 'rec')
    assert store.names == ['b', 'c', 'e', 'd']
    with pytest.raises(ValueError, match="no skeleton of 'a' in"):
        store.get('a')
    lines = (root.path / 'skeletons/rec_missing.csv').read_text().splitlines()
    assert lines[0] == 'name,reason'
    assert lines[1].startswith('a,')
    make_video(root.path / 'videos/a.mp4', moving_frames(4))
    assert extract_root(root, OPTIONS, **HERE).extracted == 1
    assert not (root.path / 'skeletons/rec_missing.csv').exists()


def test_a_clip_that_kills_its_process(root, monkeypatch):
    monkeypatch.setattr(FakeExtractor, 'crash_width', 40)
    report = extract_root(root, OPTIONS, workers=1)
    assert report.failures == [('det', 'long', 'the process dies on it')]
    assert report.extracted == 5


def test_another_extractor_needs_force_and_workers_change_nothing(root):
    extract_root(root, OPTIONS, **HERE)
    alone = contents(root)
    assert extract_root(root, OPTIONS, workers=2, force=True).extracted == 6
    assert contents(root) == alone
    smooth = dataclasses.replace(OPTIONS, smooth=True)
    with pytest.raises(ValueError, match=r"smooth=False', not .*: --force replaces"):
        extract_root(root, smooth, **HERE)
    force = {**HERE, 'force': True}
    with pytest.raises(ValueError, match='share one extractor: give --tasks rec det'):
        extract_root(root, smooth, **force, tasks=('rec',))
    report = extract_root(root, smooth, **force)
    assert report.complete
    assert SkeletonStore(root, 'det').layout.extractor == report.extractor


def test_a_root_without_a_table_or_videos(root):
    extract_root(root, OPTIONS, **HERE, tasks=('det',))
    assert not root.has_skeletons('rec')
    (root.path / 'det.json').unlink()
    with pytest.raises(FileNotFoundError, match="no table for task 'det'"):
        extract_root(root, OPTIONS, **HERE, tasks=('det',))
    rows = [dataclasses.replace(row, path='') for row in root.read_rec()]
    write_rec(root.path / 'rec.csv', rows, root.label_space())
    with pytest.raises(ValueError, match='no row has a video file to look at'):
        extract_root(root, OPTIONS, **HERE)


def test_large_pictures_are_scaled_down(root):
    class Video:
        fps, size = 30.0, (4094, 2000)

        def __iter__(self):
            return iter([np.zeros((2000, 4094, 3), np.uint8)])

    class Corner(Extractor):
        def extract(self, frames, fps):
            list(frames)
            return np.full((1, 1, 65, 2), 1600.0), np.ones((1, 1, 65))

    clip = extract_clip(Corner(), Video())
    assert (clip.width, clip.height) == (2047, 1000)
    assert clip.joints[0, 0, 0].tolist() == [800 * 16, 800 * 16, 10000]


def test_rates_by_hand(tmp_path):
    scores = np.zeros((2, 4, 65))
    scores[0, :3, JOINTS['nose']] = 1
    scores[1, 3, JOINTS['nose']] = 1  # the other person
    scores[0, 1, JOINTS['left_thumb4']] = 1
    scores[0, :, JOINTS['left_heel']] = 1  # feet are no body
    with SkeletonWriter(tmp_path, 'rec', WHOLEBODY65, 2) as writer:
        writer.append('a', np.ones((2, 4, 65, 2)), scores, 30, 8, 8)
        writer.append('b', np.ones((1, 1, 65, 2)), np.zeros((1, 1, 65)), 30, 8, 8)
    frames, shares, without_body = detection_rates(SkeletonStore(tmp_path, 'rec'))
    expected = {'body': 4 / 5, 'left hand': 1 / 5, 'right hand': 0}
    assert shares == pytest.approx(expected)
    assert (frames, without_body) == (5, 1)


def test_limbs_are_drawn_in_the_colour_of_their_side():
    keypoints, scores = np.zeros((65, 2)), np.zeros(65)
    for side, x in {'left': 10, 'right': 30}.items():
        elbow, wrist = (JOINTS[f'{side}_{part}'] for part in ('elbow', 'wrist'))
        keypoints[[elbow, wrist]] = [x, 5], [x, 25]
        scores[[elbow, wrist]] = 1
    scores[JOINTS['right_wrist']] = 0.2  # doubtful: faint
    frame = np.zeros((900, 900, 3), np.uint8)  # lines of 3 pixels
    drawn = draw_over(frame, keypoints, scores, WHOLEBODY65)
    assert drawn[15, 10].tolist() == [255, 140, 40]
    assert drawn[15, 30].tolist() == pytest.approx([24, 60, 102], abs=1)
    assert not drawn[:, 20].any()
    assert not frame.any()


def test_a_sheet_shows_some_clips(root, tmp_path, monkeypatch):
    extract_root(root, OPTIONS, **HERE)
    names = write_sheet(root, 'rec', tmp_path / 'a.png', clips=2, height=50)
    assert names == ['a', 'e']
    picture = cv2.imread(str(tmp_path / 'a.png'))
    assert picture.shape[0] >= 2 * 50
    monkeypatch.setattr(cv2, 'imencode', lambda *_: (False, None))
    with pytest.raises(ValueError, match='could not be encoded; show fewer clips'):
        write_sheet(root, 'rec', tmp_path / 'a.png', clips=1)


def test_a_span_is_gone_through_and_nothing_else(tmp_path, monkeypatch):
    use_fake(monkeypatch)
    rows = [
        'a,videos/talk.mp4,train,1,,0,1',
        'b,,train,2,videos/talk.mp4,2.2,3',
        'whole,videos/talk.mp4,train,3,,,',
    ]
    root = make_span_root(tmp_path, rows)
    file = root / 'videos/talk.mp4'
    frames = [
        read_numbers(list(VideoFrames(file, span))) for span in ((0, 1), (2.2, 3))
    ]
    assert frames == [list(range(25)), list(range(55, 75))]
    assert VideoFrames(file, (2.2, 3)).fps == pytest.approx(25)
    extract_root(DataRoot(root), PoseOptions('mediapipe'), workers=0)
    store = SkeletonStore(root, 'rec')
    assert [store.frames(name) for name in store.names] == [25, 20, 75]
    whole, part = store.get('whole')[0], store.get('b')[0]
    assert part[0].shape == whole[0, 55:].shape
    assert write_sheet(DataRoot(root), 'rec', tmp_path / 'sheet.png') == store.names
    with pytest.raises(ValueError, match=r'talk.mp4: the span .* ends after'):
        VideoFrames(file, (2, 4))


def test_a_partial_is_that_of_its_span(source, tmp_path):
    path = tmp_path / 'a.npz'
    write_partial(path, EMPTY, source, (0.0, 1.0))
    assert read_partial(path, source, (0.0, 1.0)) is not None
    assert read_partial(path, source, (0.0, 2.0)) is None
    assert read_partial(path, source) is None
