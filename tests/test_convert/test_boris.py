"""BORIS: projects both ways, and tables in the dialects that people have."""

import io
import json
import math
import random
import re

import pytest
from video_files import make_video, moving_frames

from mmma.convert import Options, convert
from mmma.convert.boris import read_boris, write_boris
from mmma.convert.events import Event, Recording
from mmma.data.root import DataRoot
from mmma.taxonomy import LabelSpace

SPACE = LabelSpace('signs', ('nod', 'tap', 'blink'), ('head', 'hand'), (0, 1, 0))
FIRST = (
    Event(0.5, 2.0, 'nod', 'P1', 0.83, 'a [x] é', 'head'),
    Event(1.0, 3.0, 'nod', 'P1', 0.7, '', 'head'),
    Event(1.5, 1.5, 'blink', '', 1e-05, '', 'face]\\ 2'),
    Event(1.5, 2.5, 'nod', 'P1', None, '[score 0.5] he said', 'head'),
    Event(2.0, 4.0, 'nod', 'P1', None, 'at once\nagain', 'head'),
    Event(2.0, 5.0, 'tap', 'Maus #2', 1.0, '[modifiers left|hard] c', 'hand'),
    Event(2.5, 5.5, 'tap', 'Maus #2', 0.0, '[modifiers right|hard]', 'hand'),
    Event(2.5, 6.0, 'tap', 'P2 (overlap 2)', None, '[text] [tier x] c', 'hand'),
    Event(3.0, 3.0, 'nod', 'P1', None, 'between', 'head'),
    Event(4.0, 4.125, 'nod', 'P1'),
)
RECORDINGS = [
    Recording('a', 'v/a.mp4', 25.0, 10.0, FIRST, 'anna'),
    Recording('b/ü', 'C:\\v\\b ü.avi', 29.97, 3.5, (Event(0, 1, 'other', 'P1'),)),
    Recording('quiet', 'quiet.mkv', 25.0, 2.0),
]


def project_of(tmp_path, recordings=RECORDINGS, space=SPACE):
    [path] = write_boris(tmp_path / 'out', recordings, space)
    return path, json.loads(path.read_text('ascii'))


def by_time(recordings):
    def key(event):
        return event.start_sec, event.end_sec, event.label, event.subject, event.text

    return [(own.name, sorted(own.events, key=key)) for own in recordings]


def test_a_project_loses_nothing(tmp_path):
    path, _ = project_of(tmp_path)
    back = read_boris(path)
    assert by_time(back) == by_time(RECORDINGS)
    for own, other in zip(back, RECORDINGS, strict=True):
        facts = ('path', 'fps', 'duration_sec', 'annotator')
        assert [getattr(own, k) for k in facts] == [getattr(other, k) for k in facts]
    again, _ = project_of(tmp_path / 'again', back)
    assert again.read_bytes() == path.read_bytes()
    assert read_boris(path.parent) == back


def test_tiers_are_categories_where_all_events_have_one(tmp_path):
    events = Event(0, 1, 'nod', tier='head'), Event(2, 3, 'tap', tier='face')
    mixed = (*events, Event(4, 5, 'nod'))
    for own, said in (
        (events, ['[tier face]']),
        (mixed, ['[tier head]', '[tier face]']),
    ):
        path, project = project_of(tmp_path, [Recording('a', events=own)])
        assert read_boris(path)[0].events == own
        rows = project['observations']['a']['events']
        assert [row[4] for row in rows if row[4]] == said
        told = 'tiers stand in comments' in project['project_description']
        assert told == (own == mixed)


def test_what_is_not_known_of_a_video(tmp_path):
    named = Recording('c.MOV', events=(Event(1, 2, 'nod'),))
    path, project = project_of(tmp_path, [Recording('a b'), named])
    info = project['observations']['c.MOV']['media_info']
    assert (info['length'], info['fps']) == ({}, {})
    assert [row[5] for row in project['observations']['c.MOV']['events']] == [
        'NA',
        'NA',
    ]
    back = read_boris(path)
    assert [own.path for own in back] == ['a b.mp4', 'c.MOV']
    assert math.isnan(back[1].fps)
    assert math.isnan(back[1].duration_sec)


