"""Published models: texts without traces, configs, runs, folders and their results."""

import json
import math
import os
import shutil
import time

import pytest
import torch
from zoo_runs import LOG, make_results, make_run

from mmma.apis import load_config
from mmma.checkpoints.files import write_safetensors
from mmma.evaluation.reports import read_results
from mmma.hub import published
from mmma.hub.metafiles import license_of, measured_places, metafile_entry, result_items
from mmma.hub.published import (
    MAX_BYTES,
    Scrubber,
    TrainingRun,
    ZooFolder,
    check_results,
    default_name,
    find_leaf,
    large_files,
    leaf_flags,
    measured_otherwise,
    parse_config,
    portable,
    problems_of,
    read_published,
    read_run,
    resolved,
    results_name,
    training_resources,
)


def test_paths_go_and_all_else_stays():
    paths = {
        'saved to /home/ada/runs/a.': 'saved to <path>',
        "x = '/mnt/disk/best_epoch_2.pth'": "x = '<path>/best_epoch_2.pth'",
        '/home/ada.lovelace': '<path>/ada.lovelace',
        '-I/usr/include/x -L/opt/lib': '-I<path> -L<path>',
        'CC=/usr/bin/cc, y': 'CC=<path>, y',
        r'C:\Users\ada\x.py': r'<path>/x.py',
        '~/runs/a/b': '<path>',
        'file:///home/ada/a.pth': '<path>',
        '(/data/a/b) [/c/d]': '(<path>) [<path>]',
    }
    assert {text: Scrubber().text(text) for text in paths} == paths
    others = [
        'https://download.openmmlab.com/mmaction/v1.0/a-01234567.pth',
        'tilting forward/backward',
        '2026/01/02 10:00:00 - INFO - Epoch(train) [1][ 1/24] lr: 1/3',
        'videos/lab/a.mp4',
        'configs/recog/tsm_mma82_indomain.py',
        'a / b, 5 // 2, <b>/c/d',
        'OpenCV: 4.10.0.84',
    ]
    assert [Scrubber().log(text) for text in others] == others


def test_known_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    known = {'/home/ada/data': 'data/mma82', '/home/ada/mma': '', 'runs/a': 'WORK_DIR'}
    scrubber = Scrubber(known)
    text = '/home/ada/data, /home/ada/data/x/y.mp4 /home/ada/data2/x runs/a/b.pth'
    assert scrubber.text(text) == (
        'data/mma82, data/mma82/x/y.mp4 <path> WORK_DIR/b.pth'
    )
    assert scrubber.text('/home/ada/mma/tools/test.py in /home/ada/mma.') == (
        'tools/test.py in .'
    )
    assert scrubber.text(f'{tmp_path}/runs/a/b.pth') == 'WORK_DIR/b.pth'


def test_nested_values():
    value = {'a': ['/x/y/z', 1], 'b': ('/x/y/z.py', None), '/k/k': True}
    expected = {'a': ['<path>', 1], 'b': ('<path>/z.py', None), '/k/k': True}
    assert Scrubber().value(value) == expected


def test_hosts_and_users(monkeypatch):
    monkeypatch.setattr(published.platform, 'node', lambda: 'gpu-07.lab.example')
    monkeypatch.setenv('HOSTNAME', 'gpu-07')
    text = 'ada@gpu-07 on gpu-07.lab.example, gpu-07: tcp://192.168.1.20:29500, gpu-071'
    assert Scrubber().log(text) == ('<host> on <host>, <host>: tcp://<host>, gpu-071')
    assert 'gpu-07' in Scrubber().text(text)


def test_no_line_of_a_log_takes_for_ever():
    begun = time.process_time()
    for unit in ('a.', '1.', '10.1', 'a/', '/a', '@', 'a@', '~/', '-I/'):
        Scrubber().log(unit * 50_000)
    assert time.process_time() - begun < 5


CONFIG = 'configs/recog/skeletontcn-tiny_mma82_zeroshot.py'


