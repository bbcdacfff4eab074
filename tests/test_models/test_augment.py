"""On the device clips are changed as in loaders, by the same draws."""

import numpy as np
import pytest
import torch
from mmengine.dataset import Compose

from mmma.config import load_config
from mmma.datasets.transforms import augment as loaders
from mmma.models import augment
from mmma.models.augment import AugmentingPreprocessor, augment_on_device
from mmma.registry import MODELS

NAMES = [op.__name__ for op in augment.OPERATIONS[:11]]
NAMES += ['shear x', 'shear y', 'translate x', 'translate y']
PLAIN = dict(
    type='ActionDataPreprocessor',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    format_shape='NCTHW',
)


def make_clip(seed=0, frames=3, height=40, width=56):
    """Smooth coloured frames (T, H, W, 3)."""
    draw = np.random.default_rng(seed)
    coarse = torch.from_numpy(draw.integers(0, 256, (frames, 3, 8, 8))).float()
    fine = torch.nn.functional.interpolate(coarse, (height, width), mode='bilinear')
    return fine.round().byte().permute(0, 2, 3, 1).numpy()


def as_frames(clip):
    return torch.from_numpy(clip).permute(0, 3, 1, 2)


@pytest.mark.parametrize('number', range(15), ids=NAMES)
@pytest.mark.parametrize('level', [0.55, 0.7, 0.93])
def test_single_operations(number, level):
    for seed in range(4):  # both signs
        clip = make_clip(seed)
        np.random.seed(seed)
        expected = loaders.OPERATIONS[number](clip, level)
        np.random.seed(seed)
        found = augment.OPERATIONS[number](as_frames(clip), level)
        assert found.dtype == torch.uint8
        far = np.abs(found.permute(0, 2, 3, 1).numpy().astype(int) - expected)
        # OpenCV moves by 32nds of a pixel.
        assert far.max() <= (8 if number == 3 or number > 10 else 1)
        assert far.mean() < 0.5


@pytest.mark.parametrize('level', [0.0, 1.0])
def test_one_flat_colour_and_the_ends_of_levels(level):
    clip = np.full((2, 8, 8, 3), 77, np.uint8)
    for own, other in zip(augment.OPERATIONS, loaders.OPERATIONS, strict=True):
        np.random.seed(0)
        expected = other(clip, level)
        np.random.seed(0)
        found = own(as_frames(clip), level).permute(0, 2, 3, 1).numpy()
        assert np.abs(found.astype(int) - expected).max() <= 1


STEPS = [
    dict(type='Resize', scale=(32, 24), keep_ratio=False),
    dict(type='ClipRandAugment', num_ops=3),
    dict(type='Flip', flip_ratio=0.5),
    dict(type='ClipErasing'),
]


def test_whole_samples_by_one_seed():
    pipeline = Compose([*STEPS, dict(type='FormatShape', input_format='NCTHW')])
    device = AugmentingPreprocessor(PLAIN, STEPS)
    plain = MODELS.build(PLAIN)
    near = 0
    for seed in range(30):
        clip = make_clip(seed)
        np.random.seed(seed)
        results = dict(imgs=list(clip), img_shape=clip.shape[1:3], modality='RGB')
        results.update(num_clips=1, clip_len=len(clip))
        sample = torch.from_numpy(pipeline(results)['imgs'])
        expected = plain(dict(inputs=[sample], data_samples=[]), True)['inputs']
        raw = as_frames(clip).transpose(0, 1)[None]
        np.random.seed(seed)
        batch = dict(inputs=[raw], data_samples=[])
        found = device(batch, True)['inputs']
        assert found.shape == expected.shape
        near += (found - expected).abs().mean().item() < 0.05
        changed = (found - expected).abs().mean((0, 1, 2, 3)) > 0.05
        assert changed.float().mean() < 0.4  # the noise of a box
    assert near >= 15