def test_the_person_of_a_video_is_the_subject_of_its_events(tmp_path):
    events = Event(0, 1, 'nod'), Event(0.5, 2, 'nod'), Event(0, 1, 'nod', 'Q')
    path, _ = project_of(tmp_path, [Recording('a', events=events, subject='P')])
    people = {(e.start_sec, e.subject) for e in read_boris(path)[0].events}
    assert people == {(0, 'P'), (0.5, 'P'), (0, 'Q')}


def test_a_project_is_as_boris_wants_it(tmp_path):
    _, project = project_of(tmp_path)
    assert project['project_format_version'] == '7.0'
    behaviors = project['behaviors_conf'].values()
    types = {own['code']: (own['type'], own['category']) for own in behaviors}
    assert types == {
        'nod': ('State event', 'head'),
        'tap': ('State event', 'hand'),
        'blink': ('Point event', 'head'),
        'other': ('State event', ''),
    }
    assert project['behavioral_categories'] == ['head', 'hand']
    sets = project['behaviors_conf']['1']['modifiers']
    assert [own['values'] for own in sets.values()] == [['left', 'right'], ['hard']]
    names = {own['name'] for own in project['subjects_conf'].values()}
    own = project['observations']['a']
    assert {'P1', 'P1 (overlap 2)', 'Maus #2'} <= names
    assert names >= {row[1] for row in own['events']} - {''}
    assert own['file']['1'] == ['v/a.mp4']
    assert own['media_info']['length'] == {'v/a.mp4': 10.0}
    assert own['events'] == sorted(own['events'])  # BORIS sorts whole rows
    assert own['events'][0] == [
        0.5,
        'P1',
        'nod',
        '',
        '[score 0.83] [tier head] a [x] é',
        12,
    ]


def paired_by_boris(rows, states):
    """Events as BORIS counts them: a press stops what an odd number began before."""
    seen, open_, events = {}, {}, []
    for sec, subject, code, modifiers, *_ in rows:
        key = subject, code, modifiers
        if code not in states:
            events.append((sec, sec, *key))
            continue
        seen[key] = seen.get(key, 0) + 1
        if seen[key] % 2:
            open_[key] = sec
        else:
            events.append((open_.pop(key), sec, *key))
    assert not open_
    return events


def test_presses_pair_by_the_rule_of_boris(tmp_path):
    draw = random.Random(0)
    events = set()
    for _ in range(400):
        start = draw.randrange(0, 3000)
        length = draw.choice([0, 1, 40, 700])
        text = draw.choice(['', 'x', '[modifiers left]'])
        label, subject = draw.choice(['nod', 'tap']), draw.choice(['', 'P1', 'P2'])
        events.add(
            Event(start / 1000, (start + length) / 1000, label, subject, None, text)
        )
    own = Recording('a', 'a.mp4', 30.0, 9.0, tuple(events))
    _, project = project_of(tmp_path, [own], LabelSpace('x', ('nod', 'tap'), (), ()))
    rows = project['observations']['a']['events']
    found = sorted(
        (start, end, re.sub(r' ?\(overlap \d+\)', '', subject), code, modifiers)
        for start, end, subject, code, modifiers in paired_by_boris(
            rows, {'nod', 'tap'}
        )
    )
    assert found == sorted(
        (e.start_sec, e.end_sec, e.subject, e.label, 'left' * ('[' in e.text))
        for e in events
    )


def observation(events, files=('a.mp4',), **more):
    length = dict.fromkeys(files, 10.0)
    return {
        'type': 'MEDIA',
        'file': {'1': [*files], '2': []},
        'time offset': 0.0,
        'events': events,
        'media_info': {'length': length, 'fps': dict.fromkeys(files, 25.0)},
        **more,
    }


@pytest.fixture
def project(tmp_path):
    """Writes a project of observations and gives its path."""

    def write(observations, version='7.0', name='p.boris'):
        codes = {'nod': 'State event', 'blink': 'Point event with coding map'}
        behaviors = [
            {'code': code, 'type': kind, 'category': 'head'}
            for code, kind in codes.items()
        ]
        content = {
            'project_format_version': version,
            'behaviors_conf': {str(i): own for i, own in enumerate(behaviors)},
            'observations': observations,
        }
        path = tmp_path / name
        path.write_text(json.dumps(content, indent=1))
        return path

    return write


def times(recording):
    return [(e.start_sec, e.end_sec, e.label, e.subject) for e in recording.events]


