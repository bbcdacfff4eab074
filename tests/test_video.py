"""The reader of video files."""

import importlib.util
import itertools
import resource
import sys
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from video_files import (
    cut_without_decoding,
    join_streams,
    make_audio,
    make_video,
    moving_frames,
    numbered_frames,
    read_numbers,
    spoil_packet,
)

from mmma import video as reading
from mmma.datasets.transforms.rgb import DecodeFrames, OpenVideo
from mmma.media.encode import PackOptions, pack_video
from mmma.media.pose import VideoFrames
from mmma.packets import BrokenVideoError, index_video, open_container
from mmma.video import (
    DecordReader,
    PyAVReader,
    VideoFacts,
    available_backends,
    decode_video,
    open_video,
    probe_video,
)

needs_decord = pytest.mark.skipif(
    importlib.util.find_spec('decord') is None, reason='no decord'
)
BACKENDS = [pytest.param('decord', marks=needs_decord), 'pyav']


@pytest.fixture(scope='module')
def path(tmp_path_factory):
    return make_video(tmp_path_factory.mktemp('v') / 'v.mp4', moving_frames(12), fps=25)


@pytest.fixture(params=BACKENDS)
def video(request, path):
    with open_video(path, request.param) as reader:
        yield reader


def test_any_order_and_repeats(video):
    assert video.num_frames == 12
    assert video.fps == pytest.approx(25)
    assert video.duration_sec == pytest.approx(12 / 25)
    np.testing.assert_allclose(video.times_sec, np.arange(12) / 25, atol=1e-9)
    everything = video.get_frames(range(12))
    assert everything.shape == (12, 48, 64, 3)
    assert (video.height, video.width) == (48, 64)
    assert everything.dtype == np.uint8
    wanted = [7, 3, 3, 11, 0]
    np.testing.assert_array_equal(video.get_frames(wanted), everything[wanted])
    np.testing.assert_array_equal(video.get_frames([2]), everything[[2]])


def test_frames_are_those_encoded(video):
    shown = video.get_frames(range(12)).astype(int)
    true = moving_frames(12).astype(int)
    error = np.abs(shown[:, None] - true).mean((2, 3, 4))  # (shown, true)
    assert (error.argmin(1) == np.arange(12)).all()


@pytest.mark.parametrize('index', [-1, 12])
def test_a_frame_that_does_not_exist(video, index):
    with pytest.raises(ValueError, match=rf'no frame {index}; it has frames 0 to 11'):
        video.get_frames([0, index])


UNEVEN_MS = [0, 20, 100, 133, 166, 266, 271, 300, 420, 425, 500, 540]
FAST_START = {'movflags': 'faststart'}


@pytest.fixture(scope='module')
def frames():
    return moving_frames(12)


@needs_decord
def test_a_damaged_first_frame(tmp_path, frames):
    path = make_video(tmp_path / 'v.mp4', frames)
    spoil_packet(path, 0)
    with (
        open_video(path, 'decord') as video,
        pytest.raises(BrokenVideoError, match='damaged: Invalid data'),
    ):
        video.get_frames([0])


def decode_all(path):
    with open_container(path) as container:
        images = [f.to_ndarray(format='rgb24') for f in container.decode(video=0)]
    return np.stack(images)


@pytest.mark.parametrize('suffix', ['mp4', 'mkv', 'ts', 'avi'])
@pytest.mark.parametrize(
    'options',
    [{}, {'g': '8'}, {'g': '8', 'x264-params': 'open-gop=1'}, {'g': '5', 'bf': '0'}],
    ids=['one key frame', 'key frames', 'open groups', 'no B-frames'],
)
def test_few_frames_are_those_of_a_full_decode(tmp_path, suffix, options):
    path = make_video(tmp_path / f'v.{suffix}', moving_frames(40), options=options)
    everything = decode_all(path)
    with open_video(path, 'pyav') as video:
        for wanted in ([3, 17, 18, 36], [39], [0], list(range(1, 40, 7))):
            np.testing.assert_array_equal(video.get_frames(wanted), everything[wanted])


