"""Annotations of people as a data root, and the full circle through every tool."""

import csv
import json
from itertools import chain

import pytest

from mmma.cli import main
from mmma.convert import Options, convert
from mmma.convert.events import FORMATS, Event, Recording, format_function
from mmma.data.root import DataRoot, DatasetInfo, write_info
from mmma.data.videos import Instance, Video, write_det
from mmma.taxonomy import load_label_space
from tests.video_files import make_video, numbered_frames

pytest.importorskip('pympi')
pytest.importorskip('praatio')

SPACE = load_label_space(
    {
        'name': 'own',
        'bodies': ['head', 'hands'],
        'actions': [
            {'name': 'nodding', 'body': 'head'},
            {'name': 'blinking', 'body': 'head'},
            {'name': 'fumbling', 'body': 'hands'},
        ],
    }
)


def annotate(folder, *recordings, kind='elan'):
    folder.mkdir(exist_ok=True)
    format_function('write', kind)(folder, recordings, SPACE)
    return folder


def happens(*people, label='nodding', tier='head'):
    return tuple(Event(i, i + 1.5, label, p, tier=tier) for i, p in enumerate(people))


def to_root(source, **options):
    conversion = convert('elan', source, source.parent / 'root', Options(**options))
    root = DataRoot(source.parent / 'root')
    return root, ' '.join(conversion.notices)


def mapping(folder, **content):
    (folder / 'map.json').write_text(json.dumps(content))
    return folder / 'map.json'


def test_files_without_videos(tmp_path):
    events = *happens('A'), Event(2.0, 2.0, 'fumbling', 'A', tier='hands', text='so')
    source = annotate(tmp_path / 'src', Recording('a', events=events))
    root, notices = to_root(source)
    (video,) = root.read_det()
    assert (video.path, video.subject, video.fps) == ('', 'A', 30.0)
    assert video.duration == pytest.approx(2 + 1 / 30)  # the last event ends it
    space = root.label_space()
    assert space.plain() == {
        'name': 'src-labels',
        'bodies': ['hands', 'head'],
        'actions': [
            {'name': 'fumbling', 'body': 'hands'},
            {'name': 'nodding', 'body': 'head'},
        ],
    }
    nod, fumble = video.instances
    assert nod == Instance(0.0, 1.5, 1, tier='head')
    assert (fumble.point, fumble.text, fumble.end_sec) == (True, 'so', video.duration)
    with (root.path / 'rec.csv').open() as file:
        first, last = csv.DictReader(file)
    assert first == {
        **{'clip': 'a_0001', 'path': '', 'subset': 'train', 'domain': 'lab'},
        **{'subject': 'A', 'action': 'nodding', 'body': 'head'},
        **{'start_sec': '0.0', 'end_sec': '1.5'},
    }
    assert float(last['end_sec']) - float(last['start_sec']) == pytest.approx(1 / 30)
    assert root.domains == (('lab',), 'lab')
    assert 'nothing is in val and test: too few persons' in notices


def test_videos_are_found_by_the_name_in_the_file_then_by_its_own(tmp_path):
    shots = tmp_path / 'shots'
    for name in ('day1/Front.mp4', 'b.mp4', 'unused.mp4'):
        (shots / name).parent.mkdir(parents=True, exist_ok=True)
        make_video(shots / name, numbered_frames(20), 10)
    source = annotate(
        tmp_path / 'src',
        Recording('a', r'C:\x\day1\front.mp4', events=happens('A')),
        Recording('b', 'gone.mp4', events=(Event(0.5, 9, 'nodding', 'B'),)),
        Recording('c', 'c.mov', events=happens('C')),
    )
    root, notices = to_root(source, videos=str(shots))
    a, b, c = root.read_det()
    assert (a.path, a.fps, a.frames, a.duration) == ('videos/day1/Front.mp4', 10, 20, 2)
    assert root.video_path(a.path).is_file()
    assert (b.path, c.path) == ('videos/b.mp4', 'videos/c.mov')
    assert b.instances[0].end_sec == 2.0  # cut to the video, and told
    assert 'ends after the video (2 s)' in notices
    assert '1 videos are not in place' in notices
    alone = annotate(tmp_path / 'alone', Recording('b', events=happens('B')))
    (shots / 'b.mp4').rename(alone / 'b.mp4')
    convert('elan', alone / 'b.eaf', tmp_path / 'one')  # beside a single file
    assert DataRoot(tmp_path / 'one').read_det()[0].path == 'videos/b.mp4'


