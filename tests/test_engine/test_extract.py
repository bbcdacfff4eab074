import shutil

import numpy as np
import pytest

from mmma.apis import load_config
from mmma.engine import features as module
from mmma.engine.extract import DenseWindows, clip_length, extract
from mmma.engine.features import load_backbone
from mmma.engine.run import BackboneOptions, open_run


def test_windows_cover_a_video_at_constant_steps():
    windows = DenseWindows(positions=4, rate=2.0, stride=4).tile(4.6)
    assert [(w.start_sec, w.valid) for w in windows] == [(0, 4), (2, 4), (4, 2)]
    windows = DenseWindows(positions=4, rate=2.0, stride=1).tile(2.6)
    assert [(w.start_sec, w.valid) for w in windows] == [(0, 4), (0.5, 4), (1, 4)]
    windows = DenseWindows(positions=4, rate=2.0, stride=6).tile(3.0)
    assert [(w.start_sec, w.valid) for w in windows] == [(0, 4)]


def test_a_recipe_for_skeletons():
    with pytest.raises(ValueError, match='need a recipe for RGB whose test pipeline'):
        clip_length([dict(type='LoadSkeleton'), dict(type='PackClip')])


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
    source, origin = load_backbone(*run)
    expected = source.features('val', 'street')
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


@pytest.mark.parametrize('change', [{'rate': 0}, {'stride_sec': -1}])
def test_bad_options(change):
    with pytest.raises(ValueError, match='use a number above 0'):
        extract(None, None, 'a', **change)