@pytest.mark.parametrize('backend', BACKENDS)
def test_no_two_of_the_frames_are_one_array(tmp_path, backend):
    path = make_video(tmp_path / 'v.mp4', moving_frames(6))
    with open_video(path, backend) as video:
        several = video.list_frames([3, 1, 3, 3, 0])
        whole = video.get_frames([3, 1, 3, 3, 0])
        assert video.get_frames([]).shape == (0, video.height, video.width, 3)
    np.testing.assert_array_equal(np.stack(several), whole)
    for frame in several:
        frame[:] += 1  # each once
    np.testing.assert_array_equal(np.stack(several), whole + 1)


def test_frames_that_nothing_needs_are_not_decoded(tmp_path):
    path = make_video(tmp_path / 'v.mp4', moving_frames(40))
    with open_container(path) as container:
        packets = [p for p in container.demux(video=0) if p.size]
        # Slices (type 1) whose nal_ref_idc is 0: ITU-T H.264, 7.4.1.
        spare = [i for i, p in enumerate(packets) if bytes(p)[4] & 0x7F == 1]
        stamps = sorted(p.pts for p in packets)
        shown = {stamps.index(packets[i].pts) for i in spare}
    wanted = [i for i in range(40) if i not in shown]
    with open_video(path, 'pyav') as video:
        frames = video.get_frames(wanted)
    for number in spare:
        spoil_packet(path, number, kept=5)
    with open_video(path, 'pyav') as video:
        np.testing.assert_array_equal(video.get_frames(wanted), frames)
    assert len(spare) > 10


def test_decoding_stops_behind_the_last_frame(tmp_path):
    path = make_video(tmp_path / 'v.mp4', moving_frames(40))
    spoil_packet(path, 30)
    with open_video(path, 'pyav') as video:
        assert video.get_frames([0, 20]).shape == (2, 48, 64, 3)
        with pytest.raises(BrokenVideoError, match='damaged: Invalid data'):
            video.get_frames(range(40))


def test_rotation(tmp_path):
    frames = moving_frames(4)
    upright = decode_all(make_video(tmp_path / 'a.mp4', frames))
    path = make_video(tmp_path / 'b.mp4', frames, rotation=90)
    with open_video(path, reader='pyav') as video:
        turned = np.rot90(upright, axes=(1, 2))
        np.testing.assert_array_equal(video.get_frames(range(4)), turned)
        assert (video.height, video.width) == turned.shape[1:3]


def test_a_frame_that_never_comes(tmp_path):
    path = make_video(tmp_path / 'v.mp4', moving_frames(5))
    index = index_video(path)
    longer = replace(index, pts=np.append(index.pts, index.pts[-1] + 999))
    with (
        PyAVReader(path, longer) as video,
        pytest.raises(BrokenVideoError, match='frame 5 of 6 does not decode'),
    ):
        video.get_frames([0, 5])


@needs_decord
def test_damage_that_decord_finds(tmp_path):
    path = make_video(tmp_path / 'v.mp4', moving_frames(20))
    index = index_video(path)
    spoil_packet(path, 10)
    with (
        open_video(path, 'decord') as video,
        pytest.raises(BrokenVideoError, match='damaged: Invalid data'),
    ):
        video.get_frames(range(20))
    path.write_text('no video')
    with pytest.raises(BrokenVideoError, match='decord: Error reading'):
        DecordReader(path, index)


# What each file is, and whether decord is trusted with it.
KINDS = {
    'one key frame, B-frames': ({}, 'mp4', True),
    'odd lines, full chroma': ({'pix_fmt': 'yuv444p', 'size': (51, 67)}, 'mp4', True),
    'uneven multiples': ({'size': (50, 70)}, 'mp4', True),
    'full range': ({'pix_fmt': 'yuvj420p'}, 'mp4', True),
    'grey': ({'pix_fmt': 'gray'}, 'mp4', True),
    'variable rate': ({'times_ms': UNEVEN_MS}, 'mkv', True),
    'each frame a fragment': (
        {'muxer': {'movflags': 'dash+frag_every_frame'}, 'options': {'g': '4'}},
        *('mp4', False),
    ),
    'several key frames': ({'options': {'g': '4'}}, 'mp4', True),
    'open groups': ({'options': {'g': '4', 'x264-params': 'open-gop=1'}}, 'mp4', False),
    'on its side': ({'rotation': 90}, 'mp4', False),
    'upside down': ({'rotation': 180}, 'mkv', False),
    'odd lines': ({'codec': 'mpeg4', 'size': (51, 67)}, 'mp4', False),
    '72 pixels wide': ({'size': (50, 72)}, 'mp4', False),
    'ten bits': ({'pix_fmt': 'yuv420p10le'}, 'mp4', False),
    'transport stream': ({}, 'ts', False),
    'no presentation stamps': ({}, 'avi', False),
}


