"""What a GPU has to show; ``MMMA_TEST_DEVICE=cpu`` tries the tests themselves out.

``-s`` prints what was measured.
"""

import copy
import os
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from mmengine.utils import digit_version

from mmma.cli import main
from mmma.config import config_folders, load_config
from mmma.data.root import DataRoot
from mmma.engine.hooks import tell_classes
from mmma.engine.run import TrainOptions, open_run
from mmma.engine.train import latest_checkpoint, train
from mmma.models.backbones.videomae import find_arch
from mmma.models.preprocessors import draw_heatmaps
from mmma.registry import DATASETS, MODELS

DEVICE = os.environ.get('MMMA_TEST_DEVICE', 'cuda')
GPU = DEVICE == 'cuda'
pytestmark = pytest.mark.cuda
if GPU and not torch.cuda.is_available():
    pytest.skip('no GPU', allow_module_level=True)
CONFIGS = config_folders()[0]
RECIPES = [f'recog/{p.stem}' for p in sorted(CONFIGS.glob('recog/*_indomain.py'))]
RECIPES += [f'det/{p.stem}' for p in sorted(CONFIGS.glob('det/*.py'))]
RECIPES += [f'pretrain/{p.stem}' for p in sorted(CONFIGS.glob('pretrain/*.py'))]
RECIPES = [r for r in RECIPES if 'features' not in r]  # others' are extracted first
if not GPU:
    RECIPES = [r for r in RECIPES if '-tiny' in r]


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    """Simulated clips and videos, with skeletons."""
    folder = tmp_path_factory.mktemp('simulated') / 'root'
    argv = ['--scale', 'tiny', '--modality', 'both', '--videos', '8']
    assert main('data/simulate', [str(folder), *argv]) == 0
    return folder


def show_few(cfg, root):
    """The config of training clips or videos, of those that have a file."""
    given = cfg.train_dataloader.dataset
    given.subset = 'train'
    table, noun = DataRoot(root), 'video' if cfg.get('task') == 'det' else 'clip'
    rows = table.read_det() if noun == 'video' else table.read_rec()
    subsets = given.get('subsets', ['train'])
    shown = [getattr(r, noun) for r in rows if r.path and r.subset in subsets]
    given[f'{noun}s'] = shown
    return given


def load_batch(cfg, root):
    """Two samples of the training pipeline, always the same."""
    dataset = DATASETS.build(show_few(cfg, root))
    np.random.seed(0)
    return pseudo_collate([dataset[0], dataset[1]]), dataset.metainfo


def build(cfg):
    """The model in training, random and always the same."""
    torch.manual_seed(0)
    with torch.device(DEVICE):
        model = MODELS.build(cfg.model)
    return model.to(DEVICE).train()


def one_step(model, state, batch, amp):
    """The loss of a forward pass from a state, and gradients of all that learns."""
    model.load_state_dict(state)
    torch.manual_seed(1)
    np.random.seed(1)
    model.zero_grad()
    precision = torch.autocast(DEVICE, torch.bfloat16) if amp else nullcontext()
    with precision:
        losses = model(**model.data_preprocessor(batch, True), mode='loss')
    loss = sum(v.sum() for k, v in losses.items() if 'loss' in k)
    loss.backward()
    named = model.named_parameters()
    return loss.item(), {n: p.grad.clone() for n, p in named if p.grad is not None}


