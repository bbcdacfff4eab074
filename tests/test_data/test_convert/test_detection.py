"""Converters of detection tables, both ways."""

import json
from pathlib import Path

import pytest
from video_files import make_video, moving_frames

from mmma.data.convert import convert, export
from mmma.data.convert.detection import (
    DetectionLabels,
    DetectionMapping,
)
from mmma.data.convert.target import Options
from mmma.data.root import DataRoot, write_info
from mmma.data.videos import Instance
from mmma.taxonomy import load_label_space


def read(tmp_path, content):
    path = tmp_path / 'mapping.json'
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return DetectionMapping.read(path)


def test_the_usual_names_of_subsets():
    mapping = DetectionMapping()
    assert [mapping.subset_of(n) for n in ('training', 'val', 'testing')] == [
        *('train', 'val', 'test')
    ]


def test_names_that_the_user_explains(tmp_path):
    subsets = {'val': 'train', 'test': 'test', 'training': ''}
    mapping = read(tmp_path, {'subsets': subsets})
    assert [mapping.subset_of(n) for n in subsets] == ['train', 'test', '']
    with pytest.raises(
        ValueError, match=r"unknown subset 'Test': known are train, .*training.*--mapp"
    ):
        mapping.subset_of('Test')


def test_the_longest_start_of_a_name_gives_the_domain(tmp_path):
    mapping = read(tmp_path, {'domains': {'s': 'street', 's_em': 'emotion'}})
    assert [mapping.domain_of(v) for v in ('s_1', 's_em1', 'x')] == [
        *('street', 'emotion', 'lab')
    ]


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('{', 'mapping.json: Expecting'),
        ('[1]', 'mapping.json'),
        ({'action_name': {}}, "unknown key 'action_name'.*'action_names'"),
        ({'label_space': 'mma28'}, "unknown label_space 'mma28'.*'mma82'"),
        ({'domain': 'labor'}, "unknown domain 'labor'"),
        ({'domains': {'a': 'x'}}, "unknown domain 'x'"),
        ({'subsets': {'a': 'x'}}, "unknown subset 'x'"),
        ({'first_index': 2}, 'first_index 2: use 0 or 1'),
    ],
)
def test_bad_mappings(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, content)


def test_no_mapping(tmp_path):
    assert DetectionMapping.read(None) == DetectionMapping()
    with pytest.raises(FileNotFoundError, match=r'gone\.json: no such file'):
        DetectionMapping.read(tmp_path / 'gone.json')


MMA82, MA52 = load_label_space('mma82'), load_label_space('ma52')
FILE = Path('some.json')


def labels(*found, names=None, tmp_path=None, **mapping):
    path = None
    if names is not None:
        path = tmp_path / 'category_idx.txt'
        path.write_text('\n'.join(names) + '\n')
    pairs = [(f'v{i}', label) for i, label in enumerate(found)]
    return DetectionLabels(pairs, path, DetectionMapping(**mapping))


@pytest.mark.parametrize('space', [MMA82, MA52])
def test_names_choose_their_label_space(space):
    own = set(space.actions) - set(({MMA82, MA52} - {space}).pop().actions)
    found = labels(sorted(own)[0], space.actions[0])
    found.check(FILE)
    assert found.space == space
    assert labels(space.actions[0], label_space='mma82').space == MMA82


def test_spelling_does_not_matter():
    found = labels('Rubbing_Hands')
    found.check(FILE)
    assert found.name('Rubbing_Hands') == 'rubbing hands'


def test_indices_by_a_list(tmp_path):
    names = [*reversed(MMA82.actions)]
    found = labels(0, '81', names=names, tmp_path=tmp_path)
    found.check(FILE)
    assert [found.name(0), found.name('81')] == [MMA82.actions[81], MMA82.actions[0]]
    assert found.space == MMA82
    counted = labels(1, 82, names=names, tmp_path=tmp_path, first_index=1)
    assert [counted.name(1), counted.name(82)] == [found.name(0), found.name('81')]


def test_indices_without_a_list_are_those_of_the_published_order():
    found = labels(9, 51)
    found.check(FILE)
    assert (found.space, found.name(9)) == (MA52, 'nodding')
    with pytest.raises(ValueError, match=r'1 unknown labels of mma82.*category_idx'):
        _check(labels(9, label_space='mma82'))


def _check(found):
    try:
        found.check(FILE)
    except ValueError as error:
        raise ValueError(' '.join(str(error).split())) from None


def test_unknown_labels_are_named_and_counted():
    found = labels('nodding', 'noding', 'jumping', 'noding', label_space='ma52')
    with pytest.raises(
        ValueError,
        match=r"some\.json: 2 unknown labels of ma52 in 3 annotations 'noding': 2 "
        r"annotations, the first in 'v1'\. Did you mean 'nodding'\? 'jumping': 1 .*"
        r'"Ambiguous": ""',
    ):
        _check(found)


