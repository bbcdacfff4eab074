import json
import re
import subprocess
import sys
from dataclasses import replace
from typing import get_args, get_type_hints

import numpy as np
import pytest

from mmma.cli import main
from mmma.data.clips import Clip, write_rec
from mmma.data.root import DatasetInfo, write_info
from mmma.evaluation.recognition import BODY_SCORES, CLASS_SETS, METRIC_KEYS
from mmma.evaluation.rows import EvaluationOptions
from mmma.evaluation.scores import ScoreTable, write_scores
from mmma.taxonomy import load_label_space

SPACE = load_label_space('mma82')


def clips(subset: str = 'test', number: int = 12) -> list[Clip]:
    return [
        Clip(
            f'{subset}{i}', '', subset, domain, f's{i % 3}', i % 4, SPACE.body_of[i % 4]
        )
        for i, domain in zip(range(number), ['lab', 'street'] * number, strict=False)
    ]


def scores_of(rows: list[Clip]) -> ScoreTable:
    """Probabilities; every fourth clip is wrong, and its truth is second."""
    scores = np.full((len(rows), 82), 0.001)
    for i, row in enumerate(rows):
        scores[i, row.action] = 0.5
        scores[i, 6] = 0.6 if i % 4 == 3 else 0.001
    return ScoreTable(tuple(r.clip for r in rows), scores)


@pytest.fixture
def files(tmp_path):
    """Write truth and scores; return the arguments of the command."""

    def write(truth, scored=None, suffix='.npz') -> list[str]:
        write_rec(tmp_path / 'rec.csv', truth, SPACE)
        pred = tmp_path / f'scores{suffix}'
        write_scores(pred, scores_of(scored or truth), SPACE)
        return ['rec', '--gt', str(tmp_path / 'rec.csv'), '--pred', str(pred)]

    return write


def report_of(arguments: list[str], capsys) -> dict:
    assert main('evaluate', [*arguments, '--json']) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize('suffix', ['.npz', '.csv'])
def test_json_is_one_object_with_flat_metrics(files, capsys, suffix):
    report = report_of(files(clips(), suffix=suffix), capsys)
    assert {k: report[k] for k in METRIC_KEYS} == report['rows'][0]['metrics']
    assert report['action/top1'] == 75
    assert report['action/top5'] == 100
    assert report['counts']['clips'] == 12
    assert [r['domain'] for r in report['rows']] == ['all', 'lab', 'street']
    assert report['subset'] == 'test'
    assert report['simulated'] is None
    assert report['options']['class_set'] == 'present'


def test_class_set_and_body_scores(files, capsys):
    arguments = files(clips())
    report = report_of(
        [*arguments, '--class-set', 'all', '--body-scores', 'top1', '--resamples', '0'],
        capsys,
    )
    # three of four classes right, 82 classes
    assert report['action/mca'] == pytest.approx(100 * 3 / 82)
    row = report['rows'][0]
    assert report['body/top1'] == row['body_scores']['top1']['body/top1']
    assert 'intervals' not in row


def test_scores_of_one_domain_are_evaluated_against_it(files, capsys):
    street = [clip for clip in clips() if clip.domain == 'street']
    arguments = files(clips(), street)
    assert main('evaluate', arguments) != 0
    assert 'no score is of a clip of lab, all are of street: choose with --domain' in (
        capsys.readouterr().err
    )
    report = report_of([*arguments, '--domain', 'street'], capsys)
    assert (report['domain'], report['counts']['clips']) == ('street', len(street))
    alone = report_of(files(street), capsys)
    assert report['rows'] == alone['rows']
    main('evaluate', [*arguments, '--domain', 'street'])
    assert 'subset test of street, percent' in capsys.readouterr().out


