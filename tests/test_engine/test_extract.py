import shutil

import numpy as np
import pytest

from mmma.apis import load_config
from mmma.data.arrays import FeatureStore
from mmma.engine import extract as module
from mmma.engine.extract import DenseWindows, ExtractOptions, clip_length, extract
from mmma.engine.features import FeatureSource, load_backbone
from mmma.engine.run import BackboneOptions, open_run


def test_windows_cover_a_video_at_constant_steps():
    windows = DenseWindows(positions=4, rate=2.0).tile(4.6)
    assert [(w.start_sec, w.valid) for w in windows] == [(0, 4), (2, 4), (4, 2)]
    windows = DenseWindows(positions=4, rate=2.0, stride=1).tile(2.6)
    assert [(w.start_sec, w.valid) for w in windows] == [(0, 4), (0.5, 4), (1, 4)]
    assert [w.valid for w in DenseWindows(positions=4, rate=2.0).tile(0.5)] == [1]


def test_a_recipe_for_skeletons():
    with pytest.raises(ValueError, match='need a recipe for RGB whose test pipeline'):
        clip_length([dict(type='LoadSkeleton'), dict(type='PackClip')])


def backbone_on(root, work_dir, tokens=False, **options):
    cfg = load_config(
        'recog/videomae-tiny_mma82_indomain',
        {'protocol': 'indomain'},
        data_root=str(root),
    )
    cfg.test_dataloader.update(batch_size=2, num_workers=0, persistent_workers=False)
    options = BackboneOptions(
        pretrained=False, tokens=tokens, work_dir=str(work_dir), **options
    )
    return load_backbone(open_run(cfg, options=options), options)


@pytest.fixture(scope='module')
def clips(video_root, tmp_path_factory):
    root = tmp_path_factory.mktemp('rec') / 'root'
    shutil.copytree(video_root, root)
    return backbone_on(root, root.parent / 'work'), root


@pytest.fixture(scope='module')
def videos(det_root, tmp_path_factory):
    root = tmp_path_factory.mktemp('det') / 'root'
    shutil.copytree(det_root, root)
    return backbone_on(root, root.parent / 'work', tokens=True), root


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
    backbone, root = request.getfixturevalue({'rec': 'clips', 'det': 'videos'}[task])
    monkeypatch.setattr(module, 'CLIPS_AT_ONCE', 2)
    whole = extract(backbone, ExtractOptions('whole', task))
    assert whole.rows == whole.added
    for count in (1, 4):
        with pytest.raises(KeyboardInterrupt):
            extract(backbone, ExtractOptions('parts', task), stop_after(count))
    rest = extract(backbone, ExtractOptions('parts', task))
    assert rest.added == whole.rows - 4
    assert bytes_of(root, 'parts', task) == bytes_of(root, 'whole', task)
    assert extract(backbone, ExtractOptions('whole', task)).added == 0


def test_clips_have_the_features_of_the_classifier(clips):
    backbone, root = clips
    extract(backbone, ExtractOptions('exact', 'rec', 'float32'))
    store = FeatureStore(root, 'exact', 'rec')
    expected = FeatureSource(backbone.runner).features('val', 'street')
    found = np.stack([store.get(name) for name in expected.names])
    np.testing.assert_array_equal(found, expected.features)
    assert store.info.backbone == 'videomae-tiny_mma82, random weights'
    assert store.info.weights_sha256 == backbone.sha256


def test_a_video_has_a_feature_for_each_token_until_its_end(videos):
    backbone, root = videos
    extract(backbone, ExtractOptions('dense', 'det', rate=10.0))
    store = FeatureStore(root, 'dense')
    assert store.info.stride_sec == pytest.approx(0.2)  # two frames at 10 per second
    assert store.info.offset_sec == pytest.approx(0.1)
    assert store.info.fps == 10
    # 40, 100 and 30 frames are 20, 50 and 15 pairs.
    names = ('lab_train_0', 'lab_train_1', 'street_test_0')
    assert [store.steps(n) for n in names] == [20, 50, 15]


def test_strides_give_one_pooled_feature_per_window(det_root, tmp_path):
    root = tmp_path / 'root'
    shutil.copytree(det_root, root)
    backbone = backbone_on(root, tmp_path / 'work')
    options = ExtractOptions('slow', 'det', rate=10.0, stride_sec=0.5)
    assert extract(backbone, options).info.offset_sec == pytest.approx(0.8)
    # 16 frames each 5: 40 frames take windows at 0, 5, ... 25.
    assert FeatureStore(root, 'slow').steps('lab_train_0') == 6
    options = ExtractOptions('odd', 'det', rate=10.0, stride_sec=0.25)
    with pytest.raises(ValueError, match=r'stride_sec 0.25 is no whole number of fra'):
        extract(backbone, options)


def test_broken_clips_and_videos_are_left_out_if_allowed(video_root, tmp_path):
    root = tmp_path / 'root'
    shutil.copytree(video_root, root)
    (root / 'videos' / 'street' / 'street_val_1.mp4').write_bytes(b'')
    strict = backbone_on(root, tmp_path / 'strict')
    with pytest.raises(ValueError, match=r"'street_val_1' cannot be read"):
        extract(strict, ExtractOptions('a', 'rec'))
    lenient = backbone_on(root, tmp_path / 'lenient', skip_broken=True)
    found = extract(lenient, ExtractOptions('a', 'rec'))
    assert found.broken == ['street_val_1']
    assert found.rows == 35


@pytest.mark.parametrize('change', [{'rate': 0}, {'stride_sec': -1}])
def test_bad_options(change):
    with pytest.raises(ValueError, match='use a number above 0'):
        ExtractOptions('a', **change)
