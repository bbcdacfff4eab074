"""Emotions of videos and clips: units of the study, names, contradictions."""

import json
import math
import re
from dataclasses import replace

import pytest

from mmma.cli import main
from mmma.convert import export
from mmma.data.check import check_root
from mmma.data.clips import Clip, write_rec
from mmma.data.emotions import (
    emotion_videos,
    emotions_of,
    groups_of,
    labelled_root,
)
from mmma.data.root import DataRoot, DatasetInfo, write_info
from mmma.data.videos import Instance, Video, write_det
from mmma.taxonomy import load_label_space

SPACE = load_label_space('mma82')
PLACE = 'test', 'emotion'
LATE = Clip('b', 'x.mp4', *PLACE, 'p', 5, None, 'sad', 'x', 3.0, 4.0)
EARLY = replace(LATE, clip='a', action=7, start_sec=1.0, end_sec=3.5)
ALONE = Clip('c', '', *PLACE, '', 5, None, 'fear')
OTHER = Clip('d', '', *PLACE, 'p', 5, None)
VIDEO = Video(
    'v', '', *PLACE, 'q', 30.0, 300, 10.0, (Instance(1.0, 2.0, 3),), emotion='happy'
)
PLAIN = replace(VIDEO, video='w', emotion='')


@pytest.fixture
def make(tmp_path):
    def write(clips=(), videos=(), **more):
        write_info(tmp_path, DatasetInfo('r', 'mma82', False, **more))
        if clips:
            write_rec(tmp_path / 'rec.csv', clips, SPACE)
        if videos:
            write_det(tmp_path / 'det.json', videos, SPACE)
        return DataRoot(tmp_path)

    return write


def test_videos_of_the_table_come_first_and_stay_as_they_are(make):
    root = make([LATE, EARLY], [VIDEO, PLAIN])
    assert emotion_videos(root) == [VIDEO]
    assert groups_of(emotion_videos(root)) == ['q']
    assert [v.emotion for v in emotion_videos(root, 'rec')] == ['sad']
    assert emotions_of(root) == ('happy', 'sad')
    entry = json.loads((root.path / 'det.json').read_text())['database']
    assert [('emotion' in entry[name]) for name in 'vw'] == [True, False]


def test_clips_of_one_source_are_a_video_in_the_order_of_time(make):
    source, alone = emotion_videos(make([LATE, EARLY, ALONE, OTHER], [PLAIN]))
    assert [(i.start_sec, i.end_sec, i.label, i.text) for i in source.instances] == [
        (1.0, 3.5, 7, 'a'),
        (3.0, 4.0, 5, 'b'),
    ]
    told = source.video, source.emotion, source.subject, source.duration
    assert told == ('x', 'sad', 'p', 4.0)
    assert (alone.video, alone.emotion, alone.withheld) == ('c', 'fear', False)
    times = alone.duration, alone.fps, alone.instances[0].start_sec
    assert all(map(math.isnan, times))
    assert groups_of([source, alone]) == ['p', 'c']


def test_persons_that_differ_are_nobody_and_hidden_actions_are_told(make):
    hidden = replace(EARLY, subject='q', action=None)
    (source,) = emotion_videos(make([LATE, hidden]))
    assert (source.subject, source.withheld, len(source.instances)) == ('', True, 1)


def test_contradictions_of_a_source_are_refused_and_checked(make):
    root = make([LATE, replace(EARLY, emotion='anger')])
    text = (
        r"rec\.csv: line 3: a: emotion 'anger', but 'sad' in line 2 \(b\), from the "
        "same source_video 'x': give all clips of a source one emotion"
    )
    with pytest.raises(ValueError, match=text):
        emotion_videos(root)
    report = check_root(root.path)
    assert not report.ok
    assert any(re.search(f'^  {text}', line) for line in report.lines())


def test_nothing_with_an_emotion_is_told(make):
    root = make([OTHER], [PLAIN])
    assert emotions_of(root) == ()
    for task, tables in ((None, r'det\.json or rec\.csv'), ('rec', r'rec\.csv')):
        with pytest.raises(ValueError, match=f'no row of {tables} has an emotion: wri'):
            emotion_videos(root, task)
    with pytest.raises(ValueError, match="unknown task 'face'"):
        emotion_videos(root, 'face')
    (root.path / 'det.json').unlink()
    with pytest.raises(FileNotFoundError, match=r'has no det\.json'):
        emotion_videos(root, 'det')