def press(sec, subject='P', label='nod', modifiers='', comment=''):
    return [sec, subject, label, modifiers, comment]


def test_files_in_a_row_are_videos_of_their_own(project, capsys):
    events = [
        press(4), press(6), press(7, '', 'blink'), press(8.5), press(12),
        press(20, 'No focal subject', 'blink'), press(21), press(23),
    ]  # fmt: skip
    own = observation(events, ['v/a.mp4', 'b.avi', 'c.mp4'], **{'time offset': 1})
    first, second, third = read_boris(project({'o': own}))
    assert [first.name, first.path, first.duration_sec] == ['o a', 'v/a.mp4', 10]
    head = [(3, 5, 'nod', 'P'), (6, 6, 'blink', ''), (7.5, 10, 'nod', 'P')]
    assert times(first) == head
    assert times(second) == [(0, 1, 'nod', 'P'), (9, 9, 'blink', '')]
    assert times(third) == [(0, 2, 'nod', 'P')]
    assert {e.tier for e in first.events} == {'head'}
    told = "note: p.boris: 'o' has 1 events that go on in the next file: they are cut\n"
    assert capsys.readouterr().err == told


def test_what_boris_knows_of_an_observation_is_told(project, capsys):
    two = observation([press(1), press(2)], **{'observation time interval': [0, 5]})
    two['file']['2'] = ['side.mp4']
    live = {'type': 'LIVE', 'file': [], 'events': [press(1), press(2)]}
    dated = observation(
        [press(1005, comment='first'), press(1006, comment='last')],
        media_creation_date_as_offset=True,
        independent_variables={'annotator': 'ben'},
    )
    dated['media_info']['media_creation_time'] = {'a.mp4': 1000}
    path = project({'two': two, 'live': live, 'dated': dated}, '8.1')
    shown, alone, third = read_boris(path)
    assert times(shown) == times(alone) == [(1, 2, 'nod', 'P')]
    assert (alone.path, math.isnan(alone.fps)) == ('', True)
    assert times(third) == [(5, 6, 'nod', 'P')]
    assert (third.events[0].text, third.annotator) == ('first | last', 'ben')
    told = capsys.readouterr().err
    for text in (
        'project format 8.1 is read as 7.0',
        "'two' shows side.mp4 as well: events are of player 1 alone",
        "'two' is coded from 0 to 5 s alone",
    ):
        assert text in told


def test_comments_of_people_stay_as_they_are(project):
    comments = [
        '[score high] x',
        '[score 1.5]',
        '[modifiers left] x',
        '[text] x',
        '[x]',
    ]
    rows = [press(i, '', 'blink', '', c) for i, c in enumerate(comments)]
    path = project({'o': observation(rows)})
    events = read_boris(path)[0].events
    assert all(event.score is None for event in events)
    rest = write_boris(path.parent / 'again', read_boris(path), SPACE)
    written = json.loads(rest[0].read_text())['observations']['o']['events']
    assert read_boris(rest[0])[0].events == events
    assert [row[4] for row in written][2:] == comments[2:]


BAD = {
    'unpaired': (
        observation([press(1), press(2), press(3, 'Q')]),
        "event 3: START of 'nod' of Q at 3 s is not paired",
    ),
    'ethogram': (
        observation([press(1, label='gone')]),
        "event 1: 'gone' is not in the",
    ),
    'images': ({**observation([]), 'type': 'IMAGES'}, 'its type is IMAGES'),
    'before': (
        observation([press(1), press(2)], **{'time offset': 1.5}),
        "behaviour 'nod' at -0.5 s: must be a name and in the video; is the time",
    ),
    'time': (observation([press(None), press(2)]), "event 1: 'None' must be a number"),
    'length': (
        {**observation([], ['a.mp4', 'b.mp4']), 'media_info': {}},
        '2 files share their times, and not all their lengths are known',
    ),
    'dates': (
        observation([], ['a.mp4', 'b.mp4'], media_creation_date_as_offset=True),
        'counts from the creation dates of several files',
    ),
    'form': ({'type': 'MEDIA', 'events': 3}, 'not as BORIS writes it'),
}