def test_what_mmengine_prints_is_read_back():
    for config in (CONFIG, 'det/adatad_videomae-tiny_mma82', 'recog/tsm_mma82_fewshot'):
        cfg = load_config(config)
        assert parse_config(cfg.pretty_text, 'a.pth') == cfg.to_dict()
    text = "a = dict(b=[(1, -2.5), dict({'c d': dict(e=None)})], f=inf)"
    assert parse_config(text, 'a') == {
        'a': {'b': [(1, -2.5), {'c d': {'e': None}}], 'f': math.inf}
    }


def test_what_is_no_plain_config():
    for text in (
        'import os',
        "a = __import__('os').system('true')",
        'a = dict(1)',
        'a = dict(**b)',
        'a = dict({**b})',
        'a = dict({}, {})',
        'a = dict(b=c)',
        'a = [x for x in y]',
        'a.b = 1',
        'a = {**b}',
        'a = b = 1',
        'a = (',
        '(' * 5000,
        'a=' + '-' * 10**6 + '1',
        'a=' + '1+' * 10**5 + '1',
    ):
        with pytest.raises(ValueError, match=r'a\.pth: its config is not one of plain'):
            parse_config(text, 'a.pth')


def test_a_run_leaves_no_trace():
    leaf = load_config(CONFIG).to_dict()
    cfg = load_config(CONFIG, data_root='/x/my data')
    cfg.work_dir, cfg.launcher, cfg.resume = '/x/runs/a', 'slurm', True
    cfg.pretrain_data, cfg.env_cfg.dist_cfg.backend = 'none', 'gloo'
    assert portable(cfg.to_dict(), leaf, Scrubber()) == leaf
    alone = portable(cfg.to_dict(), None, Scrubber())
    assert alone['data_root'] == 'data/mma82'
    assert alone['test_dataloader']['dataset']['data_root'] == 'data/mma82'
    assert not {'work_dir', 'resume', 'pretrain_data'} & alone.keys()
    assert alone['launcher'] == 'none'


def test_what_moves_a_number():
    leaf = load_config(CONFIG, data_root='elsewhere').to_dict()
    pipeline = 'test_dataloader.dataset.pipeline'
    moved = {
        'model.backbone.joints=body13': ['model.backbone.joints'],
        f'{pipeline}.1.clip_len=32': [f'{pipeline}.1.clip_len'],
        '+test_evaluator.class_set=all': ['test_evaluator.class_set'],
        'train_dataloader.batch_size=3': [],
        'test_dataloader.batch_size=3': [],
    }
    for option, found in moved.items():
        other = load_config(CONFIG, cfg_options=[option]).to_dict()
        assert list(measured_otherwise(other, leaf)) == found, option


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


def test_the_newest_of_several_best(work_dir, capsys):
    best = work_dir / 'best_action_top1_epoch_1.pth'
    other = shutil.copy(best, work_dir / 'best_body_top1_epoch_2.pth')
    os.utime(other, (1, 1))
    assert read_run(work_dir).checkpoint == best
    assert f'{best.name} is taken, the newest of 2' in capsys.readouterr().err
    assert read_run(work_dir, other).checkpoint == other