def test_erased_boxes_have_the_same_places_and_moments():
    shares, values = [], []
    for seed in range(60):
        clip = np.zeros((2, 48, 64, 3), np.uint8)
        np.random.seed(seed)
        torch.manual_seed(seed)
        expected = loaders.ClipErasing().transform({'imgs': clip})['imgs']
        np.random.seed(seed)
        found = augment.erase(as_frames(clip))
        box = found.amax((0, 1)) > 0
        assert (box.numpy() == (expected.max((0, 3)) > 0)).all()
        shares.append(box.any().item())
        values.append((found[:, :, box].float(), expected[:, box.numpy()]))
    assert 5 < sum(shares) < 25
    own = torch.cat([v.transpose(0, 1).flatten(1) for v, _ in values], 1)
    others = np.concatenate([v.reshape(-1, 3) for _, v in values])
    assert own.mean(1).numpy() == pytest.approx(others.mean(0), abs=1)
    assert own.std(1).numpy() == pytest.approx(others.std(0), abs=1)


def test_samples_of_several_sizes_and_both_shapes():
    steps = [dict(type='Resize', scale=(16, 16), keep_ratio=False)]
    clips = [as_frames(make_clip(i, height=20 + i, width=30)) for i in range(3)]
    whole = AugmentingPreprocessor({**PLAIN, 'format_shape': 'NCHW'}, steps)
    found = whole(dict(inputs=clips, data_samples=[]), True)['inputs']
    assert found.shape == (3, 3, 3, 16, 16)
    volumes = [clip.transpose(0, 1)[None] for clip in clips]
    whole = AugmentingPreprocessor(PLAIN, steps)
    same = whole(dict(inputs=volumes, data_samples=[]), True)['inputs']
    assert same.shape == (3, 1, 3, 3, 16, 16)
    torch.testing.assert_close(same[:, 0].transpose(1, 2), found)


def test_only_training_is_changed():
    device = AugmentingPreprocessor(PLAIN, STEPS)
    raw = as_frames(make_clip()).transpose(0, 1)[None]
    batch = dict(inputs=[raw], data_samples=[])
    torch.testing.assert_close(
        device(batch, False)['inputs'], MODELS.build(PLAIN)(batch, False)['inputs']
    )
    assert not device.state_dict()


def test_other_steps_are_refused():
    with pytest.raises(ValueError, match=r"step 'Normalize'.*Resize, ClipRandAugment"):
        AugmentingPreprocessor(PLAIN, [dict(type='Normalize')])
    resize = dict(type='Resize', scale=(8, 8))
    for more, told in ((dict(interpolation='area'), "option 'interp"), (
        dict(keep_ratio=True), 'keep_ratio=False')):  # fmt: skip
        with pytest.raises(ValueError, match=told):
            AugmentingPreprocessor(PLAIN, [resize | more])


FRAMES = ['videomae', 'gctsm', 'gctsm-tiny', 'effnetlite-tsm', 'manet', 'videoswin-t']
FRAMES = [f'recog/{name}_mma82_indomain' for name in (*FRAMES, 'vjepa2-l')]
FRAMES += [f'det/adatad_{name}_mma82' for name in ('videomae-b', 'videomaev2-g')]


@pytest.mark.parametrize('recipe', FRAMES)
def test_recipes_of_frames(recipe):
    cfg = load_config(f'configs/{recipe}.py')
    before = [step.type for step in cfg.train_dataloader.dataset.pipeline]
    own = cfg.model.data_preprocessor.type
    augment_on_device(cfg)
    left = [step.type for step in cfg.train_dataloader.dataset.pipeline]
    moved = [step['type'] for step in cfg.model.data_preprocessor.steps]
    at = left.index('FormatShape')
    assert [*left[:at], *moved, *left[at:]] == before
    assert moved[0] == 'Resize'
    assert 'ClipRandAugment' not in left
    built = MODELS.build(cfg.model.data_preprocessor)
    assert type(built.preprocessor).__name__ == own


OTHERS = [
    'recog/skeletontcn-tiny',
    'recog/rgbposeconv3d-tiny',
    'pretrain/videomae-tiny',
]


@pytest.mark.parametrize('recipe', OTHERS)
def test_other_recipes_are_refused(recipe):
    leaf = '_indomain' * recipe.startswith('recog')
    cfg = load_config(f'configs/{recipe}_mma82{leaf}.py')
    told = r'--device-augment takes Resize.* leave the option out'
    with pytest.raises(ValueError, match=told):
        augment_on_device(cfg)
