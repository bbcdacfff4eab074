import numpy as np
import pytest
import torch
from fewshot_runs import make_runner
from mmengine.structures import BaseDataElement
from torch import nn

from mmma.engine import features as module
from mmma.engine.features import (
    Features,
    FeatureSource,
    extract_features,
    find_classifier,
)
from mmma.engine.fewshot import source_classifier

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


def test_features_are_what_the_classifier_sees_sorted_and_without_broken_clips():
    model = Recognizer()
    inputs = torch.randn(4, D)
    batches = [
        {'inputs': inputs[:2], 'data_samples': [{'clip': 'c'}, {'clip': 'a'}]},
        {
            'inputs': inputs[2:],
            'data_samples': [{'clip': 'b'}, {'clip': 'x', 'broken': 'x'}],
        },
    ]
    found = extract_features(model, batches)
    assert found.names == ['a', 'b', 'c']
    assert found.broken == ['x']
    assert found.body_scores is None
    np.testing.assert_array_equal(found.features[:, 0], inputs[[1, 2, 0]])
    again = source_classifier(model).predict(found.features)
    np.testing.assert_allclose(again, found.scores, atol=1e-6)
    assert found.take(['c', 'a']).names == ['c', 'a']
    np.testing.assert_array_equal(found.take(['c']).features[0, 0], inputs[0])
    assert extract_features(model, batches, linear=False).features.size == 0


def test_a_head_that_classifies_frames_gives_the_mean_feature_of_each_view():
    model = Recognizer(frames=3)
    inputs = torch.randn(2 * 2 * 3, D)  # clips, views, frames
    batch = {'inputs': inputs, 'data_samples': [{'clip': 'a'}, {'clip': 'b'}]}
    found = extract_features(model, [batch])
    expected = inputs.view(2, 2, 3, D).mean(dim=2)
    np.testing.assert_allclose(found.features, expected, atol=1e-6)
    again = source_classifier(model).predict(found.features)
    np.testing.assert_allclose(again, found.scores, atol=1e-6)


def test_a_head_that_averages_otherwise_is_refused():
    model = Recognizer(frames=3, linear=False)
    batch = {'inputs': torch.randn(3, D), 'data_samples': [{'clip': 'a'}]}
    with pytest.raises(ValueError, match='Head: its logits are not those of the mean'):
        extract_features(model, [batch])
    assert extract_features(model, [batch], linear=False).names == ['a']


def test_a_head_without_linear_classifier():
    model = nn.Module()
    model.cls_head = nn.Identity()
    with pytest.raises(ValueError, match='Identity has no linear layer'):
        find_classifier(model)


def test_nothing_readable():
    with pytest.raises(ValueError, match='none of the 2 clips could be read'):
        Features.join({}, ['a', 'b'])


@pytest.fixture
def runner(video_root, tmp_path, monkeypatch):
    monkeypatch.setenv('MMMA_HOME', str(tmp_path / 'home'))
    return make_runner(video_root, tmp_path, body=True)


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
    equal(source.features('test', 'street', expected.names[:1]), expected.take(
        expected.names[:1]
    ))  # fmt: skip
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
    original = module.run_model

    def stop_at_second(*args):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(*args)

    monkeypatch.setattr(module, 'run_model', stop_at_second)
    source = FeatureSource(runner, 'sha')
    with pytest.raises(KeyboardInterrupt):
        source.features('test', 'street')
    equal(source.features('test', 'street'), expected)
    assert len(calls) == 3


def test_only_wanted_clips_that_are_broken_matter(runner, monkeypatch):
    source = FeatureSource(runner, 'sha')
    open_video = type(source)._dataset

    def with_broken(self, subset, domain):
        dataset = open_video(self, subset, domain)
        info = dataset.get_data_info

        def broken_second(index):
            found = info(index)
            if index == 1:
                found['filename'] = 'nowhere.mp4'
            return found

        monkeypatch.setattr(dataset, 'get_data_info', broken_second)
        return dataset

    monkeypatch.setattr(FeatureSource, '_dataset', with_broken)
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
