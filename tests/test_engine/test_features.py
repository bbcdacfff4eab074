import shutil

import numpy as np
import pytest
import torch
from fewshot_runs import make_run
from mmengine.config import ConfigDict
from mmengine.structures import BaseDataElement
from torch import nn

from mmma.apis import load_config
from mmma.engine import features as module
from mmma.engine.features import (
    Features,
    FeatureSource,
    extract,
    read_cache,
    run_model,
    write_cache,
)
from mmma.engine.fewshot import source_classifier
from mmma.engine.run import BackboneOptions, open_run, show_tokens
from mmma.engine.weights import load_backbone
from mmma.models.heads.action_head import ActionHead, TokenHead


def test_the_mean_over_tokens_is_what_the_recipe_pools():
    for pooling, shape in (
        ('clip', (2, 6, 3, 4, 5)),
        ('graph', (2, 1, 6, 3, 5)),
        ('segments', (6, 6, 4, 5)),
    ):
        options = dict(num_classes=82, in_channels=6, pooling=pooling, num_segments=3)
        x = torch.randn(shape)
        tokens = TokenHead(**options).eval().pool(x)
        assert tokens.shape == (6, 6)
        pooled = ActionHead(**options).eval().pool(x)
        torch.testing.assert_close(tokens.view(2, 3, 6).mean(dim=1), pooled)
    with pytest.raises(ValueError, match='hold no tokens for pooling'):
        TokenHead(82, 6, pooling='clip').pool(torch.randn(2, 6))


def test_a_backbone_that_pools_is_told_not_to():
    cfg = load_config('recog/videomae-tiny_mma82_indomain')
    show_tokens(cfg.model)
    assert cfg.model.backbone.return_feat_map
    assert cfg.model.cls_head.pooling == 'clip'
    assert cfg.model.cls_head.type == 'TokenHead'
    for head, message in (
        (dict(type='GCNHead'), 'GCNHead: tokens are taken from recipes whose head'),
        (dict(type='ActionHead', pooling='none'), 'SlowFast gives.*HubV.*, VideoM'),
    ):
        model = ConfigDict(backbone=dict(type='SlowFast'), cls_head=head)
        with pytest.raises(ValueError, match=message):
            show_tokens(model)


STAMPS = {'a': 1, 'b': 2, 'c': 3}


def rows(names, bodies=True):
    rng = np.random.default_rng(len(names))
    sizes = [(2, 4), 3, 2] if bodies else [(2, 4), 3]
    return {n: tuple(rng.random(size, 'float32') for size in sizes) for n in names}


def same(found, expected):
    assert found.keys() == expected.keys()
    for name, row in expected.items():
        for left, right in zip(found[name], row, strict=True):
            np.testing.assert_array_equal(left, right)


@pytest.fixture
def said(monkeypatch):
    found = []
    monkeypatch.setattr(module, 'print_log', lambda text, *_: found.append(text))
    return found


def test_what_was_written_is_read_bit_for_bit(tmp_path):
    for bodies in (True, False):
        folder = tmp_path / f'bodies-{bodies}'
        assert read_cache(folder, STAMPS) == {}
        first, second = rows(['a', 'b'], bodies), rows(['c'], bodies)
        for part in (first, second, {}, first):  # again, as a concurrent run would
            write_cache(folder, STAMPS, part)
        same(read_cache(folder, STAMPS), {**first, **second})
        assert len(list(folder.iterdir())) == 2


def test_a_clip_whose_file_changed_is_unknown(tmp_path):
    found, changed = rows(['a', 'b']), {**STAMPS, 'a': 9}
    write_cache(tmp_path, STAMPS, found)
    same(read_cache(tmp_path, changed), {'b': found['b']})
    write_cache(tmp_path, changed, {'a': found['b']})
    same(read_cache(tmp_path, changed), {'a': found['b'], 'b': found['b']})
    same(read_cache(tmp_path, STAMPS), found)