@pytest.mark.parametrize('kind', BAD)
def test_observations_that_cannot_be_read_are_told(project, capsys, kind):
    bad, text = BAD[kind]
    good = observation([press(1), press(2)])
    [found] = read_boris(project({'bad': bad, 'good': good}))
    assert found.name == 'good'
    told = capsys.readouterr().err
    assert '1 of 2 observations left out of p.boris: bad: ' in told
    assert text in told
    with pytest.raises(ValueError, match=re.escape(text)):
        read_boris(project({'bad': bad}))


@pytest.mark.parametrize(
    ('content', 'text'),
    [
        ('{"observations": {}}', 'must be an object with observations, behaviors_conf'),
        ('{"observations": 1, "behaviors_conf": {}}', 'not a project of BORIS'),
        ('{"observations": {}, "behaviors_conf": [1]}', 'not a project of BORIS'),
        ('{"observations": ', 'not readable as JSON'),
        (b'PK\x03\x04', 'packed: unpack it, or save a sheet as CSV UTF-8'),
        (b'\x1f\x8b\x08', 'packed: unpack it, or save a sheet as CSV UTF-8'),
        ('', 'its columns are none'),
        ('a,b\n1,2\n', r':1: its columns are a, b; tabular events have Time, Beh'),
        (
            'Observation id,x\n\nTime,Behavior,FPS\n1,nod,25\n',
            r':3: its columns are Time, Behavior, FPS; tabular .* Status \(or Behavior',
        ),
        ('Time,Behavior,Status\nx,nod,START\n', "line 2: 'x' must be a number of sec"),
        ('Time,Behavior,Status\n1,nod,ON\n', "line 2: ON of 'nod' of nobody at 1 s is"),
        ('Time,Behavior,Status\n1,nod,STOP\n', "line 2: STOP of 'nod' of nobody"),
        ('Time,Behavior,Status\n1,nod,START\n', "line 2: START of 'nod' of nobody"),
        ('Behavior,Start (s),Stop (s)\nnod,2,1\n', "line 2: STOP of 'nod' of nobody"),
        ('Behavior,Start (s),Stop (s)\nnod,NA,NA\n', "line 2: '' must be a number"),
    ],
)
def test_files_that_are_no_annotation(tmp_path, content, text):
    path = tmp_path / 'x.csv'
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=text):
        read_boris(path)


def test_many_notes_are_counted(project, capsys):
    own = observation([], **{'observation time interval': [1, 2]})
    assert len(read_boris(project({f'o{i}': own for i in range(9)}))) == 9
    *_, fifth, last = capsys.readouterr().err.splitlines()
    assert fifth == "note: p.boris: 'o4' is coded from 1 to 2 s alone"
    assert last == 'note: p.boris: and 4 more notes of this kind'


def test_nothing_to_read(tmp_path):
    for path in (tmp_path, tmp_path / 'gone.boris'):
        with pytest.raises(FileNotFoundError):
            read_boris(path)


