import json
import re
import subprocess
import sys
from typing import get_args, get_type_hints

import numpy as np
import pytest
from detection_problems import metric_keys

from mmma.cli import evaluate, main
from mmma.data.root import DatasetInfo, write_info
from mmma.evaluation.detection import PRESETS
from mmma.evaluation.rows import LEVEL_CHOICES, DetectionOptions
from mmma.taxonomy import load_label_space

SPACE = load_label_space('mma82')


def video(*marks, subset='test', **more):
    annotations = [{'segment': list(m[1:]), 'label': m[0]} for m in marks]
    return {'subset': subset, 'duration': 10, 'annotations': annotations, **more}


def found(*rows):
    return [{'segment': list(r[1:3]), 'label': r[0], 'score': r[3]} for r in rows]


TRUTH = {
    'a': video((3, 0, 2), ('shaking body', 4, 8), domain='lab'),
    'b': video((3, 1, 2), (SPACE.actions[5], 1, 2), domain='street'),
    'c': video((7, 0, 1), subset='val'),
}
PREDICTION = {
    'a': found((3, 0, 2, 0.9), ('shaking body', 4, 8, 0.8), (80, 0, 1, 0.5)),
    'b': found((5, 1, 2, 0.3)),
    'c': found((3, 0, 1, 0.9)),
}


@pytest.fixture
def files(tmp_path):
    """Write truth and detections; return the arguments of the command."""

    def write(truth=TRUTH, prediction=PREDICTION) -> list[str]:
        (tmp_path / 'det.json').write_text(json.dumps({'database': truth}))
        (tmp_path / 'pred.json').write_text(json.dumps({'results': prediction}))
        gt, pred = (str(tmp_path / name) for name in ('det.json', 'pred.json'))
        return ['det', '--gt', gt, '--pred', pred]

    return write


def test_truth_of_a_data_root(files, tmp_path, capsys):
    own = {'lab': 'clinic-b', 'street': 'clinic-a', None: 'clinic-a'}
    truth = {k: {**v, 'domain': own[v.get('domain')]} for k, v in TRUTH.items()}
    given = files(truth)
    given[2] = str(tmp_path)
    assert main('evaluate', given) != 0
    assert 'dataset.json' in capsys.readouterr().err
    domains = ('clinic-b', 'clinic-a')
    write_info(
        tmp_path,
        DatasetInfo('two', 'mma82', True, domains=domains, source_domain=domains[0]),
    )
    report, _ = report_of(given, capsys)
    assert [r['domain'] for r in report['rows']] == ['all', *domains]
    assert report['simulated'] is True


def report_of(arguments, capsys):
    assert main('evaluate', [*arguments, '--json']) == 0
    captured = capsys.readouterr()
    return json.loads(captured.out), captured.err


def test_json_is_one_object_with_flat_metrics(files, capsys):
    report, err = report_of(files(), capsys)
    metrics = report['rows'][0]['metrics']
    assert {k: report[k] for k in metrics} == metrics
    assert metrics.keys() >= set(metric_keys())
    # Of class 3 one of two truths is found, the two others are perfect.
    assert report['action/mAP'] == pytest.approx(100 * 2.5 / 3)
    assert report['subset'] == 'test'
    assert report['counts']['ignored'] == 1
    assert report['counts']['without_truth'] == {'action': 1, 'body': 1}
    assert [r['domain'] for r in report['rows']] == ['all', 'lab', 'street']
    assert 'without another NMS' in evaluate.DET_HELP
    assert 'without NMS' in report['options']['body_detections']
    assert report['simulated'] is None
    assert "1 predictions for videos outside 'test' left out" in err


def test_choices_are_those_of_the_metrics():
    kinds = get_type_hints(DetectionOptions)
    assert get_args(kinds['level']) == LEVEL_CHOICES
    assert get_args(kinds['preset']) == tuple(PRESETS)