def make(folder, kind):
    options, suffix, trusted = KINDS[kind]
    options = dict(options)
    frames = moving_frames(12, *options.pop('size', (48, 64)))
    return make_video(folder / f'v.{suffix}', frames, **options), trusted


def read(path, backend, indices=None):
    with open_video(path, backend) as video:
        wanted = range(video.num_frames) if indices is None else indices
        return type(video), video.times_sec, video.get_frames(wanted)


@needs_decord
@pytest.mark.parametrize('kind', KINDS)
def test_identical_frames(tmp_path, kind):
    path, trusted = make(tmp_path, kind)
    _, times_sec, frames = read(path, 'pyav')
    reader, other_times_sec, other_frames = read(path, 'decord')
    assert len(frames) == 12
    assert (reader is not PyAVReader) == trusted
    np.testing.assert_array_equal(other_frames, frames)
    np.testing.assert_array_equal(other_times_sec, times_sec)


@needs_decord
def test_identical_frames_of_real_clips(shared_data):
    for path in sorted((shared_data / 'clips').iterdir()):
        found = [read(path, name, [0, 9, 30])[2] for name in ('pyav', 'decord')]
        np.testing.assert_array_equal(*found)


def test_auto_takes_the_first_that_is_installed(tmp_path, monkeypatch):
    path, _ = make(tmp_path, 'one key frame, B-frames')
    assert reading.check_backend('auto') == available_backends()[0]
    assert reading.check_backend('opencv') == 'pyav'  # of older configs
    monkeypatch.setattr(reading, 'available_backends', lambda: ('pyav',))
    assert read(path, 'auto')[0] is PyAVReader
    with pytest.raises(ValueError, match="'decord' is not installed: use one of pyav"):
        open_video(path, 'decord')
    message = "unknown video backend 'decrod': use one of auto, pyav, decord.* 'decord'"
    with pytest.raises(ValueError, match=message):
        open_video(path, 'decrod')


@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
@pytest.mark.parametrize('backend', BACKENDS)
def test_memory_does_not_grow(tmp_path, backend):
    path = make_video(tmp_path / 'v.mp4', moving_frames(4, 144, 176))

    def soak(times):
        for _ in range(times):
            read(path, backend, [0, 3])
        pages = int(Path('/proc/self/statm').read_text().split()[1])
        return pages * resource.getpagesize() / 2**20

    warm = soak(20)
    assert soak(80) - warm < 8  # MiB


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp('videos') / 'v.mp4'
    return make_video(path, moving_frames(20), fps=29, muxer=FAST_START)


@pytest.mark.parametrize('read', [decode_video, probe_video])
def test_facts_of_a_file_and_of_what_is_none(tmp_path, whole, read):
    assert read(whole) == VideoFacts(20, pytest.approx(29), pytest.approx(20 / 29))
    path = tmp_path / 'v.mp4'
    with pytest.raises(FileNotFoundError, match='no such video file'):
        read(path)
    path.touch()
    with pytest.raises(ValueError, match=r'^zero bytes$'):
        read(path)
    path.write_bytes(b'no video at all' * 50)
    with pytest.raises(ValueError, match=r'^not readable as video: Invalid data'):
        read(path)
    with pytest.raises(ValueError, match=r'^audio only$'):
        read(make_audio(tmp_path / 'a.mp4'))
    (tmp_path / 'a.srt').write_text('1\n00:00:00,000 --> 00:00:01,000\nhello\n')
    with pytest.raises(ValueError, match=r'^not a video file'):
        read(tmp_path / 'a.srt')