# The same three events in each dialect; columns as the versions of BORIS write them.
OLD_TABULAR = """\
Observation id,day 1,,,,,,,,
,,,,,,,,,
Media file(s),,,,,,,,,
,,,,,,,,,
Player #1,v/a.mp4,,,,,,,,
Player #2,side.mp4,,,,,,,,
,,,,,,,,,
Observation date,2016-11-27 01:57:26,,,,,,,,
Description,behavior of the first day,,,,,,,,
Time offset (s),0.0,,,,,,,,
,,,,,,,,,
independent variables,,,,,,,,,
variable,value,,,,,,,,
,,,,,,,,,
Time,Media file path,Total length,FPS,Subject,Behavior,Behavioral category,Modifiers,\
Comment,Status
1.500,v/a.mp4,10.000,25.0,P1,nod,head,,well,START
2.000,v/a.mp4,10.000,25.0,No focal subject,blink,,,,POINT
2.500,v/a.mp4,10.000,25.0,P1,tap,hand,left,,START
3.750,v/a.mp4,10.000,25.0,P1,nod,head,,,STOP
4.000,v/a.mp4,10.000,25.0,P1,tap,hand,left,,STOP
"""
FLAT = """\
Observation id,Observation date,Description,Observation duration,Observation type,\
Source,Time offset (s),Media duration (s),FPS,annotator,Subject,Behavior,\
Behavioral category,Modifier #1,Behavior type,Time,Media file name,Image index,\
Image file path,Comment
HEAD,P1,nod,head,,START,1.500,v/a.mp4,37,NA,well
HEAD,,blink,,,POINT,2.000,v/a.mp4,50,NA,
HEAD,P1,tap,hand,left,START,2.500,v/a.mp4,62,NA,
HEAD,P1,nod,head,,STOP,3.750,v/a.mp4,94,NA,
HEAD,P1,tap,hand,left,STOP,4.000,v/a.mp4,100,NA,
""".replace('HEAD', 'day 1,,,10,Media file(s),{source},0.0,{length},{fps},anna')
NEW_TABULAR = FLAT.format(source='player #1:v/a.mp4', length='10.000', fps='25.000')
OLD_AGGREGATED = """\
Observation id,Observation date,Description,Media file,Total length,FPS,Subject,\
Behavior,\
Behavioral category,Modifiers,Behavior type,Start (s),Stop (s),Duration (s),\
Comment start,Comment stop
day 1,,,v/a.mp4,10.000,25.0,P1,nod,head,,STATE,1.500,3.750,2.250,well,
day 1,,,v/a.mp4,10.000,25.0,P1,tap,hand,left,STATE,2.500,4.000,1.500,,
day 1,,,v/a.mp4,10.000,25.0,No focal subject,blink,,,POINT,2.000,2.000,NA,,
"""
NEW_AGGREGATED = """\
Observation id,Observation date,Description,Observation type,Source,Time offset (s),\
Coding duration,Media duration (s),FPS (frame/s),annotator,Subject,\
Observation duration by subject by observation,Behavior,Behavioral category,\
Modifier #1,Behavior type,Start (s),Stop (s),Duration (s),Media file name,\
Image index start,Image index stop,Image file path start,Image file path stop,\
Comment start,Comment stop
HEAD,P1,3.75,nod,head,,STATE,1.500,3.750,2.250,v/a.mp4,37,94,,,well,
HEAD,No focal subject,0,blink,Not defined,,POINT,2.000,NA,NA,v/a.mp4,50,50,,,,
HEAD,P1,3.75,tap,hand,left,STATE,2.500,4.000,1.500,v/a.mp4,62,100,,,,
""".replace(
    'HEAD', 'day 1,,,Media file,player #1:v/a.mp4,0.0,10.000,10.000,25.000,anna'
)
DIALECTS = {
    'tabular, old': OLD_TABULAR,
    'tabular': NEW_TABULAR,
    'aggregated, old': OLD_AGGREGATED,
    'aggregated': NEW_AGGREGATED,
}
EVENTS = (
    Event(1.5, 3.75, 'nod', 'P1', None, 'well', 'head'),
    Event(2.0, 2.0, 'blink'),
    Event(2.5, 4.0, 'tap', 'P1', None, '[modifiers left]', 'hand'),
)


def comma(text):
    return re.sub(r'(\d)\.(\d)', r'\1,\2', text.replace(',', ';'))


def quoted(text):
    lines = text.split('\n')
    return '\n'.join(re.sub('[^,]+', r'"\g<0>"', line) for line in lines)


SPELLINGS = {
    'as exported': str.encode,
    'tabs': lambda text: text.replace(',', '\t').encode(),
    'decimal commas': lambda text: comma(text).encode('utf-8-sig'),
    'quoted': lambda text: quoted(text).replace('\n', '\r\n').encode('utf-8-sig'),
    'British': lambda text: text.replace('Behavior', 'Behaviour').encode('utf-16'),
}


@pytest.mark.parametrize('spelling', SPELLINGS)
@pytest.mark.parametrize('dialect', DIALECTS)
def test_dialects_of_tables(tmp_path, dialect, spelling):
    path = tmp_path / 'events.csv'
    path.write_bytes(SPELLINGS[spelling](DIALECTS[dialect]))
    [own] = read_boris(path)
    assert own.events == EVENTS
    assert (own.name, own.path) == ('day 1', 'v/a.mp4')
    assert (own.fps, own.duration_sec) == (25.0, 10.0)
    assert own.annotator == ('anna' if 'old' not in dialect else '')


