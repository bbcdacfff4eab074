import hashlib
import json
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from mmma.cli import main
from mmma.data.clips import Clip, write_rec
from mmma.data.root import DatasetInfo, write_info
from mmma.evaluation.scores import ScoreTable, read_scores, write_scores
from mmma.taxonomy import load_label_space

SPACE = load_label_space('mma82')
COUNTS = {'val': 40, 'test': 30, 'train': 2}


def clips(subset):
    return [
        Clip(
            f'{subset}{i}', '', subset, 'lab', f's{i % 6}', i % 5, SPACE.body_of[i % 5]
        )
        for i in range(COUNTS[subset])
    ]


def table(subset, seed, quality, heads=True):
    rows = clips(subset)
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(len(rows), 82))
    logits[range(len(rows)), [r.action for r in rows]] += quality * rng.random(
        len(rows)
    )
    powers = np.exp(logits)
    scores = powers / powers.sum(axis=1, keepdims=True)
    bodies = np.tile(np.arange(7.0), (len(rows), 1)) / 21 if heads else None
    return ScoreTable(tuple(r.clip for r in rows), scores, bodies)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Scores of two models on val and test, and their truth; the current folder."""
    monkeypatch.chdir(tmp_path)
    for subset in ('val', 'test'):
        for seed, (name, quality) in enumerate((('good', 9), ('weak', 3))):
            write_scores(f'{name}_{subset}.npz', table(subset, seed, quality), SPACE)
    write_rec(tmp_path / 'rec.csv', [c for s in COUNTS for c in clips(s)], SPACE)
    return tmp_path


TEST = ['good_test.npz', 'weak_test.npz', '--out', 'fused.npz', '--resamples', '20']
LEARN = ['--learn', '--gt', 'rec.csv', '--val-scores', 'good_val.npz', 'weak_val.npz']


def record_of(folder):
    return json.loads((folder / 'fused.json').read_text())


def test_equal_weights_need_no_truth(folder, capsys):
    assert main('fuse', TEST) == 0
    fused = read_scores(folder / 'fused.npz', SPACE)
    inputs = [read_scores(folder / name, SPACE) for name in TEST[:2]]
    assert fused.scores == pytest.approx(sum(t.scores for t in inputs) / 2)
    assert fused.body_scores == pytest.approx(inputs[0].body_scores)
    text = capsys.readouterr().out
    assert '30 clips, mean of 2 score files, equal weights' in text
    assert 'Top-1' not in text
    record = record_of(folder)
    assert (record['weights'], record['learnt']) == ([0.5, 0.5], None)
    digest = hashlib.sha256((folder / TEST[0]).read_bytes()).hexdigest()
    assert record['inputs'][0] == {'file': 'good_test.npz', 'sha256': digest}


def test_given_weights_and_order_of_clips(folder):
    shuffled = table('test', 1, 3).select([c.clip for c in clips('test')][::-1])
    write_scores('weak_test.npz', shuffled, SPACE)
    assert main('fuse', [*TEST, '--weights', '3', '1', '--space', 'logit']) == 0
    record = record_of(folder)
    assert (record['weights'], record['weights_from']) == ([0.75, 0.25], 'given')
    fused = read_scores(folder / 'fused.npz', SPACE)
    logs = 0.75 * np.log(table('test', 0, 9).scores)
    logs += 0.25 * np.log(table('test', 1, 3).scores)
    powers = np.exp(logs)
    assert fused.scores == pytest.approx(powers / powers.sum(axis=1, keepdims=True))


def test_learnt_weights_are_recorded_and_metrics_shown(folder, capsys):
    assert main('fuse', [*TEST, *LEARN]) == 0
    text = capsys.readouterr().out
    assert 'learnt on 40 val clips (40 lab)' in text
    assert '30 clips (30 test), percent' in text
    few = '20 resamples of 6 subjects, with so few they hold the truth in about 87 %'
    assert few in text
    assert 'flatters' not in text
    assert re.search(r'\| fused +\| +\| +\d+\.\d\d \[', text)
    record = record_of(folder)
    learnt = record['learnt']
    assert (learnt['subset'], learnt['clips']) == ('val', 40)
    assert learnt['nll'] <= learnt['equal_nll']
    assert [f['file'] for f in learnt['val_scores']] == LEARN[-2:]
    assert record['weights'][0] > 0.6
    assert record['metrics']['weights_fitted_on_them'] == 0
    assert len(record['metrics']['inputs']) == 2


@pytest.mark.parametrize('space', ['mean', 'logit'])
def test_temperatures_and_weights_are_the_best_on_val(folder, capsys, space):
    sharp = table('val', 1, 3)
    for subset in ('val', 'test'):  # of which one model is far too sure
        weak = table(subset, 1, 3)
        powers = weak.scores**4
        scores = powers / powers.sum(axis=1, keepdims=True)
        write_scores(f'weak_{subset}.npz', replace(weak, scores=scores), SPACE)
    assert main('fuse', [*TEST, *LEARN, '--space', space]) == 0
    plain = record_of(folder)
    assert 'temperature ' not in capsys.readouterr().out
    assert main('fuse', [*TEST, *LEARN, '--space', space, '--temperature']) == 0
    text = capsys.readouterr().out
    assert 'nats), temperature ' in text
    record = record_of(folder)
    learnt = record['learnt']
    assert learnt['single_nll'][1] < plain['learnt']['single_nll'][1]
    assert learnt['nll'] < plain['learnt']['nll']
    truth = [c.action for c in clips('val')]
    rows = range(len(truth))
    logs = [np.log(table('val', 0, 9).scores), 4 * np.log(sharp.scores)]

    def loss(temperature, own):
        return -log_softmax(own / temperature, axis=1)[rows, truth].mean()

    for found, own in zip(learnt['temperatures'], logs, strict=True):
        best = minimize_scalar(loss, bounds=(0.05, 20), args=(own,), method='bounded')
        assert found == pytest.approx(best.x, rel=1e-3)

    def fused(weight, parts):
        soft = [
            log_softmax(part / t, axis=1)
            for part, t in zip(parts, learnt['temperatures'], strict=True)
        ]
        if space == 'logit':
            return log_softmax(weight * soft[0] + (1 - weight) * soft[1], axis=1)
        return np.log(weight * np.exp(soft[0]) + (1 - weight) * np.exp(soft[1]))

    best = minimize_scalar(
        lambda w: -fused(w, logs)[rows, truth].mean(), bounds=(0, 1), method='bounded'
    )
    assert record['weights'][0] == pytest.approx(best.x, abs=2e-3)
    assert learnt['nll'] == pytest.approx(best.fun, abs=1e-6)
    good, weak = (np.log(table('test', *own).scores) for own in ((0, 9), (1, 3)))
    expected = np.exp(fused(record['weights'][0], [good, 4 * weak]))
    found = read_scores(folder / 'fused.npz', SPACE).scores
    assert found == pytest.approx(expected, abs=1e-6)


def test_the_plain_mean_stands_beside_learnt_weights(folder, capsys):
    assert main('fuse', [*TEST, *LEARN]) == 0
    assert re.search(r'\| plain mean +\| +\| +\d+\.\d\d \[', capsys.readouterr().out)
    mean = record_of(folder)['metrics']['mean']
    assert main('fuse', [*TEST, '--gt', 'rec.csv']) == 0
    assert 'plain mean' not in capsys.readouterr().out
    assert record_of(folder)['metrics']['fused'] == mean
    assert 'mean' not in record_of(folder)['metrics']


def test_learning_twice_gives_the_same_files(folder, capsys):
    assert main('fuse', [*TEST, *LEARN]) == 0
    first = [(folder / f'fused.{s}').read_bytes() for s in ('npz', 'json')]
    assert main('fuse', [*TEST, *LEARN]) == 0
    assert first == [(folder / f'fused.{s}').read_bytes() for s in ('npz', 'json')]
    assert main('fuse', [*LEARN[-2:], *TEST[2:], *LEARN]) == 0
    told = 'fitted on 40 of these clips: the fused row flatters'
    assert told in capsys.readouterr().out


def test_body_fusion_follows_the_mean(folder, capsys):
    assert main('fuse', [*TEST, '--body-fusion', '0.5']) == 0
    assert 'then fused with body scores, weight 0.5' in capsys.readouterr().out
    mean = (table('test', 0, 9).scores + table('test', 1, 3).scores) / 2
    bodies = np.arange(7.0)[list(SPACE.body_of)] / 21
    expected = mean * np.sqrt(np.maximum(bodies, 1e-30))
    expected /= expected.sum(axis=1, keepdims=True)
    fused = read_scores(folder / 'fused.npz', SPACE)
    assert fused.scores == pytest.approx(expected, abs=1e-12)
    assert record_of(folder)['body_fusion'] == 0.5


def test_scores_of_another_shipped_label_space_are_told(folder, capsys):
    ma52 = load_label_space('ma52')
    write_scores('a.npz', ScoreTable(('x',), np.full((1, 52), 1 / 52)), ma52)
    assert main('fuse', ['a.npz', 'a.npz', '--out', 'o.npz']) == 2
    assert 'They are those of ma52: give --label-space ma52' in capsys.readouterr().err
    assert main('fuse', ['a.npz', '--out', 'o.npz', '--label-space', 'ma52']) == 0


def test_a_data_root_is_truth_and_says_if_simulated(folder, capsys):
    write_info(folder, DatasetInfo('toy', 'mma82', simulated=True))
    assert main('fuse', [*TEST, '--gt', '.', '--resamples', '0']) == 0
    text = capsys.readouterr().out
    assert 'SIMULATED DATA' in text
    assert 'intervals' not in text
    assert record_of(folder)['simulated'] is True


def test_unknown_truth_is_no_error_without_learning(folder, capsys):
    write_rec(folder / 'rec.csv', clips('val'), SPACE)
    assert main('fuse', [*TEST, *LEARN]) == 0
    told = capsys.readouterr()
    assert 'truth of 0 of 30 clips: metrics are of the val clips' in told.err
    assert 'fitted on 40 of these clips: the fused row flatters' in told.out
    assert record_of(folder)['metrics']['subsets'] == {'val': 40}
    assert main('fuse', [*TEST, '--gt', 'rec.csv']) == 0
    assert 'truth of 0 of 30 clips: metrics are of none' in capsys.readouterr().err
    write_rec(folder / 'rec.csv', [*clips('val'), *clips('test')[:9]], SPACE)
    assert main('fuse', [*TEST, *LEARN]) == 0
    assert 'truth of 9 of 30 clips: metrics are of these alone' in (
        capsys.readouterr().err
    )
    assert record_of(folder)['metrics']['clips'] == 9


def test_val_clips_without_scores_are_counted(folder, capsys):
    for name in LEARN[-2:]:
        some = read_scores(folder / name, SPACE).select(['val0', 'val1'])
        write_scores(name, some, SPACE)
    assert main('fuse', [*TEST, *LEARN]) == 0
    assert '38 of 40 val clips of rec.csv have no scores' in capsys.readouterr().err
    assert record_of(folder)['learnt']['clips'] == 2


def test_scores_that_are_no_probabilities_are_told(folder, capsys):
    loud = table('test', 1, 3, heads=False)
    write_scores('weak_test.npz', replace(loud, scores=loud.scores * 9), SPACE)
    assert main('fuse', TEST) == 0
    told = capsys.readouterr().err
    assert 'weak_test.npz: rows add up to ' in told
    assert 'good_test.npz: rows' not in told
    assert '1 of 2 files have body_scores: none are written' in told
    assert read_scores(folder / 'fused.npz', SPACE).body_scores is None
    assert main('fuse', [*TEST, *LEARN, '--temperature']) == 2
    assert '--temperature takes probabilities alone' in capsys.readouterr().err
    assert main('fuse', [*TEST, '--body-fusion', '1']) == 2
    assert '--body-fusion needs body_scores in every' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('arguments', 'text'),
    [
        ([*TEST, '--weights', '1'], '1 weights for 2 score files'),
        ([*TEST, *LEARN, '--weights', '1', '1'], '--learn and --weights: choose one'),
        (
            [*TEST, *LEARN, '--subset', 'test'],
            '--subset test: weights are learnt on val',
        ),
        ([*TEST, '--learn'], '--learn needs --gt'),
        ([*TEST, '--learn', '--gt', 'rec.csv'], 'and --val-scores: score files'),
        ([*TEST, *LEARN[:-1]], '1 --val-scores for 2 score files'),
        ([*TEST, '--val-scores', 'good_val.npz'], '--val-scores without --learn'),
        ([*TEST, '--temperature'], '--temperature without --learn: give both'),
        (
            [*TEST, *LEARN[:-2], *TEST[:2]],
            r"30 of 30 clips are not of subset val \(30 of test\): 'test0'",
        ),
        (['good_test.npz', '--out', 'good_test.npz'], 'is one of the inputs'),
        ([*TEST, *LEARN, '--out', 'weak_val.npz'], 'is one of the inputs'),
        (['good_test.npz', 'weak_val.npz', '--out', 'f.npz'], 'lacks 40 of 70 clips'),
        ([*TEST, '--gt', 'nowhere.csv'], 'nowhere.csv: no such file'),
        ([*TEST, '--gt', '.'], 'no dataset.json: write'),
        ([*TEST, '--label-space', 'ma52'], 'unknown class column'),
        (['none.npz', '--out', 'f.npz'], 'no score file none.npz'),
    ],
)
def test_bad_input_is_told_in_a_sentence(folder, capsys, arguments, text):
    assert main('fuse', arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ''
    assert re.search(f'error: .*{text}', captured.err, re.DOTALL)
    assert not (folder / 'fused.npz').exists()


def test_truth_that_does_not_fit(folder, capsys):
    first, *others = clips('val')
    for rows, text in (
        ([*others, replace(first, subset='train')], 'of subset val (1 of train): '),
        (others, "1 of 40 clips are not in rec.csv: 'val0'"),
    ):
        write_rec(folder / 'rec.csv', rows, SPACE)
        assert main('fuse', [*TEST, *LEARN]) == 2
        assert text in capsys.readouterr().err
    write_info(folder, DatasetInfo('toy', 'ma52', simulated=False))
    given = ['--gt', 'rec.csv', '--label-space', 'mma82']
    assert main('fuse', [*TEST, *given]) == 2
    assert "of label space 'ma52', not 'mma82'" in capsys.readouterr().err


def test_needs_no_torch(folder):
    code = (
        'import sys; from mmma.cli import main; '
        f'assert main("fuse", {[*TEST, *LEARN]!r}) == 0; '
        'heavy = {"torch", "mmengine", "mmaction", "mmcv", "cv2", "sklearn"}; '
        'print(sorted(heavy & set(sys.modules)))'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == '[]', done.stderr


def test_scores_never_lie_beside_the_record_of_others(folder, monkeypatch):
    assert main('fuse', TEST) == 0
    assert main('fuse', [*TEST[:2], '--out', 'fused.json']) == 2
    assert record_of(folder)['inputs']
    monkeypatch.setattr('mmma.evaluation.reports.write_scores', lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main('fuse', TEST)
    assert sorted(p.name for p in folder.glob('fused.*')) == ['fused.npz']