def test_damage_in_and_behind_the_middle(tmp_path, whole):
    content, path = whole.read_bytes(), tmp_path / 'v.mp4'
    middle = len(content) * 2 // 3
    path.write_bytes(content[:middle])
    reason = r'truncated or damaged: 1?\d of 20 frames are whole'
    with pytest.raises(ValueError, match=f'^{reason}'):
        decode_video(path)
    with pytest.raises(BrokenVideoError, match=reason):  # as data sets say
        open_video(path)
    path.write_bytes(content[:middle] + bytes(900) + content[middle + 900 :])
    with pytest.raises(ValueError, match=r'^frame \d+ of 20 .*: damaged: Invalid'):
        decode_video(path)


def test_real_clips_are_whole(shared_data):
    frames = [decode_video(p).frames for p in sorted((shared_data / 'clips').iterdir())]
    assert frames == [47, 50, 75]


OPEN_X264 = 'open-gop=1:b-adapt=0:scenecut=0'
OPEN_X265 = 'log-level=0:keyint=12:min-keyint=12:open-gop=1:pools=1:frame-threads=1'
ONE_RATE = ('avi', 'mpg', 'h264')
# Codec, options of its encoder, containers, and whether decord is trusted.
GROUPS = {
    'one group': ('libx264', {}, ('mp4', 'mkv', 'mov'), True),
    'closed groups': ('libx264', {'g': '12'}, ('mp4', 'mkv', 'mov'), True),
    'open groups': (
        *('libx264', {'g': '12', 'x264-params': OPEN_X264}),
        *(('mp4', 'mkv', 'mov', 'ts', 'avi'), False),
    ),
    'no B-frames': ('libx264', {'g': '12', 'bf': '0'}, ('mp4', 'mkv'), True),
    'transport stream': ('libx264', {'g': '12'}, ('ts', 'avi'), False),
    'HEVC, open': ('libx265', {'x265-params': OPEN_X265}, ('mp4', 'mkv', 'ts'), False),
    'HEVC, closed': (
        *('libx265', {'x265-params': OPEN_X265.replace('gop=1', 'gop=0')}),
        *(('mp4', 'mkv'), True),
    ),
    'MPEG-4': ('mpeg4', {'g': '12', 'b': '900000'}, ('mp4', 'mkv'), True),
    'MPEG-4, open': (
        *('mpeg4', {'g': '12', 'bf': '2', 'b': '900000'}),
        *(('mp4', 'mkv', 'avi'), False),
    ),
    'MPEG-2, open': (
        *('mpeg2video', {'g': '12', 'bf': '2', 'b': '900000'}),
        *(('ts', 'mkv'), False),
    ),
    'MPEG-2, program stream': ('mpeg2video', {'g': '12', 'bf': '2'}, ('mpg',), False),
    'pictures alone': ('mjpeg', {}, ('avi', 'mkv'), False),
    'Flash': ('libx264', {'g': '12', 'x264-params': OPEN_X264}, ('flv',), False),
    'raw': ('libx264', {'g': '12'}, ('h264',), False),
    'refreshed bit by bit': (
        *('libx264', {'g': '12', 'bf': '0', 'x264-params': 'intra-refresh=1'}),
        *(('mp4', 'mkv'), False),
    ),
    'VP9': ('libvpx-vp9', {'g': '12', 'cpu-used': '8'}, ('mp4', 'webm'), False),
}
ORDERS = (range(40), range(0, 40, 3), range(5, 40, 7), [39, 12, 12, 11, 0], [23, 24, 1])
SPAN = range(13, 29)  # of the frames, in the middle of groups
TURNS = (0, 90, 180, 270)


