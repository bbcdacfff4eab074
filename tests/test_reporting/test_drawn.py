"""Drawn videos: their times are the source's, and labels stand only while they hold."""

from dataclasses import replace
from types import SimpleNamespace

import av
import numpy as np
import pytest
from page_files import HOSTILE, answer
from video_files import make_audio, make_video, moving_frames

from mmma.data.joints import WHOLEBODY65, encode_joints
from mmma.engine.findings import Finding, InferenceOptions, write_findings
from mmma.media.pose import Partial
from mmma.packets import index_video
from mmma.reporting import drawn
from mmma.reporting.drawn import draw_video
from mmma.reporting.pages import why_copied
from mmma.taxonomy import load_label_space
from mmma.video import open_video

TIMES_MS = [0, 40, 50, 300, 310, 400, 900, 1000]
MMA82 = load_label_space('mma82')


def draw(folder, actions, space=MMA82, name='one', stem='one', skeletons=None, **more):
    """Make a video of a variable rate, and draw an answer about it; both files."""
    video = folder / 'videos' / f'{name}.mkv'
    if not video.exists():
        make_video(video, moving_frames(8, 46, 66), times_ms=TIMES_MS)
    found = replace(answer(video, space), actions=actions, skeletons=skeletons)
    found = replace(found, model=replace(found.model, **more))
    facts = {'request': {'n': len(actions), **more}, 'top_k': 5}
    (folder / 'out').mkdir(exist_ok=True)
    write_findings(folder / 'out', stem, [found], facts)
    card = SimpleNamespace(extractor='planted' if skeletons else None)
    model = SimpleNamespace(card=card, options=InferenceOptions(), space=space)
    return draw_video(folder / 'out', stem, video, [model], [found], 'one'), video


def segment(start, end, action=0, score=0.5):
    body = MMA82.bodies[MMA82.body_of[action]]
    return Finding(start, end, MMA82.actions[action], body, score)


def frames_of(path):
    with open_video(path) as video:
        return video.get_frames(range(video.num_frames)).astype(int)


def test_times_are_those_of_the_source_and_browsers_play_it(tmp_path):
    path, video = draw(tmp_path, (segment(0, 1),))
    assert index_video(path).times_sec == pytest.approx(index_video(video).times_sec)
    length = index_video(video).duration_sec
    assert index_video(path).duration_sec == pytest.approx(length)
    assert not why_copied(path, {'fps': 8, 'first_frame_sec': 0.0})
    with av.open(str(path)) as container:
        (stream,) = container.streams
        assert (stream.width % 2, stream.height % 2) == (0, 0)
        assert stream.codec_context.name == 'h264'


