"""A run that is stopped and resumed equals one that was not."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from adapter_runs import StopAfter
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.utils import digit_version
from torch import nn

from mmma.apis import load_config, report
from mmma.checkpoints.files import last_checkpoint, load_weights_file
from mmma.cli import main
from mmma.config import parse_config
from mmma.engine.run import TestOptions, TrainOptions, open_run
from mmma.engine.runner import ConsoleRunner
from mmma.engine.sharding import shard
from mmma.engine.train import latest_checkpoint
from mmma.engine.train import train as train_run
from mmma.evaluation.reports import read_results
from mmma.models.backbones.videomae import VideoMAEViT
from mmma.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS
from mmma.reporting.table import results_table

PRETRAINING = [
    *('train_cfg.max_epochs=2', 'param_scheduler.1.end=2', 'param_scheduler.1.T_max=1'),
    'train_dataloader.sampler.repeats=2',
    *('train_dataloader.num_workers=0', 'train_dataloader.batch_size=6'),
]
TINY = 'configs/recog/videomae-tiny_mma82_indomain.py'


def train(cfg, **options):
    """Work dir of a training with these options."""
    options = TrainOptions(**options)
    return train_run(open_run(cfg, options=options), options).work_dir


def tiny(root, flags):
    """The recipe without workers, which take seconds to end in a process of threads."""
    cfg = load_config(TINY, flags, data_root=str(root))
    for subset in ('train', 'val', 'test'):
        cfg[f'{subset}_dataloader'].num_workers = 0
        cfg[f'{subset}_dataloader'].persistent_workers = False
    return cfg


def config(root, domain='lab'):
    cfg = tiny(root, {'domain': domain})
    for subset in ('train', 'val', 'test'):
        cfg[f'{subset}_dataloader'].batch_size = 2
    cfg.train_cfg.max_epochs = 4
    cfg.param_scheduler = [dict(type='CosineAnnealingLR', T_max=4, by_epoch=True)]
    cfg.model.backbone.drop_path_rate = 0.5
    return cfg


def final_state(work_dir):
    content = torch.load(latest_checkpoint(work_dir), weights_only=True)
    assert content['meta']['epoch'] == 4
    return content


def test_resumed_equals_uninterrupted_bit_for_bit(video_root, tmp_path):
    device = dict(device_augment=True)  # draws in loaders and on the device
    whole = train(config(video_root), work_dir=str(tmp_path / 'whole'), **device)
    work_dir = str(tmp_path / 'parts')
    stopped = config(video_root)
    stopped.custom_hooks.append(dict(type=StopAfter.__name__, epochs=2))
    with pytest.raises(KeyboardInterrupt):
        train(stopped, work_dir=work_dir, **device)
    with pytest.raises(
        ValueError, match=r'custom_hooks\.\d was .*StopAfter.*, now None'
    ):
        train(config(video_root), work_dir=work_dir, resume=True, **device)
    go_on = dict(resume=True, allow_changed_config=True, **device)
    parts = train(config(video_root), work_dir=work_dir, **go_on)
    expected, found = final_state(whole), final_state(parts)
    for key in ('pretrain_data', 'seen_domains', 'protocol', 'data'):
        assert found['meta'][key] == expected['meta'][key]
    assert found['meta']['pretrain_data'] == 'none'
    for name, weight in expected['state_dict'].items():
        assert torch.equal(weight, found['state_dict'][name]), name
    for key, state in expected['optimizer']['state'].items():
        for name, value in state.items():
            assert torch.equal(value, found['optimizer']['state'][key][name])
    assert expected['param_schedulers'] == found['param_schedulers']


@pytest.mark.skipif(
    digit_version(torch.__version__) < digit_version('2.6'), reason='older torch'
)
def test_a_split_model_learns_and_resumes_as_a_whole_one(video_root, tmp_path):
    """In two processes; then one of them dies, and the other does not outlive it."""
    start = [sys.executable, '-m', 'torch.distributed.run', '--standalone']
    argv = ['--nproc-per-node', '2', 'tests/sharded_runs.py', video_root, tmp_path]
    env = {**os.environ, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': ''}
    told = dict(capture_output=True, text=True, env=env, timeout=120)
    done = subprocess.run([*start, *argv], **told)
    assert done.returncode == 1
    assert 'Signal 9 (SIGKILL) received' in done.stderr
    expected, found = (final_state(tmp_path / name) for name in ('whole', 'parts'))
    for part in ('state_dict', 'ema_state_dict'):
        torch.testing.assert_close(found[part], expected[part])
    found, expected = found['optimizer'], expected['optimizer']
    torch.testing.assert_close(found['state'], expected['state'])
    assert found['param_groups'] == expected['param_groups']
    dumped = tmp_path / 'parts' / Path(TINY).name
    assert parse_config(dumped.read_text(), str(dumped))['shard']
    assert 'shard' not in open_run(dumped, options=TestOptions()).cfg


@pytest.mark.parametrize('gpu', [False, True])
def test_optimizers_are_fused_on_a_gpu(monkeypatch, gpu):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: gpu)
    monkeypatch.setattr(Runner, 'build_optim_wrapper', lambda _, given: given)
    runner = ConsoleRunner.__new__(ConsoleRunner)
    runner.model = nn.Linear(1, 1)
    plain = {'optimizer': {'type': 'AdamW', 'lr': 1.0}}
    fused = {'optimizer': {'type': 'AdamW', 'lr': 1.0, 'fused': True}}
    assert runner.build_optim_wrapper(plain) == (fused if gpu else plain)
    other = {'optimizer': {'type': 'Adagrad', 'lr': 1.0}}, {'constructor': 'Own'}
    assert all(runner.build_optim_wrapper(given) == given for given in other)


@pytest.mark.parametrize(
    ('recipe', 'told'),
    [('gctsm-tiny', 'no blocks'), ('videomae-tiny-lora', 'frozen weights')],
)
def test_what_is_not_split(recipe, told, video_root):
    cfg = load_config(f'configs/recog/{recipe}_mma82_indomain.py')
    with DefaultScope.overwrite_default_scope('mmma'):
        model = MODELS.build(cfg.model)
    with pytest.raises(ValueError, match=f'trained as a whole: this model has {told}'):
        shard(model)
    with pytest.raises(ValueError, match='--shard splits a model among several'):
        open_run(tiny(video_root, {}), options=TrainOptions(shard=True))


def test_few_parameters_are_trained_saved_and_merged(
    video_root, tmp_path, monkeypatch, capsys
):
    start = train(config(video_root), work_dir=str(tmp_path / 'start'))
    state = final_state(start)['state_dict']
    torch.save({'state_dict': state}, tmp_path / 'vit.pth')
    cfg = config(video_root)
    cfg.model.backbone.lora = dict(rank=2)
    cfg.default_hooks.trained_only = dict(type='TrainedOnlyHook')
    with pytest.raises(ValueError, match=r'random ones would stay so: --load-from'):
        train(cfg, work_dir=str(tmp_path / 'refused'))
    monkeypatch.setenv('MMMA_ZOO_URL', str(tmp_path))
    monkeypatch.setenv('MMMA_HOME', str(tmp_path / 'home'))
    cfg.pretrained = dict(url='https://nowhere/vit.pth', sha8='', data='noise')
    content = final_state(train(cfg, work_dir=str(tmp_path / 'lora')))
    trained = set(content['state_dict'])
    assert {n for n in trained if 'lora_' not in n} == {
        'cls_head.fc_cls.weight', 'cls_head.fc_cls.bias'
    }  # fmt: skip
    assert content['meta']['frozen']['source'] == 'vit.pth'
    source, out = latest_checkpoint(tmp_path / 'lora'), tmp_path / 'merged.pth'
    assert main('convert_weights', [source, str(out), '--from', 'lora']) == 0
    merged = load_weights_file(out)['state_dict']
    assert merged.keys() == state.keys()
    change = content['state_dict']
    for name in (n.removesuffix('.lora_A.weight') for n in trained if 'lora_A' in n):
        down, up = (change[f'{name}.lora_{part}.weight'] for part in 'AB')
        expected = state[f'{name}.weight'] + 8 * up @ down  # alpha 16, rank 2
        torch.testing.assert_close(merged[f'{name}.weight'], expected)
    out = str(tmp_path / 'b.pth')
    for file, message in (
        (tmp_path / 'vit.pth', 'has no weights of LoRA'),
        (tmp_path / 'bare.pth', 'has no config in it'),
    ):
        if file.name == 'bare.pth':
            torch.save({'state_dict': change}, file)
        assert main('convert_weights', [str(file), out, '--from', 'lora']) == 2
        assert message in capsys.readouterr().err


@pytest.fixture(scope='module')
def begun(video_root, tmp_path_factory):
    """Work dir of a training of one epoch."""
    cfg = config(video_root)
    cfg.train_cfg.max_epochs = 1
    return train(cfg, work_dir=str(tmp_path_factory.mktemp('begun') / 'work'))


def test_a_run_goes_on_where_it_was_moved_or_copied(video_root, begun, tmp_path):
    moved = shutil.copytree(begun, tmp_path / 'moved')
    best = {p.name: p.read_bytes() for p in begun.glob('best_*.pth')}
    assert (moved / 'last_checkpoint').read_text() == 'epoch_1.pth'
    (moved / 'last_checkpoint').write_text(str(begun / 'epoch_1.pth'))  # as before
    (begun / 'epoch_1.pth').rename(begun / 'epoch_9.pth')  # it has gone on
    cfg = config(video_root)
    cfg.train_cfg.max_epochs = 2
    train(cfg, work_dir=str(moved), resume=True)
    log = ''.join(p.read_text() for p in moved.glob('*_*/*.log'))
    assert 'resumed epoch: 1' in log
    meta = torch.load(latest_checkpoint(moved), weights_only=True)['meta']
    assert meta['epoch'] == 2
    assert 'changed_config' not in meta
    (begun / 'epoch_9.pth').rename(begun / 'epoch_1.pth')
    # The other run's best stays.
    assert {p.name: p.read_bytes() for p in begun.glob('best_*.pth')} == best
    assert len(list(moved.glob('best_*.pth'))) == 1


@pytest.mark.parametrize(
    'told', ['', 'epoch_7.pth', r'C:\w\epoch_1.pth', 'x\0', '\xff']
)
def test_a_damaged_last_checkpoint_does_not_count(tmp_path, told):
    for number in (1, 3, 20):
        (tmp_path / f'epoch_{number}.pth').touch()
    (tmp_path / 'last_checkpoint').write_bytes(told.encode('latin-1'))
    expected = 'epoch_1.pth' if told.startswith('C') else 'epoch_20.pth'
    assert last_checkpoint(tmp_path) == str(tmp_path / expected)
    assert last_checkpoint(tmp_path / 'gone') is None


def test_what_changes_in_a_resumed_run_is_refused_or_told(video_root, begun, tmp_path):
    work_dir = str(shutil.copytree(begun, tmp_path / 'work'))
    cfg = config(video_root)
    cfg.optim_wrapper.optimizer.lr = 0.5
    cfg.train_dataloader.batch_size = 1
    cfg.train_dataloader.num_workers = 1
    cfg.train_cfg.max_epochs = 2
    options = dict(work_dir=work_dir, resume=True)
    told = r'another config: optim_wrapper\.optimizer\.lr was .*, now 0\.5; train_dat'
    with pytest.raises(ValueError, match=told) as raised:
        train(cfg, **options)
    assert 'num_workers' not in str(raised.value)
    assert 'max_epochs' not in str(raised.value)
    with pytest.raises(ValueError, match=r"protocol\.domain was 'lab', now 'all'"):
        train(config(video_root, 'all'), **options)
    train(cfg, **options, allow_changed_config=True)
    meta = torch.load(latest_checkpoint(tmp_path / 'work'), weights_only=True)['meta']
    assert re.fullmatch('optim_wrapper.*now 0.5', meta['changed_config'][0])
    cfg.train_cfg.max_epochs = 3
    train(cfg, **options)  # and is not forgotten
    (checkpoint,) = (tmp_path / 'work').glob('epoch_3.pth')
    results = results_under(video_root, checkpoint, tmp_path / 'test', domain='lab')
    assert results['checkpoint']['changed_config'] == meta['changed_config']


def test_one_of_two_that_train_in_a_folder_works(video_root, tmp_path):
    code = f"""
