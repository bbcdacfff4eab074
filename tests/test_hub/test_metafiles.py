"""Costs against hand-made and published numbers; stated inputs against pipelines."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from torch import nn
from video_files import make_video, moving_frames

from mmma.apis import load_config
from mmma.data.arrays import FeaturesInfo, FeatureWriter, SkeletonWriter
from mmma.data.clips import Clip, write_rec
from mmma.data.joints import WHOLEBODY65
from mmma.data.root import DatasetInfo, write_info
from mmma.data.videos import Video, write_det
from mmma.hub.metafiles import count_flops, model_cost
from mmma.hub.zoo import is_checkpoint, read_metafiles
from mmma.registry import DATASETS, MODELS
from mmma.taxonomy import load_label_space

REPO = Path(__file__).resolve().parents[2]


class Attention(nn.Module):
    def forward(self, x):
        return F.scaled_dot_product_attention(x, x, x)


class GraphProduct(nn.Module):
    def forward(self, x):
        graph = torch.ones(3, 6, 6, device=x.device)
        return torch.einsum('nkctv,kvw->nctw', x, graph)


@pytest.mark.parametrize(
    ('module', 'shape', 'multiply_adds'),
    [
        # out channels * in channels * kernel * output pixels
        (nn.Conv2d(3, 8, 3, padding=1), (1, 3, 4, 5), 8 * 3 * 9 * 4 * 5),
        (nn.Conv3d(4, 8, (3, 1, 1), groups=2), (2, 4, 6, 5, 5), 2 * 8 * 2 * 3 * 100),
        (nn.Linear(5, 7), (2, 5), 2 * 5 * 7),
        # queries by keys, then weights by values: heads * L * L * d each
        (Attention(), (1, 2, 16, 8), 2 * 2 * 16 * 16 * 8),
        (GraphProduct(), (1, 3, 4, 5, 6), 3 * 6 * 4 * 5 * 6),
        (nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.AvgPool2d(2)), (1, 3, 4, 4), 0),
    ],
    ids=['conv', 'grouped', 'linear', 'attention', 'graph', 'uncounted'],
)
def test_multiply_adds_by_hand(module, shape, multiply_adds):
    with torch.device('meta'):
        found = count_flops(module.to('meta').eval(), torch.empty(shape))
    assert found == multiply_adds


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    """A root of one clip and one video as long as a window, of every modality."""
    root, space = tmp_path_factory.mktemp('one_each'), load_label_space('mma82')
    make_video(root / 'clip.mp4', moving_frames(32), 30)
    make_video(root / 'video.mp4', moving_frames(256), 15)
    write_rec(
        root / 'rec.csv', [Clip('a', 'clip.mp4', 'test', 'lab', 's', 7, 2)], space
    )
    video = Video('a', 'video.mp4', 'test', 'lab', 's', 15.0, 256, 256 / 15, ())
    write_det(root / 'det.json', [video], space)
    write_info(root, DatasetInfo('one-each', 'mma82', simulated=True))
    for task, frames, fps in (('rec', 32, 30), ('det', 256, 15)):
        points = np.random.default_rng(0).uniform(5, 40, (1, frames, 65, 2))
        with SkeletonWriter(root, task, WHOLEBODY65) as writer:
            writer.append('a', points, np.ones(points.shape[:3]), fps, 64, 48)
    info = FeaturesInfo(2 / 15, 384, 1 / 15, 15.0)
    with FeatureWriter(root, 'videomae-s', info) as writer:
        writer.append('a', np.zeros((128, 384), np.float16))
    return root


def pipeline_shape(config, root):
    """One view of the root's clip, or its window, as the network takes it."""
    cfg = load_config(config)
    cfg.test_dataloader.dataset.data_root = str(root)
    detects = cfg.task == 'det'
    with DefaultScope.overwrite_default_scope('mmma'):
        packed = DATASETS.build(cfg.test_dataloader.dataset)[0]
        plain = 'BaseDataPreprocessor' if detects else 'ActionDataPreprocessor'
        own = cfg.model.get('data_preprocessor') or dict(type=plain)
        batch = MODELS.build(own)(pseudo_collate([packed]), training=False)
    if isinstance(batch['inputs'], dict):  # of two streams
        return tuple(tuple(x[0].shape) for x in batch['inputs'].values())
    shape = tuple(batch['inputs'][0].shape)
    if detects:
        return 1, *shape
    # Frames of a 2D network lie side by side with its views: (views * S, C, H, W).
    frames = getattr(cfg.model.cls_head, 'num_segments', 1) if len(shape) == 4 else 1
    assert shape[0] % frames == 0
    return frames, *shape[1:]