def test_no_checkpoint(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r'holds no checkpoint .*or name a file'
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


def test_resources():
    gpus = '2 x NVIDIA H100 80GB HBM3'
    for old, new, expected in (
        ('', '', f'{gpus}, 12 min'),
        ('GPU 0,1: NVIDIA H100 80GB HBM3', 'CUDA: none', 'CPU, 12 min'),
        ('10:12:00', '13:00:00', f'{gpus}, 3.0 h'),
        ('10:12:00', '10:10:00', f'{gpus}, 10 min'),
    ):
        assert training_resources(LOG.replace(old, new) if old else LOG) == expected
    later = LOG.replace('2026/01/02', '2026/01/09')  # a run that went on
    assert training_resources(LOG + later).endswith(', 24 min')
    assert training_resources('') is None


ZEROSHOT = {'name': 'zeroshot'}
REST = {'name': 'zeroshot', 'source': 'rest', 'target': ['street']}
LAB = {'name': 'indomain', 'domain': 'lab', 'seed': 3}


TINY = 'skeletondet-tiny_mma82'


def test_leaves_and_their_flags():
    for config, protocol, path, flags in (
        ('tsm_mma82_indomain', ZEROSHOT, 'recog/tsm_mma82_zeroshot', ''),
        ('tsm_mma82_zeroshot', {**ZEROSHOT, 'target': ['street']},
         'recog/tsm_mma82_zeroshot', '--target street'),
        ('tsm_mma82_indomain', LAB,
         'recog/tsm_mma82_indomain', '--domain lab --seed 3'),
        (TINY, ZEROSHOT, f'det/{TINY}', '--protocol zeroshot'),
        (TINY, {'name': 'indomain'}, f'det/{TINY}', ''),
        ('tsm_mma82_zeroshot', REST, 'recog/tsm_mma82_zeroshot',
         '--source rest --target street'),
    ):  # fmt: skip
        leaf = find_leaf(f'{config}.py', protocol)
        assert leaf == f'configs/{path}.py'
        assert ' '.join(leaf_flags(leaf, protocol)) == flags
        assert resolved(leaf, protocol)['protocol']['name'] == protocol['name']
    for config in ('mine.py', None, '../_base_/x.py'):  # of the user's own
        assert find_leaf(config, ZEROSHOT) is None


def test_names(tmp_path):
    for config, protocol, simulated, expected in (
        ('tsm_mma82_zeroshot', ZEROSHOT, True, 'tsm_mma82_zeroshot-simulated'),
        ('tsm_mma82_zeroshot', ZEROSHOT, False, 'tsm_mma82_zeroshot'),
        ('tsm_mma82_indomain', LAB, False, 'tsm_mma82_indomain-lab'),
        (TINY, {'name': 'indomain'}, False, TINY),
        (TINY, ZEROSHOT, True, f'{TINY}_zeroshot-simulated'),
        ('tsm_mma82_zeroshot', ZEROSHOT, 'ma52', 'tsm_ma52_zeroshot'),
        ('mine', ZEROSHOT, False, 'mine_zeroshot'),
        ('mine', REST, False, 'mine_zeroshot-from-rest-street'),
    ):
        meta = {'config_name': f'{config}.py', 'data': {'simulated': simulated is True}}
        if isinstance(simulated, str):
            meta |= {'label_space': simulated, 'data': {'name': 'MA-52'}}
        cfg = {'protocol': protocol}
        run = TrainingRun(tmp_path, tmp_path, {'meta': meta}, cfg, '')
        assert default_name(run, find_leaf(f'{config}.py', protocol)) == expected


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / 'zoo' / 'tiny'
    folder.mkdir(parents=True)
    draft = folder / 'draft.safetensors'
    meta = {'label_space': 'x', 'classes': ['x'], 'protocol': {'name': 'x'}}
    meta |= {'data': {'name': 'x', 'fingerprint': 'x'}, 'parameters': 2}
    write_safetensors(draft, {'w': torch.ones(2)}, {**meta, 'precision': 'float32'})
    sha256 = ZooFolder(folder, draft).sha256
    draft.rename(folder / f'tiny-{sha256[:8]}.safetensors')
    for name in ('config.json', 'train.log'):
        (folder / name).write_text('')
    return read_published('tiny', folder.parent)


def results_of(model, tmp_path, **changes):
    path = make_results(tmp_path / 'r.json', model.weights, model.sha256, **changes)
    return read_results(path)


def reference():
    return load_config(CONFIG).to_dict()


def test_found_by_name_and_by_path(model):
    assert model.relative == f'zoo/tiny/{model.weights.name}'
    assert read_published(model.path, model.path.parent / 'none') == model
    assert not list(problems_of(model))


def test_no_such_model(model, tmp_path):
    with pytest.raises(
        FileNotFoundError,
        match=r"neither the work dir .*\(tiny\)\. Did you mean 'tiny'",
    ):
        read_published('tinny', model.path.parent)
    with pytest.raises(FileNotFoundError, match='none yet'):
        read_published(tmp_path, tmp_path)


def test_several_weights(model):
    (model.path / 'tiny-00000000.safetensors').write_bytes(b'')
    with pytest.raises(ValueError, match=r'several weights .*remove the old'):
        read_published('tiny', model.path.parent)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'checkpoint': {'path': 'a.pth', 'sha256': 'ff' * 32, 'simulated': True}},
         r'of a\.pth \(SHA-256 f{8}\.\.\.\), not of the published tiny-.*test .*tiny'),
        ({'options': {'subset': 'val'}}, r'its config says \(subset val\): test again'),
        ({'options': {'subset': 'test', 'fast_dev_run': True}}, '--fast-dev-run'),
        ({'broken': ['a', 'b']}, '2 left out'),
        ({'task': 'det', 'options': {'subset': 'test', 'thresholds': [0.5],
                                     'body_detections': 'relabelled'}}, 'task det'),
        ({'config': {'model': {'type': 'X'}, 'task': 'rec'}}, r'model\.backbone'),
    ],
)  # fmt: skip
def test_other_results(model, tmp_path, changes, message):
    check_results(results_of(model, tmp_path), model, reference())
    with pytest.raises(ValueError, match=message):
        check_results(results_of(model, tmp_path, **changes), model, reference())