import time
from pathlib import Path
from mmma.files import only_writer
with only_writer(Path({str(tmp_path)!r})):
    print('here', flush=True)
    time.sleep(60)
"""
    with subprocess.Popen(
        [sys.executable, '-c', code], stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline() == b'here\n'
        with pytest.raises(ValueError, match='another process is at work here'):
            train(config(video_root), work_dir=str(tmp_path))
        other.kill()


def test_what_the_starting_weights_saw_is_not_forgotten(video_root, tmp_path):
    first = tiny(video_root, {'domain': 'street'})
    options = dict(work_dir=str(tmp_path / 'street'), fast_dev_run=True)
    start = latest_checkpoint(train(first, **options))
    second = tiny(video_root, {'protocol': 'zeroshot'})
    options = dict(work_dir=str(tmp_path / 'lab'), fast_dev_run=True)
    work_dir = train(second, load_from=start, **options)
    meta = torch.load(latest_checkpoint(work_dir), weights_only=True)['meta']
    assert meta['protocol']['train_domains'] == ['lab']
    assert meta['seen_domains'] == ['lab', 'street']
    assert meta['class_power'] == 1.0
    assert meta['pretrain_data'] == 'none + mma82-fixture'


def pretraining(root, *options, **flags):
    """The smallest pre-training, of two epochs, of a protocol."""
    changes = [*PRETRAINING, *options]
    return load_config('pretrain/videomae-tiny_mma82', flags, str(root), changes)


def test_a_pretraining_resumes_bit_for_bit(video_root, tmp_path):
    cfg = pretraining(video_root, protocol='zeroshot')
    train(cfg, work_dir=str(tmp_path / 'whole'))
    stopped = pretraining(video_root, protocol='zeroshot')
    stopped.custom_hooks.append(dict(type=StopAfter.__name__, epochs=1))
    parts = dict(work_dir=str(tmp_path / 'parts'))
    with pytest.raises(KeyboardInterrupt):
        train(stopped, **parts)
    train(cfg, **parts, resume=True, allow_changed_config=True)
    expected, found = (
        torch.load(tmp_path / name / 'epoch_2.pth', weights_only=True)
        for name in ('whole', 'parts')
    )
    for name, weight in expected['state_dict'].items():
        assert torch.equal(weight, found['state_dict'][name]), name
    assert found['meta']['unlabelled'] == 'train, val of lab'
    assert (found['meta']['seen_domains'], found['meta']['selected_on']) == (
        ['lab'],
        None,
    )


def test_a_trial_leaves_the_training_beside_it_alone(video_root, tmp_path):
    cfg = config(video_root)
    cfg.train_cfg.max_epochs = 1
    work_dir = train(cfg, work_dir=str(tmp_path))
    before = {p: p.stat().st_mtime_ns for p in work_dir.rglob('*') if p.is_file()}
    trial = train(cfg, work_dir=str(tmp_path), fast_dev_run=True)
    assert trial == tmp_path / 'fast-dev-run'
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert {p.parent.name for p in tmp_path.rglob('iter_2.pth')} == {'fast-dev-run'}
    assert latest_checkpoint(work_dir).endswith('epoch_1.pth')
    with pytest.raises(ValueError, match='nothing to --resume'):
        train(cfg, fast_dev_run=True, resume=True)


@pytest.fixture(scope='module')
def trials(video_root, tmp_path_factory):
    """Work dirs of trials from lab, from all domains but street, and in-domain."""
    found = {}
    for name, flags in {
        'lab': {'protocol': 'zeroshot'},
        'rest': {'protocol': 'zeroshot', 'source': 'rest', 'target': ['street']},
        'all': {},
    }.items():
        cfg = tiny(video_root, flags)
        folder = str(tmp_path_factory.mktemp(name))
        found[name] = train(cfg, work_dir=folder, fast_dev_run=True)
    return found


def results_under(root, checkpoint, folder, **flags):
    """Results of a checkpoint under a protocol."""
    options = TestOptions(work_dir=str(folder))
    cfg = tiny(root, flags)
    report(open_run(cfg, options=options), str(checkpoint), options)
    return read_results(folder / 'results.json')


REST = {'protocol': 'zeroshot', 'source': 'rest', 'target': ['street']}


def test_all_domains_but_the_target_train_and_choose(video_root, trials, tmp_path):
    others = ['lab', 'psychiatric', 'emotion']
    chosen = {'subset': 'val', 'domains': others, 'metric': 'action/top1'}
    meta = torch.load(latest_checkpoint(trials['rest']), weights_only=True)['meta']
    assert (meta['protocol']['source'], meta['seen_domains']) == (
        'rest',
        sorted(others),
    )
    assert meta['protocol']['train_domains'] == others
    best = results_under(video_root, trials['rest'], tmp_path / 'best', **REST)
    assert best['protocol']['source'] == 'rest'
    assert best['selected_on'] == {'by': 'source-val', **chosen}
    assert best['target_seen'] == []
    assert [(r['target'], r['counts']['clips']) for r in best['runs']] == [
        ('street', 3)
    ]
    file = latest_checkpoint(trials['rest'])
    last = results_under(video_root, file, tmp_path / 'last', **REST)
    assert last['selected_on'] == {'by': 'last'}
    with pytest.raises(ValueError, match='selected_on differs'):
        results_table([best, last])
    flags = {**REST, 'protocol': 'fewshot', 'shots': [1], 'runs': 1}
    rows = results_under(video_root, trials['rest'], tmp_path / 'few', **flags)['runs']
    controls = [None, 'classes', 'oracle-prior', 'prior', None]
    assert [row.get('control') for row in rows] == controls


def test_a_model_of_one_source_is_not_tested_as_that_of_another(
    video_root, trials, tmp_path
):
    for name, flags, text in (
        ('lab', REST, r'trained on lab, and --source rest --target street is for a '
         r'model of lab, psychiatric, emotion: train one .*--source rest --target '
         r'street\), or test this one with --source lab$'),
        ('rest', {'protocol': 'zeroshot'}, r'--source lab is for a model of lab.* this '
         r'one with --source rest --target street$'),
        ('rest', {**REST, 'target': ['lab']}, r'this one with .* --target street$'),
        ('all', REST, r'test this one with --protocol indomain$'),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=text):
            results_under(video_root, trials[name], tmp_path / 'x', **flags)
    found = results_under(
        video_root, trials['all'], tmp_path / 'y', protocol='zeroshot'
    )
    assert found['selected_on']['by'] == 'target-val'  # said, as what it saw is
    assert found['target_seen'] == ['emotion', 'psychiatric', 'street']
    found = results_under(video_root, trials['all'], tmp_path / 'z')
    assert found['selected_on']['by'] == 'source-val'


def test_weights_that_do_not_say_what_chose_them(video_root, trials, tmp_path):
    content = torch.load(latest_checkpoint(trials['lab']), weights_only=True)
    content['meta'] = {}
    torch.save(content, tmp_path / 'bare.pth')
    file = tmp_path / 'bare.pth'
    found = results_under(video_root, file, tmp_path / 'a', protocol='zeroshot')
    assert found['selected_on'] is None
    assert 'chose its checkpoint is unknown' in results_table([found])


def test_a_root_without_val_clips_trains_and_its_last_checkpoint_counts(
    video_root, tmp_path, capsys
):
    root = tmp_path / 'root'
    shutil.copytree(video_root, root)
    table = (root / 'rec.csv').read_text()
    cfg = tiny(root, {'protocol': 'zeroshot'})
    cfg.train_cfg.max_epochs = 1
    gone = r'lab_val_.*\n', ''
    withheld = r'(lab_val_.*),[^,]*,[^,]*\n', r'\1,,\n'
    for trial, (old, new) in ((True, withheld), (False, gone)):
        (root / 'rec.csv').write_text(re.sub(old, new, table))
        work_dir = train(cfg, work_dir=str(tmp_path / 'lab'), fast_dev_run=trial)
        assert 'labelled val clip of lab: training is not va' in capsys.readouterr().out
        assert not list(work_dir.glob('best_*'))
    file = latest_checkpoint(work_dir)
    found = results_under(root, file, tmp_path / 'test', protocol='zeroshot')
    assert found['selected_on'] == {'by': 'last'}
    train(cfg, work_dir=str(tmp_path / 'lab'), resume=True)
    (root / 'rec.csv').write_text(re.sub(*withheld, table, count=1))
    for trial in (False, True):
        folder = train(cfg, work_dir=str(tmp_path / 'some'), fast_dev_run=trial)
        assert '1 of 3 val clips of lab are not labelled' in capsys.readouterr().out
        assert list(folder.glob('best_*'))


def test_data_are_checked_before_weights_are_fetched(video_root, tmp_path, monkeypatch):
    def fetch(*_, **__):
        raise AssertionError('fetched')

    for name in ('engine.weights.fetch_file', 'hub.zoo.fetch_model'):
        monkeypatch.setattr(f'mmma.{name}', fetch)
    shutil.copy(video_root / 'dataset.json', tmp_path)
    table = (video_root / 'rec.csv').read_text()
    (tmp_path / 'rec.csv').write_text(re.sub(r'videos/[^,]*', '', table))
    cfg = load_config(TINY.replace('-tiny', ''), {}, data_root=str(tmp_path))
    model = 'skeletontcn-tiny_mma82_zeroshot-simulated'
    run = open_run(cfg, options=TestOptions())
    for call in (
        lambda: train(cfg),
        lambda: train(cfg, load_from=model),
        lambda: report(run, model, TestOptions()),
    ):
        with pytest.raises(ValueError, match=r'no video file .*--modality both'):
            call()


@pytest.mark.parametrize(
    ('name', 'scale'),
    [('recog/videomae', 'tiny --modality both'), ('recog/skeletontcn-tiny', 'small')],
)
def test_advice_on_missing_data_fits_what_the_model_sees(tmp_path, name, scale):
    cfg = load_config(
        f'configs/{name}_mma82_indomain.py', {}, data_root=str(tmp_path / 'x')
    )
    with pytest.raises(FileNotFoundError, match=f'--scale {scale}`'):
        train(cfg)


def test_short_runs_take_clips_of_every_domain(video_root):
    options = TrainOptions(fast_dev_run=True)
    cfg = open_run(TINY, data_root=str(video_root), options=options).cfg
    clips = cfg.test_dataloader.dataset.clips
    assert len(clips) == 4
    domains = {c.split('_')[0] for c in clips}
    assert domains == {'lab', 'psychiatric', 'street', 'emotion'}


def test_work_dirs_are_named_after_model_and_protocol(video_root):
    flags = {'protocol': 'zeroshot', 'seed': 2}
    expected = 'work_dirs/videomae-tiny_mma82/zeroshot-seed2'
    for options, inside in ((TrainOptions(), ''), (TestOptions(), '/test')):
        run = open_run(TINY, flags, str(video_root), options=options)
        assert str(run.work_dir) == expected + inside


@pytest.mark.skipif(torch.cuda.is_available(), reason='needs a machine without a GPU')
def test_mixed_precision_needs_a_gpu(video_root, tmp_path):
    with pytest.raises(ValueError, match='--amp needs a GPU'):
        train(config(video_root), work_dir=str(tmp_path), amp=True)


def test_a_folder_without_checkpoint(tmp_path):
    with pytest.raises(FileNotFoundError, match='holds no checkpoint'):
        latest_checkpoint(tmp_path)


DEPTH = 3
OPTIMIZER = dict(type='AdamW', lr=1.0, weight_decay=0.05)


@pytest.fixture(autouse=True)
def _scope():
    OPTIM_WRAPPER_CONSTRUCTORS.get('LayerDecayOptimWrapperConstructor')
    with DefaultScope.overwrite_default_scope('mmma'):
        yield


@pytest.fixture
def model():
    net = nn.Module()
    net.backbone = VideoMAEViT(
        dict(embed_dims=8, depth=DEPTH, num_heads=1, img_size=16, num_frames=2)
    )
    net.cls_head = nn.Linear(8, 5)
    return net


def build(net, optimizer=OPTIMIZER, **options):
    return build_optim_wrapper(
        net,
        dict(
            type='OptimWrapper',
            constructor='LayerDecayOptimWrapperConstructor',
            optimizer=optimizer,
            paramwise_cfg=options,
        ),
    )


def settings(net, **options):
    """Group of each parameter, by name."""
    names = {id(p): n for n, p in net.named_parameters()}
    groups = build(net, **options).optimizer.param_groups
    return {names[id(p)]: g for g in groups for p in g['params']}


def test_every_trained_parameter_is_in_one_group(model):
    model.cls_head.bias.requires_grad_(False)
    groups = build(model, decay_rate=0.5).optimizer.param_groups
    grouped = [id(p) for g in groups for p in g['params']]
    trained = [id(p) for p in model.parameters() if p.requires_grad]
    assert sorted(grouped) == sorted(trained)


@pytest.mark.parametrize(
    ('name', 'power'),
    [
        ('backbone.patch_embed.projection.weight', DEPTH + 1),
        ('backbone.patch_embed.projection.bias', DEPTH + 1),
        ('backbone.blocks.0.attn.qkv.weight', DEPTH),
        ('backbone.blocks.2.mlp.layers.0.0.bias', 1),
        ('backbone.fc_norm.weight', 0),
        ('cls_head.weight', 0),
    ],
)
def test_rates_shrink_towards_the_input(model, name, power):
    group = settings(model, decay_rate=0.5)[name]
    assert group['lr'] == group['lr_scale'] == 0.5**power


def test_only_matrices_are_decayed(model):
    decays = {n: g['weight_decay'] for n, g in settings(model, decay_rate=0.75).items()}
    parameters = dict(model.named_parameters())
    assert {n for n, d in decays.items() if d == 0.05} == {
        n for n, p in parameters.items() if p.ndim > 1
    }
    assert set(decays.values()) == {0.0, 0.05}


def test_a_rate_of_one_keeps_the_learning_rate(model):
    assert {g['lr'] for g in settings(model, decay_rate=1).values()} == {1.0}


def test_a_frozen_backbone_leaves_the_head(model):
    model.backbone.requires_grad_(False)
    assert set(settings(model, decay_rate=0.5)) == {
        'cls_head.weight',
        'cls_head.bias',
    }


def test_optimizer_state_survives_saving(model):
    wrapper = build(model, decay_rate=0.5)
    model.cls_head(torch.ones(1, 8)).sum().backward()
    wrapper.step()
    again = build(model, decay_rate=0.5)
    again.load_state_dict(wrapper.state_dict())
    assert [g['lr'] for g in again.param_groups] == [
        g['lr'] for g in wrapper.param_groups
    ]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (
            dict(decay_rat=0.5),
            r"unknown option 'decay_rat'.* Did you mean 'decay_rate'\?",
        ),
        (dict(decay_rate=0), r'decay_rate is 0: use a number above 0'),
        (dict(decay_rate=1.5), r'decay_rate is 1\.5: use a number above 0'),
        (dict(), r'decay_rate is None'),
        (
            dict(decay_rate=0.5, optimizer=dict(type='AdamW', lr=1.0)),
            r'optimizer lacks weight_decay',
        ),
        (
            dict(decay_rate=0.5, optimizer=dict(type='AdamW', weight_decay=0.0)),
            r'optimizer lacks lr',
        ),
    ],
)
def test_bad_settings_are_refused(model, options, message):
    with pytest.raises(ValueError, match=message):
        build(model, **options)


def test_a_backbone_without_layers_is_refused():
    net = nn.Module()
    net.backbone = nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r'Linear has no layer_of'):
        build(net, decay_rate=0.5)


def test_constructors_of_old_dumped_configs_say_what_to_do(model):
    for name in ('ShiftOptimWrapperConstructor', 'AdapterOptimWrapperConstructor'):
        old = dict(constructor=name, optimizer=OPTIMIZER, paramwise_cfg={'gates_lr': 5})
        with pytest.raises(ValueError, match=r'is gone, .* Use the config that comes'):
            build_optim_wrapper(model, old)


def recipe_groups(config):
    """Multiples (rate, decay) of each trained parameter of a recipe, and the model."""
    cfg = load_config(config)
    net = MODELS.build(cfg.model)
    optimizer = cfg.optim_wrapper.optimizer
    names = {id(p): n for n, p in net.named_parameters()}
    groups = build_optim_wrapper(net, cfg.optim_wrapper).optimizer.param_groups
    found = {
        names[id(p)]: (
            round(g['lr'] / optimizer.lr, 6),
            round(g['weight_decay'] / optimizer.weight_decay, 6),
        )
        for g in groups
        for p in g['params']
    }
    assert set(found) == {n for n, p in net.named_parameters() if p.requires_grad}
    return found, net


@pytest.mark.parametrize(
    ('config', 'fast'),
    [
        ('recog/tsm_mma82_indomain', 'cls_head.fc_cls'),
        ('recog/manet_mma82_indomain', 'cls_head.fc_emb_t'),
        ('recog/gctsm_mma82_indomain', None),
    ],
)
def test_groups_of_shift_networks(config, fast):
    """Those of MMAction2 (tsm_optim_wrapper_constructor), Group-Contextualization."""
    found, net = recipe_groups(f'configs/{config}.py')
    norms = {
        f'{name}.'
        for name, part in net.named_modules()
        if isinstance(part, nn.modules.batchnorm._NormBase | nn.LayerNorm)
    }
    wrong = {}
    for name, value in found.items():
        owner, _, kind = name.rpartition('.')
        bias = kind == 'bias' and f'{owner}.' not in norms
        expected = (2, 0) if bias else (1, int(f'{owner}.' not in norms))
        if owner == fast:
            expected = (10, 0) if bias else (5, 1)
        if '.gc.' in name:
            expected = (5, expected[1])
        if value != expected:
            wrong[name] = value
    assert not wrong
    assert config.startswith('recog/gctsm') == any('.gc.' in name for name in found)


@pytest.mark.parametrize(
    ('config', 'rate'),
    [
        ('adatad_videomae-tiny', 1),
        ('adatad_videomae-s', 4),
        ('actionformer_videomae-s-features', None),
    ],
)
def test_groups_of_detectors(config, rate):
    """Those of OpenTAD: all of an adapter decays; outside, matrices, convolutions."""
    found, net = recipe_groups(f'configs/det/{config}_mma82.py')
    parameters = dict(net.named_parameters())
    wrong = {}
    for name, value in found.items():
        plain = parameters[name].ndim < 2 or name.endswith('.scale')
        expected = (rate, 1) if '.adapter.' in name else (1, int(not plain))
        if value != expected:
            wrong[name] = value
    assert not wrong
    assert (rate is not None) == any('.adapter.' in name for name in found)