def test_the_stated_input_is_what_the_test_pipeline_gives(root):
    stated, given = {}, {}
    for data in read_metafiles(REPO).values():
        for entry in data['Models']:
            if not is_checkpoint(entry):
                shapes = entry['Metadata']['Input'].split('+')
                shapes = tuple(tuple(map(int, one.split('x'))) for one in shapes)
                stated[entry['Name']] = shapes if len(shapes) > 1 else shapes[0]
                shape = pipeline_shape(entry['Config'], root)
                if isinstance(shape[0], tuple):  # one view of each
                    shape = tuple((1, *one[1:]) for one in shape)
                given[entry['Name']] = shape
    assert given == stated


def cost_of(config, classes=None):
    """Costs of a recipe with the input that its metafile states."""
    cfg = load_config(config)
    if classes:
        cfg.model.cls_head.num_classes = classes
    entries = [e for data in read_metafiles(REPO).values() for e in data['Models']]
    entry = next(e for e in entries if config in e.get('Configs', ()))
    return model_cost(cfg, entry['Metadata']['Input'])


def test_stgcnpp_costs_what_was_published():
    """NTU60: 17 joints of two persons, one view."""
    cfg = load_config('recog/stgcnpp_mma82_indomain')
    cfg.model.backbone.update(joints='body17', num_person=2)
    cfg.model.cls_head.num_classes = 60
    cost = model_cost(cfg, '1x2x100x17x3')
    assert cost['Parameters'] == pytest.approx(1.39e6, rel=0.005)  # PYSKL's table
    # MMAction2's metafile, whose counter adds norms
    assert cost['FLOPs'] == pytest.approx(1.95e9, rel=0.02)


def test_models_cost_what_was_published():
    published = {
        # VideoMAE's table of Kinetics-400
        'videomae': (400, 87e6, 180),
        'videomae-s': (400, 22e6, 57),
        'videomae-l': (400, 305e6, 597),
        'videomae-h': (400, 633e6, 1192),
        # TSM's table of Kinetics, 8 frames
        'tsm': (400, 24.3e6, 33),
        # MMAction2's metafile, NTU60 at 64; that of HMDB51 is at 56, as here
        'posec3d': (60, 2.03e6, 20.6 * (56 / 64) ** 2),
    }
    for name, (classes, params, gflops) in published.items():
        cost = cost_of(f'configs/recog/{name}_mma82_indomain.py', classes)
        found = cost['Parameters'], cost['FLOPs'] / 1e9
        assert found == pytest.approx((params, gflops), rel=0.01), name
        assert cost['Trainable Parameters'] is cost['Window Seconds'] is None


def test_adatad_freezes_its_vit_and_runs_it_on_every_chunk():
    cost = cost_of('configs/det/adatad_videomae-s_mma82.py')
    recognizer = cost_of('configs/recog/videomae-s_mma82_indomain.py')
    classifier = 82 * (384 + 1)
    vit = recognizer['Parameters'] - classifier
    # The recognizer's last norm, 384 weights and as many biases, is not there.
    assert cost['Parameters'] - cost['Trainable Parameters'] == vit - 2 * 384
    assert cost['Window Seconds'] == 17.07
    tokens, chunks, dim, blocks = 8 * 10 * 10, 16, 384, 12
    block = 12 * tokens * dim**2 + 2 * tokens**2 * dim  # linear layers, attention
    patches = tokens * dim * 3 * 2 * 16 * 16
    cfg = load_config('configs/det/adatad_videomae-s_mma82.py')
    with DefaultScope.overwrite_default_scope('mmma'), torch.device('meta'):
        backbone = MODELS.build(cfg.model.backbone)
    adapters = sum(p.numel() for p in backbone.parameters()) - vit
    by_hand = chunks * (blocks * block + patches + adapters * tokens)
    assert cost['FLOPs'] == pytest.approx(by_hand, rel=0.02)  # and the detector


@pytest.mark.parametrize(
    ('shape', 'message'),
    [
        ('', "Input is '': state the shape that the network takes"),
        ('1x3x0', "Input is '1x3x0': state"),
        ('1x4x16x112x112', 'its network does not take Input 1x4x16x112x112: '),
    ],
)
def test_inputs_that_no_network_takes(shape, message):
    with pytest.raises(ValueError, match=message):
        model_cost(load_config('recog/videomae-tiny_mma82_indomain'), shape)
