import json
import math
import os
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from mmma.convert.events import Event, Recording, read_recordings
from mmma.convert.timelines import (
    frames_of,
    read_fiftyone,
    read_labelstudio,
    seconds_between,
    write_fiftyone,
    write_labelstudio,
)
from mmma.taxonomy import load_label_space

OWN = load_label_space(
    {
        'name': 'clinic',
        'bodies': ['face', 'hands & arms'],
        'actions': [
            {'name': 'blink', 'body': 'face'},
            {'name': 'Händereiben <both>', 'body': 'hands & arms'},
        ],
    }
)
TRUTH = (
    Event(0.0, 1.2, 'blink', 'Ann', text='first\nsecond "line"', tier='face of Ann'),
    Event(0.4, 2.0, 'blink', 'Ben'),
    Event(0.4, 1.0, 'blink', 'Ann', 0.25),
    Event(3723.456, 3723.456, 'Händereiben <both>', 'Ann'),
    Event(4.0, 4.0, 'not of the space', 'Zoë'),
    Event(3724.0011, 7201.5, 'Händereiben <both>'),
)
RECORDINGS = [
    Recording('one', 'videos/a b/one.mp4', 25.0, 7300.04, TRUTH, 'Zoë'),
    Recording('two.5', 'two.5.avi', 29.97, events=(replace(TRUTH[1], score=0.5),)),
    Recording('nothing', 'nothing.mp4', 30.0),
]


@pytest.mark.parametrize('kind', ['labelstudio', 'fiftyone'])
def test_round_trip_loses_nothing(tmp_path, kind):
    write = {'labelstudio': write_labelstudio, 'fiftyone': write_fiftyone}[kind]
    read = {'labelstudio': read_labelstudio, 'fiftyone': read_fiftyone}[kind]
    file = write(tmp_path, RECORDINGS, OWN)[0]
    assert str(read(file)) == str(RECORDINGS)
    assert str(read(tmp_path)) == str(RECORDINGS)
    assert str(read_recordings(tmp_path)[0]) == str(RECORDINGS)


def test_frames_count_from_1_and_the_last_is_within():
    assert frames_of(0, 0.04, 25) == (1, 1)
    assert frames_of(0.1, 0.3, 30) == (4, 9)
    assert seconds_between(4, 9, 30) == (0.1, 0.3)
    assert frames_of(2, 2, 25) == (51, 51)
    assert frames_of(0.999, 1.001, 25) == (25, 26)


def test_tasks_and_config_of_label_studio(tmp_path):
    tasks, config = write_labelstudio(tmp_path, RECORDINGS, OWN)
    one, two, nothing = json.loads(tasks.read_text('utf-8'))
    assert one['data']['video'] == '/data/local-files/?d=videos/a%20b/one.mp4'
    first, *_, moment, _, late = one['annotations'][0]['result']
    value = {'ranges': [{'start': 1, 'end': 30}], 'timelinelabels': ['blink']}
    assert (first['type'], first['value']) == ('timelinelabels', value)
    assert first['meta']['text'] == ['first\nsecond "line"']
    assert 'segment' not in first['meta']
    assert moment['meta']['segment'] == [3723.456, 3723.456]
    assert late['value']['ranges'] == [{'start': 93101, 'end': 180038}]
    (guess,) = two['predictions']
    assert (guess['score'], guess['result'][0]['score']) == (0.5, 0.5)
    assert guess['model_version'] == 'mmma'
    assert nothing['annotations'] == [{'result': []}]
    view = ElementTree.parse(config).getroot()
    assert view.find('Video').attrib['frameRate'] == '$fps'
    shown = [next(iter(own.attrib.values())) for own in view.find('TimelineLabels')]
    assert shown == [
        *('face', 'blink', 'hands & arms', 'Händereiben <both>'),
        *('other', 'not of the space'),
    ]
    with pytest.raises(ValueError, match='one: Label Studio counts frames'):
        write_labelstudio(tmp_path, [replace(RECORDINGS[0], fps=math.nan)], OWN)


