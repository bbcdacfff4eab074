"""Training and testing through the commands, on a small root with videos."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from mmma.cli import main
from mmma.data.clips import write_rec
from mmma.data.root import DataRoot
from mmma.evaluation import calibration
from mmma.evaluation.reports import read_results
from mmma.taxonomy import DOMAINS, load_label_space

TINY = 'configs/recog/videomae-tiny_mma82_indomain.py'
SMALL = [
    'train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False',
    'val_dataloader.num_workers=0', 'val_dataloader.persistent_workers=False',
    'test_dataloader.num_workers=0', 'test_dataloader.persistent_workers=False',
]  # fmt: skip


def train(root, work_dir, *more):
    return main(
        'train',
        [TINY, '--data-root', str(root), '--work-dir', str(work_dir), *more],
    )


@pytest.fixture(scope='module')
def work_dir(video_root, tmp_path_factory):
    folder = tmp_path_factory.mktemp('work')
    flags = ['--protocol', 'zeroshot', '--fast-dev-run']
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibration, 'MIN_CLIPS', 2)
        assert train(video_root, folder, *flags) == 0
    return folder / 'fast-dev-run'


def run_test(root, work_dir, *more, checkpoint='iter_2.pth'):
    out = work_dir / 'out.json'
    out.unlink(missing_ok=True)
    status = main(
        'test',
        [TINY, str(work_dir / checkpoint), '--data-root', str(root),
         '--work-dir', str(work_dir / 'test'), '--out', str(out),
         *more, '--cfg-options', *SMALL],
    )  # fmt: skip
    return status, json.loads(out.read_text()) if out.is_file() else None


def test_fast_dev_run_trains_validates_tests_and_says_so(work_dir):
    results = json.loads((work_dir / 'results.json').read_text())
    assert results['options']['fast_dev_run'] is True
    assert results['data']['simulated'] is True
    assert results['checkpoint']['pretrain_data'] == 'none'
    assert results['config']['train_cfg']['max_iters'] == 2
    assert [r['target'] for r in results['runs']] == list(DOMAINS[1:])


def test_what_we_write_loads_with_weights_only(work_dir):
    content = torch.load(work_dir / 'iter_2.pth', weights_only=True)
    assert content['meta']['protocol']['train_domains'] == ['lab']
    assert len(content['meta']['classes']) == 82


def test_the_best_is_calibrated_and_its_reliability_drawn(
    video_root, work_dir, tmp_path, capsys
):
    (best,) = work_dir.glob('best_*.pth')
    told = torch.load(best, weights_only=True)['meta']['calibration']
    assert re.fullmatch(r'val of lab of .+, \d clips', told['on'])
    assert 0.05 <= told['action']['temperature'] <= 20
    drawn, flags = tmp_path / 'r.png', ['--protocol', 'zeroshot', '--reliability']
    checkpoint = {'checkpoint': best.name}
    _, plain = run_test(video_root, work_dir, *flags[:2], **checkpoint)
    capsys.readouterr()
    status, results = run_test(video_root, work_dir, *flags, str(drawn), **checkpoint)
    assert status == 0
    assert results == plain
    assert re.search(
        r'action: expected calibration error raw [\d.]+ %, calibrated [\d.]+ %\n',
        capsys.readouterr().out,
    )
    assert drawn.read_bytes().startswith(b'\x89PNG')
    flags[1] = 'fewshot'
    status, _ = run_test(video_root, work_dir, *flags, str(drawn), **checkpoint)
    assert status == 2
    assert 'which this protocol adapts' in capsys.readouterr().err


def test_indomain_reports_the_pooled_row_and_each_domain(video_root, work_dir):
    dump = work_dir / 'scores.npz'
    status, results = run_test(video_root, work_dir, '--dump', str(dump))
    assert status == 0
    domains = [r['domain'] for r in results['runs']]
    assert domains == ['all', 'lab', 'psychiatric', 'street', 'emotion']
    pooled, *rest = [r['counts']['clips'] for r in results['runs']]
    assert pooled == sum(rest) == len(np.load(dump)['clips'])
    assert set(results['runs'][0]['across_domains']) >= {'mean', 'worst'}
    assert results['target_seen'] == []


def test_clips_without_truth_are_predicted_and_not_scored(
    video_root, work_dir, tmp_path, capsys
):
    root, dump = tmp_path / 'root', tmp_path / 'scores.npz'
    shutil.copytree(video_root, root)
    with (root / 'rec.csv').open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if row['subset'] == 'test':
            row['action'] = row['body'] = ''
    with (root / 'rec.csv').open('w') as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    count = sum(row['subset'] == 'test' for row in rows)
    for more in ([], ['--dump', str(dump)]):
        assert run_test(root, work_dir, *more) == (0, None)
        told = capsys.readouterr().out
        assert f'{count} of {count} clips have no truth' in told
        assert 'who holds the truth can' in told
    assert dump.read_bytes() == (work_dir / 'test' / 'scores.npz').read_bytes()
    assert len(np.load(dump)['clips']) == count
    assert train(root, tmp_path, '--fast-dev-run') == 0
    assert len(np.load(tmp_path / 'fast-dev-run' / 'scores.npz')['clips']) == 4


def test_the_preset_of_the_challenge_in_recognition(
    video_root, work_dir, tmp_path, capsys
):
    status, results = run_test(video_root, work_dir, '--preset', 'mac')
    options = results['options']
    assert (status, options['class_set'], options['body_scores']) == (
        0, 'union', 'top1',
    )  # fmt: skip
    for argv in (['--preset', 'mac'], ['--as', 'mac']):
        assert run_test(video_root, work_dir, *argv, '--class-set', 'all')[0] == 2
        assert '--as mac means --class-set union' in capsys.readouterr().err
    assert train(video_root, tmp_path, '--preset', 'mac', '--fast-dev-run') == 0
    (best,) = (tmp_path / 'fast-dev-run').glob('best_*.pth')
    assert best.name == 'best_F1_mean_iter_2.pth'
    assert torch.load(best, weights_only=True)['meta']['selected_on']['preset'] == 'mac'
    root = tmp_path / 'root'
    shutil.copytree(video_root, root)
    info = json.loads((root / 'dataset.json').read_text())
    actions = [{'name': name} for name in load_label_space('mma82').actions]
    info['label_space'] = {'name': 'flat', 'actions': actions}
    info['domains'] = DOMAINS
    bare = [replace(clip, body=None) for clip in DataRoot(root).read_rec()]
    (root / 'dataset.json').write_text(json.dumps(info))
    write_rec(root / 'rec.csv', bare, load_label_space(info['label_space']))
    assert train(root, tmp_path, '--preset', 'mac') == 2
    assert 'no body groups, by which the MAC challenge ranks' in (
        capsys.readouterr().err
    )


def test_views_and_crops_change_the_scores_and_are_recorded(video_root, work_dir):
    flags = ['--protocol', 'zeroshot', '--target', 'street', '--dump']
    found = []
    for more in ([], ['--views', '2', '--crops', '3']):
        dump = work_dir / f'views{len(more)}.npz'
        status, results = run_test(video_root, work_dir, *flags, str(dump), *more)
        assert status == 0
        found.append(np.load(dump)['scores'])
    assert not np.allclose(*found, atol=1e-9)
    steps = results['config']['test_dataloader']['dataset']['pipeline']
    assert [s['views'] for s in steps if s['type'] == 'UniformFrames'] == [2]
    assert 'ThreeCrop' in [s['type'] for s in steps]


def test_crops_of_skeletons_are_refused(video_root, work_dir, capsys):
    config = 'configs/recog/skeletontcn-tiny_mma82_indomain.py'
    argv = [config, 'none.pth', '--data-root', str(video_root), '--crops', '3']
    assert main('test', argv) == 2
    assert 'skeletons have no picture to crop' in capsys.readouterr().err


def test_another_sampler_by_option(video_root, tmp_path):
    key = 'train_dataloader.sampler'
    options = [f'{key}.type=ClassBalancedSampler', f'+{key}.power=0.5']
    flags = ['--fast-dev-run', '--cfg-options', *options]
    assert train(video_root, tmp_path, *flags) == 0
    results = json.loads((tmp_path / 'fast-dev-run' / 'results.json').read_text())
    assert results['config']['train_dataloader']['sampler'] == {
        'type': 'ClassBalancedSampler', 'shuffle': True, 'power': 0.5
    }  # fmt: skip


def test_zeroshot_rows_and_honesty_about_targets_seen(video_root, work_dir):
    flags = ['--protocol', 'zeroshot', '--target', 'street']
    status, results = run_test(video_root, work_dir, *flags)
    assert status == 0
    assert [r['target'] for r in results['runs']] == ['street']
    assert results['target_seen'] == []
    assert train(video_root, work_dir / 'all', '--fast-dev-run') == 0
    _, results = run_test(
        video_root, work_dir, *flags, checkpoint='all/fast-dev-run/iter_2.pth'
    )
    assert results['target_seen'] == ['street']


def test_fewshot_has_controls_runs_and_saved_supports(video_root, work_dir):
    flags = ['--protocol', 'fewshot', '--target', 'street', '--shots', '1', '2']
    status, results = run_test(video_root, work_dir, *flags, '--runs', '2')
    assert status == 0
    kinds = [(r['shots'], r.get('control'), r.get('run')) for r in results['runs']]
    assert kinds == [
        (0, None, None), (0, 'classes', None), (0, 'oracle-prior', None),
        (1, 'prior', 0), (1, None, 0), (2, 'prior', 0), (2, None, 0),
        (1, 'prior', 1), (1, None, 1), (2, 'prior', 1), (2, None, 1),
    ]  # fmt: skip
    supports = [set(r['supports']) for r in results['runs'][4:7:2]]
    assert supports[0] <= supports[1]
    assert all(name.startswith('street_train') for name in supports[1])


def test_an_unknown_adaptation(video_root, work_dir, capsys):
    flags = ['--protocol', 'fewshot', '--target', 'street', '--shots', '1']
    out = ['--out', str(work_dir / 'none.json'), '--work-dir', str(work_dir / 'test')]
    argv = [TINY, str(work_dir / 'iter_2.pth'), '--data-root', str(video_root)]
    options = ['--cfg-options', 'fewshot.adapt=liner', *SMALL]
    assert main('test', [*argv, *flags, *out, *options]) == 2
    assert "unknown fewshot.adapt 'liner'" in capsys.readouterr().err


def test_weights_trained_on_simulated_data_refuse_real_data(
    video_root, work_dir, tmp_path, capsys
):
    real = tmp_path / 'real'
    shutil.copytree(video_root, real)
    info = json.loads((real / 'dataset.json').read_text())
    (real / 'dataset.json').write_text(json.dumps({**info, 'simulated': False}))
    assert run_test(real, work_dir)[0] == 2
    assert 'trained on simulated data' in capsys.readouterr().err
    start = ['--load-from', str(work_dir / 'iter_2.pth'), '--fast-dev-run']
    assert train(real, tmp_path / 'tuned', *start) == 2
    assert 'trained on simulated data' in capsys.readouterr().err
    status, results = run_test(real, work_dir, '--allow-simulated')
    assert status == 0
    assert results['data']['simulated'] is False
    assert results['checkpoint']['simulated'] is True


def broken_copy(video_root, folder):
    shutil.copytree(video_root, folder)
    clip = sorted((folder / 'videos' / 'street').glob('street_test*'))[0]
    clip.write_bytes(b'')
    return clip.stem


def test_a_broken_clip_stops_a_test_unless_it_may_be_skipped(
    video_root, work_dir, tmp_path, capsys
):
    root = tmp_path / 'broken'
    name = broken_copy(video_root, root)
    flags = ['--protocol', 'zeroshot', '--target', 'street']
    assert run_test(root, work_dir, *flags)[0] == 2
    message = capsys.readouterr().err
    assert name in message
    assert '--skip-broken' in message
    status, results = run_test(root, work_dir, *flags, '--skip-broken')
    assert status == 0
    assert results['broken'] == [name]


def test_clips_of_missing_sources_are_left_out_and_every_result_says_so(
    video_root, work_dir, tmp_path, capsys
):
    root, dump = tmp_path / 'part', tmp_path / 'scores.npz'
    shutil.copytree(video_root, root)
    rows = DataRoot(root).read_rec()
    own = [c for c in rows if (c.domain, c.subset) == ('street', 'test')]
    gone = replace(own[0], source_video='V011')
    rows[rows.index(own[0])] = gone
    write_rec(root / 'rec.csv', rows, load_label_space('mma82'))
    (root / 'missing_sources.csv').write_text('source_video,domain\nV011,street\n')
    (root / gone.path).unlink()
    share = f'test: {len(own) - 1} of {len(own)} clips of street'
    status, results = run_test(root, work_dir, '--dump', str(dump))
    assert status == 0
    assert results['data']['incomplete'] == [share]
    counts = {run['domain']: run['counts']['clips'] for run in results['runs']}
    assert counts['street'] == len(own) - 1
    told = capsys.readouterr()
    assert f'Not all source videos could be had: {share}.' in told.out + told.err
    assert gone.clip not in np.load(dump)['clips']
    for place in (root, root / 'rec.csv'):
        arguments = ['rec', '--gt', str(place), '--pred', str(dump)]
        assert main('evaluate', arguments) == 0
        assert share in capsys.readouterr().out
    (root / own[1].path).unlink()  # no list explains that
    assert run_test(root, work_dir)[0] == 2
    assert f'{own[1].clip!r} cannot be read' in capsys.readouterr().err


def test_broken_supports_are_left_out_and_named(video_root, work_dir, tmp_path):
    root = tmp_path / 'supports'
    shutil.copytree(video_root, root)
    clip = sorted((root / 'videos' / 'street').glob('street_train*'))[0]
    clip.write_bytes(b'')
    flags = ['--protocol', 'fewshot', '--target', 'street', '--shots', '5']
    status, results = run_test(root, work_dir, *flags, '--runs', '1', '--skip-broken')
    assert status == 0
    assert results['broken'] == [clip.stem]
    assert clip.stem not in results['runs'][-1]['supports']


@pytest.mark.parametrize(
    ('more', 'message'),
    [
        (['--shots', '0', '--protocol', 'fewshot'], '--shots 0'),
        (['--protocol', 'zeroshot', '--target', 'lab'], 'is the source'),
        (['--cfg-options', 'modle.backbone.depth=3'], "Did you mean 'model'"),
        (['--domain', 'labs'], "unknown domain 'labs'"),
    ],
)
def test_bad_usage_is_one_sentence_and_status_2(
    video_root, tmp_path, capsys, more, message
):
    assert train(video_root, tmp_path, *more) == 2
    text = capsys.readouterr().err
    assert message in text
    assert 'Traceback' not in text


def test_no_data_says_what_is_missing_and_the_two_ways_to_get_it(tmp_path, capsys):
    assert train(tmp_path / 'nowhere', tmp_path) == 2
    text = capsys.readouterr().err.strip()
    assert '\n' not in text
    assert 'simulate.py' in text
    assert 'lpynow/MMA-82' in text


def test_an_empty_target_is_an_error(video_root, work_dir, tmp_path, capsys):
    root = tmp_path / 'without_street'
    shutil.copytree(video_root, root)
    rows = (root / 'rec.csv').read_text().splitlines()
    (root / 'rec.csv').write_text('\n'.join(r for r in rows if 'street' not in r))
    for protocol in ('zeroshot', 'fewshot'):
        flags = ['--protocol', protocol, '--target', 'street']
        assert run_test(root, work_dir, *flags)[0] == 2
        assert 'street' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('content', 'message'),
    [(b'hello', 'is no checkpoint'), (None, 'no such file')],
)
def test_not_a_checkpoint(video_root, work_dir, capsys, content, message):
    path = work_dir / 'odd.pth'
    path.unlink(missing_ok=True)
    if content:
        path.write_bytes(content)
    assert run_test(video_root, work_dir, checkpoint='odd.pth')[0] == 2
    assert message in capsys.readouterr().err


def test_two_processes_train_and_test_once(video_root, tmp_path):
    start = [sys.executable, '-m', 'torch.distributed.run', '--standalone']
    argv = ['--nproc-per-node', '2', '-m', 'mmma', 'train', '--launcher', 'pytorch']
    argv += ['configs/recog/gctsm-tiny_mma82_indomain.py', '--data-root']
    argv += [str(video_root), '--work-dir', str(tmp_path / 'work'), '--fast-dev-run']
    env = {**os.environ, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': ''}
    done = subprocess.run([*start, *argv], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('written to ') == 1
    assert read_results(tmp_path / 'work/fast-dev-run/results.json')['runs']
