"""Converters of detection tables, both ways."""

import json
import re
import shutil
from pathlib import Path

import pytest
from video_files import make_video, moving_frames

from mmma.convert import convert, export
from mmma.convert.detection import MAPPING_KEYS, resolve_labels, subset_of
from mmma.convert.target import UserMapping
from mmma.data.root import DataRoot, write_info
from mmma.data.videos import Instance
from mmma.taxonomy import load_label_space

MMA82, MA52 = load_label_space('mma82'), load_label_space('ma52')
ONLY_THERE = min(set(MA52.actions) - set(MMA82.actions))


def test_subsets_by_the_usual_names_and_the_users(mapping_file):
    usual = {'training': 'train', 'val': 'val', 'testing': 'test'}
    assert {n: subset_of(n, UserMapping()) for n in usual} == usual
    told = {'val': 'train', 'test': 'test', 'training': ''}
    mapping = UserMapping.read(mapping_file({'subsets': told}), *MAPPING_KEYS)
    assert {n: subset_of(n, mapping) for n in told} == told
    with pytest.raises(
        ValueError, match=r"unknown subset 'Test': known are train, .*training.*--mapp"
    ):
        subset_of('Test', mapping)


def resolve(*found, names=None, tmp_path=None, **mapping):
    """Label space, and our names in the order found."""
    path = None
    if names is not None:
        path = tmp_path / 'category_idx.txt'
        path.write_text('\n'.join(names) + '\n')
    pairs = [(f'v{i}', label) for i, label in enumerate(found)]
    try:
        space, names = resolve_labels(
            pairs, path, UserMapping(**mapping), Path('some.json')
        )
    except ValueError as error:
        raise ValueError(' '.join(str(error).split())) from None
    return space, list(names.values())


def test_names_in_any_spelling_choose_their_label_space():
    for space, other in ((MMA82, MA52), (MA52, MMA82)):
        own = min(set(space.actions) - set(other.actions))
        assert resolve(own, space.actions[0])[0] == space
    assert resolve(MA52.actions[0], label_space='mma82')[0] == MMA82
    assert resolve('Rubbing_Hands')[1] == ['rubbing hands']
    assert resolve()[0] == MMA82


def test_indices_by_a_list_or_in_the_published_order(tmp_path):
    names, expected = [*reversed(MMA82.actions)], [MMA82.actions[81], MMA82.actions[0]]
    listed = dict(names=names, tmp_path=tmp_path)
    assert resolve(0, '81', **listed) == (MMA82, expected)
    assert resolve(1, 82, first_index=1, **listed) == (MMA82, expected)
    assert resolve(9) == (MA52, ['nodding'])
    with pytest.raises(ValueError, match=r'1 unknown labels of mma82.*category_idx'):
        resolve(9, label_space='mma82')


def test_unknown_labels_are_named_and_counted():
    with pytest.raises(
        ValueError,
        match=r"some\.json: 2 unknown labels of ma52 in 3 annotations 'noding': 2 "
        r"annotations, the first in 'v1'\. Did you mean 'nodding'\? 'jumping': 1 .*"
        r'"Ambiguous": ""',
    ):
        resolve('nodding', 'noding', 'jumping', 'noding', label_space='ma52')
    with pytest.raises(ValueError, match=r"'x4': 1 .* and 3 more"):
        resolve(*(f'x{i}' for i in range(8)))
    for label in (52, -1, None, True, 1.5, ['nodding']):
        with pytest.raises(ValueError, match='1 unknown labels'):
            resolve('nodding', label)


def test_only_simulated_data_are_marked(det_root, tmp_path):
    root = shutil.copytree(det_root, tmp_path / 'root')
    info = DataRoot(root).info
    for simulated in (True, False):
        write_info(root, type(info)(info.name, info.label_space, simulated))
        for kind in ('opentad', 'pointtad'):
            export(kind, root, tmp_path / 'x', force=True)
            text = (tmp_path / f'x/{kind}.json').read_text()
            assert ('"simulated": true' in text) is simulated


NODDING = {'label': 'nodding', 'segment': [0.77, 2.37]}