def region(start, end, label='nod', name='a', **more):
    value = {'ranges': [{'start': start, 'end': end}], 'timelinelabels': [label]}
    return {'id': name, 'type': 'timelinelabels', 'value': value, **more}


def task(video='/data/upload/3/0a1b2c3d-Trial%201.mp4', results=(), **more):
    answer = {'id': 5, 'completed_by': 1, 'result': list(results)}
    return {'id': 9, 'data': {'video': video}, 'annotations': [answer], **more}


def read(tmp_path, content, fps=25.0):
    path = tmp_path / 'export.json'
    path.write_text(json.dumps(content))
    return read_labelstudio(path, fps)


def test_exports_of_label_studio(tmp_path, capsys):
    zero = region(0, 50, 'wave', 'b')  # of a script
    moved = region(3, 3, meta={'text': 'hm', 'segment': [1.0, 1.5]})
    about = {'type': 'choices', 'from_name': 'person', 'id': 'a'}
    about['value'] = {'ranges': [{'start': 3, 'end': 3}], 'choices': ['child']}
    note = {**about, 'type': 'textarea', 'from_name': 'note'}
    note['value'] = {'ranges': [{'start': 3, 'end': 3}], 'text': ['left hand']}
    box = {'type': 'videorectangle', 'value': {'sequence': []}}
    phantom = {'type': 'timelinelabels', 'value': {'sequence': []}}
    skipped = {'was_cancelled': True, 'result': [region(1, 2)]}
    results = [moved, about, note, box, phantom, zero]
    one = task(results=results)
    one['annotations'].append(skipped)
    (found,) = read(tmp_path, [one])
    assert (found.name, found.path, found.annotator) == ('Trial 1', 'Trial 1.mp4', '1')
    assert found.events == (
        Event(0.08, 0.12, 'nod', 'child', text='hm\nleft hand'),
        Event(0.0, 2.0, 'wave'),
    )
    told = capsys.readouterr().err
    assert 'left out 1 results videorectangle' in told
    assert 'left out 1 answers (cancelled, ' in told


def test_min_exports_and_a_file_per_annotation(tmp_path):
    values = [region(1, 25)['value'], region(26, 50, 'wave')['value']]
    small = {'video': 's3://bucket/x/a.mp4?v=1', 'id': 1, 'action': values}
    events = Event(0, 1, 'nod'), Event(1, 2, 'wave')
    one, other = read(tmp_path, [small | {'annotator': who} for who in (1, 2)])
    assert (one.name, other.name, one.events) == ('a@1', 'a@2', events)
    data = {'video': 'https://x.org/v/a%20b.MOV'}
    stored = {'task': {'id': 1, 'data': data}, 'result': [region(1, 25)]}
    stored['completed_by'] = {'id': 3, 'email': 'ann@x.org'}
    (own,) = read(tmp_path, stored)
    assert (own.name, own.annotator) == ('a b', 'ann@x.org')


def test_videos_of_equal_names(tmp_path):
    tasks = [task(f'/data/local-files/?d=s{n}/a.mp4') for n in (1, 2)]
    assert [x.name for x in read(tmp_path, tasks)] == ['s1/a.mp4', 's2/a.mp4']
    with pytest.raises(ValueError, match="the video 'a@1' is annotated 2 times"):
        read(tmp_path, tasks[:1] * 2)


def test_several_annotators_truth_and_predictions(tmp_path):
    guess = {'model_version': 'm1', 'result': [region(1, 25, score=0.5)], 'score': 0.5}
    other = {'completed_by': 2, 'result': [region(26, 50)]}
    both = task(results=[region(1, 25)], predictions=[guess])
    both['annotations'].append(other)
    assert [x.name for x in read(tmp_path, [both])] == ['Trial 1@1', 'Trial 1@2']
    other['ground_truth'] = True
    (truth,) = read(tmp_path, [both])
    assert (truth.name, truth.events) == ('Trial 1', (Event(1, 2, 'nod'),))
    only = {'data': both['data'], 'annotations': [], 'predictions': [guess]}
    (model,) = read(tmp_path, [only])
    assert (model.annotator, model.events[0].score) == ('m1', 0.5)


