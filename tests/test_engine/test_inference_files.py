import csv
import json

import numpy as np
import pytest

from mmma.engine.inference_files import (
    COLUMNS,
    Outputs,
    VideoFindings,
    csv_rows,
    describe,
)
from mmma.engine.inference_results import Detection, Finding, ModelCard, Recognition
from mmma.engine.inference_video import Skeletons, VideoFile

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


def findings(folder, abstained=False):
    detector = ModelCard(**{**vars(CARD), 'name': 'finder', 'task': 'det'})
    segment = Finding(0.5, 1.23456, 'nodding', 'head', 0.98765)
    return VideoFindings(
        VideoFile(folder / 'video.mp4', 75, 2.5, 0.5),
        (
            Recognition(CARD, (NOD, TURN), (BODY,), abstained, 0.5, ('mind',)),
            Detection(detector, (segment,), (), 3, 0.2),
        ),
        Skeletons(np.ones((75, 1, 65, 3), np.int16), 30.0, (64, 48), 'fake 1'),
    )


def test_rows(tmp_path):
    rows = [','.join(row) for row in csv_rows(findings(tmp_path))]
    assert rows == [
        'rec,0.000,2.500,nodding,head,0.7500,false,true,small',
        'det,0.500,1.235,nodding,head,0.9877,false,true,finder',
    ]
    row, _ = csv_rows(findings(tmp_path, abstained=True))
    assert row == ['rec', '0.000', '2.500', '', '', '0.7500', 'true', 'true', 'small']


def test_the_json_keeps_what_an_abstention_hides(tmp_path):
    facts = {'request': {'a': 1}, 'top_k': 1, 'path': '/x/v.mp4'}
    found = describe(findings(tmp_path, abstained=True), facts)
    assert found['simulated'] is True
    assert found['video'] == {
        'path': '/x/v.mp4',
        'frames': 75,
        'fps': 30.0,
        'duration_sec': 2.5,
        'first_frame_sec': 0.5,
    }
    assert found['skeletons'] == {'extractor': 'fake 1', 'body_found': 1.0}
    recognition, detection = found['recognition'], found['detection']
    assert recognition['action'] is recognition['body'] is None
    assert recognition['abstained'] is True
    assert recognition['threshold'] == 0.5
    assert recognition['actions'] == [
        {'action': 'nodding', 'body': 'head', 'score': 0.75}
    ]
    assert recognition['notes'] == ['mind']
    assert detection['below_threshold'] == 3
    assert detection['segments'][0]['end_sec'] == 1.23456
    assert 'path' not in describe(findings(tmp_path), {'request': {}, 'top_k': 1})[
        'video'
    ]  # fmt: skip


def test_what_is_whole_and_made_alike_is_known(tmp_path):
    outputs = Outputs(tmp_path / 'new', 'clip', 'video 1')
    request = {'options': {'threshold': 0.5}}
    assert not outputs.made_with(request)
    outputs.write(findings(tmp_path), {'request': request, 'top_k': 5})
    assert outputs.made_with(request)
    assert not outputs.made_with({'options': {'threshold': 0.4}})
    with outputs.csv.open() as file:
        assert tuple(next(csv.reader(file))) == COLUMNS
    assert sorted(p.name for p in outputs.folder.iterdir()) == ['clip.csv', 'clip.json']
    outputs.csv.unlink()
    assert not outputs.made_with(request)


@pytest.mark.parametrize(
    ('name', 'text'),
    [
        ('clip.json', json.dumps({'schema': 'other'})),
        ('clip.json', '{'),
        ('clip.json', '[]'),
        ('clip.csv', 'time,label\n'),
    ],
)
def test_files_of_others_are_left_alone(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=r'video 1: .* file of its stem that another'):
        Outputs(tmp_path, 'clip', 'video 1').made_with({})