def test_names_of_results():
    own = {'name': 'zeroshot', 'target': ['street', 'lab'], 'seed': 0}
    fewshot = {'name': 'fewshot', 'target': ['street'], 'shots': [1, 5]}
    for protocol, expected in (
        ({**own, 'seed': 5}, 'results.json'),
        ({**own, 'target': ['street']}, 'results_zeroshot_street.json'),
        ({'name': 'indomain', 'domain': 'all'}, 'results_indomain.json'),
        ({'name': 'indomain', 'domain': 'lab'}, 'results_indomain_lab.json'),
        (fewshot, 'results_fewshot_street_1shot_5shot.json'),
    ):
        assert results_name({'protocol': protocol}, own) == expected


def test_what_is_wrong_with_a_folder(model, tmp_path):
    results = results_of(model, tmp_path)
    results['checkpoint']['sha256'] = 'ff' * 32
    (model.path / 'results_b.json').write_text(json.dumps(results))
    (model.path / 'train.log').unlink()
    wrong = model.weights.rename(model.path / 'tiny-00000000.safetensors')
    write_safetensors(wrong, {'w': torch.ones(2)}, {'data': {}})
    found = '\n'.join(problems_of(read_published('tiny', model.path.parent)))
    for text in (
        'has SHA-256',
        'lacks classes',
        'train.log is missing',
        'other weights',
    ):
        assert text in found


def test_large_files(model):
    with (model.path / 'train.log').open('wb') as file:
        file.truncate(MAX_BYTES + 1)
    assert large_files(model.path) == ['train.log (8.4 MB)']


META = {
    'label_space': 'mma82',
    'data': {'name': 'corpus', 'simulated': False, 'source': 'a release'},
    'protocol': {'name': 'indomain'},
    'pretrain_data': 'kinetics-400',
    'parameters': 12,
    'precision': 'float16',
}
LICENSES = {'License': {'Code': 'MIT', 'Pretrained Weights': 'CC-BY-NC-4.0'}}
METAFILE = {'Collections': [{'Name': 'TSM', **LICENSES}]}


class Folder:
    """A published model without files."""

    name, sha256, relative = 'tsm', 'ab' * 32, 'zoo/tsm/tsm-abababab.safetensors'
    meta = META
    cfg = {'test_dataloader': {'dataset': {'modality': 'Pose'}}}

    def __init__(self, path, **results):
        self.path, self.config = path, path / 'config.json'
        self.weights = path / 'weights'
        self.weights.write_bytes(b'123')
        self.told = results

    def results(self):
        return self.told


