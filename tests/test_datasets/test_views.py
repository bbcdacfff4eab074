"""Views and crops in testing."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope

import mmma.models  # noqa: F401  (fills the registry)
from mmma.config import find_config
from mmma.datasets.clip_dataset import ClipDataset
from mmma.datasets.views import with_views
from mmma.layout.joints import WHOLEBODY65
from mmma.layout.skeletons import SkeletonWriter
from mmma.registry import MODELS

BASES = find_config('recog/videomae_mma82_indomain').parents[1] / '_base_'
STEMS = (p.stem for p in (BASES / 'datasets').glob('*.py'))
DATA = sorted(stem for stem in STEMS if '_det_' not in stem)  # windows have one view
RGB = [name for name in DATA if '_rgb_' in name]


@pytest.fixture(autouse=True)
def _scope():
    with DefaultScope.overwrite_default_scope('mmma'):
        yield


def read(kind, name):
    return Config.fromfile(Path(BASES, kind, f'{name}.py'))


def pipeline_of(name):
    return read('datasets', name).test_dataloader.dataset.pipeline


def rgb_inputs(root, pipeline, index=4):
    return ClipDataset(root, 'test', pipeline, test_mode=True)[index]


@pytest.mark.parametrize('name', DATA)
def test_views_of_every_recipe(name):
    before = pipeline_of(name)
    after = with_views(before, views=7)
    assert [s.get('views') for s in after if 'Uniform' in s['type']] == [7]
    assert [s['type'] for s in after] == [s['type'] for s in before]
    assert with_views(before) == before == pipeline_of(name)


@pytest.mark.parametrize('name', RGB)
def test_three_crops_of_every_recipe_and_back(name):
    before = pipeline_of(name)
    after = with_views(before, crops=3)
    types = [s['type'] for s in after]
    place = types.index('ThreeCrop')
    assert before[place]['type'] == 'CenterCrop'
    side = after[place]['crop_size']
    shrunk = next(s for s in before if s['type'] == 'Resize')
    assert after[types.index('Resize')] == {**shrunk, 'scale': (-1, side)}
    assert with_views(after, crops=3) == after
    back = with_views(after, crops=1)
    assert [s['type'] for s in back] == [s['type'] for s in before]
    assert with_views(before, crops=1) == before


@pytest.mark.parametrize(
    'resize', [[], [dict(type='Resize', scale=(9, 9), keep_ratio=False)]]
)
def test_the_picture_is_resized_to_the_crop(resize):
    after = with_views([*resize, dict(type='CenterCrop', crop_size=(8, 8))], crops=3)
    assert after == [
        {'type': 'Resize', 'scale': (-1, 8)},
        {'type': 'ThreeCrop', 'crop_size': (8, 8)},
    ]


def test_views_and_crops_show_these_times_and_places(video_root):
    pipeline = with_views(pipeline_of('mma82_rgb_16x112'), views=2, crops=3)
    crop = [s['type'] for s in pipeline].index('ThreeCrop')
    info = ClipDataset(video_root, 'test', [], test_mode=True).get_data_info(4)
    whole = np.stack(Compose(pipeline[:crop])(info)['imgs'])  # (2 * 16, 112, W, 3)
    assert whole.shape[1] == 112 < whole.shape[2]
    inputs = rgb_inputs(video_root, pipeline)['inputs']
    assert inputs.shape == (6, 3, 16, 112, 112)
    step = (whole.shape[2] - 112) // 2
    for c, left in enumerate((0, 2 * step, step)):
        for v in range(2):
            shown = whole[16 * v : 16 * (v + 1), :, left : left + 112]
            expected = shown.transpose(3, 0, 1, 2)  # (T, H, W, C) -> (C, T, H, W)
            assert np.array_equal(inputs[2 * c + v], expected)


def scores(model, inputs, sample):
    with torch.no_grad():
        (scored,) = model.test_step({'inputs': [inputs], 'data_samples': [sample]})
    return scored.pred_score.numpy().copy()


def assert_mean_of_views(model_name, packed, frames_per_view, views, std=0.3):
    torch.manual_seed(0)
    model = MODELS.build(read('models', model_name).model).eval()
    model.cls_head.fc_cls.weight.data.normal_(std=std)  # so that views differ
    inputs, sample = packed['inputs'], packed['data_samples']
    parts = inputs.split(frames_per_view)
    assert len(parts) == views
    alone = [scores(model, part, sample) for part in parts]
    assert np.std(alone, axis=0).max() > 1e-4
    np.testing.assert_allclose(
        scores(model, inputs, sample), np.mean(alone, axis=0), atol=1e-6
    )


@pytest.mark.parametrize(
    ('model', 'data', 'frames'),
    [('videomae-tiny', 'mma82_rgb_16x112', 1), ('gctsm-tiny', 'mma82_rgb_8x64', 8)],
)
def test_scores_are_the_mean_over_views_and_crops(video_root, model, data, frames):
    pipeline = with_views(pipeline_of(data), views=2, crops=3)
    assert_mean_of_views(model, rgb_inputs(video_root, pipeline), frames, views=6)


@pytest.mark.parametrize(
    ('model', 'data', 'std'),
    [
        ('stgcnpp-tiny', 'mma82_skeleton_u48', 10),
        ('skeletontcn-tiny', 'mma82_skeleton_u48', 1),
        ('posec3d-tiny', 'mma82_heatmap_u16', 10),
    ],
)
def test_scores_are_the_mean_over_views_of_skeletons(tmp_path, model, data, std):
    rng = np.random.default_rng(0)
    keypoint, score = rng.uniform(1, 200, (1, 30, 65, 2)), rng.random((1, 30, 65))
    with SkeletonWriter(tmp_path, 'rec', WHOLEBODY65, max_persons=1) as writer:
        writer.append('a', keypoint, score, 25.0, 320, 240)
    pipeline = Compose(with_views(pipeline_of(data), views=4))
    packed = pipeline({'clip': 'a', 'data_root': str(tmp_path), 'label': 0})
    assert_mean_of_views(model, packed, 1, views=4, std=std)


@pytest.mark.parametrize(
    ('steps', 'options', 'message'),
    [
        (['UniformFrames'], {'views': 0}, 'views 0: use a whole number from 1'),
        (['SampleFrames'], {'views': 2}, 'has none of UniformFrames.*has SampleFrames'),
        (['CenterCrop'], {'crops': 2}, r'crops 2: use 1 \(the middle\) or 3'),
        (['Resize'], {'crops': 3}, 'has no CenterCrop to replace; it has Resize'),
        (['LoadSkeleton'], {'crops': 3}, 'skeletons have no picture to crop'),
        (['CenterCrop'], {'crops': 3}, r'the crop \(8, 9\) is no square'),
    ],
)
def test_what_cannot_be_changed(steps, options, message):
    pipeline = [dict(type=step, crop_size=(8, 9)) for step in steps]
    with pytest.raises(ValueError, match=message):
        with_views(pipeline, **options)