def entry(*annotations, **said):
    known = {'subset': 'training', 'duration': 5.6, 'frame': 168}
    return {**known, **said, 'annotations': list(annotations)}


@pytest.fixture
def opentad(run):
    """Converts OpenTAD's database."""

    def convert_file(content, files=None, **options):
        files = {'anno/my.json': json.dumps({'database': content}), **(files or {})}
        root, conversion = run('opentad', files, **options)
        return root, conversion.notices

    return convert_file


def test_a_file_becomes_a_root(opentad):
    database = {
        '196_01_0005_L': entry(NODDING, {'label': ONLY_THERE, 'segment': [3, 5.9]}),
        'x': entry(NODDING, subset='validation', duration=10, frame=290),
        'y': entry(subset='testing', domain='street'),
    }
    root, notices = opentad(database)
    videos = root.read_det()
    assert (root.info.name, root.info.label_space) == ('my', 'ma52')
    assert (root.info.source, root.info.simulated) == ('OpenTAD my.json', False)
    assert videos[0].instances == (
        Instance(0.77, 2.37, MA52.action_id('nodding')),
        Instance(3, 5.6, MA52.action_id(ONLY_THERE)),  # beyond the end: cut
    )
    assert [v.subset for v in videos] == ['train', 'val', 'test']
    assert [v.fps for v in videos] == pytest.approx([30.0, 29.0, 30.0])
    assert [v.subject for v in videos] == ['196', '', '']
    assert [v.domain for v in videos] == ['lab', 'lab', 'street']
    assert [v.withheld for v in videos] == [False, False, True]
    assert videos[0].path == 'videos/train/196_01_0005_L.mp4'
    assert 'test: no video has annotations, so the truth is withheld' in notices


def test_one_file_several_and_none(tree, tmp_path):
    content = json.dumps({'database': {'a': entry(NODDING)}})
    source = tree({'one.json': content, 'other.json': '{}'})
    convert('opentad', source / 'one.json', tmp_path / 'out')
    assert DataRoot(tmp_path / 'out').read_det()[0].video == 'a'
    with pytest.raises(ValueError, match=r'2 \.json files .*give one of them'):
        convert('opentad', source, tmp_path / 'out2')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(FileNotFoundError, match=r'no \.json file is in it'):
        convert('opentad', tmp_path / 'empty', tmp_path / 'out2')


@pytest.mark.parametrize(
    ('bad', 'message'),
    [
        ({'label': 'nodding'}, 'annotation 1: must be {"segment", "label"}'),
        (7, 'annotation 1: must be {"segment", "label"}, not 7'),
    ],
)
def test_bad_segments_name_file_and_video(opentad, tmp_path, bad, message):
    with pytest.raises(ValueError, match=rf'my\.json:1: v7: {message}'):
        opentad({'fine': entry(NODDING), 'v7': entry(NODDING, bad)}, strict=True)
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    ('said', 'message'),
    [
        ({'duration': None}, 'v: duration None: must be a number above 0'),
        ({'duration': float('nan')}, 'v: duration nan: must be'),
        ({'frame': None, 'fps': 'fast'}, "v: fps 'fast': must be a number"),
        ({'subset': 'dev'}, "v: unknown subset 'dev'"),
        ({'subset': None}, "v: unknown subset 'None'"),
        ({'domain': 'zoo'}, "v: unknown domain 'zoo'"),
        ({'annotations': {}}, 'v: must be an object with subset'),
    ],
)
def test_bad_videos(opentad, said, message):
    with pytest.raises(ValueError, match=message):
        opentad({'v': {**entry(NODDING), **said}})


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('{"v": {"actions": []}}', r'my\.json: need {"database".*format pointtad'),
        ('{"database": {}}', 'need {"database"'),
        ('[', r'my\.json:1: not readable as JSON'),
    ],
)
def test_other_files(run, content, message):
    with pytest.raises(ValueError, match=message):
        run('opentad', {'my.json': content})


