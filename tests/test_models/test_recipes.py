"""Recipes: model, pipeline and schedule fit, start from what they say, and learn."""

import re

import numpy as np
import pytest
import torch
from detection_windows import window
from mmaction.structures import ActionDataSample
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import build_optim_wrapper

import mmma.datasets  # noqa: F401
from mmma.config import config_folders, load_config
from mmma.data.arrays import SkeletonWriter
from mmma.data.joints import WHOLEBODY65
from mmma.datasets.transforms.rgb import UniformFrames
from mmma.engine.features import run_model
from mmma.engine.fewshot import source_classifier
from mmma.models.backbones.hub_encoder import read_config
from mmma.registry import DATA_SAMPLERS, METRICS, MODELS, TRANSFORMS, shapes_only
from mmma.structures.segments import NmsOptions

CONFIGS = config_folders()[0]
SHIFTED = ('tsm', 'gctsm', 'manet', 'gctsm-tiny', 'effnetlite-tsm')
VIDEOMAE = ('videomae', 'videomae-tiny', 'videomae-s', 'videomae-l', 'videomae-h')
HEATMAPS = ('posec3d', 'posec3d-limb', 'posec3d-tiny')
SKELETONS = ('stgcnpp', 'skeletontcn-tiny', *HEATMAPS)
BOTH = ('rgbposeconv3d', 'rgbposeconv3d-tiny')
COMPACT = ('skeletontcn-tiny', 'posec3d-tiny')
RECOGNITION = (*SHIFTED, *VIDEOMAE, *SKELETONS, *BOTH, 'vjepa2-l')
FEATURES = ('actionformer_videomae-s-features', 'tridet_videomae-s-features')
DETECTION = [path.stem.removesuffix('_mma82') for path in CONFIGS.glob('det/*.py')]
ADATAD_RATES = {'s': 4e-4, 'b': 4e-4, 'l': 2e-4, 'h': 1e-4}
ADATAD_MILLIONS = {'s': 1.01, 'b': 4.00, 'l': 14.2, 'h': 29.6}
PUBLISHED_AVG = {'s': '18.77', 'b': '21.36', 'l': '23.41', 'h': '23.07'}
CLIPS = 4


def load(recipe):
    leaf = 'det/{}_mma82.py' if recipe in DETECTION else 'recog/{}_mma82_indomain.py'
    return Config.fromfile(CONFIGS / leaf.format(recipe))


def build_on_meta(cfg):
    model = cfg.model.copy()
    model.pop('data_preprocessor', None)  # its mean and std need real numbers
    with shapes_only():
        return MODELS.build(model)


def make_clips(clips=4, side=112, views=1):
    torch.manual_seed(0)
    shape = (clips, views, 3, 16, side, side)
    imgs = torch.randint(0, 256, shape, dtype=torch.uint8)
    samples = [ActionDataSample().set_gt_label(i) for i in range(clips)]
    return dict(inputs=list(imgs), data_samples=samples)


@pytest.fixture(scope='module')
def skeletons(tmp_path_factory):
    """A store of four clips, each with joints missing now and then."""
    root = tmp_path_factory.mktemp('skeletons')
    rng = np.random.default_rng(0)
    with SkeletonWriter(root, 'rec', WHOLEBODY65) as writer:
        for clip in range(CLIPS):
            place = rng.uniform(20, 200, (1, 1, 65, 2))
            keypoint = place + rng.normal(0, 3, (1, 30, 65, 2))
            score = (rng.random((1, 30, 65)) > 0.1).astype(float)
            writer.append(f'c{clip}', keypoint, score, 30, 320, 240)
    return root


def make_skeletons(pipeline, root, clips=CLIPS):
    np.random.seed(0)
    steps = Compose([TRANSFORMS.build(step) for step in pipeline])
    rows = [
        dict(clip=f'c{i}', data_root=str(root), label=i, modality='Pose')
        for i in range(clips)
    ]
    return pseudo_collate([steps(row) for row in rows])