@pytest.mark.parametrize('recipe', RECIPES)
def test_forward_and_backward_in_both_precisions(recipe, root):
    if 'vjepa2' in recipe:
        pytest.importorskip('transformers')
    with DefaultScope.overwrite_default_scope('mmma'):
        flags = {} if recipe.startswith('pretrain') else {'protocol': 'indomain'}
        cfg = load_config(f'configs/{recipe}.py', flags, data_root=str(root))
        (batch, told), model = load_batch(cfg, root), build(cfg)
        tell_classes(model, told, training=True)
        if GPU:
            torch.cuda.reset_peak_memory_stats()
        state = copy.deepcopy(model.state_dict())
        first, gradients = one_step(model, state, batch, amp=False)
        again, others = one_step(model, state, batch, amp=False)
        started = time.perf_counter()
        half, _ = one_step(model, state, batch, amp=True)
    seconds = time.perf_counter() - started
    assert np.isfinite([first, again, half]).all()
    assert first == pytest.approx(half, rel=0.1, abs=0.05)
    assert gradients.keys() == others.keys()
    assert all(grad.isfinite().all() for grad in gradients.values())
    size = max(grad.abs().max().item() for grad in gradients.values())
    apart = max((g - others[n]).abs().max().item() for n, g in gradients.items())
    mib = torch.cuda.max_memory_allocated() / 2**20 if GPU else 0
    told = f'bf16 step {seconds:.3f} s, peak {mib:.0f} MiB, gradients of two steps'
    print(f'\n{recipe}: {told} differ by {apart:.1e} of {size:.1e}')
    assert apart <= 0.01 * size


def test_attention_is_that_of_upstream():
    draw = torch.Generator().manual_seed(0)
    clips = torch.randn(2, 3, 16, 112, 112, generator=draw).to(DEVICE)
    with DefaultScope.overwrite_default_scope('mmma'):
        theirs = MODELS.get('VisionTransformer')(**vars(find_arch('tiny'))).to(DEVICE)
        ours = MODELS.build(dict(type='VideoMAEViT', arch='tiny')).to(DEVICE)
    ours.load_state_dict(theirs.state_dict())
    found = []
    for model in (theirs, ours):
        output = model(clips)
        output.square().sum().backward()
        found.append({n: p.grad for n, p in model.named_parameters()} | {'': output})
    size = max(grad.abs().max().item() for grad in found[0].values())
    for name, value in found[0].items():
        assert (found[1][name] - value).abs().max() <= 1e-3 * size, name


def test_heatmaps_are_those_of_the_cpu():
    draw = torch.Generator().manual_seed(0)
    joints = torch.rand(2, 1, 8, 17, 2, generator=draw) * 40
    scores = torch.rand(2, 1, 8, 17, generator=draw)
    limbs = [(0, 1), (5, 7), (7, 9), (11, 13)]
    for pairs in (None, limbs):
        expected = draw_heatmaps(joints, scores, (48, 48), pairs)
        there = joints.to(DEVICE), scores.to(DEVICE), (48, 48), pairs
        torch.testing.assert_close(draw_heatmaps(*there).cpu(), expected)


def train_for(epochs, recipe, root, folder, resume=False):
    """Train on two batches an epoch, without validation; the weights at the end."""
    flags = {'protocol': 'indomain'}
    cfg = load_config(f'configs/{recipe}_mma82{RECOG[recipe[:3]]}.py', flags, str(root))
    given = show_few(cfg, root)
    key = 'videos' if cfg.task == 'det' else 'clips'
    given[key] = (given[key] * 4)[:4]
    cfg.train_dataloader.update(batch_size=2, num_workers=0)
    cfg.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=epochs)
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    cfg.param_scheduler = []  # else the first steps change next to nothing
    options = TrainOptions(str(folder), resume=resume, pretrained=False)
    trained = train(open_run(cfg, options=options), options)
    file = latest_checkpoint(trained.work_dir)
    weights = torch.load(file, 'cpu', weights_only=True)['state_dict']
    return {name: w.double() for name, w in weights.items() if w.is_floating_point()}


RECOG = {'rec': '_indomain', 'det': ''}
RESUMED = ['videomae-s', 'gctsm', 'posec3d'], ['gctsm-tiny', 'posec3d-tiny']
RESUMED = [f'recog/{name}' for name in RESUMED[not GPU]]
RESUMED.append('det/adatad_videomae-s' if GPU else 'det/adatad_videomae-tiny')