def test_many_unknown_labels():
    with pytest.raises(ValueError, match=r"'x4': 1 .* and 3 more"):
        _check(labels(*(f'x{i}' for i in range(8))))


@pytest.mark.parametrize('label', [52, -1, None, True, 1.5, ['nodding']])
def test_what_is_no_label(label):
    with pytest.raises(ValueError, match='1 unknown labels'):
        _check(labels('nodding', label))


def test_labels_are_renamed_or_left_out():
    renamed = {'nod': 'nodding', 'Ambiguous': ''}
    found = labels('nod', 'Ambiguous', 'Ambiguous', action_names=renamed)
    found.check(FILE)
    assert [found.name('nod'), found.name('Ambiguous')] == ['nodding', '']
    assert found.left_out == {'Ambiguous': 2}


def test_no_label_at_all():
    assert labels().space == MMA82


def test_the_classes_lie_beside_the_file(root, tmp_path, space):
    lines = export('pointtad', root, tmp_path / 'x')
    assert lines[0].endswith('pointtad.json: val 1 videos, 2 instances')
    names = (tmp_path / 'x/category_idx.txt').read_text().splitlines()
    assert tuple(names) == space.actions


def test_only_simulated_data_are_marked(root, tmp_path):
    info = DataRoot(root).info
    for simulated in (True, False):
        write_info(root, type(info)(info.name, info.label_space, simulated))
        for kind in ('opentad', 'pointtad'):
            export(kind, root, tmp_path / 'x', force=True)
            text = (tmp_path / f'x/{kind}.json').read_text()
            assert ('"simulated": true' in text) is simulated


MA52_OPENTAD = load_label_space('ma52')
ONLY_THERE = sorted(set(MA52_OPENTAD.actions) - set(load_label_space('mma82').actions))[
    0
]
NODDING = {'label': 'nodding', 'segment': [0.77, 2.37]}


def entry(*annotations, **said):
    known = {'subset': 'training', 'duration': 5.6, 'frame': 168}
    return {**known, **said, 'annotations': list(annotations)}


def run_of_opentad(tree, tmp_path, database, files=None, **options):
    content = json.dumps({'database': database, 'taxonomy': {}})
    source = tree({'anno/my.json': content, **(files or {})})
    conversion = convert('opentad', source, tmp_path / 'out', Options(**options))
    return DataRoot(tmp_path / 'out'), conversion


def test_a_file_becomes_a_root(tree, tmp_path):
    database = {
        '196_01_0005_L': entry(NODDING, {'label': ONLY_THERE, 'segment': [3, 5.9]}),
        'x': entry(NODDING, subset='validation', duration=10, frame=290),
        'y': entry(subset='testing'),
    }
    root, conversion = run_of_opentad(tree, tmp_path, database)
    videos = root.read_det()
    assert (root.info.name, root.info.label_space) == ('my', 'ma52')
    assert videos[0].instances == (
        Instance(0.77, 2.37, MA52_OPENTAD.action_id('nodding')),
        Instance(
            3, 5.6, MA52_OPENTAD.action_id(ONLY_THERE)
        ),  # a little beyond the end: cut
    )
    assert [v.subset for v in videos] == ['train', 'val', 'test']
    assert [v.fps for v in videos] == pytest.approx([30.0, 29.0, 30.0])
    assert [v.subject for v in videos] == ['196', '', '']
    assert [v.withheld for v in videos] == [False, False, True]
    assert videos[0].path == 'videos/train/196_01_0005_L.mp4'
    assert 'test: no video has annotations, so the truth is withheld' in (
        conversion.notices
    )


def test_a_single_file(tree, tmp_path):
    content = json.dumps({'database': {'a': entry(NODDING)}})
    source = tree({'one.json': content, 'other.json': '{}'})
    convert('opentad', source / 'one.json', tmp_path / 'out')
    assert DataRoot(tmp_path / 'out').read_det()[0].video == 'a'
    with pytest.raises(ValueError, match=r'2 \.json files .*give one of them'):
        convert('opentad', source, tmp_path / 'out2')