def test_truth_of_a_data_root(files, tmp_path, capsys):
    own = {'lab': 'clinic-b', 'street': 'clinic-a'}
    given = files([replace(clip, domain=own[clip.domain]) for clip in clips()])
    given[2] = str(tmp_path)
    assert main('evaluate', given) != 0
    assert 'dataset.json' in capsys.readouterr().err
    domains = tuple(own.values())
    info = DatasetInfo(
        'two clinics', 'mma82', True, domains=domains, source_domain=domains[0]
    )
    write_info(tmp_path, info)
    report = report_of(given, capsys)
    assert [r['domain'] for r in report['rows']] == ['all', *domains]
    assert report['simulated'] is True
    assert report == report_of(
        ['rec', '--gt', str(tmp_path / 'rec.csv'), *given[3:]], capsys
    )
    assert main('evaluate', [*given, '--label-space', 'ma52']) != 0
    assert 'give --label-space mma82' in capsys.readouterr().err


def test_scores_of_other_domains_are_left_out(files, capsys):
    arguments = [*files(clips()), '--domain', 'lab', '--json']
    assert main('evaluate', arguments) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)['counts']['ignored'] == 6
    assert "scores of 6 clips outside 'test' of 'lab' left out" in err
    assert main('evaluate', [*files(clips()), '--domain', 'sreet']) != 0
    err = capsys.readouterr().err
    assert "no clips of domain 'sreet' in subset 'test'; it has lab (6 clips)" in err


def test_as_the_mac_challenge_ranks(files, capsys):
    rows = clips()
    given = files(rows)
    scores = scores_of(rows).scores
    first = scores.argmax(axis=1)
    truth = np.array([row.action for row in rows])
    body_of = np.array(SPACE.body_of)
    f1s = []
    for known, found in ((truth, first), (body_of[truth], body_of[first])):
        f1s += [f1_score(known, found, average=a) for a in ('macro', 'micro')]
    report = report_of([*given, '--as', 'mac'], capsys)
    assert report['options']['class_set'] == 'union'
    assert report['options']['body_scores'] == 'top1'
    assert report['F1_mean'] == pytest.approx(100 * np.mean(f1s))
    assert report['F1_mean'] < report_of(given, capsys)['F1_mean']
    assert report_of([*given, '--as', 'mac', '--class-set', 'union'], capsys) == report
    assert main('evaluate', [*given, '--as', 'mac', '--class-set', 'all']) == 2
    text = '--as mac means --class-set union, but --class-set all was given'
    assert text in capsys.readouterr().err


def f1_score(truth, found, average):
    """As scikit-learn's: over the union of classes, or over all clips."""
    if average == 'micro':
        return (truth == found).mean()
    return np.mean(
        [
            2
            * ((truth == k) & (found == k)).sum()
            / ((truth == k).sum() + (found == k).sum())
            for k in np.union1d(truth, found)
        ]
    )


def test_choices_are_those_of_the_metrics():
    kinds = get_type_hints(EvaluationOptions)
    assert get_args(kinds['class_set']) == CLASS_SETS
    assert get_args(kinds['body_scores']) == BODY_SCORES


def test_tables_and_confusions(files, capsys, tmp_path):
    picture = tmp_path / 'confusions.png'
    extras = ['--per-class', '--resamples', '50', '--confusions', str(picture)]
    assert main('evaluate', [*files(clips()), *extras]) == 0
    text, told = capsys.readouterr()
    for part in (
        '75.00',
        'mean of domains',
        'worst domain',
        '50 resamples of 6 subjects',
        'by published counts',
        'swing body',
    ):
        assert part in text
    assert 'SIMULATED' not in text
    assert f'{SPACE.actions[3]} taken for {SPACE.actions[6]}' in told
    assert picture.read_bytes()[:4] == b'\x89PNG'