def test_heads_backbones_and_pipelines_fit():
    broken = []
    for recipe in RECOGNITION:
        cfg = load(recipe)
        if recipe == 'vjepa2-l':
            continue  # needs transformers
        model = build_on_meta(cfg)
        head, backbone = model.cls_head, model.backbone
        groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
        grouped = sum(len(group['params']) for group in groups)
        fits = [
            head.fc_cls.out_features == 82,
            grouped == sum(p.requires_grad for p in model.parameters()),
        ]
        if recipe in SHIFTED:
            steps = [s.clip_len for s in cfg.train_pipeline if 'Uniform' in s.type]
            fits += [
                head.fc_cls.in_features == backbone.out_channels,
                steps == [head.num_segments] == [backbone.num_segments],
            ]
        elif recipe in VIDEOMAE:
            fits += [
                head.fc_cls.in_features == backbone.arch.embed_dims,
                head.average_clips == 'prob',
            ]
        else:
            wanted = cfg.model.backbone
            loaders = [cfg[f'{s}_dataloader'] for s in ('train', 'val', 'test')]
            parts = [loader.dataset.pipeline[0] for loader in loaders]
            if recipe in (*HEATMAPS, *BOTH):
                drawn = cfg.model.data_preprocessor
                drawn = drawn.get('preprocessors', {}).get('keypoint', drawn)
                fits += [wanted.get('limbs') == drawn.get('limbs')]
                parts.append(drawn)
            own = (wanted.joints, wanted.layout)
            fits += [(part.joints, part.layout) == own for part in parts]
        if not all(fits):
            broken.append((recipe, fits))
    assert broken == []


def test_pretrained_files_are_pinned():
    broken = []
    for recipe in (*RECOGNITION, *DETECTION):
        pretrained = load(recipe).pretrained
        if pretrained is None:
            continue
        pinned = re.search('/resolve/[0-9a-f]{40}/', pretrained.url)
        hashed = pretrained.url.endswith(f'-{pretrained.sha8}.pth')
        known = pretrained.sha8 or 'unverified' in pretrained.note
        if not known or not (pinned or hashed or pretrained.sha8):
            broken.append(recipe)
    assert broken == []
    for size in set(PUBLISHED_AVG) - {'s'}:
        same = 'videomae' if size == 'b' else f'videomae-{size}'
        assert load(f'adatad_videomae-{size}').pretrained == load(same).pretrained


def test_adatad_starts_from_the_first_videomae():
    found = {size: load(f'adatad_videomae-{size}').pretrained for size in PUBLISHED_AVG}
    assert {start.data for start in found.values()} == {'kinetics-400'}
    assert 'videomae-small-finetuned-kinetics/' in found['s'].url
    header = (CONFIGS / 'det/adatad_videomae-s_mma82.py').read_text()
    assert '--load-from the URL in\n# videomae-s_mma82_indomain.py' in header
    assert 'videomaev2' in load('videomae-s').pretrained.url


def test_adatad_keeps_two_thousand_segments_of_a_video():
    for size in PUBLISHED_AVG:
        cfg = load(f'adatad_videomae-{size}')
        for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
            options = METRICS.build(evaluator).merging['nms']
            assert options == NmsOptions(max_per_video=2000)


def test_posec3d_fine_tunes_as_published():
    for recipe in ('posec3d', 'posec3d-limb'):
        cfg = load(recipe)
        (steps,) = cfg.param_scheduler
        assert (cfg.optim_wrapper.optimizer.lr, cfg.train_cfg.max_epochs) == (0.01, 120)
        assert (steps.milestones, steps.gamma) == ([90, 110], 0.1)
        sides = {}
        for subset in ('train', 'val', 'test'):
            pipeline = cfg[f'{subset}_dataloader'].dataset.pipeline
            sides[subset] = [s.scale[0] for s in pipeline if s.type == 'Resize'][-1]
        assert sides == {'train': 48, 'val': 56, 'test': 56}


def test_test_loaders_give_the_published_views():
    views = {}
    for recipe in SKELETONS:
        loader = load(recipe).test_dataloader
        (step,) = [s for s in loader.dataset.pipeline if s.type.startswith('Uniform')]
        views[recipe] = step.get('views', 1)
    ten = dict.fromkeys(('stgcnpp', 'posec3d', 'posec3d-limb'), 10)
    assert views == {**dict.fromkeys(SKELETONS, 1), **ten}


def test_videomae_gives_each_clip_twice_per_step_and_counts_it_once():
    for recipe in set(VIDEOMAE) - {'videomae-tiny'}:
        cfg = load(recipe)
        loader, scaling = cfg.train_dataloader, cfg.auto_scale_lr
        sampler = DATA_SAMPLERS.build(
            loader.sampler, default_args=dict(dataset=range(20), seed=1)
        )
        keys = list(sampler)
        steps = [keys[i : i + 16] for i in range(0, len(keys), loader.batch_size)]
        assert [len({key.index for key in step}) for step in steps] == [8, 8, 4]
        assert [len(set(step)) for step in steps] == [16, 16, 8]
        rate = cfg.optim_wrapper.optimizer.lr * loader.batch_size
        assert rate / scaling.base_batch_size == pytest.approx(5e-4 * 8 / 256)


