import copy
import functools
import json
from pathlib import Path

import numpy as np
import pytest

from mmma.data.clips import Clip
from mmma.data.videos import Instance, Video
from mmma.evaluation.reports import (
    choose,
    detection_report,
    place_detections,
    read_results,
    write_results,
)
from mmma.evaluation.rows import DetectionOptions
from mmma.structures.segments import Segments
from mmma.taxonomy import load_label_space

SPACE = load_label_space('mma82')
PATH = Path('some.file')


def video(*marks, subset='test', **more):
    annotations = [{'segment': list(m[1:]), 'label': m[0]} for m in marks]
    return {'subset': subset, 'annotations': annotations, **more}


@pytest.fixture
def report(tmp_path):
    """Report of a truth file against detections of none of its first video."""

    def from_content(content, **options):
        text = content if isinstance(content, str) else json.dumps(content)
        gt, pred = tmp_path / 'det.json', tmp_path / 'pred.json'
        gt.write_text(text)
        pred.write_text(json.dumps({'results': {'a': []}}))
        plain = DetectionOptions(resamples=0)
        return detection_report(gt, pred, 'mma82', 'taxonomy', plain, **options)

    return from_content


def test_anybodys_file(report):
    database = {
        'a': video((3, 0, 1), (SPACE.actions[5], 2, 4), subset='validation'),
        'b': video((3, 0, 1), duration=9, domain='lab', subject='s1', url='x'),
        'c': {'subset': 'test'},
    }
    found = report({'taxonomy': [], 'database': database}, subset='validation')
    assert found['rows'][0]['per_class']['action']['name'] == [
        SPACE.actions[3],
        SPACE.actions[5],
    ]
    del database['c']
    found = report({'database': database}, subset='all')
    assert [row['domain'] for row in found['rows']] == ['all', 'lab']
    assert found['counts']['subjects'] == 1


def clips(*places):
    return [Clip(str(i), '', *place, '', 0, 0) for i, place in enumerate(places)]


def test_subsets_and_domains_are_chosen():
    both = clips(('val', 'lab'), ('test', 'lab'), ('test', 'street'))
    assert choose(PATH, both, 'clips', None) == ('test', both[1:])
    assert choose(PATH, both, 'clips', 'val') == ('val', both[:1])
    assert choose(PATH, both, 'clips', 'all') == ('all', both)
    assert choose(PATH, both, 'clips', None, 'street') == ('test', both[2:])
    assert choose(PATH, both[:1], 'clips', None) == ('val', both[:1])


@pytest.mark.parametrize(
    ('given', 'text'),
    [
        (('tes', None), r"no clips of subset 'tes'; it has test \(1 clips\): choose"),
        (('test', 'la'), r"of domain 'la' in subset 'test'; it has lab .* mean 'lab'"),
    ],
)
def test_nothing_to_choose(given, text):
    with pytest.raises(ValueError, match=text):
        choose(PATH, clips(('test', 'lab')), 'clips', *given)


@pytest.mark.parametrize(
    ('database', 'subset', 'text'),
    [
        ({'a': video((0, 0, 1))}, 'val', r"no videos of subset 'val'.* test \(1 vid"),
        ({'a': video()}, None, "no instance in the 1 videos of subset 'test'"),
        ({'a': video((0, 0, 1)), 'b': {'subset': 'test'}}, None, "1 of 2.*'b'.*withh"),
    ],
)
def test_subsets_that_cannot_be_measured(report, database, subset, text):
    with pytest.raises(ValueError, match=f'det.json: {text}'):
        report({'database': database}, subset=subset)


