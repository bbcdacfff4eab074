import itertools

import cv2
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from mmma.datasets.transforms import augment
from mmma.datasets.transforms.augment import OPERATIONS, ClipErasing, ClipRandAugment

FILL = (128, 128, 128)


def make_clip(frames=3, height=40, width=56):
    """Smooth frames in strong colours, so that resampling by hand is comparable."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (frames, 5, 7, 3), dtype=np.uint8)
    return np.stack([cv2.resize(f, (width, height)) for f in coarse])


def signs(monkeypatch, value):
    """Make every drawn sign the same: +1 or -1."""
    monkeypatch.setattr(np.random, 'random', lambda: 0.75 if value > 0 else 0.25)


def enhance(kind):
    return lambda image, level, sign: kind(image).enhance(1 + sign * 0.9 * level)


def affine(make):
    def run(image, level, sign):
        matrix = make(sign * level, image)
        return image.transform(
            image.size, Image.AFFINE, matrix, Image.BILINEAR, fillcolor=FILL
        )

    return run


def turn(image, level, sign):
    return image.rotate(sign * 30 * level, Image.BILINEAR, fillcolor=FILL)


def point(function):
    def run(image, level, sign):
        return image.point([function(v, level) for v in range(256)] * 3)

    return run


PIL_OPERATIONS = {
    'AutoContrast': lambda image, level, sign: ImageOps.autocontrast(image),
    'Equalize': lambda image, level, sign: ImageOps.equalize(image),
    'Invert': lambda image, level, sign: ImageOps.invert(image),
    'Rotate': turn,
    'Posterize': lambda image, level, sign: ImageOps.posterize(
        image, 4 - int(level * 4)
    ),
    'Solarize': lambda image, level, sign: ImageOps.solarize(
        image, 256 - int(level * 256)
    ),
    'SolarizeAdd': point(lambda v, level: min(255, v + int(110 * level) * (v < 128))),
    'Color': enhance(ImageEnhance.Color),
    'Contrast': enhance(ImageEnhance.Contrast),
    'Brightness': enhance(ImageEnhance.Brightness),
    'Sharpness': enhance(ImageEnhance.Sharpness),
    'ShearX': affine(lambda level, image: (1, 0.3 * level, 0, 0, 1, 0)),
    'ShearY': affine(lambda level, image: (1, 0, 0, 0.3 * level, 1, 0)),
    'TranslateX': affine(
        lambda level, image: (1, 0, 0.45 * level * image.width, 0, 1, 0)
    ),
    'TranslateY': affine(
        lambda level, image: (1, 0, 0, 0, 1, 0.45 * level * image.height)
    ),
}


BY_NAME = dict(zip(PIL_OPERATIONS, OPERATIONS, strict=True))  # the fifteen of timm


@pytest.mark.parametrize('name', BY_NAME)
def test_operations_on_one_frame_are_those_of_pil(monkeypatch, name):
    clip = make_clip(frames=1)
    for level, sign in itertools.product((0.3, 0.7), (1, -1)):
        signs(monkeypatch, sign)
        ours = BY_NAME[name](clip, level)[0].astype(int)
        theirs = PIL_OPERATIONS[name](Image.fromarray(clip[0]), level, sign)
        difference = np.abs(ours - np.asarray(theirs)).max(axis=2)
        # OpenCV blends the outermost pixels with the fill, PIL cuts them off.
        assert (difference <= 2).mean() > 0.95
        assert np.median(difference) <= 1


@pytest.mark.parametrize('name', ['AutoContrast', 'Equalize', 'Contrast'])
def test_statistics_are_those_of_the_clip(monkeypatch, name):
    signs(monkeypatch, 1)
    clip = make_clip(frames=4)
    clip[0] //= 4
    wide = clip.transpose(1, 0, 2, 3).reshape(1, 40, -1, 3)  # frames side by side
    ours = BY_NAME[name](clip, 0.7)
    expected = BY_NAME[name](wide, 0.7).reshape(40, 4, 56, 3).transpose(1, 0, 2, 3)
    assert np.array_equal(ours, expected)
    assert not np.array_equal(ours[:1], BY_NAME[name](clip[:1], 0.7))


def test_equal_frames_stay_equal():
    clip = np.repeat(make_clip(frames=1), 4, axis=0)
    before = clip.copy()
    for operation in OPERATIONS:
        out = operation(clip, 0.8)
        assert (out.shape, out.dtype) == (clip.shape, np.uint8)
        assert all(np.array_equal(frame, out[0]) for frame in out), operation
        assert np.array_equal(clip, before)
        assert not np.array_equal(out, clip), operation


@pytest.mark.parametrize('name', ['AutoContrast', 'Equalize'])
def test_a_clip_of_one_colour_stays(name):
    clip = np.full((2, 4, 4, 3), 7, np.uint8)
    assert np.array_equal(BY_NAME[name](clip, 0.5), clip)


def certain(kind):
    kind.prob = 1
    return kind


@pytest.mark.parametrize('form', [list, np.array])
@pytest.mark.parametrize('kind', [ClipRandAugment, ClipErasing])
def test_the_form_of_the_frames_stays(kind, form):
    np.random.seed(0)
    imgs = form(list(make_clip()))
    before = np.array(imgs)
    out = certain(kind())(dict(imgs=imgs, label=3))
    assert type(out['imgs']) is type(imgs)
    assert np.shape(out['imgs']) == before.shape
    assert np.asarray(out['imgs']).dtype == np.uint8
    assert out['label'] == 3
    assert np.array_equal(imgs, before)
    assert not np.array_equal(out['imgs'], before)


@pytest.mark.parametrize('kind', [ClipRandAugment(), ClipErasing()])
def test_the_seed_decides(kind):
    def draw(seed):
        np.random.seed(seed)
        return np.asarray(kind(dict(imgs=list(make_clip())))['imgs'])

    outs = [draw(seed) for seed in range(12)]
    assert all(np.array_equal(draw(seed), outs[seed]) for seed in range(12))
    assert len({out.tobytes() for out in outs}) > 2


def spy(monkeypatch):
    """Levels that each operation is called with."""
    levels = [[] for _ in OPERATIONS]

    def spied(into):
        return lambda clip, level: into.append(level) or clip

    monkeypatch.setattr(augment, 'OPERATIONS', [spied(each) for each in levels])
    return levels


def test_operations_are_drawn_evenly_at_the_given_strength(monkeypatch):
    levels = spy(monkeypatch)
    np.random.seed(0)
    kind, imgs = ClipRandAugment(), np.zeros((1, 2, 2, 3), np.uint8)
    for _ in range(1500):
        kind(dict(imgs=imgs))
    counts = [len(drawn) for drawn in levels]
    everything = np.concatenate(levels)
    assert sum(counts) == pytest.approx(1500 * 4 * 0.5, rel=0.05)
    assert min(counts) > 150
    assert everything.mean() == pytest.approx(0.7, abs=0.01)
    assert everything.std() == pytest.approx(0.05, abs=0.005)


def test_strength_stays_within_its_range(monkeypatch):
    levels = spy(monkeypatch)
    kind = certain(ClipRandAugment(num_ops=200))
    kind.spread = 1
    kind(dict(imgs=np.zeros((1, 2, 2, 3), np.uint8)))
    drawn = np.concatenate(levels)
    assert (drawn.min(), drawn.max()) == (0, 1)


def erased_box(seed, **settings):
    """Clip before and after erasing, and where every frame changed."""
    np.random.seed(seed)
    clip = np.zeros((5, 64, 48, 3), np.uint8)
    kind = certain(ClipErasing())
    vars(kind).update(settings)
    out = kind(dict(imgs=clip))['imgs']
    return out, (out > 0).any(axis=(0, 3))


@pytest.mark.parametrize('seed', range(5))
def test_one_box_of_the_asked_size_is_erased_in_every_frame(seed):
    out, changed = erased_box(seed)
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert changed.sum() == height * width
    assert 0.015 < height * width / changed.size < 0.35
    assert 0.25 < height / width < 4
    assert all(frame[changed].any() for frame in out)
    assert not np.array_equal(out[0], out[1])


def test_noise_is_normal_around_the_mean():
    mean, std = np.array([100.0, 120.0, 140.0]), np.array([10.0, 20.0, 30.0])
    out, changed = erased_box(0, area=(0.3, 1 / 3), mean=mean, std=std)
    pixels = out[:, changed].reshape(-1, 3)
    assert pixels.mean(0) == pytest.approx(mean, abs=1)
    assert pixels.std(0) == pytest.approx(std, rel=0.05)


def test_erasing_happens_at_its_probability():
    np.random.seed(0)
    kind = ClipErasing()
    imgs = np.zeros((1, 16, 16, 3), np.uint8)
    hits = sum(kind(dict(imgs=imgs))['imgs'] is not imgs for _ in range(800))
    assert hits / 800 == pytest.approx(0.25, abs=0.05)


def test_a_frame_without_room_for_a_box_stays():
    imgs = np.zeros((1, 1, 1, 3), np.uint8)
    assert np.array_equal(certain(ClipErasing())(dict(imgs=imgs))['imgs'], imgs)


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match='num_ops -1: use a number from 0'):
        ClipRandAugment(num_ops=-1)


@pytest.mark.parametrize(
    'imgs', [np.zeros((2, 4, 4, 3), np.float32), np.zeros((2, 4, 4), np.uint8)]
)
@pytest.mark.parametrize('kind', [ClipRandAugment(), certain(ClipErasing())])
def test_other_frames_are_refused(kind, imgs):
    with pytest.raises(ValueError, match=r'takes uint8 RGB frames \(T, H, W, 3\)'):
        kind(dict(imgs=imgs))