def test_heads_follow_another_label_space():
    for recipe in RECOGNITION:
        path = str(CONFIGS / f'recog/{recipe}_mma82_indomain.py')
        cfg = load_config(path, cfg_options=['label_space=ma52'])
        assert cfg.model.cls_head.label_space == 'ma52', recipe
        assert cfg.model.cls_head.num_classes == 52, recipe
        sets = [cfg[f'{s}_dataloader'].dataset for s in ('train', 'val', 'test')]
        assert [part.label_space for part in sets] == ['ma52'] * 3, recipe
        if recipe == 'manet':  # its label vectors are made from the names
            assert build_on_meta(cfg).cls_head.label_vectors.shape == (52, 300)


def clip_of(views, side=(40, 56)):
    """A decoded clip whose frames show the number of their view."""
    results = dict(times_sec=np.arange(48) / 24, duration_sec=2.0)
    results = UniformFrames(clip_len=8, views=views, test_mode=True)(results)
    frames = [np.full((*side, 3), v, np.uint8) for v in range(views) for _ in range(8)]
    return dict(results, imgs=frames, img_shape=side, modality='RGB')


def test_views_and_crops_stay_together():
    steps = [dict(type='ThreeCrop', crop_size=40), dict(type='FormatShape')]
    steps[1]['input_format'] = 'NCHW'
    imgs = Compose([TRANSFORMS.build(s) for s in steps])(clip_of(views=2))['imgs']
    assert imgs.shape == (3 * 2 * 8, 3, 40, 40)
    assert imgs.reshape(6, 8, -1).max(axis=(1, 2)).tolist() == [0, 1] * 3
    assert imgs.reshape(6, 8, -1).min(axis=(1, 2)).tolist() == [0, 1] * 3


def test_views_are_averaged_as_probabilities():
    model = MODELS.build(load('gctsm-tiny').model).eval()
    views = torch.rand(1, 16, 3, 32, 32)
    with torch.inference_mode():
        logits = [model.cls_head(model.backbone(v)) for v in views[0].split(8)]
        sample = model(views, [ActionDataSample()], mode='predict')[0]
    scores = torch.cat(logits).softmax(dim=1).mean(dim=0)
    torch.testing.assert_close(sample.pred_score, scores)


@pytest.mark.parametrize(('recipe', 'side'), [('tsm', 224), ('gctsm-tiny', 64)])
def test_pipelines_give_frames_first(recipe, side):
    for pipeline in ('train_pipeline', 'test_pipeline'):
        skipped = ('OpenVideo', 'DecodeFrames', 'UniformFrames', 'PackClip')
        steps = [s for s in load(recipe)[pipeline] if s.type not in skipped]
        imgs = Compose([TRANSFORMS.build(s) for s in steps])(clip_of(1))['imgs']
        assert imgs.shape == (8, 3, side, side)


def test_schedule_and_model_give_layerwise_rates():
    model = MODELS.build(load('videomae-tiny').model)
    wrapper = build_optim_wrapper(model, load('videomae').optim_wrapper)
    rates = sorted({g['lr'] for g in wrapper.optimizer.param_groups})
    assert rates == pytest.approx([5e-4 * 0.75**i for i in range(5, -1, -1)])


def blend(seed):
    """Labels (4, 4) and normalised clips (4, 1, 3, 2, 16, 16) of one batch.

    Clip i is i all over before it is blended.
    """
    preprocessor = MODELS.build(load('videomae').model.data_preprocessor)
    ones = torch.ones(1, 3, 2, 16, 16) * preprocessor.std
    batch = make_clips(side=16)
    batch['inputs'] = [ones * i + preprocessor.mean for i in range(4)]
    np.random.seed(seed)
    torch.manual_seed(seed)
    data = preprocessor(batch, training=True)
    labels = torch.stack([s.gt_label for s in data['data_samples']])
    assert labels.shape == (4, 82)
    return labels[:, :4], data['inputs']