def test_level_preset_and_subset(files, capsys):
    arguments = [*files(), '--level', 'action', '--preset', 'mac', '--subset', 'all']
    report, _ = report_of(arguments, capsys)
    assert 'body/mAP' not in report
    assert 'AVG' not in report
    assert report['options']['thresholds'] == [0.2, 0.5, 0.7]
    assert report['counts']['videos'] == 3
    at = [report[f'action/mAP@{t}'] for t in ('0.20', '0.50', '0.70')]
    assert report['action/mAP'] == pytest.approx(sum(at) / 3)


def test_one_domain(files, capsys):
    report, err = report_of([*files(), '--domain', 'street'], capsys)
    assert (report['domain'], report['counts']['videos']) == ('street', 1)
    assert [row['domain'] for row in report['rows']] == ['all', 'street']
    assert report['counts']['ignored'] == 4
    assert "4 predictions for videos outside 'test' of 'street' left out" in err
    main('evaluate', [*files(), '--domain', 'street'])
    assert 'subset test of street, percent' in capsys.readouterr().out
    assert main('evaluate', [*files(), '--domain', 'sreet']) == 2
    told = "det.json: no videos of domain 'sreet' in subset 'test'; it has lab (1 vid"
    assert told in capsys.readouterr().err


def test_empty_results_are_0_and_warned(files, capsys):
    report, err = report_of(files(prediction={'a': [], 'b': []}), capsys)
    assert {report[key] for key in metric_keys()} == {0}
    assert "warning: no prediction for 'test': every AP is 0" in err
    assert '2 videos without any prediction' in err


