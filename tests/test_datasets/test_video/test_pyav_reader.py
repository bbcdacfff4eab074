"""Decoding no more than needed, and never another frame than wanted."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from video_files import make_video, moving_frames, spoil_packet

from mmma.datasets.video import BrokenVideoError, open_video
from mmma.datasets.video.index import open_container, read_index
from mmma.datasets.video.pyav_reader import PyAVReader


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


def test_rotation(tmp_path):
    frames = moving_frames(4)
    upright = decode_all(make_video(tmp_path / 'a.mp4', frames))
    path = make_video(tmp_path / 'b.mp4', frames, rotation=90)
    with open_video(path, 'pyav') as video:
        assert (video.height, video.width) == (64, 48)
        np.testing.assert_array_equal(
            video.get_frames(range(4)), np.rot90(upright, axes=(1, 2))
        )


def test_a_frame_that_never_comes(tmp_path):
    path = make_video(tmp_path / 'v.mp4', moving_frames(5))
    container = open_container(path)
    index = read_index(container)
    longer = replace(index, pts=np.append(index.pts, index.pts[-1] + 999))
    with (
        PyAVReader(path, longer, container) as video,
        pytest.raises(BrokenVideoError, match='frame 5 of 6 does not decode'),
    ):
        video.get_frames([0, 5])


def test_damage(tmp_path):
    path = make_video(tmp_path / 'v.mp4', moving_frames(20))
    spoil_packet(path, 10)
    with (
        open_video(path, 'pyav') as video,
        pytest.raises(BrokenVideoError, match='damaged: Invalid data'),
    ):
        video.get_frames(range(20))


def test_a_picture_that_changes_its_size(tmp_path):
    import av

    path = tmp_path / 'v.mkv'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('mjpeg', rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuvj420p'
        for i, size in enumerate([(48, 64), (64, 96)]):
            for packet in jpeg(moving_frames(1, *size)[0]):
                packet.stream = stream
                packet.pts = packet.dts = i
                packet.time_base = Fraction(1, 25)
                container.mux(packet)
    with (
        open_video(path) as video,
        pytest.raises(BrokenVideoError, match='the picture changes its size'),
    ):
        video.get_frames([0, 1])


def jpeg(image):
    import av

    encoder = av.CodecContext.create('mjpeg', 'w')
    encoder.height, encoder.width = image.shape[:2]
    encoder.pix_fmt, encoder.time_base = 'yuvj420p', Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(image, format='rgb24')
    return [*encoder.encode(frame), *encoder.encode()]