def test_emotions_of_a_root_are_those_it_names_in_their_order(make, capsys):
    root = make([LATE, ALONE], [VIDEO, PLAIN], emotions=('sad', 'happy'))
    assert emotions_of(root) == ('sad', 'happy')
    assert [clip.clip for clip in root.read_rec()] == ['b']
    told = "unknown emotion 'fear': use one of"
    assert told in capsys.readouterr().err
    summary = check_root(root.path).summary
    assert told in summary['notes']
    assert 'or name it under "emotions" of dataset.json' in summary['notes']
    assert summary['counts']['emotions_clips_test'] == ['sad 1']
    assert summary['counts']['emotions_videos_test'] == ['happy 1']
    root = make(
        [LATE], [VIDEO, VIDEO, replace(PLAIN, emotion='glee')], emotions=['sad']
    )
    with pytest.raises(ValueError, match=r"det\.json:.*unknown emotion 'happy'"):
        root.read_det()


@pytest.mark.parametrize(
    ('emotions', 'text'),
    [
        ('sad', "'emotions' is 'sad'; it must be a list of names"),
        (['sad', ''], "'emotions' is .*; it must be a list of names"),
        (['sad', 3], "'emotions' is .*; it must be a list of names"),
        (['sad', 'sad'], "'emotions' is .*; name each emotion once"),
    ],
)
def test_bad_emotions_of_a_root(make, emotions, text):
    file = make([LATE]).path / 'dataset.json'
    file.write_text(json.dumps({**json.loads(file.read_text()), 'emotions': emotions}))
    with pytest.raises(ValueError, match=text):
        DataRoot(file.parent)


def test_what_was_planted_is_read_back(make):
    planted = {'weights': {'sad': {'bowing head': 2.5}}}
    root = make([LATE], planted=planted, emotions=('sad',))
    assert (root.info.planted, root.info.emotions) == (planted, ('sad',))


def test_nothing_is_lost_in_files_of_others_and_back(make, tmp_path_factory):
    root, out = make(videos=[VIDEO, PLAIN]), tmp_path_factory.mktemp('out')
    for kind in ('opentad', 'pointtad', 'elan', 'csv', 'boris'):
        there, back = str(out / kind), out / f'{kind}-back'
        if kind.endswith('tad'):
            export(kind, root.path, out / kind)
        else:
            assert main('export', [kind, str(root.path), there]) == 0
        argv = [kind, there, str(back), '--videos', 'none']
        assert main('data/convert', argv) == 0
        found = {video.video: video.emotion for video in DataRoot(back).read_det()}
        assert found == {'v': 'happy', 'w': ''}, kind
        clips = DataRoot(back).read_rec() if DataRoot(back).has_rec else []
        assert {clip.emotion for clip in clips} in (set(), {'happy', ''}), kind


def test_with_emotions_for_labels_rows_without_are_left_out(make, capsys):
    away = replace(ALONE, clip='e', domain='lab', emotion='')
    plain = make([LATE, EARLY, ALONE, OTHER, away], [VIDEO], emotions=('sad', 'fear'))
    root = labelled_root(plain.path, 'emotion')
    assert labelled_root(plain.path, 'emotion') is root
    assert [(c.clip, c.action, c.body) for c in root.read_rec()] == [
        *(('b', 0, None), ('a', 0, None), ('c', 1, None))
    ]
    space = root.label_space()
    assert (space.name, space.actions) == ('mma82-emotion', ('sad', 'fear'))
    assert (root.domains, root.clips_of) == ((('emotion',), 'emotion'), 'rec')
    assert '3 of 5 rows have one, none of lab, ' in capsys.readouterr().err
    assert labelled_root(plain.path).read_rec()[0].action == 5


def test_videos_are_the_clips_of_a_root_without_others(make):
    sad = replace(VIDEO, video='u', emotion='sad')
    root = labelled_root(make([OTHER], [VIDEO, PLAIN, sad]).path, 'emotion')
    assert root.clips_of == 'det'
    assert [(c.clip, c.action, c.source_video) for c in root.read_rec()] == [
        *(('v', 0, 'v'), ('u', 1, 'u'))
    ]
    alone = labelled_root(make(videos=[VIDEO, sad]).path, 'emotion')
    assert alone.incomplete('rec') == []


def test_labels_that_cannot_be_learnt_are_refused(make):
    with pytest.raises(ValueError, match='two emotions or more, and none is there'):
        labelled_root(make([OTHER], [PLAIN]).path, 'emotion')
    with pytest.raises(ValueError, match='two emotions or more, and sad is there'):
        labelled_root(make([LATE, EARLY]).path, 'emotion')
    with pytest.raises(ValueError, match="unknown label 'mood': use one of emotion"):
        labelled_root(make([LATE, ALONE]).path, 'mood')
    with pytest.raises(ValueError, match="name '3' reads as an index: add a letter"):
        labelled_root(make([LATE, replace(ALONE, emotion='3')]).path, 'emotion')