def test_training_clips_and_body_groups_of_the_truth_file_decide(files, capsys):
    report = report_of(files([*clips('train'), *clips()], clips()), capsys)
    assert report['rows'][0]['groups']['basis'] == 'train'
    moved = [Clip(f'c{i}', '', 'test', 'lab', 's', action=0, body=3) for i in range(4)]
    body = report_of(files(moved), capsys)['rows'][0]['per_class']['body']
    assert (body['support'][3], body['hits'][3]) == (4, 3)


def test_a_label_space_of_a_file_and_that_of_a_root(tmp_path, capsys):
    actions = [{'name': name} for name in ('waving', 'nodding')]
    space = {'name': 'own', 'actions': actions}
    (tmp_path / 'space.json').write_text(json.dumps(space))
    rows = ['clip,path,subset,domain,subject,action', 'a,,test,ward,s,nodding']
    (tmp_path / 'rec.csv').write_text('\n'.join(rows))
    (tmp_path / 'own.csv').write_text('clip,waving,nodding\na,0.2,0.8\n')
    given = ['rec', '--gt', str(tmp_path / 'rec.csv')]
    given += ['--pred', str(tmp_path / 'own.csv')]
    own = ['--label-space', str(tmp_path / 'space.json')]
    alone = report_of([*given, *own], capsys)
    assert (alone['action/top1'], alone['options']['label_space']) == (100, 'own')
    assert not [key for key in alone if 'body' in key]
    assert [row['domain'] for row in alone['rows']] == ['all', 'ward']
    assert main('evaluate', given) == 2
    assert "no column 'body'" in capsys.readouterr().err  # as of mma82
    info = {'name': 'x', 'label_space': space, 'simulated': False}
    (tmp_path / 'dataset.json').write_text(json.dumps(info))
    assert report_of(given, capsys)['action/top1'] == 100
    assert main('evaluate', [*given, '--label-space', 'ma52']) == 2
    assert "is of label space 'own', not 'ma52'" in capsys.readouterr().err
    assert main('evaluate', [*given, '--label-space', 'ma28']) == 2
    assert "Did you mean 'ma52'" in capsys.readouterr().err


def test_simulated_data_are_marked(files, capsys, tmp_path):
    write_info(tmp_path, DatasetInfo('toy', 'mma82', simulated=True))
    arguments = files(clips())
    assert report_of(arguments, capsys)['simulated'] is True
    main('evaluate', arguments)
    assert 'SIMULATED DATA' in capsys.readouterr().out


def test_default_is_the_only_subset_or_test(files, capsys):
    arguments = files([*clips('val', 4), *clips('test')])
    assert main('evaluate', [*arguments, '--json']) == 0
    captured = capsys.readouterr()
    report = json.loads(captured.out)
    assert (report['subset'], report['counts']['ignored']) == ('test', 4)
    assert "scores of 4 clips outside 'test' left out" in captured.err
    assert report_of([*arguments, '--subset', 'all'], capsys)['counts']['clips'] == 16
    assert report_of(files(clips('val')), capsys)['subset'] == 'val'


def withheld() -> list[Clip]:
    return [*clips(), Clip('x', '', 'test', 'lab', 's', None, None)]


@pytest.mark.parametrize(
    ('truth', 'scored', 'more', 'text'),
    [
        (clips(), clips()[1:], (), "1 of 12 clips have no scores: 'test0'"),
        (clips(), clips(number=13), (), "scores of 1 unknown clip, .*'test12'"),
        (
            clips(),
            clips(number=14)[1:],
            (),
            "1 of 12 clips .*: 'test0'; scores of 2 unknown clips.*'test12', 'test13'",
        ),
        (withheld(), clips(), (), "1 of 13 clips have no action, .*'x'.*withheld"),
        (clips(), clips(), ('--subset', 'val'), r"no clips of subset 'val'.*test \(12"),
        (
            [*clips('val'), *clips()],
            clips('val'),
            (),
            "no score is of a clip of subset 'test', they are of val",
        ),
        (clips(), clips(), ('--label-space', 'ma52'), 'unknown action'),
        (clips(), clips(), ('--body-scores', 'head'), 'without any of a body head'),
        (clips(), clips(), ('--resamples', '-1'), 'use at least one resample'),
    ],
)
def test_bad_input_is_told_in_a_sentence(files, capsys, truth, scored, more, text):
    assert main('evaluate', [*files(truth, scored), *more]) == 2
    captured = capsys.readouterr()
    assert captured.out == ''
    assert captured.err.startswith('error: ')
    assert re.search(text, captured.err, re.DOTALL)


