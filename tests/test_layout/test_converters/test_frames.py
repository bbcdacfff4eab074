from pathlib import Path

import pytest
from video_files import make_video, moving_frames

from mmma.layout.converters.frames import (
    FrameRow,
    disagreements,
    is_placeholder,
    rate_source,
    to_video,
)
from mmma.layout.det import Instance
from mmma.taxonomy import load_label_space

SPACE = load_label_space('ma52')
VALUES = {
    'video_id': 'v',
    'start_frame': '0',
    'end_frame': '29',
    'class': '9',
    'total_frames': '58',
    'fps': '29.0',
}


def row(**changes):
    return FrameRow.parse({**VALUES, **changes}, 2, SPACE)


def test_a_row():
    assert row() == FrameRow(2, 'v', 0, 29, 9, 58, 29.0)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'start_frame': 'x'}, 'not a row of numbers'),
        ({'end_frame': None}, 'not a row of numbers'),
        ({'end_frame': '0'}, r'frames 0 to 0 of 58.*0 <= start < end <= total'),
        ({'end_frame': '59'}, 'frames 0 to 59 of 58'),
        ({'start_frame': '-1'}, 'frames -1 to 29'),
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


def test_seconds_follow_the_rate():
    place = {'path': 'v.mp4', 'subset': 'train', 'domain': 'lab', 'subject': ''}
    video = to_video([row()], 29.0, place)
    assert video.instances == (Instance(0.0, 1.0, 9),)
    assert (video.fps, video.frames, video.duration) == (29.0, 58, 2.0)


def test_rows_of_one_video_that_disagree():
    rows = [row(), row(fps='30'), row(total_frames='60')]
    found = [problem.text for problem in disagreements(Path('t.csv'), rows)]
    assert found == [
        '58 frames at fps 30.0, but line 2 says 58 at 29.0',
        '60 frames at fps 29.0, but line 2 says 58 at 29.0',
    ]


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
    assert is_placeholder(rows, [str(row.label) for row in rows]) == expected


def test_named_classes_do_not_count_up():
    assert not is_placeholder(counting('abcd'), ['nodding'] * 4)


def test_a_rate_in_the_table_wins_and_says_so():
    notices = []
    rate = rate_source(Path('t.csv'), [row()], 25, notices)
    assert rate(row(), None) == 29
    assert notices == ['t.csv has its own fps: --fps is not used for it']


def without_fps():
    return FrameRow(2, 'v', 0, 29, 9, 58, None)


def test_a_rate_the_user_gives_is_told():
    notices = []
    rate = rate_source(Path('t.csv'), [without_fps()], 25, notices)
    assert rate(without_fps(), None) == 25
    assert notices == ['t.csv has no fps: 25 taken for all, as asked']


def test_a_rate_is_read_from_the_video(tmp_path):
    file = make_video(tmp_path / 'v.mp4', moving_frames(10), fps=29)
    rate = rate_source(Path('t.csv'), [without_fps()], None, [])
    assert rate(without_fps(), file) == 29


def test_a_rate_is_never_guessed():
    rate = rate_source(Path('t.csv'), [without_fps()], None, [])
    with pytest.raises(ValueError, match=r't\.csv:2: v: no fps in the table.*--fps N'):
        rate(without_fps(), None)


def test_a_broken_video_tells_no_rate(tmp_path):
    (tmp_path / 'v.mp4').touch()
    rate = rate_source(Path('t.csv'), [without_fps()], None, [])
    with pytest.raises(ValueError, match=r'no fps to read from .*v\.mp4: zero bytes'):
        rate(without_fps(), tmp_path / 'v.mp4')
