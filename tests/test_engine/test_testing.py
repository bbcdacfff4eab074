"""Few-shot from a checkpoint to score tables."""

import numpy as np
import pytest
from fewshot_runs import TINY, make_runner
from video_files import make_video_root

from mmma.cli import main
from mmma.cli import test as command
from mmma.engine import features
from mmma.engine.features import FeatureSource
from mmma.engine.fewshot import adapt_linear, source_classifier
from mmma.engine.testing import score_protocol
from mmma.evaluation.functional.bodies import fuse_body_scores
from mmma.layout.root import DataRoot


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return make_video_root(tmp_path_factory.mktemp('pool'), actions=(0, 7), clips=5)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv('MMMA_HOME', str(tmp_path / 'home'))


def score(root, folder, cached=None, settings=(), **options):
    runner = make_runner(root, folder, **options)
    runner.cfg.fewshot.update(dict(settings))
    return score_protocol(runner, DataRoot(root).read_rec(), 'test', cached)


def keyed(groups):
    keys = ('shots', 'run', 'control')
    return {tuple(g.labels.get(k) for k in keys): g for g in groups}


def same(left, right):
    assert left.labels == right.labels
    assert left.table.names == right.table.names
    np.testing.assert_array_equal(left.table.scores, right.table.scores)


@pytest.mark.parametrize('adapt', ['linear', 'prototype'])
def test_a_run_depends_on_neither_cache_nor_other_runs_and_shots(root, tmp_path, adapt):
    settings = {'adapt': adapt}
    alone = keyed(score(root, tmp_path, settings=settings))
    cold = score(root, tmp_path, 'sha', settings, shots=[1, 2], runs=2)
    warm = score(root, tmp_path, 'sha', settings, shots=[1, 2], runs=2)
    assert len(cold) == 3 + 2 * 2
    for left, right in zip(cold, warm, strict=True):
        same(left, right)
    check_alone(alone, keyed(cold))


def test_a_finetuned_run_does_not_depend_on_other_runs_and_shots(root, tmp_path):
    settings = {'adapt': 'finetune', 'train': 'head', 'iters': 1, 'lr': 0.1}
    alone = keyed(score(root, tmp_path, settings=settings))
    grid = score(root, tmp_path, settings=settings, shots=[2, 1], runs=2)
    check_alone(alone, keyed(grid))


def check_alone(alone, grid):
    for key, group in alone.items():
        same(group, grid[key])
    scores = [grid[1, run, None].table.scores for run in (0, 1)]
    assert not np.array_equal(*scores)
    assert not np.array_equal(scores[0], grid[0, None, None].table.scores)


def test_adapted_scores_are_fused_with_the_bodies_of_the_source(root, tmp_path):
    runner = make_runner(root, tmp_path, body=True)
    *_, group = score_protocol(runner, DataRoot(root).read_rec(), 'test')
    source = FeatureSource(runner)
    support = source.features('train', 'street').take(group.labels['supports'])
    tested = source.features('test', 'street')
    actions = {c.clip: c.action for c in DataRoot(root).read_rec()}
    labels = np.array([actions[name] for name in support.names])
    adapted = adapt_linear(
        source_classifier(runner.model), support.features, labels, 0.1
    ).predict(tested.features)
    body_of = DataRoot(root).label_space().body_of
    expected = fuse_body_scores(adapted, tested.body_scores, body_of, 0.5)
    np.testing.assert_array_equal(group.table.scores, expected)
    np.testing.assert_array_equal(group.table.body_scores, tested.body_scores)
    assert not np.allclose(expected, adapted)


def test_the_flags_of_the_command(root, tmp_path, monkeypatch, capsys):
    make_runner(root, tmp_path)
    argv = [TINY, str(tmp_path / 'source.pth')]
    argv += ['--data-root', str(root), '--work-dir', str(tmp_path / 'test')]
    argv += ['--out', str(tmp_path / 'out.json')]
    assert main('test', [*argv, '--protocol', 'zeroshot', '--adapt', 'linear']) == 2
    assert "--adapt is no option of protocol 'zeroshot'" in capsys.readouterr().err
    given = {}
    monkeypatch.setattr(
        command, 'report', lambda cfg, _, options, *__: given.update(
            adapt=cfg.fewshot.adapt, cache=options.cache
        )
    )  # fmt: skip
    assert main('test', [*argv, '--adapt', 'prototype', '--no-cache']) == 0
    assert given == {'adapt': 'prototype', 'cache': False}
    assert main('test', argv) == 0
    assert given == {'adapt': 'linear', 'cache': True}


def test_results_say_which_adaptation_with_its_settings_alone(root, tmp_path):
    from mmma.apis import summarize
    from mmma.engine.testing import Outcome, TestOptions

    runner = make_runner(root, tmp_path)
    runner.cfg.fewshot.adapt = 'prototype'
    groups = score_protocol(runner, DataRoot(root).read_rec(), 'test', 'sha')
    outcome = Outcome(groups, {}, None, None, 'cpu')
    results = summarize(runner.cfg, outcome, TestOptions())
    assert results['adaptation'] == {'adapt': 'prototype', 'temperature': 0.1}
    assert [r['shots'] for r in results['runs']] == [0, 0, 0, 1]
    assert len(list((tmp_path / 'home' / 'features').glob('*/*/*.npz'))) == 2
    assert features.CLIPS_PER_ROUND > 5
