"""Work dirs: which checkpoint is meant, what config it is of, what it took."""

import shutil

import pytest
import torch
from zoo_runs import LOG, make_run

from mmma.hub.training_run import (
    TrainingRun,
    default_name,
    find_leaf,
    read_run,
    training_resources,
)


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp('run')
    make_run(folder)
    return folder


@pytest.fixture
def work_dir(made, tmp_path):
    return shutil.copytree(made, tmp_path / 'run')


def test_the_best_checkpoint(work_dir):
    (work_dir / 'epoch_3.pth').write_bytes(b'')
    run = read_run(work_dir)
    assert run.checkpoint.name == 'best_action_top1_epoch_1.pth'
    assert run.cfg['protocol']['name'] == 'zeroshot'
    assert run.log == LOG
    assert 'backbone.stem.0.weight' in run.weights


@pytest.mark.parametrize(
    'told', ['/elsewhere/epoch_2.pth', None, '/elsewhere/gone.pth']
)
def test_or_else_the_last(work_dir, told):
    best = work_dir / 'best_action_top1_epoch_1.pth'
    for name in ('epoch_2.pth', 'epoch_10.pth'):
        shutil.copy(best, work_dir / name)
    best.unlink()
    if told:
        (work_dir / 'last_checkpoint').write_text(told)
    expected = 'epoch_2.pth' if told == '/elsewhere/epoch_2.pth' else 'epoch_10.pth'
    assert read_run(work_dir).checkpoint.name == expected


def test_which_is_not_clear(work_dir):
    best = work_dir / 'best_action_top1_epoch_1.pth'
    other = shutil.copy(best, work_dir / 'best_body_top1_epoch_2.pth')
    with pytest.raises(ValueError, match=r'several best .*best_body_.*--checkpoint'):
        read_run(work_dir)
    assert read_run(work_dir, other).checkpoint == other


def test_no_checkpoint(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r'holds no checkpoint .*--checkpoint F'
    ):
        read_run(tmp_path)


def test_a_checkpoint_that_does_not_say_what_it_is(work_dir):
    path = work_dir / 'best_action_top1_epoch_1.pth'
    torch.save({'state_dict': {'w': torch.ones(1)}, 'meta': {'epoch': 1}}, path)
    with pytest.raises(
        ValueError, match=r'label_space, classes, protocol, data, cfg m'
    ):
        read_run(work_dir)


def test_a_run_of_two_iterations(work_dir):
    path = work_dir / 'best_action_top1_epoch_1.pth'
    content = torch.load(path, weights_only=True)
    content['meta']['cfg'] += '\nfast_dev_run = True'
    torch.save(content, path)
    with pytest.raises(ValueError, match='is of --fast-dev-run: train it without'):
        read_run(work_dir)


def test_logs_of_a_run_that_went_on(work_dir):
    def add(name, text):
        path = work_dir / name.removesuffix('_rank1') / f'{name}.log'
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    more = LOG.replace('[1][3/3]', '[2][3/3]')
    add('20260103_100000', more)
    add('20260103_100000_rank1', LOG)
    add('20260104_100000', LOG.replace('Epoch(train)', 'Epoch(test)'))
    assert read_run(work_dir).log == f'{LOG}\n{more}'


@pytest.mark.parametrize(
    ('old', 'new', 'expected'),
    [
        ('', '', '2 x NVIDIA H100 80GB HBM3, 12 min'),
        ('GPU 0,1: NVIDIA H100 80GB HBM3', 'CUDA: none', 'CPU, 12 min'),
        ('10:12:00', '13:00:00', '2 x NVIDIA H100 80GB HBM3, 3.0 h'),
        ('10:12:00', '10:10:00', '2 x NVIDIA H100 80GB HBM3, 10 min'),
    ],
)
def test_resources(old, new, expected):
    assert training_resources(LOG.replace(old, new) if old else LOG) == expected


def test_resources_of_a_run_that_went_on():
    later = LOG.replace('2026/01/02', '2026/01/09')
    assert training_resources(LOG + later).endswith(', 24 min')
    assert training_resources('') is None


ZEROSHOT = {'name': 'zeroshot'}
LAB = {'name': 'indomain', 'domain': 'lab', 'seed': 3}


@pytest.mark.parametrize(
    ('config', 'protocol', 'path', 'flags'),
    [
        ('tsm_mma82_indomain.py', ZEROSHOT, 'recog/tsm_mma82_zeroshot.py', ''),
        ('tsm_mma82_zeroshot.py', {**ZEROSHOT, 'target': ['street']},
         'recog/tsm_mma82_zeroshot.py', '--target street'),
        ('tsm_mma82_indomain.py', LAB,
         'recog/tsm_mma82_indomain.py', '--domain lab --seed 3'),
        ('skeletondet-tiny_mma82.py', ZEROSHOT,
         'det/skeletondet-tiny_mma82.py', '--protocol zeroshot'),
        ('skeletondet-tiny_mma82.py', {'name': 'indomain'},
         'det/skeletondet-tiny_mma82.py', ''),
    ],
)  # fmt: skip
def test_leaves(config, protocol, path, flags):
    leaf = find_leaf(config, protocol)
    assert (leaf.path, ' '.join(leaf.flags)) == (f'configs/{path}', flags)
    assert leaf.cfg['protocol']['name'] == protocol['name']


@pytest.mark.parametrize('config', ['mine.py', None, '../_base_/x.py'])
def test_a_config_of_the_users_own(config):
    assert find_leaf(config, {'name': 'zeroshot'}) is None


@pytest.mark.parametrize(
    ('config', 'protocol', 'simulated', 'expected'),
    [
        ('tsm_mma82_zeroshot.py', ZEROSHOT, True, 'tsm_mma82_zeroshot-simulated'),
        ('tsm_mma82_zeroshot.py', ZEROSHOT, False, 'tsm_mma82_zeroshot'),
        ('tsm_mma82_indomain.py', LAB, False, 'tsm_mma82_indomain-lab'),
        ('skeletondet-tiny_mma82.py', {'name': 'indomain'}, False,
         'skeletondet-tiny_mma82'),
        ('skeletondet-tiny_mma82.py', ZEROSHOT, True,
         'skeletondet-tiny_mma82_zeroshot-simulated'),
        ('mine.py', ZEROSHOT, False, 'mine_zeroshot'),
    ],
)  # fmt: skip
def test_names(tmp_path, config, protocol, simulated, expected):
    meta = {'config_name': config, 'data': {'simulated': simulated}}
    run = TrainingRun(tmp_path, tmp_path, {'meta': meta}, {'protocol': protocol}, '')
    assert default_name(run, find_leaf(config, protocol)) == expected