@pytest.mark.parametrize(
    ('content', 'fps', 'match'),
    [
        (task(results=[region(1, 2)]), math.nan, 'task 1: frames per second.* --fps'),
        (task(results=[region(-1, 2)]), 25, r'range .*start.: -1.* from 1'),
        (task(results=[region(4, None)]), 25, 'must be frames'),
        ({'data': {'text': 'hello'}, 'annotations': []}, 25, 'no video .*: text'),
        ([3], 25, 'task 1: must be an object with data'),
        ([], 25, 'no annotated tasks'),
    ],
)
def test_errors_of_label_studio(tmp_path, content, fps, match):
    with pytest.raises(ValueError, match=match):
        read(tmp_path, content, fps)


def detections(tmp_path, items, **more):
    path = tmp_path / 'labels.json'
    path.write_text(json.dumps({'classes': ['nod', 'wave'], 'labels': items} | more))
    return path


def test_supports_and_timestamps_of_fiftyone(tmp_path, capsys):
    items = [
        {'label': 1, 'support': [1, 50], 'confidence': 0.5},
        {'label': 'nod', 'timestamps': ['00:00:01.500', 2]},
        {'label': 0, 'timestamps': [3, 3], 'attributes': {'text': 'hm', 'mood': 'x'}},
    ]
    path = detections(tmp_path, {'s1/a': items, 'b': [], 'c': None})
    a, b = read_fiftyone(path, 25.0)
    assert a.events == (
        Event(0, 2, 'wave', score=0.5),
        Event(1.5, 2, 'nod'),
        Event(3, 3, 'nod', text='hm'),
    )
    assert (b.name, b.events) == ('b', ())
    told = capsys.readouterr().err
    assert "left out 1 attributes 'mood'" in told
    assert 'left out 1 videos without labels' in told


def test_files_of_fiftyone(tmp_path):
    labels, data = write_fiftyone(tmp_path, RECORDINGS, OWN)
    content = json.loads(labels.read_text('utf-8'))
    assert content['classes'] == [*OWN.actions, 'not of the space']
    first, *_, moment, _, late = content['labels']['one']
    assert (first['label'], first['support']) == (0, [1, 30])
    assert first['attributes']['subject'] == 'Ann'
    assert moment['timestamps'] == [3723.456, 3723.456]
    assert late['timestamps'] == [3724.0011, 7201.5]
    paths = json.loads(data.read_text('utf-8'))
    assert paths['two.5.avi'] == 'two.5.avi'  # its importer makes two.5 of the key
    assert {os.path.splitext(key)[0] for key in paths} == set(content['labels'])
    data.write_text(json.dumps({'two.5': 'x.avi', 'one': 'y.mp4'}))
    assert [own.path for own in read_fiftyone(labels)] == ['y.mp4', 'x.avi', '']


@pytest.mark.parametrize(
    ('items', 'match'),
    [
        ({'a': [{'label': 0, 'support': [1, 2]}]}, 'a: frames per second'),
        (
            {'a': [{'label': 7, 'timestamps': [1, 2]}]},
            'label 7: the file has 2 classes',
        ),
        ({'a': [{'label': 0, 'timestamps': [2, 1]}]}, 'a: from 2.0 to 1.0 s'),
        ({'a': [{'label': 0}]}, 'must be'),
        ({'a': ['nod']}, 'must be'),
        ([], 'labels must be an object'),
    ],
)
def test_errors_of_fiftyone(tmp_path, items, match):
    with pytest.raises(ValueError, match=match):
        read_fiftyone(detections(tmp_path, items))