def test_labels_and_the_mark_stand_only_while_they_hold(tmp_path):
    rows = segment(0, 2), segment(0.05, 0.31, 30), segment(0.5, 0.6, 60)
    frames = frames_of(draw(tmp_path, rows)[0])
    high = 2 * round(46 * 480 / 66 / 2)
    assert frames.shape[2] == 480
    assert frames.shape[1] == high + 4 * 32  # time, timeline, two rows of labels
    second = frames[:, high + 3 * 32 :].max(axis=(1, 2, 3)) > 120
    # 0.05, 0.30 <= t < 0.31; what is over between 0.4 and 0.9 comes with the latter.
    assert second.tolist() == [i in (2, 3, 6) for i in range(8)]
    assert (frames[:, high + 64 : high + 96].max(axis=(1, 2, 3)) > 120).all()
    colours = [drawn._COLOURS[MMA82.body_of[a]] for a in (30, 60)]
    for frame, colour in zip((2, 6), colours, strict=True):
        assert np.abs(frames[frame, high + 112, 2] - colour).max() < 12
    mark = frames[:, :32, :100]
    assert (np.abs(mark - drawn._WARN).sum(axis=3).min(axis=(1, 2)) < 60).all()
    heads = frames[:, high + 60].sum(axis=2).argmax(axis=1)
    length = index_video(tmp_path / 'videos/one.mkv').duration_sec
    assert heads == pytest.approx(np.array(TIMES_MS) / 1000 / length * 480, abs=3)
    plain = frames_of(draw(tmp_path, rows, stem='two', simulated=False)[0])
    assert (np.abs(plain[:, :32, :100] - drawn._WARN).sum(axis=3) > 60).all()
    # Nothing else is in the picture.
    shown = frames_of(tmp_path / 'videos' / 'one.mkv')
    small = plain[:, :high].reshape(8, high // 2, 2, 240, 2, 3).mean(axis=(2, 4, 1, 3))
    assert small == pytest.approx(shown.mean(axis=(1, 2)), abs=4)


def test_joints_have_the_colours_of_their_groups(tmp_path):
    points, scores = np.zeros((1, 8, 65, 2)), np.zeros((1, 8, 65))
    points[:, :, :, 0] = np.linspace(2, 60, 8)[:, None]  # from left to right
    points[:, :, 60:, 1] = 20
    scores[:, :, [0, 13, 7]] = 1  # nose, knee, elbow
    points[:, :, 0, 1], points[:, :, 13, 1], points[:, :, 7, 1] = 8, 40, 24
    joints = encode_joints(points, scores, WHOLEBODY65.score_scale)
    found = Partial(joints, 8 / 1.1, 66, 46)
    frames = frames_of(draw(tmp_path, (), skeletons=found)[0])
    scale = frames.shape[2] / 66
    for time, row in ((0, 0), (3, 2), (7, 7)):  # of the eight rows, those of its time
        x = round(points[0, row, 0, 0] * scale)
        for y, group in ((8, 'head'), (40, 'lower limb'), (24, 'upper limb')):
            seen = frames[time, round(y * scale), x]
            colour = drawn._COLOURS[MMA82.bodies.index(group)]
            assert np.abs(seen - colour).max() < 60, (time, group)


def test_a_private_video_tells_no_name(tmp_path):
    path, _ = draw(tmp_path, (segment(0, 1),), name='anna-4711', stem='video-1')
    assert b'anna' not in path.read_bytes()
    with av.open(str(path)) as container:
        assert set(container.metadata) - {'comment'} <= {
            *('major_brand', 'minor_version', 'compatible_brands', 'encoder'),
        }


def test_hostile_and_foreign_letters(tmp_path):
    names = (*HOSTILE, '点头', '\U0001f9d1', 'a\u0301', 'x' * 5000)
    space = load_label_space({'name': 'x', 'actions': [{'name': n} for n in names]})
    rows = tuple(Finding(i / 20, 2, n, None, 0.5) for i, n in enumerate(names))
    frames = frames_of(draw(tmp_path, rows, space)[0])
    assert frames.shape[1] == 2 * round(46 * 480 / 66 / 2) + (2 + 8) * 32  # at most
    for name in ('שלום', 'é', 'plain'):
        assert drawn._font(name, 16)[0] == name
    assert drawn._font('a\u202eb\n\U0010fffd', 16)[0] == 'a\\u202eb\\nU+10FFFD'


def test_it_goes_on_and_replaces_no_file_of_others(tmp_path, monkeypatch):
    path, _ = draw(tmp_path, ())
    first = path.stat().st_mtime_ns
    assert draw(tmp_path, ())[0].stat().st_mtime_ns == first
    monkeypatch.setattr(drawn, 'draw_over', None)
    assert draw(tmp_path, (segment(0, 1),))[0].stat().st_mtime_ns != first
    others = make_audio(tmp_path / 'theirs.mp4').read_bytes()
    path.write_bytes(others)
    with pytest.raises(ValueError, match='another program wrote'):
        draw(tmp_path, ())
    assert path.read_bytes() == others
    path.unlink()

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(drawn, '_font', stop)
    with pytest.raises(KeyboardInterrupt):
        draw(tmp_path, ())
    assert {file.suffix for file in path.parent.iterdir()} == {'.csv', '.json'}