def test_a_damaged_file_is_told_and_deleted(tmp_path):
    kept = rows(['b', 'c'])
    for number, damage in enumerate(
        (
            lambda data: data[: len(data) // 2],
            lambda data: b'',
            lambda data: data[:90] + bytes([data[90] ^ 1]) + data[91:],
        )
    ):
        folder = tmp_path / str(number)
        write_cache(folder, STAMPS, rows(['a']))
        (bad,) = folder.iterdir()
        bad.write_bytes(damage(bad.read_bytes()))
        write_cache(folder, STAMPS, kept)
        with pytest.warns(UserWarning, match=rf'{bad} is damaged \('):
            same(read_cache(folder, STAMPS), kept)
        assert not bad.exists()


def test_features_that_cannot_be_written_are_no_error(tmp_path, said):
    (tmp_path / 'file').write_text('')
    write_cache(tmp_path / 'file' / 'folder', STAMPS, rows(['a']))
    assert said[0].startswith('features are not kept: ')


K, D = 4, 6


class Head(nn.Module):
    """Classifies frames and averages their logits, or their probabilities."""

    def __init__(self, frames=1, linear=True):
        super().__init__()
        self.fc_cls = nn.Linear(D, K)
        self.frames, self.linear = frames, linear

    def forward(self, x):
        logits = self.fc_cls(x)
        logits = logits if self.linear else logits.softmax(dim=1)
        return logits.unflatten(0, (-1, self.frames)).mean(dim=1)


class Recognizer(nn.Module):
    def __init__(self, **kwargs):
        super().__init__()
        self.cls_head = Head(**kwargs)

    def test_step(self, batch):
        samples = batch['data_samples']
        scores = self.cls_head(batch['inputs']).softmax(dim=1)
        scores = scores.unflatten(0, (len(samples), -1)).mean(dim=1)
        return [
            BaseDataElement(metainfo=sample, pred_score=score)
            for sample, score in zip(samples, scores, strict=True)
        ]


def batch_of(inputs, *samples):
    return {'inputs': inputs, 'data_samples': [{'clip': name} for name in samples]}


def noted(model, batches, **options):
    """Names, features and scores of what a model saw."""
    found = run_model(model, batches, **options)
    pairs = [pair for batch in found for pair in zip(*batch, strict=True)]
    names = [sample.clip for sample, _ in pairs]
    scores = [sample.pred_score.numpy() for sample, _ in pairs]
    return names, np.stack([seen for _, seen in pairs]), np.stack(scores)


def test_features_are_what_the_classifier_sees():
    model, inputs = Recognizer(), torch.randn(3, D)
    batches = [batch_of(inputs[:2], 'c', 'a'), batch_of(inputs[2:], 'b')]
    names, features, scores = noted(model, batches)
    assert names == ['c', 'a', 'b']
    np.testing.assert_array_equal(features[:, 0], inputs)
    again = source_classifier(model).predict(features)
    np.testing.assert_allclose(again, scores, atol=1e-6)
    assert noted(model, batches, linear=False)[1].shape == (3, 1, 0)
    model.cls_head = nn.Identity()
    with pytest.raises(ValueError, match='Identity has no linear layer'):
        noted(model, batches)


def test_a_head_that_classifies_frames_gives_the_mean_feature_of_each_view():
    model = Recognizer(frames=3)
    inputs = torch.randn(2 * 2 * 3, D)  # clips, views, frames
    _, features, scores = noted(model, [batch_of(inputs, 'a', 'b')])
    expected = inputs.view(2, 2, 3, D).mean(dim=2)
    np.testing.assert_allclose(features, expected, atol=1e-6)
    again = source_classifier(model).predict(features)
    np.testing.assert_allclose(again, scores, atol=1e-6)


def test_a_head_that_averages_otherwise_is_refused():
    model = Recognizer(frames=3, linear=False)
    batches = [batch_of(torch.randn(3, D), 'a')]
    with pytest.raises(ValueError, match='Head: its logits are not those of the mean'):
        noted(model, batches)
    assert noted(model, batches, linear=False)[0] == ['a']
    assert not model.cls_head._forward_hooks


def test_rows_are_joined_by_name_and_some_taken():
    given = rows(['c', 'a', 'b'])
    found = Features.join({**given, 'x': None})
    assert (found.names, found.broken) == (['a', 'b', 'c'], ['x'])
    some = found.take(['c', 'x', 'a'])
    assert (some.names, some.broken) == (['c', 'a'], ['x'])
    taken = zip(some.features, some.scores, some.body_scores, strict=True)
    same(dict(zip('ca', taken, strict=True)), {name: given[name] for name in 'ca'})
    with pytest.raises(ValueError, match='none of the 2 clips could be read'):
        Features.join({'a': None, 'b': None})


@pytest.fixture
def runner(video_root, tmp_path, monkeypatch):
    monkeypatch.setenv('MMMA_HOME', str(tmp_path / 'home'))
    return make_run(video_root, tmp_path, body=True)[1]


def equal(left, right):
    assert left.names == right.names
    for key in ('features', 'scores', 'body_scores'):
        np.testing.assert_array_equal(getattr(left, key), getattr(right, key))


def test_a_clip_looks_the_same_whatever_else_is_asked(runner):
    everything = FeatureSource(runner).features('train', 'street')
    assert everything.features.shape == (3, 1, 128)
    assert everything.body_scores.shape == (3, 7)
    one = FeatureSource(runner).features('train', 'street', ['street_train_2'])
    equal(one, everything.take(['street_train_2']))


def test_the_cache_gives_what_the_model_gave_and_spares_it(runner, monkeypatch):
    expected = FeatureSource(runner).features('test', 'street')
    source = FeatureSource(runner, 'sha')
    first = expected.names[:1]
    equal(source.features('test', 'street', first), expected.take(first))
    equal(source.features('test', 'street'), expected)
    monkeypatch.setattr(module, 'run_model', None)
    equal(source.features('test', 'street'), expected)
    with pytest.raises(TypeError):
        FeatureSource(runner, 'other').features('test', 'street')
    runner.cfg.test_dataloader.dataset.pipeline[1].clip_len = 8
    with pytest.raises(TypeError):
        source.features('test', 'street')


def test_an_interrupted_extraction_goes_on_from_what_was_written(runner, monkeypatch):
    monkeypatch.setattr(module, 'CLIPS_PER_ROUND', 2)
    expected = FeatureSource(runner).features('test', 'street')
    calls = []
    original = type(runner.model).test_step

    def stop_at_second(*args):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(*args)

    monkeypatch.setattr(type(runner.model), 'test_step', stop_at_second)
    source = FeatureSource(runner, 'sha')
    with pytest.raises(KeyboardInterrupt):
        source.features('test', 'street')
    equal(source.features('test', 'street'), expected)
    assert len(calls) == 3


def test_only_wanted_clips_that_are_broken_matter(video_root, tmp_path):
    root = shutil.copytree(video_root, tmp_path / 'root')
    (root / 'videos/street/street_test_1.mp4').write_bytes(b'')
    _, runner = make_run(root, tmp_path)
    source = FeatureSource(runner, 'sha')
    assert source.features('test', 'street', ['street_test_0']).broken == []
    with pytest.raises(ValueError, match=r"clip 'street_test_1' cannot be read"):
        source.features('test', 'street')
    runner.cfg.test_dataloader.dataset.on_broken = 'skip'
    found = source.features('test', 'street')
    assert found.broken == ['street_test_1']
    assert found.names == ['street_test_0', 'street_test_2']


def test_a_restricted_test_set_stays_restricted(runner):
    clips = ['street_test_1', 'lab_test_0']
    runner.cfg.test_dataloader.dataset.clips = clips
    assert FeatureSource(runner).features('test', 'street').names == clips[:1]


def opened(root, work_dir, tokens=False, **options):
    cfg = load_config(
        'recog/videomae-tiny_mma82_indomain',
        {'protocol': 'indomain'},
        data_root=str(root),
    )
    cfg.test_dataloader.update(batch_size=2, num_workers=0, persistent_workers=False)
    options = BackboneOptions(
        pretrained=False, tokens=tokens, work_dir=str(work_dir), **options
    )
    return open_run(cfg, options=options), options


@pytest.fixture(scope='module')
def clips(video_root, tmp_path_factory):
    root = tmp_path_factory.mktemp('rec') / 'root'
    shutil.copytree(video_root, root)
    return opened(root, root.parent / 'work'), root


@pytest.fixture(scope='module')
def videos(det_root, tmp_path_factory):
    root = tmp_path_factory.mktemp('det') / 'root'
    shutil.copytree(det_root, root)
    return opened(root, root.parent / 'work', tokens=True), root


def bytes_of(root, name, task):
    files = (f'{task}.npy', f'{task}_index.csv', 'features.json')
    return [(root / 'features' / name / f).read_bytes() for f in files]


def stop_after(count):
    def stop(done, total):
        if done == count:
            raise KeyboardInterrupt

    return stop


@pytest.mark.parametrize('task', ['rec', 'det'])
def test_a_run_that_was_stopped_goes_on_with_the_same_bytes(task, request, monkeypatch):
    run, root = request.getfixturevalue({'rec': 'clips', 'det': 'videos'}[task])
    monkeypatch.setattr(module, 'CLIPS_PER_ROUND', 2)
    whole, added, _ = extract(*run, 'whole', task)
    assert len(whole) == added
    for count in (1, 4):
        with pytest.raises(KeyboardInterrupt):
            extract(*run, 'parts', task, on_progress=stop_after(count))
    _, rest, _ = extract(*run, 'parts', task)
    assert rest == added - 4
    assert bytes_of(root, 'parts', task) == bytes_of(root, 'whole', task)
    assert extract(*run, 'whole', task)[1] == 0


def test_clips_have_the_features_of_the_classifier(clips):
    run, _ = clips
    store, *_ = extract(*run, 'exact', 'rec', 'float32')
    runner, origin = load_backbone(*run)
    expected = FeatureSource(runner).features('val', 'street')
    found = np.stack([store.get(name) for name in expected.names])
    np.testing.assert_array_equal(found, expected.features)
    assert store.info.backbone == 'videomae-tiny_mma82, random weights'
    assert store.info.weights_sha256 == origin['checkpoint']['backbone_sha256']


def test_a_video_has_a_feature_for_each_token_until_its_end(videos):
    store, *_ = extract(*videos[0], 'dense', rate=10.0)
    assert store.info.stride_sec == pytest.approx(0.2)  # two frames at 10 per second
    assert store.info.offset_sec == pytest.approx(0.1)
    assert store.info.fps == 10
    # 40, 100 and 30 frames are 20, 50 and 15 pairs.
    names = ('lab_train_0', 'lab_train_1', 'street_test_0')
    assert [store.steps(n) for n in names] == [20, 50, 15]


def test_strides_give_one_pooled_feature_per_window(det_root, tmp_path):
    root = tmp_path / 'root'
    shutil.copytree(det_root, root)
    run = opened(root, tmp_path / 'work')
    store, *_ = extract(*run, 'slow', rate=10.0, stride_sec=0.5)
    assert store.info.offset_sec == pytest.approx(0.8)
    # 16 frames each 5: 40 frames take windows at 0, 5, ... 25.
    assert store.steps('lab_train_0') == 6
    with pytest.raises(ValueError, match=r'stride_sec 0.25 is no whole number of fra'):
        extract(*run, 'odd', rate=10.0, stride_sec=0.25)


def test_broken_clips_and_videos_are_left_out_if_allowed(
    video_root, det_root, tmp_path
):
    for task, source, file, name, rows in (
        ('rec', video_root, 'street/street_val_1.mp4', 'street_val_1', 35),
        ('det', det_root, 'street_test_0.mp4', 'street_test_0', 7),
    ):
        root = tmp_path / task
        shutil.copytree(source, root)
        (root / 'videos' / file).write_bytes(b'')
        tokens = task == 'det'
        strict = opened(root, tmp_path / f'{task}-strict', tokens)
        with pytest.raises(ValueError, match=f"'{name}' cannot be read"):
            extract(*strict, 'a', task)
        lenient = opened(root, tmp_path / f'{task}-skip', tokens, skip_broken=True)
        store, _, broken = extract(*lenient, 'a', task)
        assert (len(store), broken) == (rows, [name])
