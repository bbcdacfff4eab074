import csv
import math

import pytest

from mmma.convert.events import Event, Recording
from mmma.convert.spreadsheets import clock, read_csv, write_csv
from mmma.taxonomy import load_label_space

OWN = load_label_space(
    {
        'name': 'clinic',
        'bodies': ['face', 'hands'],
        'actions': [
            {'name': 'blink', 'body': 'face'},
            {'name': 'Händereiben', 'body': 'hands'},
            {'name': '=wave, "left"', 'body': 'hands'},
        ],
    }
)
EVENTS = (
    Event(0.0, 1.234, 'blink', 'Ann', 0.875, 'first\n-second line', 'face of Ann'),
    Event(0.5, 2.0, 'blink', 'Ben'),
    Event(0.5, 1.0, 'blink', 'Ann', text="'=SUM(A1)"),
    Event(3723.456, 3723.456, '=wave, "left"', '@home', 0.5),
    Event(3724.0, 7201.5, 'Händereiben', 'Ann', text='=1+1', tier='-x'),
)
RECORDINGS = [
    Recording('one', 'videos/a b/one.mp4', 25.0, 7300.04, EVENTS, 'Zoë'),
    Recording('two.5', '', events=EVENTS[:1]),
    Recording('nothing', 'nothing.avi', 29.97),
]


def test_round_trip_loses_nothing(tmp_path):
    (path,) = write_csv(tmp_path, RECORDINGS, OWN)
    assert path == tmp_path / 'events.csv'
    assert str(read_csv(path)) == str(RECORDINGS)  # NaN is not NaN
    assert str(read_csv(tmp_path)) == str(RECORDINGS)


def test_excel_and_pandas_read_what_is_written(tmp_path):
    pandas = pytest.importorskip('pandas')
    (path,) = write_csv(tmp_path, RECORDINGS, OWN)
    assert path.read_bytes().startswith(b'\xef\xbb\xbfvideo,subject,start,end,')
    table = pandas.read_csv(path, encoding='utf-8-sig')
    assert len(table) == 7
    assert table.start_sec[:5].tolist() == [e.start_sec for e in EVENTS]
    assert table.start[3] == '01:02:03.456'
    assert table.body[:5].tolist() == ['face'] * 3 + ['hands'] * 2
    assert table.point[:5].tolist()[3] == 'yes'
    assert table.video.tolist() == ['one'] * 5 + ['two.5', 'nothing']
    with path.open(encoding='utf-8-sig', newline='') as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [c for c in cells if any(x[:1] in ('=', '@') for x in c.split('\n'))]


def test_clock_rounds_to_milliseconds():
    assert [clock(t) for t in (0, 59.9996, 3599.9994, 360000)] == [
        '00:00:00.000',
        '00:01:00.000',
        '00:59:59.999',
        '100:00:00.000',
    ]


def events_of(tmp_path, text, name='video7.csv', encoding='utf-8'):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return read_csv(path)


@pytest.mark.parametrize(
    'text',
    [
        'File;Participant;Onset;Offset;Code\nvideo7.mp4;P1;1,5;62,25;nod\n',
        'subject\tBehavior\tStart (s)\tStop (s)\tMedia\nP1\tnod\t1.5\t62.25\tvideo7\n',
        'BEGIN,DURATION,Behaviour,Person\n00:00:01.500,60.75,nod,P1\n',
        'Begin Time - hh:mm:ss.ms,Begin Time - ss.msec,End Time - ss.msec,Code,subject'
        '\n00:00:01.500,1.5,62.25,nod,P1\n',
        'sep=;\nstartTime;endTime;label;subject\n00:01,5;01:02,25;nod;P1\n',
        '# trace-meta: behaviors=nod:n\nlabelId,timestamp,endTimestamp,subject\n'
        'nod,1.500,62.250,P1\n',
    ],
)
@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16'])
def test_tables_of_others(tmp_path, text, encoding):
    (video,) = events_of(tmp_path, text, encoding=encoding)
    assert video.name == 'video7'
    assert video.events == (Event(1.5, 62.25, 'nod', 'P1'),)


def test_table_of_infer_and_predictions_of_vtrace(tmp_path):
    text = 'task,start_sec,end_sec,action,body,score,abstained,simulated,model\n'
    text += 'rec,0.000,9.000,nod,head,0.9,false,false,tsm\n'
    text += 'det,1.000,2.000,nod,head,0.4567,false,false,adatad\n'
    (video,) = events_of(tmp_path, text)
    assert video.annotator == 'adatad'
    assert video.events == (Event(1, 2, 'nod', score=0.4567, tier='head'),)
    text = 'labelId,timestamp,endTimestamp,score\nnod,1,2,0.5\n'
    (video,) = events_of(tmp_path, text, 'trial.pred.csv')
    assert (video.name, video.events) == ('trial', (Event(1, 2, 'nod', score=0.5),))


