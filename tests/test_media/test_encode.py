from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from pack_roots import TIMES_MS
from video_files import make_audio, make_click, make_video, moving_frames

from mmma.data.joints import WHOLEBODY65
from mmma.media import encode as encoding
from mmma.media.encode import (
    PackOptions,
    choose_person,
    even_size,
    pack_video,
    part_box,
    read_person,
    read_times,
    seen_box,
    square_pixels,
)
from mmma.video import open_video


def test_what_is_recorded():
    plain = PackOptions().as_dict()
    assert plain == {
        'codec': 'h264', 'short_side': 256, 'gop': 64, 'crf': 20,
        'preset': 'fast fastdecode', 'bframes': 3, 'scaler': 'bicubic', 'crop': 'none',
    }  # fmt: skip
    cropped = PackOptions(crop='person', person='left').as_dict()
    assert cropped == {**plain, 'crop': 'person', 'margin': 0.15, 'person': 'left'}


def test_rules_of_all_and_of_single_clips(tmp_path):
    assert read_person('right') == {'person': 'right'}
    assert read_person('2') == {'person': 2}
    file = tmp_path / 'who.csv'
    file.write_text('name,person\na,1\nb,left\n')
    options = PackOptions(crop='person', **read_person(str(file)))
    assert (options.person, options.by_name) == ('largest', {'a': 1, 'b': 'left'})
    assert len(options.as_dict()['person_file']) == 16


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'crop': 'persn'}, "unknown crop 'persn'"),
        ({'short_side': 8}, r'--short-side 8: must be in 16\.\.4096'),
        ({'gop': 0}, '--gop 0: must be'),
        ({'crf': 52}, '--crf 52: must be'),
        ({'margin': -1}, '--margin -1: must be'),
    ],
)
def test_bad_options(change, message):
    with pytest.raises(ValueError, match=message):
        PackOptions(**change)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('clip,who\n', 'who.csv:1: the header must be name,person'),
        ('name,person\na,1\na,2\n', 'who.csv:3: .*once'),
        ('name,person\na,\n', "who.csv:2: person ''"),
    ],
)
def test_bad_rules(tmp_path, content, message):
    file = tmp_path / 'who.csv'
    file.write_text(content)
    with pytest.raises(ValueError, match=message):
        read_person(str(file))
    with pytest.raises(ValueError, match=r"'rigth': use .* Did you mean 'right'"):
        read_person('rigth')
    with pytest.raises(FileNotFoundError, match=r'gone\.csv: no such file'):
        read_person('gone.csv')


# Left and small, right and large, and nobody.
POINTS = np.zeros((3, 5, 2, 2))
POINTS[0] = [[10, 10], [20, 20]]
POINTS[1] = [[60, 20], [90, 80]]
SCORES = np.stack([np.full((5, 2), 1.0), np.full((5, 2), 0.5), np.zeros((5, 2))])


@pytest.mark.parametrize(
    ('rule', 'expected'),
    [('largest', 1), ('left', 0), ('right', 1), (0, 0), (1, 1), (2, None), (7, None)],
)
def test_whom_to_follow(rule, expected):
    assert choose_person(POINTS, SCORES, rule) == expected


def test_largest_weighs_area_with_score():
    scores = SCORES.copy()
    scores[1] = 0.31
    points = POINTS.copy()
    points[1] = [[60, 20], [74, 40]]  # 280 x 0.31 against 100 x 1
    assert choose_person(points, scores, 'largest') == 0
    assert choose_person(points, scores * 0, 'left') is None


def test_the_box_holds_all_frames_but_no_joint_that_jumps_once():
    points = np.tile(POINTS[1], (60, 1, 1))
    points[:100, :, 0] += 5  # moves right at a third of the way
    points[7, 0] = [0, 0]
    box = seen_box(points, np.ones(points.shape[:2]))
    assert box == pytest.approx((60, 20, 95, 80), abs=1.1)


