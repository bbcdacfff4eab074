"""Readers of tables, JSON, lists and configs that others wrote.

``make`` writes right files, ``read`` takes the way that a command takes, in a function.
"""

import json
import shutil
from functools import cache, partial
from pathlib import Path

import numpy as np
import yaml
from fuzzing import Reader
from mutations import (
    CODE_WORDS,
    MARKUP_WORDS,
    YAML_WORDS,
    mutate_json,
    mutate_json_lines,
    mutate_lines,
    mutate_table,
    then_bytes,
    with_words,
)
from real_runs import make_table_root, real_args
from result_files import make_rec_root, write_ablation, write_model
from zoo_folders import det_results
from zoo_metafiles import URL, ours, recipe, write_metafiles

from mmma.checkpoints.download import _notes_of, _read_notes
from mmma.checkpoints.files import last_checkpoint
from mmma.config import json_config, origins, plain_config, read_config
from mmma.convert import Options, convert
from mmma.convert.events import (
    FORMATS,
    Event,
    Recording,
    format_function,
    read_recordings,
)
from mmma.convert.mma82 import RELEASE
from mmma.convert.spreadsheets import COLUMNS
from mmma.convert.target import UserMapping, label_names
from mmma.data import clips
from mmma.data.arrays import FeaturesInfo, SkeletonStore, SkeletonWriter
from mmma.data.clips import REQUIRED, read_rec, write_rec
from mmma.data.joints import WHOLEBODY65, JointLayout, layout_text, read_layout
from mmma.data.leakage import _NAME_COLUMNS
from mmma.data.root import DataRoot, read_info, write_info
from mmma.data.videos import (
    Instance,
    Video,
    read_det,
    read_detections,
    write_det,
    write_detections,
)
from mmma.datasets.clips import read_names
from mmma.engine.findings import SCHEMA, made_before
from mmma.evaluation.faces import read_faces
from mmma.evaluation.form import audit_results
from mmma.evaluation.reports import detection_report, recognition_report
from mmma.evaluation.rows import DetectionOptions, EvaluationOptions
from mmma.evaluation.scores import ScoreTable, read_scores, write_scores
from mmma.foreign import has_controls, is_number
from mmma.hub.zoo import list_models, metafile_text, read_metafiles, trained_in
from mmma.media.encode import read_person
from mmma.media.pack import JOURNAL_FILE, Journal
from mmma.media.pose import open_partials
from mmma.reporting.paper import paper_tables, render
from mmma.reporting.report import _curves, build_report
from mmma.reporting.results import read_named
from mmma.reporting.submission import read_expected, read_ma52_scores, read_segments
from mmma.reporting.table import results_table
from mmma.simulation.corpus import _check_content
from mmma.taxonomy import DOMAINS, load_label_space, read_label_space
from mmma.workflow import Workflow

REPO = Path(__file__).parents[2]
SPACE, OTHER = load_label_space('mma82'), load_label_space('ma52')
TABLES, LINES = then_bytes(mutate_table), then_bytes(mutate_lines)
JSON, JSON_LINES = then_bytes(mutate_json), then_bytes(mutate_json_lines)
YAML = then_bytes(with_words(*YAML_WORDS), 0.05)
MARKUP = then_bytes(with_words(*MARKUP_WORDS))
CODE = then_bytes(with_words(*CODE_WORDS), 0.05)