def test_blending_mixes_clips_and_labels_alike():
    boxes = set()
    for seed in range(10):
        labels, imgs = blend(seed)
        torch.testing.assert_close(labels.sum(dim=1), torch.ones(4))
        values = imgs.mean(dim=(1, 2, 3, 4, 5))
        mixed = labels @ torch.arange(4.0)
        torch.testing.assert_close(values, mixed, atol=1e-4, rtol=1e-4)
        assert torch.equal(imgs[..., 0, :, :], imgs[..., 1, :, :])  # one box for all
        flat = imgs.flatten(1)
        boxes.add(bool((flat.amax(dim=1) - flat.amin(dim=1) > 0.5).any()))
    assert boxes == {True, False}  # cutmix and mixup


def test_blending_is_off_in_testing_and_fixed_by_the_seed():
    preprocessor = MODELS.build(load('videomae-s').model.data_preprocessor)
    tested = preprocessor(make_clips(side=16))
    assert [s.gt_label.tolist() for s in tested['data_samples']] == [[0], [1], [2], [3]]
    assert torch.equal(blend(3)[1], blend(3)[1])


@pytest.mark.parametrize('batch_size', [1, 4])
def test_a_blended_training_step_runs(batch_size):
    cfg = load('videomae-tiny').model
    cfg.data_preprocessor.blending = load('videomae').model.data_preprocessor.blending
    cfg.cls_head.label_smooth_eps = 0.1
    model = MODELS.build(cfg)
    wrapper = build_optim_wrapper(model, dict(optimizer=dict(type='AdamW', lr=1e-3)))
    before = model.backbone.patch_embed.projection.weight.detach().clone()
    losses = model.train_step(make_clips(batch_size), wrapper)
    assert list(losses) == ['loss', 'loss_cls']
    assert losses['loss'].isfinite()
    assert not torch.equal(model.backbone.patch_embed.projection.weight, before)


def test_the_tiny_videomae_learns_one_batch():
    cfg = load('videomae-tiny')
    model = MODELS.build(cfg.model)
    model.init_weights()
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    batch = make_clips(side=64)
    losses = [model.train_step(batch, wrapper)['loss'].item() for _ in range(15)]
    assert losses[0] > 3.5
    assert losses[-1] < 0.2 * losses[0]
    with torch.no_grad():
        scores = torch.stack([s.pred_score for s in model.test_step(batch)])
    assert scores.argmax(dim=1).tolist() == [0, 1, 2, 3]
    torch.testing.assert_close(scores.sum(dim=1), torch.ones(4))


def test_the_large_vjepa2_is_the_published_one_and_frozen():
    pytest.importorskip('transformers')
    cfg = load('vjepa2-l')
    assert cfg.pretrained.sha8 == '25466aef'
    model = build_on_meta(cfg)
    assert model.cls_head.fc_cls.in_features == model.backbone.config.hidden_size
    learning = [n for n, p in model.named_parameters() if p.requires_grad]
    assert learning == ['cls_head.fc_cls.weight', 'cls_head.fc_cls.bias']
    # The library's defaults are the sizes of facebook/vjepa2-vitl-fpc64-256.
    standard = read_config(dict(model_type='vjepa2')).to_dict()
    ours = model.backbone.config.to_dict()
    assert {name for name in ours if ours[name] != standard[name]} == {'dtype'}
    side = cfg.model.backbone.config.crop_size
    resized = [s.scale for s in cfg.train_pipeline if s.type == 'Resize']
    cropped = [s.crop_size for s in cfg.test_pipeline if s.type == 'CenterCrop']
    assert (resized[-1], cropped) == ((side, side), [side])


