"""The commands of docs/pretraining.md, on a small root."""

import json
from pathlib import Path

from pages import commands

from mmma.cli import main

FEW = ['train_cfg.max_epochs=1', 'param_scheduler=[]', 'train_dataloader.num_workers=0']


def test_the_commands_of_the_page(video_root, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path('data').mkdir()
    Path('data/mma82').symlink_to(video_root)
    for name, argv in commands('pretraining.md'):
        workers = [f'{s}_dataloader.num_workers=0' for s in ('val', 'test')]
        once = ['train_dataloader.sampler.repeats=1', *FEW]
        own = once if argv[0].startswith('pretrain/') else [*FEW, *workers]
        own = own if name == 'train' else workers
        given = [] if '--cfg-options' in argv else ['--cfg-options']
        assert main(name, [*argv, *given, *own]) == 0, capsys.readouterr().err[-2000:]
        if argv[0].startswith('pretrain/'):
            told = capsys.readouterr().out
            assert (
                f'train RECIPE --load-from {argv[argv.index("--work-dir") + 1]}' in told
            )
    found = {
        path.parents[1].name: json.loads(path.read_text())
        for path in Path('work_dirs/videomae-tiny_mma82').glob('*/test/results.json')
    }
    seen = 'none + mma82-fixture (unlabelled: train, val of {})'
    everywhere = '; train, val of '.join(('lab', 'psychiatric', 'street', 'emotion'))
    told = {
        name: results['checkpoint']['pretrain_data'] for name, results in found.items()
    }
    others = 'lab; train of psychiatric; train of street; train of emotion'
    assert told == {
        'indomain': seen.format(everywhere),
        'zeroshot': seen.format(others),
    }
    capsys.readouterr()
    assert (
        main('table', ['work_dirs/videomae-tiny_mma82/zeroshot/test/results.json']) == 0
    )
    note = ' '.join(capsys.readouterr().out.split())
    assert f'had seen clips without their labels ({told["zeroshot"]})' in note
    assert found['zeroshot']['target_seen'] == ['emotion', 'psychiatric', 'street']


def test_a_trial_ends_without_a_test_and_nothing_can_be_tested(
    video_root, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    config = ['pretrain/videomae-tiny_mma82', '--data-root', str(video_root)]
    assert main('train', [*config, '--fast-dev-run', '--domain', 'lab']) == 0
    place = 'work_dirs/videomae-tiny_mma82-pretraining/indomain-lab/fast-dev-run'
    assert f'--load-from {place}' in capsys.readouterr().out
    assert not [*Path(place).glob('results.json')]
    argv = [config[0], f'{place}/iter_2.pth', *config[1:]]
    assert main('test', argv) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert 'pre-trains without labels, and has no classes: train a recipe' in line