def test_the_rate_is_never_guessed(opentad):
    plain = entry(NODDING)
    del plain['frame']
    with pytest.raises(
        ValueError, match=r'(?s)2 problems.*a: neither fps nor .*--fps N if all'
    ):
        opentad({'a': plain, 'b': plain})
    root, notices = opentad({'a': plain, 'b': entry(NODDING)}, fps=25.0)
    assert [(v.fps, v.frames) for v in root.read_det()] == [
        (25.0, 140),
        (pytest.approx(30), 168),
    ]
    assert 'videos with their own fps or frames: --fps is not for them' in notices


def test_the_rate_of_the_video(opentad, tmp_path):
    plain = entry(NODDING)
    del plain['frame']
    video = make_video(tmp_path / 'v.mp4', moving_frames(28), 5)
    root, _ = opentad({'a': plain}, {'clips/a.mp4': video.read_bytes()})
    assert (root.read_det()[0].fps, root.read_det()[0].frames) == (5.0, 28)
    assert root.video_path('videos/train/a.mp4').is_file()


def test_what_the_mapping_renames_and_leaves_out(opentad, mapping_file):
    names, subsets = {'nod': 'nodding', 'Ambiguous': ''}, {'validation': ''}
    mapping = mapping_file({'action_names': names, 'subsets': subsets})
    unclear, nod = ({'label': n, 'segment': [1, 2]} for n in ('Ambiguous', 'nod'))
    database = {'a': entry(nod, unclear), 'b': entry(NODDING, subset='validation')}
    root, notices = opentad(database, mapping=mapping)
    (video,) = root.read_det()
    assert [root.label_space().actions[i.label] for i in video.instances] == ['nodding']
    assert "'Ambiguous': 1 annotations left out, as asked" in notices
    mapping_file({'subsets': {'training': ''}})
    with pytest.raises(ValueError, match=r'my\.json: no videos are left to convert'):
        opentad({'a': entry(NODDING)}, mapping=mapping, force=True)


# As in the released mmad.json.
MMAD = {
    'subset': 'train',
    'duration': 5.6,
    'actions': [[9, 0.7667, 2.3667], [21, 2.2667, 4.1667]],
}


def test_indices_of_pointtad(run, mapping_file):
    files = {'mmad.json': json.dumps({'train0000': MMAD})}
    files['mmad_frames.json'] = '{"train0000": 138}'
    with pytest.raises(ValueError, match=r'mmad\.json:1: train0000: neither fps nor'):
        run('pointtad', files)
    root, conversion = run('pointtad', files, fps=30)
    (video,) = root.read_det()
    first, second = Instance(0.7667, 2.3667, 9), Instance(2.2667, 4.1667, 21)
    assert video.instances == (first, second)
    assert (video.fps, video.frames, video.subset) == (30.0, 168, 'train')
    assert 'label space ma52' in conversion.notices
    mapping = mapping_file({'first_index': 1})
    root, _ = run('pointtad', files, fps=30, mapping=mapping, force=True)
    assert [i.label for i in root.read_det()[0].instances] == [8, 20]
    unknown = {'v': {**MMAD, 'actions': [[52, 1, 2], [52, 2, 3]]}}
    with pytest.raises(
        ValueError, match=r'(?s)1 unknown labels of ma52 in 2 annotations\n  52: 2 ann'
    ):
        run('pointtad', {'mmad.json': json.dumps(unknown)}, fps=30, force=True)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ([9, 3, 1], r'json:1: v: annotation 0: segment \[3, 1\]'),
        ([9, 1], r'v: action 0: must be \[class, start_sec, end_sec\], not \[9, 1\]'),
        (9, 'v: action 0: must be'),
        ({'database': {}}, r'mmad\.json: need {video: .*the format opentad'),
        ({}, 'need {video:'),
        ({'v': []}, 'v: must be an object with subset, duration, and a list'),
        ({'v': {'actions': 3}}, 'v: must be an object with subset'),
    ],
)
def test_bad_files_of_pointtad(run, content, message):
    if not isinstance(content, dict):
        content = {'v': {**MMAD, 'actions': [content]}}
    with pytest.raises(ValueError, match=message):
        run('pointtad', {'mmad.json': json.dumps(content)}, fps=30)