def write(folder: Path, name: str, content) -> Path:
    """A file of text, of lines in a list, or of JSON."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content
    if isinstance(content, list):
        text = '\n'.join(content) + '\n'
    elif isinstance(content, dict):
        text = json.dumps(content, indent=1)
    path.write_text(text, 'utf-8')
    return path


def writes(name: str, content):
    """Maker of one file."""
    return lambda folder: write(folder, name, content)


# --- tables of a data root


def rec_table(folder: Path) -> Path:
    make_rec_root(folder, clips=2)
    path = folder / 'rec.csv'
    header, *rows = path.read_text().splitlines()
    spans = ',lab_a.mp4,1.5,2.5', ',lab_a.mp4,0:01,"0:02,5"'
    rows[:2] = [row + span for row, span in zip(rows, spans, strict=False)]
    rows[2:] = [f'{row},,,' for row in rows[2:]]
    write(folder, 'rec.csv', [f'{header},source_video,start_sec,end_sec', *rows])
    write(folder, 'missing_sources.csv', ['source_video,domain,clips', 'lab_a,lab,1'])
    return path


def check_clips(clips) -> None:
    assert len({clip.clip for clip in clips}) == len(clips)
    for clip in clips:
        assert not has_controls(clip.clip)
        assert not has_controls(clip.path)
        assert clip.action is None or 0 <= clip.action < 82
        assert clip.body is None or 0 <= clip.body < 7
        assert clip.span is None or 0 <= clip.span[0] < clip.span[1] < float('inf')


def read_clips(path: Path):
    clips = read_rec(path, SPACE)
    write_rec(path, clips, SPACE)
    again = read_rec(path, SPACE)
    assert again == clips
    return clips


def read_missing(path: Path):
    return DataRoot(path.parent).read_rec()


def videos_of(*names: str) -> list[Video]:
    happens = (Instance(0.5, 2, 7), Instance(1, 3.5, 41), Instance(3, 3.9, 7))
    return [
        Video(n, f'v/{n}.mp4', s, 'lab', f's{i}', 25.0, 100, 4.0, happens)
        for i, (n, s) in enumerate(zip(names, ('train', 'test', 'test'), strict=True))
    ]


def det_table(folder: Path) -> Path:
    write_det(folder / 'det.json', videos_of('a', 'b', 'c'), SPACE)
    return folder / 'det.json'


def check_videos(videos) -> None:
    assert len({video.video for video in videos}) == len(videos)
    for video in videos:
        assert not has_controls(video.video)
        assert not has_controls(video.path)
        assert min(video.fps, video.frames, video.duration) > 0
        for one in video.instances:
            assert 0 <= one.start_sec < one.end_sec <= video.duration
            assert 0 <= one.label < 82


def read_videos(path: Path):
    videos = read_det(path, SPACE)
    write_det(path, videos, SPACE)
    assert read_det(path, SPACE) == videos
    return videos


def info_file(folder: Path) -> Path:
    make_rec_root(folder, clips=1, domains=('lab', 'ward'))
    content = json.loads((folder / 'dataset.json').read_text())
    more = {'domains': ['lab', 'ward'], 'source_domain': 'ward', 'source': 'me'}
    return write(folder, 'dataset.json', {**content, **more, 'version': '1'})


OWN_SPACE = {
    'name': 'own',
    'bodies': ['hand', 'head'],
    'domains': ['ward'],
    'actions': [
        {'name': 'waving', 'body': 'hand', 'description': 'once'},
        {'name': 'nodding', 'body': 'head'},
    ],
}


def own_info_file(folder: Path) -> Path:
    content = json.loads(info_file(folder).read_text())
    return write(folder, 'dataset.json', {**content, 'label_space': OWN_SPACE})


def read_own_space(path: Path):
    space = read_label_space(str(path))
    assert load_label_space(space.plain()) == space
    assert not any(map(has_controls, (space.name, *space.actions, *space.bodies)))


def read_facts(path: Path):
    info = read_info(path.parent)
    assert info.source_domain in info.domains
    assert not any(map(has_controls, (info.name, *info.domains)))
    write_info(path.parent, info)
    assert read_info(path.parent) == info


def skeletons(folder: Path) -> Path:
    layout = JointLayout(('nose', 'hand'), limbs=(('nose', 'hand'),))
    with SkeletonWriter(folder, 'rec', layout) as writer:
        for name in 'abc':
            joints = np.ones((1, 3, 2, 2))
            writer.append(name, joints, np.ones((1, 3, 2)), 25.0, 40, 32)
    return folder / 'skeletons' / 'rec_index.csv'


def layout_file(folder: Path) -> Path:
    return write(folder, 'layout.json', layout_text(WHOLEBODY65))


def read_joints(path: Path):
    layout = read_layout(path.parent)
    assert not any(map(has_controls, layout.names))
    path.write_text(layout_text(layout))
    assert read_layout(path.parent) == layout


def read_index(path: Path):
    store = SkeletonStore(path.parents[1], 'rec')
    for name in store.names:
        assert is_number(store.fps(name))
        assert store.get(name)[0].shape[1] >= 1


FEATURES = {
    **{'stride_sec': 0.2, 'dim': 64, 'offset_sec': 0.1, 'fps': 25.0},
    **{'dtype': 'float16', 'backbone': 'x', 'weights_sha256': 'ab' * 32},
}


def check_features(info) -> None:
    assert is_number(info.stride_sec)
    assert is_number(info.dim)
    info.differences({'backbone': 'x', 'weights_sha256': 'ab', 'stride_sec': 0.2})


# --- lists of names

NAMED = ['a.mp4 3', 'b.mp4 0', 'c d.mp4 12', 'e']
SAMPLE = ['video_id,t_start,t_end', 'test0000,1,2', 'test0000,2,3', 'test0001,0,1']


# --- scores and detections


def scores_of(space, folder: Path) -> Path:
    scores = np.random.default_rng(0).dirichlet(np.ones(space.num_actions), 3)
    table = ScoreTable(tuple('abc'), scores.round(4))
    write_scores(folder / 'scores.csv', table, space)
    return folder / 'scores.csv'


def read_score_table(path: Path):
    table = read_scores(path, SPACE)
    assert len({*table.names}) == len(table.names)
    assert np.isfinite(table.scores).all()
    write_scores(path, table, SPACE)
    np.testing.assert_array_equal(read_scores(path, SPACE).scores, table.scores)


FEELINGS = ('anger', 'happy', 'sad')
FACE_FILES = {
    'ours': 'video,frame,time_sec,face,x,y,width,height,angry,happy,sad,neutral',
    'DeepFace': 'video,frame,dominant_emotion,face_confidence,emotion.fear,emotion.sad',
    'py-feat': 'FaceRectX,FaceScore,anger,happiness,sadness,neutral,input,frame',
    'OpenFace': 'frame,timestamp,confidence,success,AU04_r,AU05_r,AU06_r,AU12_r',
    'FER': 'box0,angry0,happy0,box1,angry1,happy1',
}


def face_rows(header: str):
    """Two frames; the last has no face."""
    texts = {'video': 'a', 'input': 'a.mp4', 'dominant_emotion': 'sad'}
    texts |= {'box0': '(1 2 3 4)', 'box1': '(1 2 9 9)'}
    names = header.split(',')
    row = [texts.get(name, str(i / 16)) for i, name in enumerate(names)]
    none = [
        cell if name in texts else '' for name, cell in zip(names, row, strict=True)
    ]
    return [header, ','.join(row), ','.join(none).replace('(1 2 3 4)', '')]


def read_face_scores(path: Path):
    scores, told = read_faces(path, {'a': 'a', 'b': ''}, FEELINGS)
    assert {*scores} <= {'a'}
    for own in scores.values():
        np.testing.assert_allclose(own.sum(), 1)
    assert told['frames'] >= told['frames_without_face']


def truth_and_scores(folder: Path) -> Path:
    rows = [f'{name},,test,lab,s1,{action},' for action, name in enumerate('abc')]
    write(folder, 'rec.csv', [','.join(REQUIRED), *rows])
    return scores_of(SPACE, folder)


def check_report(report) -> None:
    json.dumps(report, allow_nan=False)
    counts = report['counts']
    assert counts.get('clips', counts.get('videos')) > 0


def report_scores(path: Path):
    folder, options = path.parent, EvaluationOptions(resamples=2)
    given = (folder / 'rec.csv', folder / 'scores.csv', 'mma82', 'taxonomy')
    return recognition_report(*given, options)[0]


DETECTIONS = {
    'results': {
        name: [
            {'segment': [0.5, 2.0], 'label': SPACE.actions[7], 'score': 0.9},
            {'segment': [1, 3.5], 'label': 41, 'score': 0.25},
        ]
        for name in 'bc'
    }
}


def truth_and_detections(folder: Path) -> Path:
    det_table(folder)
    return write(folder, 'found.json', DETECTIONS)


def check_segments(found) -> None:
    assert np.isfinite(found.segments_sec).all()
    assert np.isfinite(found.scores).all()
    assert (found.segments_sec[:, 0] <= found.segments_sec[:, 1]).all()
    assert ((found.labels >= 0) & (found.labels < 82)).all()


def read_found(path: Path):
    found = read_detections(path, SPACE)
    write_detections(path, found, SPACE)
    again = read_detections(path, SPACE) if len(found) else found
    np.testing.assert_array_equal(again.segments_sec, found.segments_sec)
    return found


def report_found(path: Path):
    folder = path.parent
    given = (folder / 'det.json', folder / 'found.json', 'mma82', 'taxonomy')
    return detection_report(*given, DetectionOptions(resamples=0))


# --- results


@cache
def rec_results() -> dict:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        data = make_rec_root(Path(folder), clips=1, domains=DOMAINS[:2])
        path = write_model(Path(folder, 'results'), data, 'made-up', 0.6)
        return json.loads(path.read_text('utf-8'))


def results_file(folder: Path) -> Path:
    return write(folder, 'results.json', rec_results())


def det_results_file(folder: Path) -> Path:
    content = det_results({'name': 'x', 'simulated': True})
    content['checkpoint'] = {'simulated': True, 'sha256': 'ab' * 32}
    return write(folder, 'results.json', content)


def emotion_results_file(folder: Path) -> Path:
    return write_ablation(folder / 'results.json', videos=14)


def show_results(path: Path) -> None:
    results = read_named([str(path)])
    assert results[0]['task'] == 'emotion' or results_table(results)
    tables = paper_tables(results, published=False, level='both')
    forms = 'paper', 'latex', 'md', 'csv'
    assert render(tables, forms[path.stat().st_size % 4])
    audit_results(results[0], str(path))
    for _, drawn in build_report(results, published=False).values():
        for plot in drawn:
            assert plot.text
            assert plot.numbers().csv()


LOG = [
    'mmengine - INFO - Epoch(train)  [1][ 5/10]  lr: 1e-3  loss: 4.0  loss_cls: 3',
    'mmengine - INFO - Epoch(train)  [1][10/10]  loss: 2.5000',
    'mmengine - INFO - Epoch(val) [1][6/6]    action/top1: 62.07  time: 1',
    'mmengine - INFO - Iter(train) [ 20/100]  loss: 2.0e+00',
]


def read_log(path: Path) -> None:
    for curve in _curves(path.parent).values():
        assert all(np.isfinite([at, c.value]).all() for (_, at), c in curve.items())


# --- the zoo


def metafile(folder: Path) -> Path:
    models = ours(), recipe('tiny_mma82', URL, Input='1x3'), recipe('other_mma82')
    write_metafiles(folder, *models, license={'Code': 'MIT', 'Weights': 'CC'})
    return folder / 'configs/metafiles/tiny.yml'


def list_zoo(path: Path):
    models = list_models(path.parents[2])
    for model in models:
        assert not any(map(has_controls, (model.name, model.remote().name)))
        json.dumps(model.listed(), allow_nan=False)
    for data in read_metafiles(path.parents[2]).values():
        assert yaml.safe_load(metafile_text(data))
    return models


@cache
def config():
    return read_config(REPO / 'configs/recog/skeletontcn-tiny_mma82_indomain.py')


def config_json(folder: Path) -> Path:
    return write(folder, 'config.json', json_config(config().to_dict()))


def config_text(folder: Path) -> Path:
    (folder / 'x.safetensors').touch()
    return write(folder, 'config.py', config().pretty_text)


def typed_config(folder: Path) -> Path:
    write(folder, 'base.py', 'model = dict(type="X")\n')
    lines = (REPO / 'configs/recog/skeletontcn-tiny_mma82_indomain.py').read_text()
    return write(folder, 'leaf.py', f'_base_ = ["base.py"]\n{lines}')


def last_of_run(folder: Path) -> Path:
    write(folder, 'epoch_1.pth', 'x')
    return write(folder, 'last_checkpoint', '/home/x/epoch_1.pth')


def read_last(path: Path):
    for found in (last_checkpoint(path.parent), trained_in(path.parent)):
        assert Path(found).parent == path.parent
        assert Path(found).is_file()


# --- sources of converters

RANKED = [f'{i}\t{name}' for i, name in enumerate(OTHER.actions)]
LISTED = [f'000{i}_01_000{i}.mp4 {i}' for i in range(4)]
FRAMES = ['video_id,start_frame,end_frame,class,total_frames,fps']
FRAMES += [f'test000{i},{i},{i + 9},{i},99,30' for i in range(3)]
HEADED = json.loads(RELEASE.read_text())
_COLUMNS = 'clip path subset domain subject action body emotion source_video start_sec'
HEADED['rec'] = {
    'files': ['clips.csv'],
    'delimiter': ',',
    'header': True,
    'columns': {name: name for name in f'{_COLUMNS} end_sec'.split()},
}
HEADED['default_domain'] = 'lab'
CLIPS = [
    ','.join(HEADED['rec']['columns']),
    f'a,lab/a.mp4,train,lab,s1,{SPACE.actions[3]},,happy,x.mp4,1.5,2',
    f'b,lab/b.mp4,test,street,s2,{SPACE.actions[0]},{SPACE.bodies[0]},,,,',
    f',c.mp4,val,lab,s1,{SPACE.actions[81]},,,,0:01,0:02',
]


def sources(change: str, **contents):
    """Maker of a tree to convert: files by name, ``_`` for a dot; one is changed."""

    def make(folder: Path) -> Path:
        for name, content in contents.items():
            at = '' if name == 'mapping_json' else 'down/'
            write(folder, at + '.'.join(name.rsplit('_', 1)), content)
        return next(folder.rglob(change))

    return make


def converts(kind: str):
    """Reader of a tree as ``tools/data/convert.py`` does, and of what it wrote."""

    def read(path: Path) -> None:
        top = path.parent if path.name == 'mapping.json' else path.parents[1]
        mapping, out = top / 'mapping.json', top / 'out'
        options = Options('none', mapping=mapping if mapping.is_file() else None)
        try:
            conversion = convert(kind, top / 'down', out, options)
            conversion.lines()
            root = DataRoot(out)
            if root.has_rec:
                check_clips(root.read_rec())
            if root.has_det:
                check_videos(root.read_det())
        finally:
            shutil.rmtree(out, ignore_errors=True)

    return read


ANET = {
    'database': {
        v.video: {
            **{'subset': 'training', 'duration': 4.0, 'frame': 100, 'fps': 25},
            'annotations': [
                {'segment': [i.start_sec, i.end_sec], 'label': SPACE.actions[i.label]}
                for i in v.instances
            ],
        }
        for v in videos_of('a', 'b', 'c')
    }
}
MMAD = {
    f'video_{i}': {
        **{'subset': subset, 'duration': 4.0, 'fps': 25.0},
        'actions': [[3, 0.5, 1.5], [40, 1, 2.5]],
    }
    for i, subset in enumerate(('train', 'train', 'val'))
}
MAPPING = {
    **{'label_space': 'mma82', 'domain': 'lab', 'domains': {'street': 'street'}},
    **{'action_names': {'nod': 'nodding'}, 'first_index': 0},
    **{'subsets': {'training': 'train'}, 'splits': {'a': 'val'}, 'subset': ''},
    'layout': {'names': ['a', 'b'], 'limbs': [['a', 'b']]},
}
_KEYS = ('action_names', 'first_index', 'subsets', 'splits', 'subset', 'layout')
CLASSES = list(SPACE.actions)
_MMA82 = {'lab_train_list_videos_txt': LISTED, 'label_names_txt': CLASSES}
_OPENTAD = {'anno_json': ANET, 'classes_txt': CLASSES, 'mapping_json': {}}


def converter(kind: str, change: str, mutate, **contents) -> Reader:
    """Reader of a converter whose file ``change`` is changed."""
    name = f'{kind}: {change}'
    return Reader(name, sources(change, **contents), converts(kind), mutate, share=0.5)


# --- files of annotation tools

EVENTS = (
    Event(0.0, 1.2, SPACE.actions[0], 'Ann', text='first\nsecond', tier='face'),
    Event(0.41, 2.0, SPACE.actions[9], 'Ben', 0.5),
    Event(3723.456, 3723.456, SPACE.actions[0]),
)
RECORDINGS = [
    Recording('one', 'v/one.mp4', 25.0, 7300.0, EVENTS, 'Zoe'),
    Recording('two', 'v/two.mp4', 29.97, events=EVENTS[1:2]),
]


BORIS_ROWS = [
    'Observation id,day 1,,,,,',
    'Player #1,v/a.mp4,,,,,',
    'Time offset (s),0.5,,,,,',
    'Time,Media file path,Total length,FPS,Subject,Behavior,Modifiers,Comment,Status',
    '1.500,v/a.mp4,10.000,25.0,P1,nod,,[score 0.5] well,START',
    '2.000,v/a.mp4,10.000,25.0,No focal subject,blink,,,POINT',
    '3.750,v/a.mp4,10.000,25.0,P1,nod,,,STOP',
]


def findings(folder: Path) -> Path:
    found = {'action': 'nodding', 'body': 'head', 'score': 0.5}
    content = {
        'video': {'path': 'v/a.mp4', 'fps': 25.0, 'duration_sec': 3.0},
        'simulated': False,
        'detection': {
            'model': {'name': 'tiny'},
            'segments': [{'start_sec': 0.5, 'end_sec': 1.0, **found}],
        },
        'request': {},
    }
    return write(folder, 'a.json', content)


def named_detections(folder: Path) -> Path:
    found = [{'segment': [0, 1.5], 'label': name, 'score': 0.5} for name in 'xy']
    return write(folder, 'found.json', {'results': {'a': found, 'b': []}})


def page_table(folder: Path) -> Path:
    """What a page of a video saves."""
    rows = [
        ['a', 'P1', '0:01', '0:02', '1', '2', 'nodding', 'head', 'head', '0.5', "'=1"]
    ]
    rows += [['a', '', '0:01', '0:03', '1', '3', '"x, ""y"', '', '', '', 'said so']]
    more = ',,simulated m and me,a.mp4,25,9'
    lines = [','.join(COLUMNS), *(','.join(row) + more for row in rows), '']
    return write(folder, 'a.annotations.csv', '\ufeff' + '\r\n'.join(lines))


def any_recordings(path: Path):
    return read_recordings(path)[0]


def annotated(kind: str) -> Reader:
    """Reader of the files of an annotation tool."""

    def make(folder: Path) -> Path:
        return format_function('write', kind)(folder, RECORDINGS, SPACE)[0]

    if kind in ('elan', 'textgrid'):  # times may be any, which conversion tells
        return Reader(kind, make, format_function('read', kind), MARKUP, check_texts)
    mutate = TABLES if kind == 'csv' else JSON
    return Reader(kind, make, format_function('read', kind), mutate, check_recordings)


def check_recordings(recordings) -> None:
    assert len({own.name for own in recordings}) == len(recordings)
    for event in (event for own in recordings for event in own.events):
        assert 0 <= event.start_sec <= event.end_sec < float('inf')
        assert isinstance(event.label, str)
        assert event.label
        assert event.score is None or 0 <= event.score <= 1
    check_texts(recordings)


def check_texts(recordings) -> None:
    for event in (event for own in recordings for event in own.events):
        assert np.isfinite(event.start_sec + event.end_sec + (event.score or 0))
        assert {*map(type, (event.subject, event.text, event.tier))} == {str}
    for own in recordings:
        assert {*map(type, (own.name, own.path, own.annotator))} == {str}
        assert {*map(type, (own.fps, own.duration_sec))} <= {int, float}


# --- what commands leave for themselves, which may be damaged or of another program

HEADER = {'source': 'x', 'tasks': ['rec'], 'gop': 4}
RECORD = {
    **{'path': 'v/a.avi', 'packed': 'v/a.mp4', 'bytes': 9, 'source_bytes': 8},
    **{'source_mtime_ns': 7, 'picture': [4, 4], 'crop': [0, 0, 4, 4], 'size': [4, 4]},
}
REQUEST = {'video': 'a.mp4', 'models': ['x'], 'options': {'path': 'a.mp4'}}


def read_journal(path: Path) -> None:
    journal = Journal(path.parent, HEADER, force=False)
    journal.holds('v/a.avi', path)
    journal.finish(['v/a.avi'])


def read_made(path: Path):
    write(path.parent, 'a.csv', [','.join(_columns())])
    return made_before(path.parent, 'a', REQUEST, str(path))


@cache
def _columns() -> tuple[str, ...]:
    from mmma.engine.findings import COLUMNS

    return COLUMNS


def read_begun(path: Path) -> None:
    open_partials(path.parents[1], 'us', force=False)


def read_download(path: Path) -> None:
    part = path.with_name('x.part')
    assert _notes_of(part) == path
    assert isinstance(_read_notes(part), dict)


def read_plan(path: Path) -> None:
    _check_content(path.parents[1], 'us', force=False)


STATE = {'status': 'done', 'key': 'ab', 'seconds': 2.5, 'command': ['x']}


def state_of_run(folder: Path) -> Path:
    make_table_root(folder / 'data')
    (folder / 'out').mkdir()
    steps = {'check': STATE, 'pack': {**STATE, 'status': 'failed'}}
    return write(folder, 'out/real.json', {'schema': 1, 'steps': steps})


def read_state(path: Path) -> None:
    flow = Workflow(real_args(path.parents[1], '--dry-run'), None)
    assert [flow.is_done(step) for step in flow.steps]


READERS: list[Reader] = [
    Reader('rec.csv', rec_table, read_clips, TABLES, check_clips),
    Reader('det.json', det_table, read_videos, JSON, check_videos),
    Reader('dataset.json', info_file, read_facts, JSON),
    Reader('dataset.json of an own space', own_info_file, read_facts, JSON),
    Reader(
        'label space', lambda f: write(f, 'space.json', OWN_SPACE), read_own_space, JSON
    ),
    Reader(
        'missing_sources.csv',
        lambda folder: rec_table(folder).with_name('missing_sources.csv'),
        read_missing,
        TABLES,
    ),
    Reader('layout.json', layout_file, read_joints, JSON),
    Reader('index of skeletons', skeletons, read_index, TABLES),
    Reader(
        'features.json',
        writes('features.json', FEATURES),
        lambda path: FeaturesInfo.read(path.parent),
        JSON,
        check_features,
    ),
    Reader('names of a split', writes('names.txt', NAMED), read_names, LINES),
    Reader('official names', writes('list.txt', NAMED), read_expected, LINES),
    Reader('sample submission', writes('s.csv', SAMPLE), read_expected, TABLES),
    Reader(
        'names of leakage',
        writes('train.txt', NAMED),
        lambda path: clips.read_names(path, _NAME_COLUMNS),
        LINES,
    ),
    Reader('label names', writes('names.txt', RANKED), label_names, LINES),
    Reader('scores.csv', partial(scores_of, SPACE), read_score_table, TABLES),
    Reader('scores.csv of MA-52', partial(scores_of, OTHER), read_ma52_scores, TABLES),
    Reader(
        'evaluate: scores',
        truth_and_scores,
        report_scores,
        TABLES,
        check_report,
        share=0.5,
    ),
    Reader(
        'evaluate: rec.csv',
        lambda folder: truth_and_scores(folder).with_name('rec.csv'),
        report_scores,
        TABLES,
        check_report,
        share=0.5,
    ),
    Reader('detections', truth_and_detections, read_found, JSON, check_segments),
    Reader(
        'detections to submit',
        writes('found.json', DETECTIONS),
        partial(read_segments, space=SPACE),
        JSON,
    ),
    Reader(
        'evaluate: found',
        truth_and_detections,
        report_found,
        JSON,
        check_report,
        share=0.25,
    ),
    Reader(
        'evaluate: truth',
        lambda folder: truth_and_detections(folder).with_name('det.json'),
        report_found,
        JSON,
        check_report,
        share=0.25,
    ),
    *map(annotated, FORMATS),
    Reader(
        'boris: events as rows',
        writes('events.csv', BORIS_ROWS),
        format_function('read', 'boris'),
        TABLES,
        check_recordings,
    ),
    Reader('findings', findings, any_recordings, JSON, check_recordings),
    Reader('det.json of any labels', det_table, any_recordings, JSON),
    Reader('detections of any labels', named_detections, any_recordings, JSON),
    Reader('results.json', results_file, show_results, JSON, share=0.5),
    Reader('results.json of detection', det_results_file, show_results, JSON),
    Reader('results.json of emotions', emotion_results_file, show_results, JSON),
    Reader('log of a run', writes('1.log', LOG), read_log, LINES, refuses=False),
    Reader('table of a page', page_table, any_recordings, TABLES, check_recordings),
    Reader('metafile', metafile, list_zoo, YAML, share=0.5),
    Reader('config.json', config_json, read_config, JSON),
    Reader('config of a checkpoint', config_text, plain_config, CODE),
    Reader('config of a user', typed_config, origins, CODE),
    Reader('last_checkpoint', last_of_run, read_last, LINES, refuses=False),
    converter('ma52', 'train_list_videos.txt', LINES, train_list_videos_txt=LISTED),
    converter(
        'ma52',
        'label_name.txt',
        LINES,
        train_list_videos_txt=LISTED,
        label_name_txt=RANKED,
    ),
    converter('mma52', 'train.csv', TABLES, train_csv=FRAMES),
    converter('mma82', 'lab_train_list_videos.txt', LINES, **_MMA82),
    converter('mma82', 'label_names.txt', LINES, **_MMA82),
    converter(
        'mma82', 'lab_test.csv', TABLES, lab_test_csv=FRAMES, label_names_txt=CLASSES
    ),
    converter('mma82', 'clips.csv', TABLES, clips_csv=CLIPS, mapping_json=HEADED),
    converter('mma82', 'mapping.json', JSON, clips_csv=CLIPS, mapping_json=HEADED),
    converter('opentad', 'anno.json', JSON, **_OPENTAD),
    converter('opentad', 'classes.txt', LINES, **_OPENTAD),
    converter(
        'opentad',
        'mapping.json',
        JSON,
        **{**_OPENTAD, 'mapping_json': {k: MAPPING[k] for k in _KEYS[:3]}},
    ),
    converter('pointtad', 'mmad.json', JSON, mmad_json=MMAD),
    Reader(
        'mapping of a pickle',
        writes('mapping.json', MAPPING),
        lambda path: UserMapping.read(path, *_KEYS),
        JSON,
    ),
    *(
        Reader(
            f'face scores of {name}',
            writes('a.csv', face_rows(own)),
            read_face_scores,
            TABLES,
        )
        for name, own in FACE_FILES.items()
    ),
    Reader(
        'persons of clips',
        writes('persons.csv', ['name,person', 'a,largest', 'b,0', 'c d,left']),
        lambda path: read_person(str(path)),
        TABLES,
    ),
    Reader(
        'journal of packing',
        writes(JOURNAL_FILE, [json.dumps(HEADER), *[json.dumps(RECORD)] * 2]),
        read_journal,
        JSON_LINES,
    ),
    Reader(
        'findings made before',
        writes('a.json', {'schema': SCHEMA, 'request': REQUEST, 'top_k': 5}),
        read_made,
        JSON,
    ),
    Reader(
        'begun poses', writes('.pose/run.json', {'extractor': 'us'}), read_begun, JSON
    ),
    Reader(
        'begun download',
        writes('x.part.json', {'etag': 'x'}),
        read_download,
        JSON,
        refuses=False,
    ),
    Reader('state of a run', state_of_run, read_state, JSON),
    Reader(
        'begun corpus',
        writes('.partial/plan.json', {'fingerprint': 'us', 'options': {}}),
        read_plan,
        JSON,
    ),
]