# A person of 100 x 400 from the front: the head is 40 x 60, a hand or foot 30 long.
FIGURE = {
    **dict(nose=(200, 40), left_eye=(209, 30), right_eye=(191, 30), left_ear=(220, 32)),
    **dict(right_ear=(180, 32), left_elbow=(250, 160), right_elbow=(150, 160)),
    **dict(left_wrist=(250, 200), right_wrist=(150, 200), left_hip=(220, 220)),
    **dict(right_hip=(180, 220), left_knee=(220, 320), right_knee=(180, 320)),
    **dict(
        left_ankle=(220, 400), right_ankle=(180, 400), left_middle_finger4=(250, 230)
    ),
    **dict(left_big_toe=(230, 420), right_big_toe=(170, 420)),
}
PARTS_OF_IT = {
    'head': (175, 2, 225, 65),
    'hands': (150, 200, 250, 230),
    'legs': (170, 220, 230, 420),
}


def covers(box, part, slack):
    """True if a box is around a part, and nowhere further away than ``slack``."""
    away = (np.array(part) - box) * [1, 1, -1, -1]
    return (away >= -1e-6).all() and (away <= slack).all()


def test_boxes_of_parts_hold_them_where_ends_are_unseen_too():
    names = list(FIGURE)
    points = np.tile(np.array([*FIGURE.values()], float), (40, 1, 1))
    moved = points + np.linspace(0, 30, 40)[:, None, None] * [1, 0]
    scores = np.ones(points.shape[:2])
    rare = np.where(np.arange(40)[:, None] < 3, scores, 0)
    boneless = scores * [n.endswith(('nose', 'wrist', 'hip')) for n in names]
    for part, wanted in PARTS_OF_IT.items():
        assert covers(part_box(points, scores, names, part), wanted, 65), part
        wider = np.add(wanted, (0, 0, 29, 0))
        assert covers(part_box(moved, scores, names, part), wider, 65), part
        assert part_box(points, rare, names, part) is None
        assert part_box(points, boneless, names, part) is None
    profile = np.array([[[172, 40], [176, 30], [204, 32]]])
    box = part_box(profile, np.ones((1, 3)), ['nose', 'left_eye', 'left_ear'], 'head')
    assert covers(box, (170, 5, 228, 65), 40)


def test_fingers_and_toes_that_are_seen_end_a_box():
    hand = {n: (250 + v, 225) for v, n in enumerate(WHOLEBODY65.names[23:44])}
    figure = {**FIGURE, **hand}
    del figure['right_wrist']
    points = np.array([[*figure.values()]], float)
    box = part_box(points, np.ones(points.shape[:2]), list(figure), 'hands')
    assert box == pytest.approx((250, 200, 270, 225), abs=1)


@pytest.mark.parametrize(
    ('box', 'margin', 'expected'),
    [
        ((0.4, 0.4, 0.6, 0.5), 0, (80, 70, 40, 40)),  # 40 x 20 in 200 x 200
        ((0.4, 0.4, 0.6, 0.5), 0.5, (60, 50, 80, 80)),
        ((0.0, 0.9, 0.2, 1.0), 0, (0, 160, 40, 40)),  # moved in at the edge
        ((0.0, 0.0, 1.0, 0.2), 0.1, (0, 0, 200, 200)),
        ((0.5, 0.5, 0.5, 0.5), 0, (84, 84, 32, 32)),
    ],
)
def test_the_square_stays_in_the_picture(box, margin, expected):
    assert square_pixels(box, (200, 200), margin) == expected


SMALL = PackOptions(short_side=32, gop=4)


def key_frames(path):
    with av.open(str(path)) as file:
        return [p.is_keyframe for p in file.demux(video=0) if p.size]


def decoded(path):
    with av.open(str(path)) as file:
        return np.stack([f.to_ndarray(format='rgb24') for f in file.decode(video=0)])


def seconds(path):
    (stamps, unit), _ = read_times(path)
    return [stamp * unit for stamp in stamps]


