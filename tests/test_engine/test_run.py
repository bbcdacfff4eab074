"""Runs are resolved once: each table of a data root is read once per command."""

import json
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

from mmma.config import load_config
from mmma.data.root import DataRoot, read_root
from mmma.engine import run
from mmma.engine.run import Run, TestOptions, TrainOptions, open_run

TINY = 'configs/recog/videomae-tiny_mma82_indomain.py'
_COUNTING = """
import collections, os, sys
counts = collections.Counter()
root = os.path.realpath(sys.argv[1])

def note(event, args):
    if event == 'open' and isinstance(args[0], (str, os.PathLike)):
        path = os.path.realpath(os.fspath(args[0]))
        if os.path.dirname(path) == root:
            counts[os.path.basename(path)] += 1

sys.addaudithook(note)
from mmma.cli import main
status = main(sys.argv[2], sys.argv[3:])
print('opened', status, *sorted(counts.items()))
"""


def opened(root, command, *argv):
    """Status of a command, and how often it opened each file of the root."""
    argv = [*argv, '--data-root', str(root)]
    out = subprocess.run(
        [sys.executable, '-c', _COUNTING, str(root), command, TINY, *argv],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return next(line for line in out.splitlines() if line.startswith('opened'))


def test_training_and_testing_read_each_table_once(video_root, tmp_path):
    once = "opened 0 ('dataset.json', 1) ('rec.csv', 1)"
    place = ['--work-dir', str(tmp_path), '--protocol', 'zeroshot']
    assert opened(video_root, 'train', '--fast-dev-run', *place) == once
    workers = 'test_dataloader.num_workers=0'
    options = [workers, 'test_dataloader.persistent_workers=False']
    checkpoint = str(tmp_path / 'fast-dev-run' / 'iter_2.pth')
    more = [*place, '--cfg-options', *options]
    assert opened(video_root, 'test', checkpoint, *more) == once


def test_what_is_logged_to_beside_the_files(video_root, monkeypatch):
    names = {'tensorboard': 'Tensorboard', 'wandb': 'Wandb', 'mlflow': 'MLflow'}
    for name, kind in names.items():
        options = TrainOptions(log=name)
        there = SimpleNamespace(find_spec=lambda _: None)
        monkeypatch.setattr(run, 'importlib', SimpleNamespace(util=there))
        with pytest.raises(ValueError, match=f'no package {name}: pip install {name}'):
            open_run(TINY, data_root=str(video_root), options=options)
        there.find_spec = lambda _: True
        cfg = open_run(TINY, data_root=str(video_root), options=options).cfg
        kinds = [backend['type'] for backend in cfg.visualizer.vis_backends]
        assert kinds == ['LocalVisBackend', f'{kind}VisBackend']


def test_loaders_without_workers_keep_nothing_of_workers(video_root):
    options = [f'{s}_dataloader.num_workers=0' for s in ('train', 'test')]
    options += ['+train_dataloader.prefetch_factor=4', '+test_dataloader.timeout=9']
    cfg = open_run(TINY, data_root=str(video_root), cfg_options=options).cfg
    assert cfg.val_dataloader.num_workers > 0
    assert cfg.val_dataloader.persistent_workers
    for loader in (cfg.train_dataloader, cfg.test_dataloader):
        assert not {'persistent_workers', 'prefetch_factor', 'timeout'} & set(loader)
    wrong = ['val_dataloader.num_workers=-1']
    with pytest.raises(ValueError, match=r'^val_dataloader.num_workers is -1: use 0'):
        open_run(TINY, data_root=str(video_root), cfg_options=wrong)


def test_a_loaded_config_stays_as_it_is(video_root):
    cfg = load_config(TINY, {'domain': 'lab'}, data_root=str(video_root))
    before = cfg.to_dict()
    run = open_run(cfg, options=TestOptions(subset='val', class_set='all'), views=2)
    assert isinstance(run, Run)
    assert cfg.to_dict() == before
    assert run.cfg.test_dataloader.dataset.subset == 'val'
    assert run.cfg.test_evaluator.class_set == 'all'
    assert run.protocol.domain == 'lab'
    assert run.root is read_root(video_root)


def test_a_run_follows_the_domains_of_its_root(video_root, tmp_path):
    path = shutil.copytree(video_root, tmp_path / 'root')
    table = (path / 'rec.csv').read_text()
    for old, new in (('lab', 'ward'), ('emotion', 'home')):
        table = table.replace(f',{old},', f',{new},')
    (path / 'rec.csv').write_text(table)
    info = json.loads((path / 'dataset.json').read_text())
    names = ['street', 'ward', 'home', 'psychiatric']
    info.update(domains=names, source_domain='ward')
    (path / 'dataset.json').write_text(json.dumps(info))
    run = open_run(TINY, {'protocol': 'zeroshot'}, str(path))
    assert run.protocol.target == ('street', 'home', 'psychiatric')
    domains = {
        s: run.cfg[f'{s}_dataloader'].dataset.domains for s in ('train', 'val', 'test')
    }
    assert domains == {
        'train': ['ward'],
        'val': ['ward'],
        'test': names[:1] + names[2:],
    }
    again = open_run(run.cfg)  # as a dumped config does
    assert again.protocol == run.protocol
    with pytest.raises(
        ValueError, match="unknown domain 'lab': use one of all, street"
    ):
        open_run(TINY, {'domain': 'lab'}, str(path))


def test_no_data(tmp_path):
    with pytest.raises(FileNotFoundError, match='there is no such folder'):
        open_run(TINY, data_root=str(tmp_path / 'nowhere'))


def test_a_root_that_changed_is_read_again(video_root, tmp_path):
    path = shutil.copytree(video_root, tmp_path / 'root')
    root = read_root(path)
    clips, before = root.read_rec(), root.fingerprint()
    table = (path / 'rec.csv').read_text().splitlines(keepends=True)
    (path / 'rec.csv').write_text(''.join(table[:-1]))
    assert len(root.read_rec()) == len(clips) - 1
    assert root.fingerprint() == DataRoot(path).fingerprint() != before
    info = (path / 'dataset.json').read_text().replace('mma82-fixture', 'other')
    (path / 'dataset.json').write_text(info)
    assert read_root(path).info.name == 'other'