def table(root):
    return [{**vars(v), 'path': '', 'line': 0} for v in DataRoot(root).read_det()]


@pytest.mark.parametrize('kind', ['opentad', 'pointtad'])
def test_there_and_back(det_root, tmp_path, kind):
    lines = export(kind, det_root, tmp_path / 'theirs')
    assert lines[0].endswith(f'{kind}.json: train 4, val 1, test 3 videos, 8 instances')
    content = json.loads((tmp_path / f'theirs/{kind}.json').read_text())
    if kind == 'opentad':
        video = content['database']['lab_train_0']
        found = video['subset'], video['frame'], video['duration']
        assert found == ('training', 40, 4.0)
        assert video['annotations'][0]['segment'] == [0.5, 2.0]
    else:
        video = content['lab_train_0']
        assert (video['subset'], video['duration']) == ('train', 4.0)
        assert video['actions'][:2] == [[7, 0.5, 2.0], [41, 1.0, 3.5]]
        assert 'actions' not in content['lab_train_2']  # withheld is not empty
    names = (tmp_path / 'theirs/category_idx.txt').read_text().splitlines()
    assert tuple(names) == DataRoot(det_root).label_space().actions
    convert(kind, tmp_path / 'theirs', tmp_path / 'back')
    assert table(det_root) == table(tmp_path / 'back')
    assert DataRoot(tmp_path / 'back').info.simulated  # it stays marked


def test_the_released_tables_there_and_back(shared_data, tmp_path):
    convert('mma52', shared_data / 'mma52', tmp_path / 'root')
    export('pointtad', tmp_path / 'root', tmp_path / 'theirs')
    convert('pointtad', tmp_path / 'theirs', tmp_path / 'back')
    assert table(tmp_path / 'root') == table(tmp_path / 'back')


@pytest.mark.parametrize(
    ('bad', 'left', 'message'),
    [
        ([3, 1], None, r'annotation 1: segment \[3, 1\]: must be seconds'),
        ([1, 9], (1, 5), r'annotation 1: segment \[1, 9\] ends after the video'),
        (3, None, 'annotation 1: segment 3: must be seconds'),
    ],
)
def test_odd_segments_are_cut_or_left_out_and_told(opentad, bad, left, message):
    odd = {'segment': bad, 'label': 'nodding'}
    videos = {'fine': entry(NODDING), 'v7': entry(NODDING, odd)}
    for video in videos.values():
        video['duration'] = 5
    root, notices = opentad(videos)
    _, video = root.read_det()
    assert len(video.instances) == 1 + bool(left)
    last = video.instances[-1]
    assert left in (None, (last.start_sec, last.end_sec))
    told = '\n'.join(notices)
    assert re.search(f'1 of 3 segments .*v7: {message}', told)


def test_odd_segments_are_refused_if_strict_or_most(opentad, tmp_path):
    odd = {'segment': [1, 99], 'label': 'nodding'}
    for bad, options in (([NODDING, odd], {'strict': True}), ([NODDING, odd, odd], {})):
        with pytest.raises(ValueError, match='frames taken for seconds'):
            opentad({'v7': entry(*bad)}, **options)
    assert not (tmp_path / 'out').exists()


def test_an_own_label_space_with_domains_of_any_name(opentad, tmp_path):
    actions = [{'name': 'Waving hands'}, {'name': 'pointing'}]
    path = tmp_path / 'space.json'
    path.write_text(json.dumps({'name': 'own', 'actions': actions}))
    found = {'segment': [0.5, 1.0], 'label': 'waving_hands'}
    database = {
        'a': {**entry(found), 'domain': 'clinic'},
        'b': {**entry(found, subset='testing'), 'domain': 'home'},
    }
    root, _ = opentad(database, label_space=str(path))
    assert root.domains == (('clinic', 'home'), 'clinic')
    assert [v.instances[0].label for v in root.read_det()] == [0, 0]
    assert root.label_space().actions == ('Waving hands', 'pointing')