def test_aggregated_events_as_pandas_reads_them(tmp_path):
    pandas = pytest.importorskip('pandas')
    table = pandas.read_csv(io.StringIO(NEW_AGGREGATED))
    (tmp_path / 'e.tsv').write_text(table.to_csv(sep='\t', index=False))
    [own] = read_boris(tmp_path)
    states = table[table['Behavior type'] == 'STATE']
    lengths = [e.end_sec - e.start_sec for e in own.events if e.end_sec > e.start_sec]
    assert lengths == pytest.approx([*states['Duration (s)']])


def test_tables_of_several_files_and_observations(tmp_path):
    source, rest = 'player #1:v/a.mp4;b.avi|player #2:c.mp4', 'v/a.mp4'
    text = FLAT.format(source=source, length='3.000;7.000|9.0', fps='25.0;50.0|5')
    path = tmp_path / 'events.csv'
    path.write_text(text + text.replace('day 1', 'day 2').split('\n', 1)[1])
    first, second, *others = read_boris(path)
    assert (first.name, first.path, first.duration_sec) == ('day 1 a', rest, 3)
    assert (second.path, second.fps, second.duration_sec) == ('b.avi', 50, 7)
    assert times(second) == [(0, 0.75, 'nod', 'P1'), (0, 1, 'tap', 'P1')]
    assert [own.name for own in others] == ['day 2 a', 'day 2 b']
    later = NEW_TABULAR.replace(',0.0,10.000', ',0.5,10.000')
    path.write_text(later)
    assert read_boris(path)[0].events[0].start_sec == 1.0
    minimal = 'Time,Media file path,FPS,Subject,Behavior,Status\n' + ''.join(
        f'{sec},{file}.mp4,30,,nod,{status}\n'
        for file in ('v/x', 'v/y')
        for sec, status in ((1, 'START'), (2, 'STOP'))
    )
    path.write_text(minimal)
    assert [(own.name, times(own)) for own in read_boris(path)] == [
        ('x', [(1, 2, 'nod', '')]),
        ('y', [(1, 2, 'nod', '')]),
    ]
    path.write_text(OLD_TABULAR.replace('4.000,v/a.mp4', '4.000,v/b.mp4'))
    with pytest.raises(ValueError, match=r'2 files share .* not all their lengths are'):
        read_boris(path)


def test_a_folder_of_tables_and_of_projects(tmp_path, project):
    for i in (1, 2):
        (tmp_path / f'e{i}.csv').write_text(NEW_TABULAR.replace('day 1', f'day {i}'))
    assert [own.name for own in read_boris(tmp_path)] == ['day 1', 'day 2']
    (tmp_path / 'e3.tsv').write_text(NEW_TABULAR)
    with pytest.raises(ValueError, match="video 'day 1@anna' is annotated 2 times"):
        read_boris(tmp_path)
    project({'o': observation([])})
    assert [own.name for own in read_boris(tmp_path)] == ['o']


def test_a_project_and_its_videos_become_a_root(tmp_path, project):
    for name in 'abc':
        make_video(tmp_path / f'v/{name}.mp4', moving_frames(100), 25)
    first = [
        press(0.5),
        press(1, '', 'blink'),
        press(1.5),
        press(2, 'Q'),
        press(3, 'Q'),
    ]
    row = observation([press(3, 'R'), press(5, 'R')], ['v/b.mp4', 'v/c.mp4'])
    row['media_info']['length'] = {'v/b.mp4': 4.0, 'v/c.mp4': 4.0}
    path = project({'one': observation(first, ['D:\\study\\a.mp4']), 'row': row})
    convert('boris', path, tmp_path / 'root', Options(videos=str(tmp_path / 'v')))
    root = DataRoot(tmp_path / 'root')
    videos = {video.video: video for video in root.read_det()}
    paths = {name: video.path for name, video in videos.items()}
    files = {'one': 'a', 'row b': 'b', 'row c': 'c'}
    assert paths == {name: f'videos/{stem}.mp4' for name, stem in files.items()}
    found = [(i.start_sec, i.end_sec, i.subject) for i in videos['one'].instances]
    assert found == [(0.5, 1.5, 'P'), (1, 1.04, ''), (2, 3, 'Q')]
    assert [i.point for i in videos['one'].instances] == [False, True, False]
    assert [(i.start_sec, i.end_sec) for i in videos['row c'].instances] == [(0, 1)]
    assert root.label_space().actions == ('blink', 'nod')
    assert len(root.read_rec()) == 5
