"""Roots of one's own through the commands: no option beside the root is needed."""

import json
import os
from pathlib import Path

import pytest
from own_roots import PLAIN, make_own_root, no_pause  # noqa: F401

from mmma.cli import main

CONFIGS = Path(__file__).parents[1] / 'configs'
QUICK = [
    'test_dataloader.num_workers=0', 'test_dataloader.persistent_workers=False',
]  # fmt: skip


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """Folder with three roots, in which the commands are given."""
    folder, before = tmp_path_factory.mktemp('own'), Path.cwd()
    make_own_root(folder / 'two')
    make_own_root(folder / 'plain', space=PLAIN)
    make_own_root(folder / 'one', ('ward',))
    os.chdir(folder)
    yield folder
    os.chdir(before)


def train(recipe, root, *more):
    config = next(CONFIGS.rglob(f'{recipe}.py'))
    alone = [
        f'{subset}_dataloader.num_workers=0' for subset in ('train', 'val', 'test')
    ]
    argv = [str(config), '--data-root', root, '--fast-dev-run', *more]
    return main('train', [*argv, '--cfg-options', *alone])


def results_of(run):
    return json.loads(Path(f'work_dirs/{run}/fast-dev-run/results.json').read_text())


def test_classes_groups_and_domains_from_check_to_table(place, capsys):
    assert main('data/check', ['two', '--strict']) == 0
    assert train('skeletontcn-tiny_mma82_zeroshot', 'two') == 0
    zero = results_of('skeletontcn-tiny_two-clinics/zeroshot')
    assert zero['name'] == 'skeletontcn-tiny_two-clinics'
    assert zero['protocol']['source'] == 'clinic'
    assert [run['target'] for run in zero['runs']] == ['home']
    assert len(zero['classes']) == 30
    assert len(zero['runs'][0]['per_class']['body']['name']) == 4
    config = CONFIGS / 'recog' / 'skeletontcn-tiny_mma82_fewshot.py'
    run = 'work_dirs/skeletontcn-tiny_two-clinics/zeroshot/fast-dev-run'
    few = ['--shots', '1', '--runs', '1', '--out', 'few.json', '--dump', 'few.npz']
    argv = [str(config), f'{run}/iter_2.pth', '--data-root', 'two', *few]
    assert main('test', [*argv, '--cfg-options', *QUICK]) == 0
    capsys.readouterr()
    assert main('table', ['few.json']) == 0
    assert '1-shot (1 runs)' in capsys.readouterr().out
    assert main('table', ['few.json', '--paper']) == 0
    table = capsys.readouterr().out
    assert 'cross-domain, from clinic, body level' in table
    assert 'not the 82 actions of the paper' in table
    (scores,) = [str(p) for p in Path().glob('few_home_1shot_run0.npz')]
    given = ['--gt', 'two', '--pred', scores, '--domain', 'home', '--resamples', '0']
    assert main('evaluate', ['rec', *given]) == 0
    assert 'body Top-1' in capsys.readouterr().out


def test_detection_and_inference_with_own_classes(place, capsys):
    assert train('skeletondet-tiny_mma82', 'two') == 0
    found = results_of('skeletondet-tiny_two-clinics/indomain')
    assert [run['domain'] for run in found['runs']] == ['all', 'clinic', 'home']
    assert 'AVG' in found['runs'][0]['metrics']
    assert train('gctsm-tiny_mma82_indomain', 'two') == 0
    model = 'work_dirs/gctsm-tiny_two-clinics/indomain/fast-dev-run/iter_2.pth'
    given = ['two/videos/home-test.mp4', '--recog', model, '--threshold', '0']
    assert main('infer', [*given, '--out', 'found']) == 0
    told = json.loads(Path('found/home-test.json').read_text())['recognition']
    assert 'gesture' in told['action']
    assert told['model']['label_space'] == 'gestures'
    assert len(told['bodies']) == 4


def test_a_root_without_groups_has_no_body_metrics(place, capsys):
    assert main('data/check', ['plain', '--strict']) == 0
    for recipe, run in (
        ('gctsm-tiny_mma82_indomain', 'gctsm-tiny_two-clinics/indomain'),
        ('skeletondet-tiny_mma82', 'skeletondet-tiny_two-clinics/indomain'),
    ):
        assert train(recipe, 'plain', '--work-dir', f'work_dirs/plain/{run}') == 0
        results = results_of(f'plain/{run}')
        keys = {*results['runs'][0]['metrics'], *results['runs'][0]['per_class']}
        assert not [k for k in keys if 'body' in k or k in ('F1_mean', 'AVG')]
    folder = 'work_dirs/plain/gctsm-tiny_two-clinics/indomain/fast-dev-run'
    given = ['plain/videos/home-test.mp4', '--recog', f'{folder}/iter_2.pth']
    assert main('infer', [*given, '--threshold', '0', '--out', 'plain-found']) == 0
    told = json.loads(Path('plain-found/home-test.json').read_text())['recognition']
    assert told['bodies'] == []
    assert 'body' not in told['actions'][0]
    capsys.readouterr()
    assert main('table', [f'{folder}/results.json']) == 0
    assert 'FAST DEV RUN' in capsys.readouterr().out


def test_a_root_of_one_domain_has_no_other_to_cross_to(place, capsys):
    assert train('skeletontcn-tiny_mma82_fewshot', 'one') == 2
    told = capsys.readouterr().err
    assert "only 'ward': use --protocol indomain" in told
    assert train('skeletontcn-tiny_mma82_indomain', 'one') == 0
    found = results_of('skeletontcn-tiny_two-clinics/indomain')
    assert [run['domain'] for run in found['runs']] == ['all', 'ward']
