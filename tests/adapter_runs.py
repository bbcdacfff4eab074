"""Runs of a tiny AdaTAD on windows made on the spot."""

import random
import warnings

import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmma.checkpoints import load_weights_file
from mmma.engine.train import latest_checkpoint
from mmma.models.backbones.videomae import VideoMAEViT
from mmma.registry import HOOKS, MODELS
from mmma.structures.samples import SegmentSample

ARCH = dict(embed_dims=16, depth=2, num_heads=2, img_size=32, num_frames=4)
POSITIONS = 16
EPOCHS = 3


class Stop(Exception):
    """Stands for the end of a process."""


class StopHook(Hook):
    """Stops a run before an iteration."""

    def __init__(self, before):
        self.before = before

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.before:
            raise Stop


@HOOKS.register_module()
class StopAfter(Hook):
    """Stops a run as Ctrl-C would, once an epoch's checkpoint is written."""

    priority = 'LOWEST'

    def __init__(self, epochs):
        self.epochs = epochs

    def after_train_epoch(self, runner):
        if runner.epoch + 1 == self.epochs:
            raise KeyboardInterrupt


class Windows(torch.utils.data.Dataset):
    metainfo = {'label_space': 'mma82'}

    def __len__(self):
        return 4

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        sample = SegmentSample(
            metainfo=dict(
                positions=POSITIONS, rate=4.0, window_start_sec=0.0, duration_sec=4.0
            )
        )
        sample.gt_segments, sample.gt_labels = [(0.5, 2.5)], [index]
        sample.valid = POSITIONS
        imgs = torch.randn(3, POSITIONS, 32, 32, generator=generator)
        return {'inputs': imgs, 'data_samples': sample}


class Count(BaseMetric):
    """Number of windows."""

    def process(self, data_batch, data_samples):
        self.results.append(len(data_samples))

    def compute_metrics(self, results):
        return {'count': sum(results)}


def model_config(**backbone):
    return dict(
        type='SegmentDetector',
        backbone=dict(type='VideoMAETIA', arch=ARCH, **backbone),
        projection=dict(
            type='Conv1DTransformerProj',
            in_channels=16,
            out_channels=8,
            arch=(1, 1, 1),
            num_heads=2,
        ),
        neck=dict(type='FPNIdentity', in_channels=8, num_levels=2),
        head=dict(
            type='ActionFormerHead',
            num_classes=82,
            in_channels=8,
            feat_channels=8,
            num_levels=2,
        ),
    )


def pretrained_file(folder, seed=5):
    """Weights of a VideoMAE, as a recipe's ``pretrained`` finds them."""
    torch.manual_seed(seed)
    vit = VideoMAEViT(ARCH)
    for parameter in vit.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    folder.mkdir(exist_ok=True)
    torch.save({'state_dict': vit.state_dict()}, folder / 'vit.pth')
    return dict(url='https://nowhere/vit.pth', sha8='', data='noise')


def make_runner(work_dir, *, hooks, resume=False, pretrained=None, **backbone):
    torch.manual_seed(0)
    loader = dict(
        dataset=Windows(), batch_size=2, num_workers=0,
        collate_fn=dict(type='pseudo_collate'),
        sampler=dict(type='DefaultSampler', shuffle=False),
    )  # fmt: skip
    return Runner(
        model=MODELS.build(model_config(**backbone)),
        work_dir=str(work_dir),
        train_dataloader=loader,
        train_cfg=dict(by_epoch=True, max_epochs=EPOCHS, val_interval=1),
        val_dataloader=loader,
        val_evaluator=Evaluator(Count()),
        val_cfg={},
        optim_wrapper=dict(
            type='OptimWrapper',
            optimizer=dict(type='AdamW', lr=0.02, weight_decay=0.05),
            paramwise_cfg=dict(
                flat_decay_mult=0,
                custom_keys={
                    '.adapter.': dict(lr_mult=4),
                    '.scale': dict(decay_mult=0),
                },
            ),
            clip_grad=dict(max_norm=1),
        ),
        default_hooks=dict(
            checkpoint=dict(type='PlainCheckpointHook', interval=1),
            logger=dict(type='LoggerHook'),
        ),
        custom_hooks=list(hooks),
        randomness=dict(seed=3),
        resume=resume,
        log_level='ERROR',
        default_scope='mmma',
        experiment_name=f'{work_dir.name}-{random.SystemRandom().random()}',
        cfg=Config(dict(pretrained=pretrained)),
    )


def train(work_dir, start=None, stop=None, **kwargs):
    """Train, and return the runner and the last checkpoint."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        runner = make_runner(work_dir, **kwargs)
        if start is not None:
            runner.register_hook(start)
        if stop is not None:
            runner.register_hook(StopHook(stop))
        try:
            runner.train()
        except Stop:
            assert stop is not None
    return runner, load_weights_file(latest_checkpoint(work_dir))