@pytest.mark.parametrize(
    ('clips', 'told'),
    [
        (['a@0', 'a@1', 'b@0', 'b@1'], ''),
        (['b@1', 'a@0', 'b@0', 'x@y@0'], ''),
        (['a@0', 'a@1'], "1 of 2 videos have no frames: 'b'"),
        (['a', 'b'], "clip 'a' is no frame: VIDEO@SECONDS"),
        (['a@0', 'a@1', 'a@3', 'b@0'], "frames of 'a' are missing"),
        (['a@1', 'b@0'], "frames of 'a' are missing"),
    ],
)
def test_scores_of_frames(files, capsys, tmp_path, clips, told):
    scores = np.zeros((len(clips), SPACE.num_actions))
    scores[: len(clips) // 2, 3] = 1
    scores[len(clips) // 2 :, 5] = 1
    path = tmp_path / 'x.frames.npz'
    np.savez(path, clips=clips, scores=scores)
    given = [*files(), '--frames', str(path)]
    if told:
        assert main('evaluate', given)
        assert told in capsys.readouterr().err
        return
    report, _ = report_of(given, capsys)
    assert report['rows'][0]['frames']['of'] == 'frames'
    alone = report_of(files(), capsys)[0]
    assert report['action/mAP'] == alone['action/mAP']
    assert report['action/frame_mAP'] != alone['action/frame_mAP']


def test_extras(files, capsys, tmp_path):
    plot = tmp_path / 'profile.png'
    extras = ['--seg-map', '--profile', '--plot', str(plot), '--resamples', '20']
    report, _ = report_of([*files(), *extras, '--legacy'], capsys)
    assert 0 < report['action/segment_mAP'] < 100
    assert 0 < report['action/frame_mAP'] < 100
    assert report['rows'][0]['frames'] == {
        'rate': 15.0,
        'of': 'segments',
        'action/frame_mAP of segments': report['action/frame_mAP'],
        'body/frame_mAP of segments': report['body/frame_mAP'],
    }
    charades, _ = report_of([*files(), '--frame-rate', '0'], capsys)
    assert charades['rows'][0]['frames']['rate'] == 0
    assert charades['action/mAP'] == report_of(files(), capsys)[0]['action/mAP']
    assert report['profile']['action']['rule'] == 'nearest truth'
    assert report['options']['ties'] == 'late first'
    assert report['rows'][0]['intervals']['resamples'] == 20
    assert plot.read_bytes()[:4] == b'\x89PNG'


def test_tables(files, capsys):
    extras = ['--seg-map', '--profile', '--per-class', '--resamples', '20']
    assert main('evaluate', [*files(), *extras]) == 0
    text = capsys.readouterr().out
    for part in (
        'mean over 9 tIoU thresholds, 0.1 to 0.9',
        'body: actions relabelled to body groups, scored as they are, without NMS',
        'predictions of classes without truth ignored: 1 (action), 1 (body)',
        'action segment mAP: ',
        'action recall of the best N per video: 50.00 of 1, 75.00 of 5',
        '20 resamples of 2 videos',
        'of 10+ truths',
        'mAP_N without it',
        'body: coverage',
        'shaking body',
    ):
        assert part in text
    assert 'SIMULATED' not in text


def test_simulated_data_are_marked(files, capsys, tmp_path):
    write_info(tmp_path, DatasetInfo('toy', 'mma82', simulated=True))
    assert report_of(files(), capsys)[0]['simulated'] is True
    main('evaluate', files())
    assert 'SIMULATED DATA' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('truth', 'prediction', 'more', 'text'),
    [
        (TRUTH, {'x': []}, (), r"pred.json: predictions for 1 unknown videos.*'x'"),
        (TRUTH, PREDICTION, ('--subset', 'tset'), "det.json: no videos of subset 'ts"),
        ({'a': video()}, PREDICTION, (), 'det.json: no instance in the 1 videos of'),
        ({'a': video((3, 2, 1))}, PREDICTION, (), 'annotation 0: segment .2, 1.'),
        (TRUTH, {'a': found((3, 2, 1, 1))}, (), r'a \[0\]: segment \[2, 1\]'),
        (TRUTH, {'a': found((3, 11, 12, 1))}, (), 'start after the end of their video'),
        (TRUTH, {'a': found(('x', 1, 2, 1))}, (), "unknown action 'x'"),
        (TRUTH, {'a': [{'label': 3}]}, (), r'a \[0\]: must be'),
        (TRUTH, PREDICTION, ('--resamples', '-1'), '--resamples -1: use 0 or more'),
        (
            {'a': video((3, 0, 1), duration=None)},
            {'a': []},
            ('--seg-map',),
            'length of',
        ),
        (
            {'a': video((3, 0, 1))},
            {'a': []},
            ('--frame-rate', '-1'),
            'frame rate -1.0: use a number from 0',
        ),
    ],
)
def test_bad_input_is_told_in_a_sentence(files, capsys, truth, prediction, more, text):
    assert main('evaluate', [*files(truth, prediction), *more]) == 2
    captured = capsys.readouterr()
    assert captured.out == ''
    assert 'error: ' in captured.err
    assert re.search(text, captured.err, re.DOTALL)


def test_missing_files(files, capsys, tmp_path):
    arguments = files()
    (tmp_path / 'pred.json').unlink()
    assert main('evaluate', arguments) == 2
    assert 'pred.json: no such file' in capsys.readouterr().err


def test_needs_numpy_alone(files, tmp_path):
    arguments = [*files(), '--profile', '--seg-map', '--resamples', '10']
    code = (
        'import sys; from mmma.cli import main; '
        f'assert main("evaluate", {arguments!r}) == 0; '
        'heavy = {"torch", "mmengine", "mmaction", "mmcv", "cv2", "scipy", "sklearn"}; '
        'print(sorted((heavy | {"matplotlib"}) & set(sys.modules)))'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == '[]', done.stderr


@pytest.mark.parametrize(
    ('labels', 'told'),
    [
        ((4, 4, 6), 'counted from 1, 4 of 4 truths have one'),
        ((2, 2, 4), 'labels one too low, 4 of 4 truths have one'),
        ((30, 40, 50), 'labels in another order, or times in another unit?'),
        ((3, 30, 40), ''),
    ],
)
def test_labels_of_which_none_is_right_are_told(files, capsys, labels, told):
    truth = {
        'a': video((3, 0, 2), (3, 4, 8)),
        'b': video((3, 1, 2), (5, 1, 2)),
    }
    one, two, three = labels
    prediction = {
        'a': found((one, 0, 2, 0.9), (two, 4, 7, 0.5)),
        'b': found((one, 1, 2, 0.5), (three, 1, 2, 0.4), (0, 8, 9, 0.1)),
    }
    _, err = report_of(files(truth, prediction), capsys)
    assert ('no prediction overlaps a truth of its label' in err) is bool(told)
    assert told in err
