"""Files of findings, and the videos that a user means."""

import json
from dataclasses import replace

import numpy as np
import pytest
from kill_points import kill_points

from mmma.engine.findings import (
    COLUMNS,
    Answer,
    Finding,
    ModelCard,
    body_seen,
    find_videos,
    made_before,
    summary,
    write_findings,
)
from mmma.media.pose import Partial

CARD = ModelCard(
    *('small', 'rec', 'Pose', '0' * 64, 'small_mma82', '1' * 64, 'mma82', 'toy'),
    simulated=True,
    extractor='fake 1',
)
NOD, TURN = (
    Finding(0.0, 2.5, action, 'head', score)
    for action, score in (('nodding', 0.75), ('turning head', 0.25))
)
BODY = Finding(0.0, 2.5, None, 'head', 1.0)
VIDEO = {'frames': 75, 'fps': 30.0, 'duration_sec': 2.5, 'first_frame_sec': 0.5}


def answers(abstained=False):
    detector = ModelCard(**{**vars(CARD), 'name': 'finder', 'task': 'det'})
    segment = Finding(0.5, 1.23456, 'nodding', 'head', 0.98765)
    joints = Partial(np.ones((75, 1, 65, 3), np.int16), 30.0, 64, 48)
    return (
        Answer(
            *(CARD, VIDEO, (NOD, TURN), (BODY,), abstained, 0.5, 0, ('mind',), joints)
        ),
        Answer(detector, VIDEO, (segment,), (), False, 0.2, 3),
    )


def written(folder, facts, abstained=False):
    write_findings(folder, 'clip', answers(abstained), facts)
    content = json.loads((folder / 'clip.json').read_text())
    return content, (folder / 'clip.csv').read_text().splitlines()


def test_rows(tmp_path):
    facts = {'request': {}, 'top_k': 1}
    content, rows = written(tmp_path, facts)
    assert 'path' not in content['video']
    assert rows == [
        ','.join(COLUMNS),
        'rec,0.000,2.500,nodding,head,0.7500,false,true,small',
        'det,0.500,1.235,nodding,head,0.9877,false,true,finder',
    ]
    _, rows = written(tmp_path, facts, abstained=True)
    assert rows[1] == 'rec,0.000,2.500,,,0.7500,true,true,small'
    found = answers(abstained=True)
    text = 'abstained 0.75 [simulated]; 1 segments, 3 below threshold 0.2'
    assert summary(found) == f'{text}, all below a quarter of it [simulated]'
    found = [replace(own, below=(Finding(0, 1, 'a', 'b', 0.4449),)) for own in found]
    assert summary(found) == f'{text}, the best 0.445 [simulated]'


def test_the_json_keeps_what_an_abstention_hides(tmp_path):
    facts = {'request': {'a': 1}, 'top_k': 1, 'path': '/x/v.mp4'}
    found, _ = written(tmp_path, facts, abstained=True)
    assert list(found) == [
        *('schema', 'video', 'time', 'simulated', 'skeletons'),
        *('recognition', 'detection', 'request'),
    ]
    assert found['simulated'] is True
    assert found['video'] == {'path': '/x/v.mp4', **VIDEO}
    assert found['skeletons'] == {'extractor': 'fake 1', 'body_found': 1.0}
    recognition, detection = found['recognition'], found['detection']
    assert recognition['action'] is recognition['body'] is None
    assert recognition['abstained'] is True
    assert recognition['threshold'] == 0.5
    best = {'action': 'nodding', 'body': 'head', 'score': 0.75, 'raw_score': None}
    assert recognition['actions'] == [best]
    assert recognition['bodies'] == [{'body': 'head', 'score': 1.0, 'raw_score': None}]
    assert recognition['threshold_chosen_on'] == 'the user'
    assert recognition['notes'] == ['mind']
    assert detection['below_threshold'] == 3
    assert detection['segments'][0]['end_sec'] == 1.23456