def test_what_excel_does_to_times(tmp_path):
    head = 'label,start,end,start_sec,end_sec\n'
    text = f'{head}a,02:03.5,1:02:05,3723.456,3725.001\n'
    assert events_of(tmp_path, text)[0].events == (Event(3723.456, 3725.001, 'a'),)
    with pytest.raises(ValueError, match=r"start is '1.5' and '00:00:01.700': correct"):
        events_of(tmp_path, f'{head}a,00:00:01.700,00:00:02.000,1.5,2.0\n')


def test_aggregated_events_of_boris(tmp_path):
    text = 'Observation id,Media file,FPS,Subject,Behavior,Start (s),Stop (s),'
    text += 'Duration (s)\no,a.mp4,25.0,x,s,1.8,8.125,6.325\no,a.mp4,25.0,x,p,5,5,NA\n'
    (video,) = events_of(tmp_path, text)
    assert video.events == (Event(1.8, 8.125, 's', 'x'), Event(5, 5, 'p', 'x'))


def test_moments_and_videos_in_which_nothing_happens(tmp_path):
    (video,) = events_of(tmp_path, 'onset,code\n3,nod\n')
    assert video.events == (Event(3, 3, 'nod'),)
    text = 'video,onset,offset,code,point\na.mp4,3,,nod,yes\nb.mp4,,,,\n'
    a, b = events_of(tmp_path, text)
    assert (a.events, b.events) == ((Event(3, 3, 'nod'),), ())
    assert (b.name, b.path) == ('b', 'b.mp4')


def test_videos_and_coders_of_one_table(tmp_path):
    text = 'file,coder,start,end,label\n'
    text += (
        's1/a.mp4,X,1,2,n\ns1/a.mp4,Y,1,3,n\ns2/a.mp4,X,4,5,n\nc:\\d\\b.mp4,X,1,2,n\n'
    )
    found = events_of(tmp_path, text)
    assert [x.name for x in found] == ['s1/a.mp4@X', 's1/a.mp4@Y', 's2/a.mp4', 'b']
    assert [x.annotator for x in found] == ['X', 'Y', 'X', 'X']
    assert math.isnan(found[0].fps)


@pytest.mark.parametrize(
    ('text', 'match'),
    [
        ('when,what\n1,nod\n', 'no column for the label .* there are: when, what'),
        (
            'label,start_frame\nnod,4\n',
            'no column for the start .* there are: label, st',
        ),
        ('label,start,end\nnod,1,\n', 'csv:2: no end: for an event of a moment'),
        ('label,start,end\nnod,,3\n', 'no start'),
        ('label,start,end\n,1,3\n', 'no label'),
        ('label,start,end\nnod,soon,3\n', "start 'soon': need seconds or hh:mm:ss"),
        ('label,start,end\nnod,4,3\n', 'from 4.0 to 3.0 s: must end after its start'),
        ('label,start,end\nnod,NA,3\n', 'no start'),
        ('label,start,end\nnod,inf,3\n', "start 'inf'"),
        ('Observation id,x\n1,2\n', 'Of BORIS. Then the format is boris'),
        ('label,start,end,score\nnod,1,3,87\n', 'score 87.0: must be from 0 to 1'),
    ],
)
def test_errors_name_the_row(tmp_path, text, match):
    with pytest.raises(ValueError, match=match):
        events_of(tmp_path, text)


def test_folders_and_the_same_video_twice(tmp_path):
    with pytest.raises(FileNotFoundError, match='no table'):
        read_csv(tmp_path)
    for name in 'ab':
        (tmp_path / f'{name}.csv').write_text('file,start,label\nv.mp4,1,nod\n')
    with pytest.raises(ValueError, match="'v' is annotated 2 times"):
        read_csv(tmp_path)


def test_of_a_folder_with_tables_of_pages_those_alone(tmp_path, capsys):
    for name in ('one', 'sub/two'):
        file = tmp_path / f'{name}.annotations.csv'
        file.parent.mkdir(exist_ok=True)
        file.write_text(f'video,start,label\n{name}.mp4,1,nod\n')
    (tmp_path / 'one.csv').write_text('file,start,label\none.mp4,1,nod\n')
    assert [own.path for own in read_csv(tmp_path)] == ['one.mp4', 'sub/two.mp4']
    assert '*.annotations.csv alone, not 1 others' in capsys.readouterr().err