def test_tiers_are_named_or_left_out(tmp_path):
    speech = Event(0, 9, 'well, I do not know', 'A', tier='speech')
    events = *happens('A', tier='Head (AB)'), speech
    source = annotate(tmp_path / 'src', Recording('a', events=events))
    for tiers in ({'speech': '', 'Head (AB)': 'head'}, {'*': '', 'Head (AB)': 'head'}):
        given = mapping(tmp_path, tiers=tiers)
        root, notices = to_root(source, mapping=given, force=True)
        assert root.label_space().actions == ('nodding',)
        assert [x.tier for x in root.read_det()[0].instances] == ['head']
        assert "tier 'speech': 1 events left out, as asked" in notices
    given = mapping(tmp_path, tiers={'spech': ''})
    with pytest.raises(ValueError, match=r"tier 'spech'; there are: Head .AB., speech"):
        to_root(source, mapping=given, force=True)


def subsets(root):
    return {video.video: video.subset for video in root.read_det()}


def test_nobody_is_in_two_subsets(tmp_path):
    recordings = [
        Recording(f'v{i:02d}', events=happens(*people))
        for i, people in enumerate(['AB', 'B', 'C', 'C', *'DEFGHIJKLMNOPQ', 'QR'])
    ]
    root, _ = to_root(annotate(tmp_path / 'src', *recordings))
    people = {name: set() for name in ('train', 'val', 'test')}
    for clip in root.read_rec():
        people[clip.subset].add(clip.subject)
    assert sum(map(len, people.values())) == len(set(chain(*people.values()))) == 18
    assert [len(own) for own in people.values()] == [14, 2, 2]
    again, _ = to_root(tmp_path / 'src', force=True)
    assert subsets(again) == subsets(root)


@pytest.mark.parametrize(
    ('people', 'expected', 'told'),
    [
        (('A', 'B'), ['test', 'train'], 'nothing is in val: too few'),
        (('A', 'A', 'A'), ['test', 'train', 'val'], 'the same person'),
        (('AB', 'BC', 'C'), ['test', 'train', 'val'], 'persons who meet'),
        (('', '', ''), ['test', 'train', 'val'], 'no person is told'),
    ],
)
def test_few_persons(tmp_path, people, expected, told):
    recordings = [
        Recording(f'v{i}', events=happens(*(own or [''])))
        for i, own in enumerate(people)
    ]
    root, notices = to_root(annotate(tmp_path / 'src', *recordings))
    assert sorted(subsets(root).values()) == expected
    assert told in notices


def test_subsets_and_persons_that_the_user_gives(tmp_path):
    told = Event(0, 1, 'val', tier='subset')
    source = annotate(
        tmp_path / 'src',
        *(Recording(f'v{i}', events=happens('AABC'[i])) for i in range(4)),
        Recording('x1', events=(*happens(''), told)),
        Recording('x2', events=happens('')),
    )
    given = mapping(
        tmp_path,
        subsets={'A': 'test', 'v2': 'train', 'C': '', 'Z': 'val'},
        subjects={'x': 'X'},
        domain='home',
        domains={'x': 'clinic'},
        action_names={'nodding': 'Nod'},
    )
    root, notices = to_root(source, mapping=given)
    assert subsets(root) == {
        **{'v0': 'test', 'v1': 'test', 'v2': 'train'},
        **{'x1': 'val', 'x2': 'val'},
    }
    assert root.domains == (('clinic', 'home'), 'clinic')
    assert {v.subject for v in root.read_det()} == {'A', 'B', 'X'}
    assert root.label_space().actions == ('Nod',)
    assert "'Z' is neither a video nor a person" in notices
    mixed = annotate(tmp_path / 'mix', Recording('v', events=happens('A', 'B')))
    with pytest.raises(ValueError, match='A, B are in it, whose subsets differ'):
        to_root(
            mixed,
            mapping=mapping(tmp_path, subsets={'A': 'test', 'B': 'val'}),
            force=True,
        )
    odd = annotate(
        tmp_path / 'odd', Recording('v', events=(Event(0, 1, 'dev', tier='subset'),))
    )
    with pytest.raises(ValueError, match="v: unknown subset 'dev'"):
        to_root(odd, force=True)


def test_a_table_with_a_column_of_subsets(tmp_path):
    rows = 'a,Test,0,1,nod', 'a,Test,2,3,nod', 'b,,0,1,nod', 'c,val,0,1,nod'
    table = tmp_path / 'events.csv'
    table.write_text('\n'.join(('video,subset,start,end,label', *rows)))
    convert('csv', table, tmp_path / 'root')
    told = subsets(DataRoot(tmp_path / 'root'))
    assert told == {'a': 'test', 'b': 'train', 'c': 'val'}