def wrong_frames(path, backend, turn=0):
    """What was asked for and is not what was given; and the reader."""
    wrong = []
    for order in ORDERS:
        with open_video(path, backend) as video:
            told = read_numbers(np.rot90(video.get_frames(order), -turn // 90, (1, 2)))
            assert video.num_frames == 40
        wrong += [pair for pair in zip(order, told, strict=True) if len({*pair}) > 1]
    return wrong, type(video)


def frames_of_span(path, span):
    """What data sets, poses and packing give of it."""
    for backend in available_backends():
        sample = OpenVideo(backend)({'filename': path, 'span': span})
        first = sample['start_index']
        sample['frame_inds'] = np.arange(first, first + sample['total_frames'])
        yield backend, DecodeFrames()(sample)['imgs']
    yield 'poses', list(VideoFrames(path, span))
    packed = path.with_name('packed.mp4')
    pack_video(path, packed, PackOptions(512, crf=8), span=span)
    with open_video(packed) as video:
        yield 'packed', video.get_frames(range(video.num_frames))


@pytest.mark.parametrize('uneven', [False, True])
@pytest.mark.parametrize('kind', GROUPS)
def test_each_frame_asked_for_is_the_frame_given(tmp_path, kind, uneven):
    codec, options, suffixes, trusted = GROUPS[kind]
    steps = np.random.default_rng(0).integers(1, 6, 40)
    times_ms = (20 * steps.cumsum()).tolist() if uneven else None
    turns = [turn for turn in TURNS if turn in (0, 90) or kind == 'closed groups']
    for suffix, turn in itertools.product(suffixes, turns):
        if uneven and (suffix in ONE_RATE or codec == 'mpeg2video'):
            continue
        if turn and suffix not in ('mp4', 'mov', 'mkv'):
            continue  # such files cannot say it
        path = make_video(
            tmp_path / f'v.{suffix}',
            numbered_frames(40),
            25,
            times_ms=times_ms,
            codec=codec,
            options=options,
            pix_fmt='yuvj420p' if codec == 'mjpeg' else 'yuv420p',
            rotation=turn or None,
        )
        for backend in available_backends():
            wrong, reader = wrong_frames(path, backend, turn)
            assert not wrong, (suffix, turn, backend)
            if backend == 'decord':
                assert (reader is DecordReader) == (trusted and not turn), suffix
        times_sec = index_video(path).times_sec
        span = (float(times_sec[SPAN.start]), float(times_sec[SPAN.stop]))
        for reader, frames in frames_of_span(path, span):
            told = read_numbers([np.rot90(frame, -turn // 90) for frame in frames])
            assert told == list(SPAN), (suffix, turn, reader)


@pytest.mark.parametrize('default', [0, 1])
@pytest.mark.parametrize('suffix', ['mp4', 'mkv'])
def test_of_two_streams_all_is_of_the_default_one(tmp_path, suffix, default):
    small = make_video(tmp_path / 'a.mp4', numbered_frames(40), 25)
    large = make_video(tmp_path / 'b.mp4', numbered_frames(16, 96)[::-1], 10)
    path = join_streams(tmp_path / f'v.{suffix}', [small, large], default)
    numbers = list(range(16))[::-1] if default else list(range(40))
    for backend in ('auto', *available_backends()):
        with open_video(path, backend) as video:
            frames = video.get_frames(range(video.num_frames))
            assert read_numbers(frames) == numbers
            assert video.fps == pytest.approx(10 if default else 25)


def test_a_recording_that_was_never_finished(tmp_path):
    """No duration and no index, as a killed recorder leaves it."""
    path = make_video(
        tmp_path / 'v.mkv',
        numbered_frames(40),
        25,
        options={'g': '12'},
        muxer={'live': '1'},
    )
    with open_container(path) as container:
        assert container.duration is None
    for backend in ('auto', *available_backends()):
        assert not wrong_frames(path, backend)[0]


@needs_decord
def test_what_decord_refuses_is_read_by_pyav(tmp_path, monkeypatch):
    path = make_video(tmp_path / 'v.mp4', numbered_frames(40), 25)

    def refuse(*_, **__):
        raise RuntimeError('[10:00:00] /a/b.cc:12: no')

    with monkeypatch.context() as patch:
        patch.setattr('decord.VideoReader', refuse)
        assert wrong_frames(path, 'decord') == ([], PyAVReader)
    monkeypatch.setattr('decord.VideoReader.get_batch', refuse)
    assert wrong_frames(path, 'decord') == ([], DecordReader)


CUT = {
    'libx264': {'g': '12', 'x264-params': OPEN_X264},
    'libx264, refreshed': {'g': '12', 'bf': '0', 'x264-params': 'intra-refresh=1'},
    'libx265': {'x265-params': OPEN_X265},
    'libx265, leading': {'x265-params': OPEN_X265.replace('gop=1', 'gop=0:radl=2')},
    'mpeg4': {'g': '12', 'bf': '2', 'b': '900000'},
    'mpeg2video': {'g': '12', 'bf': '2', 'b': '900000'},
}


@pytest.mark.parametrize('kind', CUT)
@pytest.mark.parametrize('suffix', ['mkv', 'mp4', 'mov', 'ts', 'avi', 'flv'])
def test_a_cut_has_the_frames_that_decode(tmp_path, kind, suffix):
    codec = kind.split(',')[0]
    if suffix in ('avi', 'flv') and codec != 'libx264':
        pytest.skip('not in such files')
    frames = numbered_frames(60)
    source = make_video(
        tmp_path / f'whole.{suffix}', frames, 25, codec=codec, options=CUT[kind]
    )
    path = cut_without_decoding(
        tmp_path / f'v.{suffix}', source, 2, below_zero=suffix != 'flv'
    )
    right = decode_all(path)
    for backend in ('auto', *available_backends()):
        with open_video(path, backend) as video:
            given = video.get_frames(range(video.num_frames))
            np.testing.assert_array_equal(given, right)
            times_sec = 0.04 * np.arange(len(right))
            np.testing.assert_allclose(video.times_sec, times_sec, atol=1.5e-3)
            np.testing.assert_array_equal(video.get_frames([5, 19]), right[[5, 19]])
    told = read_numbers(right)
    assert told == list(range(told[0], 60))
    assert 20 <= told[0] <= 34
    assert decode_video(path).frames == len(told)
    span = (5 * 0.04, 12 * 0.04)
    for reader, frames in frames_of_span(path, span):
        assert read_numbers(frames) == told[5:12], reader
    pack_video(path, tmp_path / 'all.mp4', PackOptions(512, crf=8))
    with open_video(tmp_path / 'all.mp4') as video:
        assert read_numbers(video.get_frames(range(video.num_frames))) == told


def restamped(path, source, change):
    """A copy whose packets get other stamps, by ``change`` of their place and them."""
    with av.open(str(source)) as old, av.open(str(path), 'w') as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for place, packet in enumerate(old.demux(video=0)):
            if packet.size:
                packet.pts, packet.dts = change(place, packet.pts)
                packet.stream = stream
                new.mux(packet)
    return path


@pytest.mark.filterwarnings('ignore:.*packets may be damaged')
@pytest.mark.parametrize(
    ('suffix', 'codec', 'late_ms'),
    [('ts', 'libx264', 0), ('ts', 'libx264', 9000), ('mpg', 'mpeg2video', 0)],
)
def test_recordings_behind_each_other(tmp_path, suffix, codec, late_ms):
    """Files of a camcorder joined byte by byte: the clock begins anew."""
    path = tmp_path / f'v.{suffix}'
    content = b''
    for half in (0, 1):
        frames = numbered_frames(40)[20 * half :][:20]
        starts = [40 * 3 * i + late_ms * (1 - half) for i in range(20)]
        make_video(
            *(path, frames, 25),
            times_ms=starts if codec == 'libx264' else None,
            codec=codec,
            options={'g': '12', 'bf': '2'},
        )
        content += path.read_bytes()
    path.write_bytes(content)
    for backend in available_backends():
        assert not wrong_frames(path, backend)[0]
    with open_video(path) as video:
        steps_sec = np.diff(video.times_sec)
    if codec == 'libx264':
        np.testing.assert_allclose(np.delete(steps_sec, 19), 0.12, atol=1e-3)
    assert steps_sec.min() > 0
    assert decode_video(path).frames == 40


def test_frames_that_share_a_time_follow_each_other(tmp_path):
    source = make_video(
        tmp_path / 'a.mkv', numbered_frames(40), 25, codec='mjpeg', pix_fmt='yuvj420p'
    )
    path = restamped(
        tmp_path / 'v.mkv', source, lambda i, pts: (pts - pts % 80, pts - pts % 80)
    )
    for backend in available_backends():
        assert not wrong_frames(path, backend)[0]
    with open_video(path) as video:
        np.testing.assert_allclose(video.times_sec[:38], 0.04 * np.arange(38))
    assert decode_video(path).frames == 40
    pack_video(path, tmp_path / 'packed.mp4', PackOptions(512, crf=8))
    assert not wrong_frames(tmp_path / 'packed.mp4', 'auto')[0]


def test_stamps_in_stored_order_are_not_believed(tmp_path):
    """Of frames that change places, as copying from AVI to Matroska leaves them."""
    source = make_video(tmp_path / 'a.mkv', numbered_frames(40), 25)
    path = restamped(tmp_path / 'v.mkv', source, lambda i, _: (40 * i, 40 * i))
    for backend in available_backends():
        assert not wrong_frames(path, backend)[0]
    assert decode_video(path).frames == 40


@pytest.mark.parametrize('codec', ['libx264', 'mpeg4'])
def test_damage_that_is_concealed_is_told_and_refused_by_nobody(tmp_path, codec):
    path = make_video(
        tmp_path / 'v.mp4', numbered_frames(40), 25, codec=codec, options={'g': '12'}
    )
    spoil_packet(path, 20, kept=16)
    told = pytest.warns(UserWarning, match=r'v\.mp4: damaged frames are shown as')
    with told:
        assert decode_video(path).frames == 40
    with told, open_video(path) as video:
        right = video.get_frames(range(40))
    with told:
        np.testing.assert_array_equal(list(VideoFrames(path)), right)
    with told:
        assert pack_video(path, tmp_path / 'b.mp4', PackOptions(512))['frames'] == 40


def test_a_frame_that_damage_drops_is_named(tmp_path):
    path = make_video(
        tmp_path / 'v.mp4', moving_frames(40), codec='mpeg2video', options={'g': '12'}
    )
    spoil_packet(path, 20, kept=12)
    with pytest.raises(ValueError, match=r'^frame 20 of 40 does not decode$'):
        decode_video(path)
    with (
        open_video(path) as video,
        pytest.raises(BrokenVideoError, match=r'frame 20 of 40 does not decode$'),
    ):
        video.get_frames(range(40))


def test_packets_without_a_picture_are_told(tmp_path):
    source = make_video(
        tmp_path / 'a.mpg', numbered_frames(40), 25, codec='mpeg2video', options={}
    )
    path = cut_without_decoding(tmp_path / 'v.avi', source, 0)
    content = path.read_bytes()
    path.write_bytes(content.replace(b'\0\0\1\0\2', b'\0\0\1\7\2', 1))
    with pytest.warns(UserWarning, match='of 40 packets show no picture'):
        assert decode_video(path).frames < 40


def test_nothing_asked_for_is_nothing(path):
    for backend in available_backends():
        with open_video(path, backend) as video:
            assert len(video.get_frames([])) == 0


def test_a_span_is_read_from_the_key_frame_before_it(tmp_path):
    """Damage before it does not matter, so it was not read."""
    path = make_video(tmp_path / 'v.mp4', numbered_frames(75), 25, options={'g': '12'})
    for number in range(6, 36):
        spoil_packet(path, number)
    for reader, frames in frames_of_span(path, (2.0, 2.8)):
        assert read_numbers(frames) == list(range(50, 70)), reader
    with pytest.raises(ValueError, match='damaged'):
        decode_video(path)


def test_pictures_that_no_file_of_this_size_has(tmp_path):
    path = make_video(tmp_path / 'v.webm', moving_frames(3), codec='libvpx')
    content = path.read_bytes()
    start = content.index(b'\x9d\x01\x2a')  # of a key frame
    size = (16_000).to_bytes(2, 'little')
    path.write_bytes(content[: start + 3] + 2 * size + content[start + 7 :])
    with pytest.raises(BrokenVideoError, match='damaged'), open_video(path) as video:
        video.get_frames([0])