def test_missing_files(files, capsys, tmp_path):
    arguments = files(clips())
    (tmp_path / 'scores.npz').unlink()
    assert main('evaluate', arguments) == 2
    assert 'no score file' in capsys.readouterr().err
    (tmp_path / 'rec.csv').unlink()
    assert main('evaluate', arguments) == 2
    assert 'rec.csv: no such file' in capsys.readouterr().err


def test_needs_numpy_alone(files, tmp_path):
    arguments = files(clips())
    code = (
        'import sys; from mmma.cli import main; '
        f'assert main("evaluate", {arguments!r}) == 0; '
        'heavy = {"torch", "mmengine", "mmaction", "mmcv", "cv2", "scipy", "sklearn"}; '
        'print(sorted(heavy & set(sys.modules)))'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == '[]', done.stderr


@pytest.mark.parametrize(
    'content',
    [
        '{"name": "x", "label_space": "mma82", "simulated": true',
        '{"name": "x", "label_space": "mma82", "simulated": "yes"}',
        '{"name": "x", "label_space": "mma82"}',
        '[true]',
        b'\xff{}',
    ],
)
def test_a_mark_that_cannot_be_read_is_an_error(files, tmp_path, capsys, content):
    arguments, info = files(clips()), tmp_path / 'dataset.json'
    info.write_bytes(content if isinstance(content, bytes) else content.encode())
    for gt in (tmp_path / 'rec.csv', tmp_path):
        arguments[2] = str(gt)
        assert main('evaluate', [*arguments, '--resamples', '0']) == 2
        captured = capsys.readouterr()
        assert captured.out == ''
        assert re.match(r'error: .*dataset\.json', captured.err)
        assert captured.err.count('\n') == 1


def test_a_mark_that_is_no_file_is_an_error(files, tmp_path, capsys):
    arguments, info = files(clips()), tmp_path / 'dataset.json'
    info.symlink_to(tmp_path / 'gone.json')
    assert main('evaluate', arguments) == 2
    info.unlink()
    info.mkdir()
    assert main('evaluate', arguments) == 2
    assert capsys.readouterr().err.count('dataset.json: no such file') == 2
    info.rmdir()
    assert report_of(arguments, capsys)['simulated'] is None


def test_scores_that_are_no_probabilities_are_told(files, tmp_path, capsys):
    arguments, table = [*files(clips()), '--resamples', '0'], scores_of(clips())
    shares = table.scores / table.scores.sum(axis=1, keepdims=True)
    for scores, told in [
        (shares, None),
        (shares + 4, 'rows add up to 329 to 329, so these are no probabilities'),
        (shares * 2, 'rows add up to 2 to 2, so these'),
        (np.where(shares > 0.1, 1.0, 0.5), 'body scores of sums mean nothing'),
    ]:
        pred = tmp_path / 'scores.npz'
        write_scores(pred, replace(table, scores=scores), SPACE)
        assert main('evaluate', [*arguments, '--json']) == 0
        captured = capsys.readouterr()
        assert json.loads(captured.out)['probabilities'] is (told is None)
        assert (told or '') in captured.err
        assert ('probabilities' in captured.err) is bool(told)
    write_scores(pred, replace(table, scores=np.log(shares)), SPACE)
    assert main('evaluate', [*arguments, '--body-scores', 'top1']) == 0
    assert 'the lowest score is -7.07' in capsys.readouterr().err