@pytest.mark.parametrize(
    ('content', 'text'),
    [
        ('{', 'not readable as JSON'),
        ({'results': {}}, 'no table: need'),
        ({'database': {'a': 3}}, 'a: must be an object'),
        ({'database': {'a': {'annotations': []}}}, 'subset None: must be a name'),
        ({'database': {'a': video(duration=0)}}, 'duration 0: must be seconds above'),
        ({'database': {'a': {'subset': 'test', 'annotations': 3}}}, 'must be a list'),
        (
            {'database': {'a': {'subset': 'test', 'annotations': [3]}}},
            'annotation 0: must be .*not 3',
        ),
        ({'database': {'a': video((0, 2, 1))}}, r'segment \[2, 1\]: must be seconds'),
        ({'database': {'a': video((0, 2, 2))}}, 'must be seconds, 0 <= start < end'),
        ({'database': {'a': video((0, 0, float('nan')))}}, 'must be seconds'),
        ({'database': {'a': video((0, 0, 9.6), duration=9)}}, 'ends after the video'),
        ({'database': {'a': video(('noding', 0, 1))}}, "Did you mean 'nodding'"),
        ('{"database": {"a": {}, "a": {}}}', 'a: is there twice'),
    ],
)
def test_bad_truth(report, content, text):
    with pytest.raises(ValueError, match=text):
        report(content)


VIDEOS = [
    Video('a', '', 'test', '', '', 30, 0, 5.0, (Instance(0, 1, 3), Instance(2, 4, 5))),
    Video('b', '', 'test', '', '', 30, 0, float('nan'), (Instance(0, 1, 3),)),
    Video('c', '', 'val', '', '', 30, 0, float('nan')),
]


def detections(names, *rows):
    columns = np.array(rows, dtype=float).reshape(-1, 4)
    videos, labels = columns[:, :2].astype(int).T
    return Segments(columns[:, 2:], None, labels, videos, names)


def test_detections_of_other_videos_are_counted():
    rows = [(0, 1, 0, 1), (1, 2, 0, 5.6), (1, 3, -1, 1), (1, 4, 0, 5.5)]
    found, counts = place_detections(PATH, detections('ca', *rows), VIDEOS, VIDEOS[:2])
    assert found.videos.tolist() == [0, 0, 0]
    assert found.labels.tolist() == [2, 3, 4]
    assert counts == dict(ignored=1, outside=2, without_prediction=1)


@pytest.mark.parametrize(
    ('names', 'rows', 'text'),
    [
        (('a', 'x1', 'bb'), [], r"for 2 unknown videos, .*'x1', 'bb'"),
        ('qrstuvw', [], r"7 unknown .*'q', 'r', 's', 't', 'u', \.\.\.;"),
        ('a', [(0, 0, 6, 7)], r'1 predictions start after .*\[6.*5 s\); frames'),
    ],
)
def test_detections_that_do_not_belong(names, rows, text):
    with pytest.raises(ValueError, match=text):
        place_detections(PATH, detections(names, *rows), VIDEOS, VIDEOS)


RESULTS = {
    'schema': 1,
    'task': 'rec',
    'name': 'a',
    'protocol': {'name': 'zeroshot'},
    'checkpoint': {'simulated': False},
    'data': {'simulated': False},
    'options': {},
    'runs': [{'target': 'street', 'counts': {'clips': 2}, 'metrics': {'F1_mean': 1}}],
}


def test_results_that_are_written_are_read_and_nan_leaves_the_old_file(tmp_path):
    path = tmp_path / 'new' / 'results.json'
    write_results(RESULTS, path)
    with pytest.raises(ValueError, match='JSON compliant'):
        write_results({**RESULTS, 'options': float('nan')}, path)
    assert read_results(path) == RESULTS
    assert [p.name for p in path.parent.iterdir()] == ['results.json']