def test_no_file(tree, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no \.json file is in it'):
        convert('opentad', tree({'a.txt': ''}), tmp_path / 'out')


@pytest.mark.parametrize(
    ('bad', 'message'),
    [
        ({'segment': [3, 1], 'label': 'nodding'}, r'annotation 1: segment \[3, 1\]'),
        ({'segment': [1, float('nan')], 'label': 'nodding'}, 'annotation 1: .*nan'),
        ({'segment': [1, 9], 'label': 'nodding'}, 'annotation 1: .*ends after the vid'),
        (
            {'segment': [-1, 2], 'label': 'nodding'},
            r'annotation 1: segment \[-1, 2\].* 0 <= st',
        ),
        ({'segment': [1, 1], 'label': 'nodding'}, r'annotation 1: segment \[1, 1\]'),
        ({'segment': 3, 'label': 'nodding'}, r'annotation 1: segment 3'),
        ({'label': 'nodding'}, 'annotation 1: must be {"segment", "label"}'),
        (7, 'annotation 1: must be {"segment", "label"}, not 7'),
    ],
)
def test_bad_segments_name_file_and_video(tree, tmp_path, bad, message):
    database = {'fine': entry(NODDING), 'v7': entry(NODDING, bad)}
    with pytest.raises(ValueError, match=rf'my\.json:1: v7: {message}'):
        run_of_opentad(tree, tmp_path, database)
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
def test_bad_videos(tree, tmp_path, said, message):
    with pytest.raises(ValueError, match=message):
        run_of_opentad(tree, tmp_path, {'v': {**entry(NODDING), **said}})


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('{"v": {"actions": []}}', r'my\.json: need {"database".*format pointtad'),
        ('{"database": {}}', 'need {"database"'),
        ('[', r'my\.json:1: not readable as JSON'),
        ('{"database": {"a": {}, "a": {}}}', r'my\.json.* a: is there twice'),
    ],
)
def test_other_files(tree, tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        convert('opentad', tree({'my.json': content}), tmp_path / 'out')


def without_rate(*annotations, **said):
    return {k: v for k, v in entry(*annotations, **said).items() if k != 'frame'}


def test_the_rate_is_never_guessed(tree, tmp_path):
    database = {'a': without_rate(NODDING), 'b': without_rate(NODDING)}
    with pytest.raises(
        ValueError, match=r'(?s)2 problems.*a: neither fps nor .*--fps N if all'
    ):
        run_of_opentad(tree, tmp_path, database)
    root, _ = run_of_opentad(tree, tmp_path, database, fps=25.0)
    assert [(v.fps, v.frames) for v in root.read_det()] == [(25.0, 140)] * 2


def test_a_folder_that_is_not_empty(tree, tmp_path):
    database = {'a': entry(NODDING, domain='street')}
    root, _ = run_of_opentad(tree, tmp_path, database)
    assert root.info.source == 'OpenTAD my.json'
    assert (root.read_det()[0].domain, root.info.simulated) == ('street', False)
    with pytest.raises(ValueError, match='is not empty: give --force'):
        run_of_opentad(tree, tmp_path, database)
    run_of_opentad(tree, tmp_path, database, force=True)


def test_own_rates_come_first(tree, tmp_path):
    root, conversion = run_of_opentad(tree, tmp_path, {'a': entry(NODDING)}, fps=25.0)
    assert root.read_det()[0].fps == pytest.approx(30)
    assert any('--fps is not for them' in notice for notice in conversion.notices)


def test_the_rate_of_the_video(tree, tmp_path):
    video = make_video(tmp_path / 'v.mp4', moving_frames(28), 5)
    root, _ = run_of_opentad(
        *(tree, tmp_path, {'a': without_rate(NODDING)}),
        files={'clips/a.mp4': video.read_bytes()},
    )
    assert (root.read_det()[0].fps, root.read_det()[0].frames) == (5.0, 28)
    assert root.video_path('videos/train/a.mp4').is_file()


def test_what_the_mapping_leaves_out(tree, tmp_path):
    mapping = tmp_path / 'mapping.json'
    names, subsets = {'Ambiguous': ''}, {'validation': ''}
    mapping.write_text(json.dumps({'action_names': names, 'subsets': subsets}))
    unclear = {'label': 'Ambiguous', 'segment': [1, 2]}
    database = {'a': entry(NODDING, unclear), 'b': entry(NODDING, subset='validation')}
    root, conversion = run_of_opentad(tree, tmp_path, database, mapping=mapping)
    assert [len(v.instances) for v in root.read_det()] == [1]
    assert "'Ambiguous': 1 annotations left out, as asked" in conversion.notices
    mapping.write_text(json.dumps({'subsets': {'training': ''}}))
    with pytest.raises(ValueError, match=r'my\.json: no videos are left to convert'):
        run_of_opentad(
            tree, tmp_path, {'a': entry(NODDING)}, mapping=mapping, force=True
        )


def test_there_and_back(det_root, tmp_path):
    lines = export('opentad', det_root, tmp_path / 'theirs')
    assert 'train 4, val 1, test 3 videos, 8 instances' in lines[0]
    content = json.loads((tmp_path / 'theirs/opentad.json').read_text())
    video = content['database']['lab_train_0']
    assert (video['subset'], video['frame'], video['duration']) == ('training', 40, 4.0)
    assert video['annotations'][0]['segment'] == [0.5, 2.0]
    convert('opentad', tmp_path / 'theirs', tmp_path / 'back')
    root, back = DataRoot(det_root), DataRoot(tmp_path / 'back')
    assert back.info.simulated  # it stays marked
    assert [{**vars(v), 'path': '', 'line': 0} for v in back.read_det()] == [
        {**vars(v), 'path': '', 'line': 0} for v in root.read_det()
    ]


# As in the released mmad.json.
MMAD = {
    'train0000': {
        'subset': 'train',
        'duration': 5.6,
        'actions': [[9, 0.7667, 2.3667], [21, 2.2667, 4.1667]],
    }
}


def run_of_pointtad(tree, tmp_path, content, files=None, **options):
    source = tree({'mmad.json': json.dumps(content), **(files or {})})
    conversion = convert('pointtad', source, tmp_path / 'out', Options(**options))
    return DataRoot(tmp_path / 'out'), conversion


def test_a_file_becomes_a_root_of_pointtad(tree, tmp_path):
    frames = {'mmad_frames.json': '{"train0000": 138}'}
    root, conversion = run_of_pointtad(tree, tmp_path, MMAD, frames, fps=30)
    (video,) = root.read_det()
    assert video.instances == (
        Instance(0.7667, 2.3667, 9),
        Instance(2.2667, 4.1667, 21),
    )
    assert root.label_space().actions[9] == 'nodding'
    assert (video.fps, video.frames, video.subset) == (30.0, 168, 'train')
    assert 'label space ma52' in conversion.notices


def test_the_rate_is_never_guessed_of_pointtad(tree, tmp_path):
    with pytest.raises(ValueError, match=r'mmad\.json:1: train0000: neither fps nor'):
        run_of_pointtad(tree, tmp_path, MMAD)


def test_classes_that_count_from_1(tree, tmp_path):
    mapping = tmp_path / 'mapping.json'
    mapping.write_text('{"first_index": 1}')
    root, _ = run_of_pointtad(tree, tmp_path, MMAD, fps=30, mapping=mapping)
    assert [i.label for i in root.read_det()[0].instances] == [8, 20]


def test_unknown_classes(tree, tmp_path):
    content = {'v': {**MMAD['train0000'], 'actions': [[52, 1, 2], [52, 2, 3]]}}
    with pytest.raises(
        ValueError, match=r'(?s)1 unknown labels of ma52 in 2 annotations\n  52: 2 ann'
    ):
        run_of_pointtad(tree, tmp_path, content, fps=30)


@pytest.mark.parametrize(
    ('action', 'message'),
    [
        ([9, 3, 1], r'annotation 0: segment \[3, 1\]'),
        ([9, 1, float('nan')], 'annotation 0: .*nan'),
        ([9, 1, 90], 'annotation 0: .*ends after the video'),
        ([9, 1], r'action 0: must be \[class, start_sec, end_sec\], not \[9, 1\]'),
        (9, 'action 0: must be'),
    ],
)
def test_bad_segments_name_file_and_video_of_pointtad(tree, tmp_path, action, message):
    content = {'v7': {**MMAD['train0000'], 'actions': [action]}}
    with pytest.raises(ValueError, match=rf'mmad\.json:1: v7: {message}'):
        run_of_pointtad(tree, tmp_path, content, fps=30)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ({'database': {}}, r'mmad\.json: need {video: .*the format opentad'),
        ({}, 'need {video:'),
        ([], 'need {video:'),
        ({'v': []}, 'v: must be an object with subset, duration, and a list'),
        ({'v': {'actions': 3}}, 'v: must be an object with subset'),
    ],
)
def test_other_files_of_pointtad(tree, tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        run_of_pointtad(tree, tmp_path, content)


def same(*roots):
    tables = [
        [{**vars(v), 'path': '', 'line': 0} for v in DataRoot(root).read_det()]
        for root in roots
    ]
    return tables[0] == tables[1]


def test_there_and_back_of_pointtad(det_root, tmp_path):
    export('pointtad', det_root, tmp_path / 'theirs')
    content = json.loads((tmp_path / 'theirs/pointtad.json').read_text())
    video = content['lab_train_0']
    assert (video['subset'], video['duration']) == ('train', 4.0)
    assert video['actions'][:2] == [[7, 0.5, 2.0], [41, 1.0, 3.5]]
    assert 'actions' not in content['lab_train_2']  # withheld is not empty
    convert('pointtad', tmp_path / 'theirs', tmp_path / 'back')
    assert same(det_root, tmp_path / 'back')
    assert DataRoot(tmp_path / 'back').info.simulated


def test_the_released_tables_there_and_back(shared_data, tmp_path):
    convert('mma52', shared_data / 'mma52', tmp_path / 'root')
    export('pointtad', tmp_path / 'root', tmp_path / 'theirs')
    convert('pointtad', tmp_path / 'theirs', tmp_path / 'back')
    assert same(tmp_path / 'root', tmp_path / 'back')