def test_what_is_whole_and_made_alike_is_known(tmp_path):
    out, request = tmp_path / 'new', {'options': {'threshold': 0.5}}
    assert not made_before(out, 'clip', request, 'video 1')
    write_findings(out, 'clip', answers(), {'request': request, 'top_k': 5})
    assert made_before(out, 'clip', request, 'video 1')
    assert not made_before(out, 'clip', {'options': {'threshold': 0.4}}, 'video 1')
    assert sorted(p.name for p in out.iterdir()) == ['clip.csv', 'clip.json']
    (out / 'clip.csv').unlink()
    assert not made_before(out, 'clip', request, 'video 1')


def test_killed_anywhere_rows_are_those_of_the_answers(tmp_path):
    one, two = ({'options': {'threshold': t, 'path': 'x'}} for t in (0.5, 0.4))
    old = {'request': one, 'top_k': 5}
    write_findings(tmp_path, 'clip', answers(), old)
    rows = (tmp_path / 'clip.csv').read_text()
    new = dict(old, request=two)
    for _ in kill_points(lambda: write_findings(tmp_path, 'clip', answers(True), new)):
        if made_before(tmp_path, 'clip', one, 'a'):
            assert (tmp_path / 'clip.csv').read_text() == rows
        if made_before(tmp_path, 'clip', two, 'a'):
            assert (tmp_path / 'clip.csv').read_text() != rows
            break
        write_findings(tmp_path, 'clip', answers(), old)
    assert made_before(tmp_path, 'clip', two, 'a')


def test_files_of_others_are_left_alone(tmp_path):
    for name, text in (
        ('a.json', json.dumps({'schema': 'other'})),
        ('b.json', '{'),
        ('c.json', '[]'),
        ('d.csv', 'time,label\n'),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(
            ValueError, match=r'video 1: .* file of its stem that anoth'
        ):
            made_before(tmp_path, name[0], {}, 'video 1')


def test_share_of_the_frames_with_a_body():
    joints = np.zeros((9, 2, 65, 3), np.int16)
    joints[:3, 1, 4, 2] = 5
    joints[:, :, 30] = 5  # of a hand
    assert body_seen(Partial(joints, 30.0, 64, 48)) == pytest.approx(1 / 3)


def test_videos_that_are_meant(tmp_path):
    names = ('b.mp4', 'a.MKV', 'notes.txt', 'sub/a.avi', '._a.mp4')
    b, a, _, other, _ = (tmp_path / name for name in names)
    (tmp_path / 'sub').mkdir()
    (tmp_path / 'empty').mkdir()
    for name in names:
        (tmp_path / name).touch()
    videos, notes = find_videos([tmp_path, b], False)
    assert videos == {a: (str(a), 'a'), b: (str(b), 'b'), other: (str(other), 'sub/a')}
    assert notes == [f'{tmp_path}: 2 other files left out: ._a.mp4, notes.txt']
    assert find_videos([tmp_path], True)[1] == ['input 1 of 1: 2 other files left out']
    videos, _ = find_videos([b, other], True)
    assert [label for label, _ in videos.values()] == ['video 1 of 2', 'video 2 of 2']
    camcorder = tmp_path / 'sub' / 'a.MTS'
    camcorder.touch()
    videos, notes = find_videos([tmp_path / 'sub'], False)
    assert [stem for _, stem in videos.values()] == ['a.MTS', 'a.avi']
    assert not notes
    camcorder.unlink()
    gone, empty = tmp_path / 'gone.mp4', tmp_path / 'empty'
    for given, told, hidden, text in (
        ([gone], gone, 'input 1 of 1', 'no such video file or folder'),
        ([b, empty], empty, 'input 2 of 2', r'no video in this folder \(\.'),
    ):
        with pytest.raises(FileNotFoundError, match=f'^{told}: {text}'):
            find_videos(given, False)
        with pytest.raises(FileNotFoundError, match=f'^{hidden}: {text}'):
            find_videos(given, True)
    twin = tmp_path / 'empty' / 'a.MKV'
    twin.touch()
    with pytest.raises(ValueError, match=f'^{a} and {twin} have the same name'):
        find_videos([a, twin], False)
    numbered, _ = find_videos([a, twin], True)
    assert [stem for _, stem in numbered.values()] == ['video-1', 'video-2']