def test_files_that_are_no_results(tmp_path):
    path = tmp_path / 'results.json'
    with pytest.raises(FileNotFoundError, match='no results file'):
        read_results(path)
    for text, message in {
        json.dumps({**RESULTS, 'schema': 99}): 'has schema 99, this version reads',
        json.dumps({**RESULTS, 'runs': []}): r'runs is \[\]: it must be a list',
        json.dumps({**RESULTS, 'runs': [1]}): r'runs\[0\] is 1: need an object',
        json.dumps(RESULTS)[:-1] + ', "name": "b"}': "'name' is there twice",
        '{"schema": 1}': 'is no results file',
        '[]': 'is no results file',
        'scores': 'results.json:1: not readable as JSON',
    }.items():
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_results(path)


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        *[(k, None, f'{k} is None') for k in ('task', 'name', 'data', 'options')],
        *[(k, 5, f'{k} is 5: need an object') for k in ('checkpoint', 'config')],
        ('name', 'a\x1b[31m', r"name is 'a\\x1b\[31m': it must be text without"),
        ('name', 'a\u202eb', 'text without control'),
        ('protocol.name', 'all', "protocol.name is 'all': need indomain"),
        ('protocol.target', 'street', "protocol.target is 'street': .* a list"),
        ('protocol.seed', 'a', "protocol.seed is 'a': .* whole number"),
        ('data.simulated', 'no', "data.simulated is 'no': .* true or false"),
        ('checkpoint.simulated', None, 'checkpoint.simulated is None'),
        ('runs', True, 'runs is True: it must be a list'),
        ('runs.0.target', None, r'runs\[0\] has neither domain nor target'),
        ('runs.0.counts.clips', True, 'counts.clips is True'),
        ('runs.0.shots', [1], r'shots is \[1\]'),
        ('runs.0.control', 'other', "control is 'other': need classes"),
        *[
            (
                'runs.0.metrics.F1_mean',
                value,
                'F1_mean is .*: .* a number from 0 to 100',
            )
            for value in (250, -5, '95', None, True, float('nan'), float('inf'))
        ],
        (
            'runs.0.intervals',
            {'bounds': {'F1_mean': [1]}},
            r'\[1\]: it must be a list',
        ),
        ('runs.0.intervals', {'bounds': {'a': [2, 1]}}, 'a is no interval'),
        ('runs.0.per_class', {'action': {'name': [1]}}, r'action.name\[0\] is 1'),
    ],
)
def test_results_of_another_form_are_named_with_file_and_key(
    tmp_path, key, value, message
):
    path, content = tmp_path / 'results.json', copy.deepcopy(RESULTS)
    *parents, last = [int(k) if k.isdigit() else k for k in key.split('.')]
    functools.reduce(lambda part, k: part[k], parents, content)[last] = value
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf'results\.json: .*{message}') as told:
        read_results(path)
    assert '\n' not in str(told.value)


def test_every_result_published_here_is_read():
    for path in Path(__file__).parents[2].glob('zoo/*/results*.json'):
        assert read_results(path)['runs']


@pytest.mark.parametrize(('legacy', 'value'), [(False, 100), (True, 250 / 3)])
def test_a_truth_past_the_end_is_cut_or_kept_and_told(tmp_path, capsys, legacy, value):
    gt, pred = tmp_path / 'gt.json', tmp_path / 'pred.json'
    marks = ('swing body', 7, 11.6), ('shaking body', 1, 3)
    database = {'v': video(*marks, duration=10)}
    database['w'] = video(('shaking body', 2, 5), duration=10)
    results = {
        'v': [
            {'segment': [7, 10], 'label': 'swing body', 'score': 0.9},
            {'segment': [1, 3], 'label': 'shaking body', 'score': 0.8},
        ],
        'w': [{'segment': [2, 5], 'label': 'shaking body', 'score': 0.7}],
    }
    gt.write_text(json.dumps({'database': database}))
    pred.write_text(json.dumps({'results': results}))
    files = gt, pred, 'mma82', 'taxonomy', DetectionOptions(legacy=legacy, resamples=0)
    found = detection_report(*files)
    assert found['action/mAP'] == pytest.approx(value)
    (note,) = capsys.readouterr().err.splitlines()
    how = 'kept outside' if legacy else 'cut to'
    assert f'1 of 3 segments {how} their video' in note
    assert 'v: annotation 0: segment [7, 11.6] ends after the video (10 s)' in note
    with pytest.raises(ValueError, match=r'1 problem(.|\n)*frames taken for seconds'):
        detection_report(*files, strict=True)