@pytest.mark.parametrize('recipe', RESUMED)
def test_resumed_training_is_that_which_went_on(recipe, root, tmp_path):
    with DefaultScope.overwrite_default_scope('mmma'):
        whole = train_for(2, recipe, root, tmp_path / 'whole')
        half = train_for(1, recipe, root, tmp_path / 'parts')
        parts = train_for(2, recipe, root, tmp_path / 'parts', resume=True)
    assert whole.keys() == half.keys() == parts.keys()
    apart, moved = (
        sum((whole[name] - other[name]).abs().sum().item() for name in whole)
        for other in (parts, half)
    )
    print(f'\n{recipe}: resumed, differs by {apart / moved:.1e} of the last epoch')
    assert moved > 0
    # On a GPU sums of gradients have no fixed order.
    assert apart <= (0.1 * moved if GPU else 0)


@pytest.fixture(scope='module')
def videos(tmp_path_factory):
    """A root of clips whose videos are all there."""
    # Not in this process: its copies would have a GPU that they must not touch.
    folder = tmp_path_factory.mktemp('videos') / 'root'
    start = [sys.executable, str(CONFIGS.parent / 'tools/data/simulate.py')]
    argv = ['--scale', 'tiny', '--tasks', 'rec', '--modality', 'video']
    subprocess.run([*start, str(folder), *argv, '--videos', '24'], check=True)
    return folder


def run_processes(number, script, root, folder):
    """Processes of a script that lies here."""
    start = [sys.executable, '-m', 'torch.distributed.run', '--standalone']
    script = str(Path(__file__).with_name(script))
    start += ['--nproc-per-node', str(number), script, str(root), str(folder)]
    env = {**os.environ, 'OMP_NUM_THREADS': '1'}
    if not GPU:
        env['CUDA_VISIBLE_DEVICES'] = ''
    done = subprocess.run(start, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr[-3000:]


def test_two_processes_on_one_device_have_the_same_weights(videos, tmp_path):
    run_processes(2, 'gpu_ranks.py', videos, tmp_path)
    first, second = (
        torch.load(tmp_path / f'rank{rank}.pth', weights_only=True) for rank in range(2)
    )
    assert {w.device.type for w in first['weights'].values()} == {DEVICE}
    for name, weight in first['weights'].items():
        assert torch.equal(weight, second['weights'][name]), name
    assert not all(w.equal(first['start'][n]) for n, w in first['weights'].items())


@pytest.mark.parametrize('recipe', ['videomae', 'gctsm', 'videomae-tiny'])
def test_changes_on_the_device_are_those_of_the_cpu(recipe):
    cfg = load_config(f'configs/recog/{recipe}_mma82_indomain.py')
    dataset = cfg.train_dataloader.dataset.pipeline
    steps = [s for s in dataset if s.type in ('Resize', 'ClipRandAugment', 'Flip')][1:]
    plain = dict(type='ActionDataPreprocessor', format_shape='NCTHW')
    kind = dict(type='AugmentingPreprocessor', preprocessor=plain, steps=steps)
    draw = torch.Generator().manual_seed(0)
    for seed in range(8):
        shape = (1, 3, 4, 90 + seed, 120)
        clip = torch.randint(0, 256, shape, dtype=torch.uint8, generator=draw)
        found = []
        for device in ('cpu', DEVICE):
            np.random.seed(seed)
            batch = dict(inputs=[clip.to(device)], data_samples=[])
            changed = MODELS.build(kind).to(device)(batch, True)['inputs']
            found.append(changed.float().cpu())
        apart = (found[0] - found[1]).abs()
        assert apart.max() <= 2
        assert apart.mean() < 0.02


@pytest.mark.skipif(
    digit_version(torch.__version__) < digit_version('2.6'), reason='older torch'
)
def test_a_split_model_is_saved_and_resumed_on_the_device(videos, tmp_path):
    run_processes(1, 'sharded_runs.py', videos, tmp_path)
    whole, parts = (
        torch.load(latest_checkpoint(tmp_path / name), weights_only=True)
        for name in ('whole', 'parts')
    )
    for kind in ('state_dict', 'ema_state_dict'):
        told = [{n: w.shape for n, w in one[kind].items()} for one in (whole, parts)]
        assert told[0] == told[1]
        assert all(w.isfinite().all() for w in parts[kind].values())
    assert whole['optimizer']['state'].keys() == parts['optimizer']['state'].keys()