@pytest.mark.parametrize('name', ['a.mp4', 'a.mkv', 'a.avi', 'a.ts'])
@pytest.mark.parametrize('uneven', [False, True])
def test_count_and_times_are_those_of_the_source(tmp_path, name, uneven):
    if uneven and name == 'a.avi':
        pytest.skip('the container has one rate')
    times = [t + 80 for t in TIMES_MS] if uneven else None
    source = make_video(tmp_path / name, moving_frames(12), 25, times_ms=times)
    made = pack_video(source, tmp_path / 'out' / 'a.mp4', SMALL)
    assert [made[k] for k in ('frames', 'picture', 'size')] == [12, (64, 48), (42, 32)]
    with open_video(source, 'pyav') as old, open_video(tmp_path / 'out/a.mp4') as new:
        assert new.times_sec == pytest.approx(old.times_sec, abs=1e-9)
        assert new.duration_sec == pytest.approx(old.duration_sec, abs=1e-9)
    assert seconds(source) == seconds(tmp_path / 'out/a.mp4')
    if uneven and name == 'a.mkv':
        stamps = [Fraction(t, 1000) for t in TIMES_MS]
        assert seconds(source)[:-1] == stamps


def test_a_raw_stream_has_its_rate_for_stamps(tmp_path):
    source = make_video(tmp_path / 'a.h264', moving_frames(5), 25)
    pack_video(source, tmp_path / 'b.mp4', SMALL)
    assert seconds(tmp_path / 'b.mp4') == [Fraction(i, 25) for i in range(6)]


def test_key_frames_come_every_gop_and_most_frames_are_left_out(tmp_path):
    source = make_video(tmp_path / 'a.mp4', moving_frames(26))
    assert sum(key_frames(source)) == 1
    pack_video(source, tmp_path / 'b.mp4', replace(SMALL, gop=12))
    keys = [i for i, key in enumerate(key_frames(tmp_path / 'b.mp4')) if key]
    with av.open(str(tmp_path / 'b.mp4')) as file:
        packets = [p.pts for p in file.demux(video=0) if p.size]
        shown = sorted(packets)
    assert [shown.index(packets[i]) for i in keys] == [0, 12, 24]
    assert packets[-3:] == shown[-3:]
    with av.open(str(tmp_path / 'b.mp4')) as file:
        file.streams.video[0].codec_context.skip_frame = 'NONREF'
        needed = [shown.index(frame.pts) for frame in file.decode(video=0)]
    assert needed == [0, 4, 8, 11, 12, 16, 20, 22, 23, 24, 25]


def test_pictures_are_those_of_the_source_in_order(tmp_path):
    frames = moving_frames(8)
    source = make_video(tmp_path / 'a.mp4', frames)
    pack_video(source, tmp_path / 'b.mp4', PackOptions(short_side=48, crf=10))
    packed = decoded(tmp_path / 'b.mp4').astype(int)
    close = np.abs(packed - decoded(source)).mean((1, 2, 3))
    assert close.max() < np.abs(np.diff(frames.astype(int), axis=0)).mean() / 3


@pytest.mark.parametrize('pix_fmt', ['yuvj420p', 'yuv444p', 'yuv420p10le', 'gray'])
def test_colours_stay(tmp_path, pix_fmt):
    codec = 'libx264' if pix_fmt != 'gray' else 'ffv1'
    made = {'codec': codec, 'pix_fmt': pix_fmt}
    source = make_video(tmp_path / 'a.mkv', moving_frames(4), **made)
    pack_video(source, tmp_path / 'b.mp4', PackOptions(short_side=48, crf=5))
    old, new = (decoded(f).mean((0, 1, 2)) for f in (source, tmp_path / 'b.mp4'))
    assert new == pytest.approx(old, abs=2.5)


@pytest.mark.parametrize('rotation', [0, 90, 180, -90])
def test_rotation_is_applied_and_the_box_is_of_the_upright_picture(tmp_path, rotation):
    source = make_video(
        tmp_path / 'a.mp4', moving_frames(3, 96, 128), rotation=rotation
    )
    box = (0.5, 0, 1, 0.5)
    options = PackOptions(short_side=32, margin=0, crf=5)
    made = pack_video(source, tmp_path / 'b.mp4', options, box)
    with (
        open_video(source, 'pyav') as old,
        open_video(tmp_path / 'b.mp4', 'pyav') as new,
    ):
        upright, packed = old.get_frames([1])[0], new.get_frames([1])[0]
    left, top, wide, high = made['crop']
    assert made['picture'] == upright.shape[1::-1]
    assert left + wide == upright.shape[1]
    assert top == 0
    region = upright[top : top + high, left : left + wide].astype(float)
    assert packed.shape[1::-1] == made['size']
    assert packed.mean((0, 1)) == pytest.approx(region.mean((0, 1)), abs=3)