def results(task, runs, protocol='indomain', simulated=True):
    data = {'simulated': simulated}
    return dict(task=task, runs=runs, protocol={'name': protocol}, data=data)


def test_entry(tmp_path):
    entry = metafile_entry(Folder(tmp_path), None, METAFILE, {'Architecture': 'R50'})
    assert entry == {
        'Name': 'tsm',
        'Config': 'zoo/tsm/config.json',
        'Modality': 'Pose',
        'Metadata': {
            'Architecture': 'R50',
            'Parameters': 12,
            'Pretrained': 'kinetics-400',
            'Training Data': 'corpus (a release)',
            'Simulated': False,
            'Protocol': 'indomain',
            'Precision': 'float16',
        },
        'License': 'CC-BY-NC-4.0',
        'Weights': 'zoo/tsm/tsm-abababab.safetensors',
        'Weights SHA256': 'ab' * 32,
        'Weights Size': 3,
    }


def test_what_people_wrote_of_other_weights_goes(tmp_path):
    old = {'Name': 'tsm', 'License': 'MIT', 'Paper': {'URL': 'x'}}
    for sha256, kept in (('ab' * 32, True), ('cd' * 32, False)):
        models = [{**old, 'Weights SHA256': sha256}]
        entry = metafile_entry(Folder(tmp_path), 'a.py', {**METAFILE, 'Models': models})
        assert (entry['License'] == 'MIT') is kept
        assert ('Paper' in entry) is kept


def test_license():
    for started, expected in (
        ('kinetics-400', 'CC-BY-NC-4.0'),
        ('none', 'MIT'),
        (None, 'MIT'),
    ):
        assert license_of(METAFILE, {'pretrain_data': started}) == expected
        assert license_of({}, {'pretrain_data': started}) == 'Apache-2.0'


def test_results(tmp_path):
    runs = [
        {'domain': 'all', 'metrics': {'action/top1': 12.3456, 'other': 1.0}},
        {'domain': 'lab', 'metrics': {'action/top1': 20.0}},
    ]
    detections = [{'target': 'street', 'metrics': {'action/mAP@0.50': 3.0, 'AVG': 2.0}}]
    model = Folder(
        tmp_path,
        **{
            'results.json': results('rec', runs),
            'results_zeroshot.json': results('det', detections, 'zeroshot', False),
        },
    )
    assert list(result_items(model)) == [
        {
            'Task': 'Action Recognition',
            'Dataset': 'simulated MMA-82, all, test',
            'Metrics': {'action/top1': 12.35},
        },
        {
            'Task': 'Action Recognition',
            'Dataset': 'simulated MMA-82, lab, test',
            'Metrics': {'action/top1': 20.0},
        },
        {
            'Task': 'Temporal Action Detection',
            'Dataset': 'MMA-82, street, test (zeroshot)',
            'Metrics': {'action/mAP@0.50': 3.0, 'AVG': 2.0},
        },
    ]


def test_support_draws_are_averaged_and_controls_left_out(tmp_path):
    runs = [
        {'target': 'street', 'shots': 0, 'metrics': {'F1_mean': 1.0}},
        {
            'target': 'street',
            'shots': 0,
            'control': 'prior',
            'metrics': {'F1_mean': 9.0},
        },
        {'target': 'street', 'shots': 5, 'run': 0, 'metrics': {'F1_mean': 2.0}},
        {'target': 'street', 'shots': 5, 'run': 1, 'metrics': {'F1_mean': 5.0}},
    ]
    model = Folder(tmp_path, **{'results.json': results('rec', runs)})
    found = measured_places(model)
    assert [(place, metrics) for _, _, place, metrics in found] == [
        ('street 0-shot', {'F1_mean': 1.0}),
        ('street 5-shot', {'F1_mean': 3.5}),
    ]