def test_a_small_vjepa2_learns_and_scores_clips():
    pytest.importorskip('transformers')
    cfg = load('vjepa2-l')
    sizes = dict(hidden_size=128, num_hidden_layers=4, num_attention_heads=4)
    cfg.model.backbone.config.update(sizes, mlp_ratio=4, crop_size=112)
    cfg.model.backbone.update(freeze='none', with_cp=False)
    cfg.model.cls_head.update(in_channels=128, dropout_ratio=0.0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    batch = make_clips(2)
    losses = [model.train_step(batch, wrapper)['loss_cls'].item() for _ in range(4)]
    assert losses[-1] < losses[0]
    assert len({group['lr'] for group in wrapper.param_groups}) == 6
    with torch.no_grad():
        scored = model.eval().test_step(make_clips(2, views=2))
    assert [s.pred_score.shape for s in scored] == [(82,), (82,)]
    assert scored[0].pred_score.sum().item() == pytest.approx(1, abs=1e-5)


def test_one_batch_of_frames_and_joints_is_learnt_and_scored():
    cfg = load('rgbposeconv3d-tiny')
    model = MODELS.build(cfg.model)
    model.init_weights()
    model.cls_head.dropout.p = 0
    assert not model.cls_head.fc_cls.weight[:, -2:].any()  # the biases
    rng = torch.Generator().manual_seed(0)
    imgs = torch.randint(0, 256, (4, 2, 3, 8, 32, 32), generator=rng).byte()
    joints = torch.rand(4, 1, 1, 1, 31, 3, generator=rng) * torch.tensor([32, 32, 1.0])
    joints = joints.repeat(1, 2, 1, 32, 1, 1)

    def batch():
        samples = [ActionDataSample(metainfo=dict(img_shape=(32, 32))) for _ in imgs]
        samples = [s.set_gt_label(i) for i, s in enumerate(samples)]
        inputs = dict(imgs=list(imgs[:, :1]), keypoint=list(joints[:, :1]))
        return dict(inputs=inputs, data_samples=samples)

    wrapper = build_optim_wrapper(model, dict(optimizer=dict(type='AdamW', lr=3e-3)))
    for _ in range(18):
        losses = model.train_step(batch(), wrapper)
    assert (losses['rgb_top1_acc'], losses['pose_top1_acc']) == (1, 1)
    many = batch() | dict(inputs=dict(imgs=list(imgs), keypoint=list(joints)))
    ((_, features),) = run_model(model, [many])
    with torch.no_grad():
        scores = torch.stack([s.pred_score for s in model.test_step(many)])
    # As few-shot sees it: one linear classifier of views, two of each.
    assert features.shape == (4, 4, 512 + 128 + 2)
    found = source_classifier(model).predict(features)
    np.testing.assert_allclose(found, scores, atol=1e-6)


def small_swin(cfg):
    arch = dict(embed_dims=24, depths=[1, 1, 2, 1], num_heads=[1, 2, 3, 6])
    cfg.model.backbone.update(arch=arch, drop_path_rate=0.0)
    cfg.model.cls_head.update(in_channels=192, dropout_ratio=0.0)
    cfg.optim_wrapper.optimizer.lr = 1e-2


@pytest.mark.parametrize(
    ('recipe', 'change', 'side'),
    [
        ('videoswin-t', small_swin, 64),
        ('videomae-tiny-lora', lambda cfg: None, 112),
        ('videomae-tiny-lora', lambda cfg: cfg.model.backbone.update(
            lora=None, tia=True), 112),
    ],
)  # fmt: skip
def test_small_transformers_learn_one_batch(recipe, change, side):
    cfg = load(recipe)
    change(cfg)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    batch = make_clips(side=side)
    losses = [model.train_step(batch, wrapper)['loss'].item() for _ in range(30)]
    assert losses[-1] < 0.2 * losses[0]


def test_video_swin_is_the_published_one():
    millions = dict(t=28.2, s=49.8, b=88.0)  # with 400 classes
    for size, expected in millions.items():
        cfg = load(f'videoswin-{size}')
        model = build_on_meta(cfg)
        count = sum(p.numel() for p in model.backbone.parameters())
        count += 400 * (model.cls_head.fc_cls.in_features + 1)
        assert count / 1e6 == pytest.approx(expected, abs=0.06)
        groups = build_optim_wrapper(model, cfg.optim_wrapper).param_groups
        rates = {(round(g['lr'], 6), g['weight_decay']) for g in groups}
        decay = 0.05 if size == 'b' else 0.02
        assert rates == {(1e-4, 0.0), (1e-4, decay), (1e-3, decay)}


@pytest.mark.parametrize('recipe', COMPACT)
def test_one_batch_of_skeletons_is_learnt(recipe, skeletons):
    cfg = load(recipe)
    model = MODELS.build(cfg.model)
    model.cls_head.dropout.p = 0
    batch = make_skeletons(cfg.val_pipeline, skeletons)
    wrapper = build_optim_wrapper(model, dict(optimizer=dict(type='AdamW', lr=3e-3)))
    for _ in range(20):
        losses = model.train_step(batch, wrapper)
    assert losses['top1_acc'] == 1


@pytest.mark.parametrize('recipe', ['stgcnpp', *COMPACT])
def test_skeletons_train_every_weight_and_get_one_score_per_clip(recipe, skeletons):
    cfg = load(recipe)
    model = MODELS.build(cfg.model)
    batch = make_skeletons(cfg.train_pipeline, skeletons, clips=2)
    losses = model(**model.data_preprocessor(batch, True), mode='loss')
    losses['loss_cls'].backward()
    assert torch.isfinite(losses['loss_cls'])
    assert all(p.grad is not None for p in model.parameters())
    pipeline = cfg.test_dataloader.dataset.pipeline
    pipeline[1].views = min(pipeline[1].get('views', 1), 2)  # ten take seconds
    samples = model.eval().test_step(make_skeletons(pipeline, skeletons, clips=2))
    scores = torch.stack([s.pred_score for s in samples])
    assert scores.shape == (2, 82)
    torch.testing.assert_close(scores.sum(1), torch.ones(2))
    assert [s.clip for s in samples] == ['c0', 'c1']


@pytest.mark.parametrize(
    ('recipe', 'subset', 'shape'),
    [
        ('posec3d', 'train', (1, 17, 48, 48, 48)),
        ('posec3d', 'test', (20, 17, 48, 56, 56)),
        ('posec3d-limb', 'train', (1, 17, 48, 48, 48)),
        ('posec3d-tiny', 'train', (1, 31, 16, 32, 32)),
    ],
)
def test_heatmaps_are_of_published_size(recipe, subset, shape, skeletons):
    cfg = load(recipe)
    pipeline = cfg[f'{subset}_dataloader'].dataset.pipeline
    batch = make_skeletons(pipeline, skeletons, clips=1)
    volume = MODELS.build(cfg.model.data_preprocessor)(batch, False)['inputs']
    assert volume.shape == (1, *shape)
    assert 0.5 < volume.max() <= 1


def test_levels_fit_the_window():
    broken = []
    for recipe in DETECTION:
        cfg = load(recipe)
        levels = cfg.model.neck.num_levels
        positions = cfg.train_dataloader.dataset.window.positions
        fits = [
            cfg.model.head.get('num_levels', levels) == levels,  # a dense one has all
            cfg.model.projection.arch[2] + 1 == levels,
            positions % 2 ** (levels - 1) == 0,
            positions % 16 == 0,  # frames of a chunk
        ]
        if not all(fits):
            broken.append((recipe, fits))
    assert broken == []


@pytest.mark.parametrize('size', ADATAD_RATES)
def test_adapters_learn_at_the_rate_of_their_size(size):
    cfg = load(f'adatad_videomae-{size}')
    model = build_on_meta(cfg)
    groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    set_of = {id(p): (g['lr'], g['weight_decay']) for g in groups for p in g['params']}
    learning = {n: p for n, p in model.named_parameters() if p.requires_grad}
    adapters = {n for n in learning if '.adapter.' in n}
    (found,) = {set_of[id(learning[n])][0] for n in adapters}
    assert found == pytest.approx(ADATAD_RATES[size])
    rest = {set_of[id(p)] for n, p in learning.items() if n not in adapters}
    assert rest == {(1e-4, 0.05), (1e-4, 0.0)}
    count = sum(learning[n].numel() for n in adapters)
    assert count / 1e6 == pytest.approx(ADATAD_MILLIONS[size], rel=5e-3)
    assert model.backbone.arch.embed_dims == cfg.model.projection.in_channels
    text = (CONFIGS / f'det/adatad_videomae-{size}_mma82.py').read_text()
    assert f'Expected: AVG {PUBLISHED_AVG[size]} ' in text.replace('\n# ', ' ')


@pytest.mark.parametrize('recipe', ['adatad_videomae-tiny', *FEATURES])
def test_a_detector_learns_and_detects(recipe):
    cfg = load(recipe)
    if recipe in FEATURES:  # as deep, but narrower
        cfg.model.projection.update(out_channels=32, num_heads=2)
        cfg.model.projection.pop('num_heads' if 'tridet' in recipe else 'hidden', None)
        cfg.model.neck.in_channels = 32
        cfg.model.head.update(in_channels=32, feat_channels=32)
        inputs, positions = torch.randn(384, 256), 256
    else:
        inputs = torch.randint(0, 256, (3, 128, 64, 64), dtype=torch.uint8)
        positions = 128
    model = MODELS.build(cfg.model)
    sample = window([[1.0, 4.0], [2.0, 9.0]], [3, 81], positions, positions=positions)
    batch = model.data_preprocessor(dict(inputs=[inputs], data_samples=[sample]), True)
    losses = model.train()(**batch, mode='loss')
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    found = model.eval()(**batch, mode='predict')[0].pred
    assert found.labels.max() <= 81