def test_sizes_are_even_and_never_larger():
    for size, short, expected in (
        ((1080, 1296), 256, (256, 308)),
        ((1920, 1080), 256, (456, 256)),
        ((64, 48), 256, (64, 48)),
        ((57, 41), 256, (56, 40)),
    ):
        assert even_size(*size, short) == expected


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


@pytest.mark.parametrize(
    ('spoil', 'message'),
    [
        (lambda p: p.unlink(), 'no such video file'),
        (lambda p: p.write_bytes(b''), 'zero bytes'),
        (lambda p: p.write_bytes(b'text' * 99), 'not readable as video'),
        (cut, 'damaged|not readable'),
    ],
)
def test_bad_sources_leave_nothing(tmp_path, spoil, message):
    source = make_video(
        tmp_path / 'a.mp4', moving_frames(12), muxer={'movflags': 'faststart'}
    )
    spoil(source)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        pack_video(source, tmp_path / 'out' / 'b.mp4', SMALL)
    assert list((tmp_path).rglob('*b.mp4*')) == []


def test_no_video(tmp_path):
    with pytest.raises(ValueError, match='audio only'):
        pack_video(make_audio(tmp_path / 'a.mp4'), tmp_path / 'b.mp4', SMALL)


@pytest.mark.parametrize(
    ('stamps', 'size', 'message'),
    [
        ([0, 1, 3, 4], (64, 48), 'at other times'),
        ([0, 1, 2, 3], (64, 50), '3 packed frames of'),
    ],
)
def test_what_was_written_is_compared(tmp_path, stamps, size, message):
    path = make_video(tmp_path / 'a.mp4', moving_frames(3))
    with pytest.raises(ValueError, match=message):
        encoding.verify(path, (stamps, Fraction(1, 30)), size)


def test_a_lossless_cut_and_the_second_stream(tmp_path):
    """What is packed is what is read: the same stream and the same frames of it."""
    source = make_video(tmp_path / 'a.mkv', moving_frames(24), options={'g': '8'})
    cut = tmp_path / 'cut.mkv'
    with av.open(str(source)) as old, av.open(str(cut), 'w') as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.size and packet.pts >= 200:  # from the middle of a group
                packet.stream = stream
                new.mux(packet)
    pack_video(cut, tmp_path / 'b.mp4', PackOptions(short_side=48, crf=5))
    with open_video(cut) as old, open_video(tmp_path / 'b.mp4') as new:
        assert new.num_frames == old.num_frames < 18
        numbers = range(old.num_frames)
        assert new.times_sec == pytest.approx(old.times_sec, abs=1e-9)
        given, right = (v.get_frames(numbers).astype(int) for v in (new, old))
    assert np.abs(given - right).mean() < 3


@pytest.mark.parametrize('begin_ms', [200, 900])  # before the first frame, and behind
def test_sound_that_is_asked_for_keeps_its_time(tmp_path, begin_ms):
    source, copy = (
        make_click(tmp_path / 'a.mkv', 500, begin_ms, 1200),
        tmp_path / 'b.mp4',
    )
    pack_video(source, copy, SMALL)
    with av.open(str(copy)) as container:
        assert not container.streams.audio
    pack_video(source, copy, SMALL, sound=True)
    assert seconds(copy) == pytest.approx(seconds(source))
    with av.open(str(copy)) as container:
        assert container.streams.audio[0].codec_context.name == 'aac'
        heard = [
            float(frame.pts * frame.time_base) + at / frame.sample_rate
            for frame in container.decode(audio=0)
            for at in np.flatnonzero(np.abs(frame.to_ndarray()).max(axis=0) > 0.2)
        ]
    assert heard[0] == pytest.approx(0.7, abs=0.003)
    assert heard[-1] == pytest.approx(0.71, abs=0.003)
    pack_video(make_video(source, moving_frames(3)), copy, SMALL, sound=True)
    with av.open(str(copy)) as container:
        assert not container.streams.audio
