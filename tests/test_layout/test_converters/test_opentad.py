import json

import pytest
from video_files import make_video, moving_frames

from mmma.layout.converters import convert, export
from mmma.layout.converters.target import Options
from mmma.layout.det import Instance
from mmma.layout.root import DataRoot
from mmma.taxonomy import load_label_space

MA52 = load_label_space('ma52')
ONLY_THERE = sorted(set(MA52.actions) - set(load_label_space('mma82').actions))[0]
NODDING = {'label': 'nodding', 'segment': [0.77, 2.37]}


def entry(*annotations, **said):
    known = {'subset': 'training', 'duration': 5.6, 'frame': 168}
    return {**known, **said, 'annotations': list(annotations)}


def run(tree, tmp_path, database, files=None, **options):
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
    root, conversion = run(tree, tmp_path, database)
    videos = root.read_det()
    assert (root.info.name, root.info.label_space) == ('my', 'ma52')
    assert videos[0].instances == (
        Instance(0.77, 2.37, MA52.action_id('nodding')),
        Instance(3, 5.6, MA52.action_id(ONLY_THERE)),  # a little beyond the end: cut
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
        run(tree, tmp_path, database)
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
        run(tree, tmp_path, {'v': {**entry(NODDING), **said}})


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
        run(tree, tmp_path, database)
    root, _ = run(tree, tmp_path, database, fps=25.0)
    assert [(v.fps, v.frames) for v in root.read_det()] == [(25.0, 140)] * 2


def test_own_rates_come_first(tree, tmp_path):
    root, conversion = run(tree, tmp_path, {'a': entry(NODDING)}, fps=25.0)
    assert root.read_det()[0].fps == pytest.approx(30)
    assert any('--fps is not for them' in notice for notice in conversion.notices)


def test_the_rate_of_the_video(tree, tmp_path):
    video = make_video(tmp_path / 'v.mp4', moving_frames(28), 5)
    root, _ = run(
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
    root, conversion = run(tree, tmp_path, database, mapping=mapping)
    assert [len(v.instances) for v in root.read_det()] == [1]
    assert "'Ambiguous': 1 annotations left out, as asked" in conversion.notices
    mapping.write_text(json.dumps({'subsets': {'training': ''}}))
    with pytest.raises(ValueError, match=r'my\.json: no videos are left to convert'):
        run(tree, tmp_path, {'a': entry(NODDING)}, mapping=mapping, force=True)


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