def test_labels(tmp_path):
    events = [
        *(*happens('A'), Event(3, 4, 'Nodding', 'A'), Event(5, 6, 'nod_ding', 'A')),
        *(Event(7, 8, 'noding', 'A'), Event(9, 10, 'unclear', 'A')),
    ]
    source = annotate(tmp_path / 'src', Recording('a', events=tuple(events)))
    space = tmp_path / 'space.json'
    space.write_text(json.dumps(SPACE.plain()))
    with pytest.raises(ValueError, match='3 unknown labels of own in 3') as error:
        to_root(source, label_space=str(space))
    assert "'noding': 1 annotations, the first in 'a'. Did you mean 'nodding'?" in str(
        error.value
    )
    names = {'noding': 'nodding', 'unclear': '', 'nod_ding': 'nodding'}
    given = mapping(tmp_path, action_names=names)
    root, notices = to_root(source, label_space=str(space), mapping=given)
    assert root.info.label_space == SPACE.plain()
    assert {i.label for i in root.read_det()[0].instances} == {0}
    assert "'unclear': 1 events left out, as asked" in notices
    root, notices = to_root(source, mapping=given, force=True)
    assert root.label_space().actions == ('nodding',)
    assert "'Nodding' is taken for the label that differs in case" in notices
    with pytest.raises(ValueError, match=r"1 labels are numbers .'1' on tier "):
        to_root(
            annotate(tmp_path / 'n', Recording('a', events=happens('A', label='1'))),
            force=True,
        )
    empty = annotate(tmp_path / 'none', Recording('a'))
    with pytest.raises(ValueError, match='no event has a label, so there is no action'):
        to_root(empty, force=True)
    with pytest.raises(
        ValueError, match='--label-space is for annotation tools, not for'
    ):
        convert('ma52', source, tmp_path / 'ma52', Options(label_space='mma82'))


def test_groups_are_those_of_tiers_that_events_did_not_name(tmp_path):
    events = [Event(i, i + 1, label) for i, label in enumerate(SPACE.actions)]
    source = annotate(tmp_path / 'src', Recording('a', events=tuple(events)))
    root, notices = to_root(source)
    space = root.label_space()
    assert space.bodies == ('hands', 'head')
    assert {i.tier for i in root.read_det()[0].instances} == {*SPACE.bodies}
    assert 'label space src-labels: 3 actions, 2 groups' in notices
    (tmp_path / 'empty').mkdir()
    with pytest.raises(ValueError, match='empty: no video is in this folder'):
        to_root(source, videos=str(tmp_path / 'empty'), force=True)


@pytest.fixture(scope='module')
def det_root(tmp_path_factory):
    """A root with overlaps, points, several persons, scores and notes."""
    path = tmp_path_factory.mktemp('circle') / 'root'
    videos = []
    for i, subset in enumerate(('train', 'train', 'val', 'test')):
        name, own = f'v{i}', ('train', 'train', 'val', 'test')[i]
        make_video(path / f'videos/{own}/{name}.mp4', numbered_frames(100), 10)
        instances = (
            Instance(0.5, 2.0, 0),
            Instance(1.0, 3.25, 0, score=0.5 + i / 8),
            Instance(1.0, 3.5, 1, 'other', text='ä "b"'),
            Instance(4.2, 4.3, 2, point=True),
            Instance(4.2, 9.999, 2, 'other', 0.25),
        )
        person = ('anna', 'anna', 'ben', 'Zoë')[i]
        facts = f'videos/{own}/{name}.mp4', subset, ('home', 'clinic')[i % 2], person
        instances = instances[: 5 if i < 2 else 2]
        videos.append(Video(name, *facts, 10.0, 100, 10.0, instances))
    videos.append(Video('v9', '', 'train', 'home', 'anna', 10.0, 100, 10.0))
    path.mkdir(exist_ok=True)
    info = DatasetInfo('own', SPACE.plain(), True, domains=('home', 'clinic'))
    write_info(path, info)
    write_det(path / 'det.json', videos, SPACE)
    return path


@pytest.mark.parametrize('kind', FORMATS)
def test_full_circle(kind, det_root, tmp_path, capsys):
    out, back = tmp_path / 'out', tmp_path / 'back'
    assert main('export', [kind, str(det_root), str(out)]) == 0
    printed = capsys.readouterr().out
    assert f'files of {kind}, 5 videos, 14 events [simulated]' in printed
    assert main('export', [kind, str(det_root), str(out)]) == 2
    assert 'is not empty: give --force' in capsys.readouterr().err
    argv = [kind, str(out), str(back), '--videos', str(det_root / 'videos')]
    assert main('data/convert', argv) == 0, capsys.readouterr().err
    then, now = DataRoot(det_root), DataRoot(back)
    assert now.info.simulated
    assert now.label_space() == then.label_space()
    assert now.info.domains == then.info.domains

    def content(root):
        return {
            v.video: {**vars(v), 'line': 0, 'instances': sorted(v.instances, key=repr)}
            for v in root.read_det()
            if v.instances
        }

    assert content(now) == content(then)
    assert [v.video for v in now.read_det() if not v.instances] == ['v9']
