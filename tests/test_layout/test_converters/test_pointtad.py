import json

import pytest

from mmma.layout.converters import convert, export
from mmma.layout.converters.target import Options
from mmma.layout.det import Instance
from mmma.layout.root import DataRoot

# As in the released mmad.json.
MMAD = {
    'train0000': {
        'subset': 'train',
        'duration': 5.6,
        'actions': [[9, 0.7667, 2.3667], [21, 2.2667, 4.1667]],
    }
}


def run(tree, tmp_path, content, files=None, **options):
    source = tree({'mmad.json': json.dumps(content), **(files or {})})
    conversion = convert('pointtad', source, tmp_path / 'out', Options(**options))
    return DataRoot(tmp_path / 'out'), conversion


def test_a_file_becomes_a_root(tree, tmp_path):
    frames = {'mmad_frames.json': '{"train0000": 138}'}
    root, conversion = run(tree, tmp_path, MMAD, frames, fps=30)
    (video,) = root.read_det()
    assert video.instances == (
        Instance(0.7667, 2.3667, 9),
        Instance(2.2667, 4.1667, 21),
    )
    assert root.label_space().actions[9] == 'nodding'
    assert (video.fps, video.frames, video.subset) == (30.0, 168, 'train')
    assert 'label space ma52' in conversion.notices


def test_the_rate_is_never_guessed(tree, tmp_path):
    with pytest.raises(ValueError, match=r'mmad\.json:1: train0000: neither fps nor'):
        run(tree, tmp_path, MMAD)


def test_classes_that_count_from_1(tree, tmp_path):
    mapping = tmp_path / 'mapping.json'
    mapping.write_text('{"first_index": 1}')
    root, _ = run(tree, tmp_path, MMAD, fps=30, mapping=mapping)
    assert [i.label for i in root.read_det()[0].instances] == [8, 20]


def test_unknown_classes(tree, tmp_path):
    content = {'v': {**MMAD['train0000'], 'actions': [[52, 1, 2], [52, 2, 3]]}}
    with pytest.raises(
        ValueError, match=r'(?s)1 unknown labels of ma52 in 2 annotations\n  52: 2 ann'
    ):
        run(tree, tmp_path, content, fps=30)


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
def test_bad_segments_name_file_and_video(tree, tmp_path, action, message):
    content = {'v7': {**MMAD['train0000'], 'actions': [action]}}
    with pytest.raises(ValueError, match=rf'mmad\.json:1: v7: {message}'):
        run(tree, tmp_path, content, fps=30)


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
def test_other_files(tree, tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        run(tree, tmp_path, content)


def same(*roots):
    tables = [
        [{**vars(v), 'path': '', 'line': 0} for v in DataRoot(root).read_det()]
        for root in roots
    ]
    return tables[0] == tables[1]


def test_there_and_back(det_root, tmp_path):
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
