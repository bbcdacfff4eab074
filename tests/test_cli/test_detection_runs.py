"""Training and testing a detector through the commands, on a small root."""

import json
import shutil

import pytest

from mmma.checkpoints import load_weights_file
from mmma.cli import main

TINY = 'configs/det/skeletondet-tiny_mma82.py'
STREET = ['--protocol', 'zeroshot', '--target', 'street']
ALONE = [f'{subset}_dataloader.num_workers=0' for subset in ('train', 'val')]
SMALL = ['test_dataloader.num_workers=0', 'test_dataloader.persistent_workers=False']


@pytest.fixture(scope='module')
def work_dir(det_root, tmp_path_factory):
    folder = tmp_path_factory.mktemp('work')
    argv = [TINY, '--data-root', str(det_root), '--work-dir', str(folder), *STREET]
    assert main('train', [*argv, '--fast-dev-run', '--cfg-options', *ALONE]) == 0
    return folder / 'fast-dev-run'


def run_test(root, work_dir, *more, options=(), checkpoint='iter_2.pth'):
    argv = [TINY, str(work_dir / checkpoint), '--data-root', str(root)]
    argv += ['--work-dir', str(work_dir / 'test'), *STREET, *more]
    return main('test', [*argv, '--cfg-options', *SMALL, *options])


def test_fast_dev_run_trains_validates_tests_and_says_so(work_dir):
    results = json.loads((work_dir / 'results.json').read_text())
    assert results['task'] == 'det'
    assert results['options']['fast_dev_run'] is True
    assert results['options']['nms']['method'] == 'soft'
    assert 'before NMS' in results['options']['body_detections']
    assert results['data']['simulated'] is True
    assert results['data']['skeleton_layout']['joints'] == 3
    assert results['target_seen'] == []
    assert results['environment']['device'] == 'cpu'
    assert results['environment']['torch'][0].isdigit()
    (row,) = results['runs']
    assert (row['target'], row['subset'], row['seed']) == ('street', 'test', 0)
    assert row['counts']['videos'] == 1
    assert 'AVG' in row['metrics']
    (best,) = work_dir.glob('best_*.pth')
    told = load_weights_file(best)['meta']['calibration']['why_not']
    assert 'val of lab of' in told
    assert 'it takes 30 segments that are right, not 0' in told
    assert 'intervals' in row


def test_videos_without_truth_are_predicted_and_not_scored(
    det_root, work_dir, tmp_path, capsys
):
    root, dump, out = tmp_path / 'root', tmp_path / 'pred.json', tmp_path / 'out.json'
    shutil.copytree(det_root, root)
    content = json.loads((root / 'det.json').read_text())
    for video in content['database'].values():
        if video['subset'] == 'test':
            video.pop('annotations', None)
    (root / 'det.json').write_text(json.dumps(content))
    assert run_test(root, work_dir, '--out', str(out)) == 0
    assert run_test(root, work_dir, '--out', str(out), '--dump', str(dump)) == 0
    told = capsys.readouterr().out.split('1 of 1 videos have no truth')
    assert len(told) == 3
    assert dump.read_bytes() == (work_dir / 'test' / 'detections.json').read_bytes()
    assert list(json.loads(dump.read_text())['results']) == ['street_test_0']
    assert not out.exists()


def test_the_preset_of_the_challenge_chooses_and_averages(det_root, tmp_path, capsys):
    argv = [TINY, '--data-root', str(det_root), *STREET]
    few = ['train_cfg.max_epochs=1', *ALONE]
    work = ['--work-dir', str(tmp_path), '--cfg-options', *few]
    assert main('train', [*argv, '--preset', 'mac', *work]) == 0
    *lines, checkpoint, log, following = capsys.readouterr().out.splitlines()
    assert len(lines) <= 6
    assert max(map(len, lines)) <= 160
    assert checkpoint.startswith(f'checkpoint: {tmp_path}/best_')
    assert log.startswith(f'log: {tmp_path}/')
    assert log.endswith('.log')
    assert following.startswith(f'next: python -m mmma test {tmp_path}/skeletondet')
    out = tmp_path / 'out.json'
    for more, preset in ([], 'mma82'), (['--preset', 'mac'], 'mac'):
        flags = ['--work-dir', str(tmp_path / 'test'), '--out', str(out), *more]
        assert run_test(det_root, tmp_path, *flags, checkpoint='') == 0
        results = json.loads(out.read_text())
        assert results['options']['preset'] == preset
    metrics = results['runs'][0]['metrics']
    ends = [metrics[f'action/mAP@{t:.2f}'] for t in (0.2, 0.5, 0.7)]
    assert metrics['action/mAP'] == pytest.approx(sum(ends) / 3)
    assert main('train', [*argv, '--resume', *work]) == 2
    assert "preset was 'mac', now None" in capsys.readouterr().err


def test_what_is_dumped_scores_the_same(det_root, work_dir, capsys):
    dump, out = work_dir / 'pred.json', work_dir / 'out.json'
    flags = ['--dump', str(dump), '--out', str(out)]
    assert run_test(det_root, work_dir, *flags) == 0
    assert '| action mAP |' in capsys.readouterr().out
    results = json.loads(out.read_text())
    truth = work_dir / 'street.json'
    table = json.loads((det_root / 'det.json').read_text())['database']
    truth.write_text(json.dumps({'database': {k: table[k] for k in ['street_test_0']}}))
    argv = ['det', '--gt', str(truth), '--pred', str(dump), '--level', 'action']
    assert main('evaluate', [*argv, '--json']) == 0
    report = json.loads(capsys.readouterr().out)
    metrics = results['runs'][0]['metrics']
    actions = {k: v for k, v in metrics.items() if k.startswith('action/')}
    assert len(actions) == 11  # with frame mAP
    assert {k: report[k] for k in actions} == actions


@pytest.mark.parametrize(
    ('more', 'options', 'text'),
    [
        (['--views', '2'], [], '--views is no option of detection'),
        (['--body-scores', 'sum'], [], '--body-scores is no option of detection'),
        (STREET, ['+test_evaluator.bodies=head'], 'the model has no body head'),
        (['--protocol', 'fewshot'], [], 'few-shot is for recognition'),
        (['--protocol', 'indomain'], [], 'truth of 1 of 3 videos is withheld'),
    ],
)
def test_what_is_refused(det_root, work_dir, more, options, text, capsys):
    argv = [TINY, str(work_dir / 'iter_2.pth'), '--data-root', str(det_root)]
    argv += ['--work-dir', str(work_dir / 'test'), *more]
    assert main('test', [*argv, '--cfg-options', *SMALL, *options]) == 2
    assert text in capsys.readouterr().err
