import json

import pytest

from mmma.convert.events import FORMATS, Event, Recording, read_recordings
from mmma.data.root import DatasetInfo, write_info
from mmma.data.videos import Instance, Video, write_det
from mmma.taxonomy import load_label_space

SPACE = load_label_space('mma82')
NOD, SHAKE = SPACE.actions[:2]


def dump(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def found(start, end, label, score):
    return {'segment': [start, end], 'label': label, 'score': score}


def test_a_root_its_table_and_a_table_alone(tmp_path, capsys):
    events = (
        Instance(1, 2, 0, 'P2', 0.5, 'hm', 'head'),
        Instance(3, 3.1, 1, point=True),
    )
    facts = ('test', 'street', 's1', 10.0, 50, 5.0)
    videos = [
        Video('a', 'a.mp4', *facts, events),
        Video('hidden', '', *facts, withheld=True),
        Video('quiet', '', *facts),
    ]
    write_det(tmp_path / 'det.json', videos, SPACE)
    write_info(tmp_path, DatasetInfo('x', 'mma82', simulated=True))
    recordings, space = read_recordings(tmp_path)
    assert space == SPACE
    assert recordings == read_recordings(tmp_path / 'det.json')[0]
    told = Event(1, 2, NOD, 'P2', 0.5, 'hm', 'head'), Event(3, 3, SHAKE)
    more = 'simulated', 's1', 'street'
    assert recordings == [
        Recording('a', 'a.mp4', 10.0, 5.0, told, *more),
        Recording('quiet', '', 10.0, 5.0, (), *more),
    ]
    assert '1 of 3 videos left out: truth withheld' in capsys.readouterr().err
    (tmp_path / 'dataset.json').unlink()
    alone, space = read_recordings(tmp_path / 'det.json')
    assert [own.events for own in alone] == [told, ()]
    assert {*space.actions} == {NOD, SHAKE}
    assert space.bodies == ()


def test_detections_by_name_and_by_number(tmp_path):
    content = {
        'results': {'a': [found(0, 1, NOD, 0.9), found(2, 3, SHAKE, 0.2)], 'b': []}
    }
    path = dump(tmp_path / 'd.json', content)
    events = Event(0.0, 1.0, NOD, score=0.9), Event(2.0, 3.0, SHAKE, score=0.2)
    expected = [Recording('a', events=events), Recording('b')]
    assert str(read_recordings(path)[0]) == str(expected)  # NaN
    dump(path, {'results': {'a': [found(0, 1, 1, 0.9)]}})
    with pytest.raises(ValueError, match=r'labels are numbers: give --label-space'):
        read_recordings(path)
    assert read_recordings(path, SPACE)[0][0].events[0].label == SHAKE
    dump(path, {'results': {'a': [found(0, 1, 'nod', 0.9)]}})
    with pytest.raises(ValueError, match="unknown action 'nod'"):
        read_recordings(path, SPACE)


def findings(**more):
    segment = {
        'start_sec': 0.5,
        'end_sec': 1.0,
        'action': NOD,
        'body': 'x',
        'score': 0.7,
    }
    model = {'model': {'name': 'tiny'}}
    return {
        'video': {'path': '/v/a.mp4', 'fps': 30.0, 'duration_sec': 4.0},
        'simulated': True,
        'request': {},
        'detection': {**model, 'segments': [segment]},
        'recognition': {**model, 'action': SHAKE, 'score': 0.6},
        **more,
    }


def test_a_folder_of_findings(tmp_path):
    dump(tmp_path / 'in/a.json', findings())
    clip = findings()
    del clip['detection']
    dump(tmp_path / 'b.json', clip)
    dump(
        tmp_path / 'c.json',
        findings(detection={'model': {'name': 'm'}, 'segments': []}),
    )
    (tmp_path / 'b.csv').write_text('task\n')
    by_name = {own.name: own for own in read_recordings(tmp_path)[0]}
    assert [*by_name] == ['b', 'c', 'in/a']
    assert by_name['in/a'].events == (Event(0.5, 1.0, NOD, score=0.7),)
    assert by_name['in/a'].annotator == 'simulated tiny'
    assert by_name['b'].events == (Event(0.0, 4.0, SHAKE, score=0.6),)
    assert by_name['c'].events == ()
    assert by_name['c'].duration_sec == 4.0
    dump(tmp_path / 'c.json', {'request': {}, 'video': {}})
    with pytest.raises(ValueError, match=r'c\.json: no JSON of infer\.py'):
        read_recordings(tmp_path)


def test_files_of_tools_go_to_their_readers(tmp_path, monkeypatch):
    asked = []

    def reader(action, kind):
        return lambda path: [asked.append(kind)] and [Recording('v', events=(EVENT,))]

    EVENT = Event(0, 1, 'wave')
    monkeypatch.setattr('mmma.convert.events.format_function', reader)
    for name, text in {
        'a.eaf': '', 'a.TextGrid': '', 'a.boris': '', 'a.csv': 'video,label\n',
        'b.csv': 'Observation id,Behavior\n', 'a.json': '[]', 'l.json': '{"labels": 1}',
        'p.json': '{"observations": {}}',
    }.items():  # fmt: skip
        (tmp_path / name).write_text(text)
        recordings, space = read_recordings(tmp_path / name)
        assert space.actions == ('wave',)
        assert recordings[0].events == (EVENT,)
    assert asked == [
        *('elan', 'textgrid', 'boris', 'csv', 'boris', 'labelstudio', 'fiftyone'),
        'boris',
    ]
    assert {*asked} == {*FORMATS}
    read_recordings(tmp_path)
    assert asked[-1] == 'elan'
    with pytest.raises(
        ValueError, match="unknown action 'wave' in label space 'mma82'"
    ):
        read_recordings(tmp_path, SPACE)


def test_nothing_known_is_said(tmp_path):
    for path in (tmp_path, tmp_path / 'none.eaf'):
        with pytest.raises(
            FileNotFoundError, match='no annotation is there: need a data'
        ):
            read_recordings(path)
