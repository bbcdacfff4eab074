"""Windows of untrimmed videos: cutting, truth, samples."""

import itertools
import pickle
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from det_roots import VIDEOS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader

from mmma.data.arrays import FeaturesInfo, FeatureWriter
from mmma.datasets.samplers import EpochSampler, SampleKey
from mmma.datasets.windows import TRIALS, Window, WindowOptions
from mmma.registry import DATASETS

NONE = np.zeros((0, 2))


def options(**kwargs):
    return WindowOptions(**{'positions': 40, 'rate': 10.0, 'crop': None, **kwargs})


@pytest.mark.parametrize('overlap', [0.0, 0.25, 0.5, 0.9])
def test_tiles_cover_every_position_and_differ(overlap):
    for length in range(1, 130):
        windows = options(overlap=overlap).tile(length / 10)
        places = [round(w.start_sec * 10) + np.arange(w.valid) for w in windows]
        assert set(np.concatenate(places)) == set(range(length))
        assert len({w.start_sec for w in windows}) == len(windows)
        assert all(w.valid == min(40, length) for w in windows)


@pytest.mark.parametrize('window', [1, 4, 7])
@pytest.mark.parametrize('overlap', [0.75, 0.5, 0.25, 0.0])
def test_windows_cover_everything_once(window, overlap):
    stride = max(1, int(window * (1 - overlap)))
    for length in range(1, 3 * window + 1):
        starts = starts_of(length, window, overlap)
        assert starts == sorted(set(starts))
        assert starts[0] == 0
        assert starts[-1] == max(0, length - window)
        steps = [b - a for a, b in itertools.pairwise(starts)]
        assert all(0 < step <= stride for step in steps)
        covered = {p for start in starts for p in range(start, start + window)}
        assert covered >= set(range(length))


def starts_of(length, window, overlap=0.5):
    found = WindowOptions(window, 1.0, overlap).tile(length)
    return [round(w.start_sec) for w in found]


def test_worked_windows():
    assert starts_of(256, 256) == [0]
    assert starts_of(257, 256) == [0, 1]
    assert starts_of(512, 256) == [0, 128, 256]  # the last one only once
    assert starts_of(500, 256) == [0, 128, 244]
    assert starts_of(450, 256, overlap=0) == [0, 194]
    assert starts_of(30, 10, overlap=0.9)[:2] == [0, 1]


@pytest.mark.parametrize(
    ('duration_sec', 'rate', 'length'),
    [(10, 15, 150), (10.01, 15, 151), (1.1, 10, 11), (0.01, 15, 1), (0.3, 30, 9)],
)
def test_positions_start_before_the_end(duration_sec, rate, length):
    (window,) = options(positions=200, rate=rate).tile(duration_sec)
    assert window.valid == length


@pytest.mark.parametrize('duration_sec', [0, float('nan'), float('inf')])
def test_videos_without_an_end_are_refused(duration_sec):
    with pytest.raises(ValueError, match=f'duration_sec {duration_sec}: use a number'):
        options().tile(duration_sec)


def test_times():
    window = Window(2.0, positions=8, valid=3, rate=4.0, video_sec=2.75)
    assert window.times_sec().tolist() == [2.0, 2.25, 2.5]
    assert window.end_sec == 2.75


def test_truth_is_cut_and_what_shows_too_little_is_dropped():
    window = Window(2.0, positions=40, valid=40, rate=10.0, video_sec=20)  # to 6.0
    segments = np.array([[1, 5], [1, 4.9], [5, 7], [2.5, 3], [7, 9], [5.25, 6.25]])
    found, labels = window.truth(segments, np.arange(6), min_visible=0.75)
    assert labels.tolist() == [0, 3, 5]  # 75 %, 74 %, 50 %, all, none, 75 %
    assert found.tolist() == [[0, 3], [0.5, 1], [3.25, 4]]
    assert found.dtype == np.float32


def test_windows_in_a_long_instance_learn_from_it():
    segments = np.array([[10.0, 94.0], [96.0, 96.04]])  # 84 s, and a frame
    shown = {}
    for window in options().tile(100.0):
        shown[window.start_sec] = window.truth(segments, np.arange(2), 0.75)
    whole = [start for start in shown if 10 <= start <= 90]
    assert len(whole) == 41
    assert all(shown[start][0].tolist() == [[0, 4]] for start in whole)
    assert not len(shown[8.0][1])  # half of the window, as before
    assert shown[92.0][1].tolist() == []
    assert shown[94.0][0] == pytest.approx(np.array([[2.0, 2.04]]), abs=1e-5)
    covered = {round(s + t, 3) for s in whole for t in (0, 4)}
    assert (min(covered), max(covered)) == (10, 94)  # the pieces overlap
    np.random.seed(0)
    drawn = [options().draw(100.0, segments[:1]) for _ in range(50)]
    assert all(len(w.truth(segments[:1], np.zeros(1, int), 0.75)[1]) for w in drawn)


def test_instances_no_longer_than_a_window_are_treated_as_before():
    rng = np.random.default_rng(0)
    starts = rng.uniform(0, 50, 500)
    segments = np.stack([starts, starts + rng.uniform(0.01, 4, 500)], axis=1)
    for window in options().tile(54.0):
        inside = segments.clip(window.start_sec, window.end_sec)
        shares = np.diff(inside)[:, 0] / np.diff(segments)[:, 0]
        wanted = np.flatnonzero(shares >= 0.75 - 1e-9)
        _, labels = window.truth(segments, np.arange(500), 0.75)
        assert labels.tolist() == wanted.tolist()


def test_training_windows_show_an_instance():
    segments = np.array([[50.0, 52.0], [3.0, 4.0]])
    np.random.seed(0)
    starts = []
    for _ in range(100):
        window = options().draw(60.0, segments)
        starts.append(window.start_sec)
        assert len(window.truth(segments, np.arange(2), 0.75)[0])
        assert window.valid == 40
        assert (window.start_sec * 10) % 1 == pytest.approx(0, abs=1e-6)
    assert min(starts) < 10 < 40 < max(starts)


def test_trials_are_bounded():
    segments = np.array([[10.05, 14.05]])  # between the starts that are drawn
    np.random.seed(0)
    options(min_visible=1.0).draw(60.0, segments)
    after = np.random.random()
    np.random.seed(0)
    for _ in range(TRIALS):
        np.random.randint(561)
    assert np.random.random() == after


def test_without_instances_any_window_will_do():
    np.random.seed(0)
    starts = {options().draw(60.0, NONE).start_sec for _ in range(20)}
    assert len(starts) > 10


def test_short_videos_are_cropped():
    np.random.seed(0)
    windows = [options(crop=(0.9, 1.0)).draw(3.0, NONE) for _ in range(200)]
    assert {w.valid for w in windows} == {27, 28, 29, 30}
    assert max(w.start_sec for w in windows) > 0
    assert all(w.end_sec <= 3.0 + 1e-9 for w in windows)
    assert options().draw(3.0, NONE) == Window(0.0, 40, 30, 10.0, 3.0)
    long = options(crop=(0.9, 1.0)).draw(5.0, NONE)
    assert long.valid == 40  # longer than a window: not cropped


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        ({'positions': 0}, 'window of 0 positions.*at least 1 position'),
        ({'rate': 0}, 'rate 0: use .* above 0'),
        ({'rate': float('nan')}, 'rate nan'),
        ({'overlap': 1.0}, 'overlap 1.0 must be from 0, below 1'),
        ({'min_visible': 0}, 'min_visible 0 above 0'),
        ({'crop': (0.9, 1.1)}, r'crop \(0.9, 1.1\): use two shares'),
        ({'crop': (1.0, 0.5)}, 'the smaller first'),
        ({'stride': 0}, 'stride 0: use at least 1 position'),
    ],
)
def test_bad_options(kwargs, message):
    with pytest.raises(ValueError, match=message):
        options(**kwargs)


def test_another_length_than_the_tables():
    window = options().tile(10.0)[0]
    window.check_length(10.4, 'v.mp4')
    window.check_length(10.8, 'v.mp4', tolerance_sec=0.5)
    with pytest.raises(
        ValueError, match=r'v.mp4 is 8.00 s long, but det.json says 10.00 s: its times'
    ):
        window.check_length(8.0, 'v.mp4')


BASES = Path(__file__).resolve().parents[2] / 'configs/_base_/datasets'
WINDOW = {'positions': 32, 'rate': 5.0}  # 6.4 s
RGB = [
    {'type': 'OpenVideo'},
    {'type': 'WindowFrames'},
    {'type': 'DecodeFrames'},
    {'type': 'RandomResizedCrop', 'area_range': (0.5, 1.0)},
    {'type': 'Resize', 'scale': (16, 16), 'keep_ratio': False},
    {'type': 'Flip', 'flip_ratio': 0.5},
    {'type': 'FormatShape', 'input_format': 'NCTHW'},
    {'type': 'PackWindow'},
]
POSE = [
    {'type': 'LoadSkeleton', 'task': 'det', 'layout': None},
    {'type': 'WindowSkeleton'},
    {'type': 'PackWindow'},
]


def build(root, subset='train', **options):
    cfg = {'data_root': str(root), 'subset': subset, 'pipeline': RGB, **options}
    cfg = {'type': 'UntrimmedDataset', 'window': WINDOW, '_scope_': 'mmma', **cfg}
    return DATASETS.build(cfg)


@pytest.fixture
def own_root(det_root, tmp_path):
    """A copy that a test may spoil."""
    return shutil.copytree(det_root, tmp_path / 'root')


def spoil(root, *names):
    for name in names:
        (root / f'videos/{name}.mp4').write_bytes(b'')


def test_a_training_sample(det_root):
    data = build(det_root)[0]
    sample = data['data_samples']
    assert data['inputs'].shape == (3, 32, 16, 16)
    assert data['inputs'].dtype == torch.uint8
    known = dict(video='lab_train_0', index=0, domain='lab', subject='s0')
    assert {key: sample.get(key) for key in known} == known
    assert (sample.positions, sample.rate, sample.duration_sec) == (32, 5.0, 4.0)
    assert 18 <= sample.valid <= 20  # 90 to 100 % of 4 s
    shift = torch.tensor(sample.window_start_sec)
    whole = torch.tensor([s[:2] for s in VIDEOS['lab_train_0'][1]]) - shift
    end_sec = sample.valid / 5
    assert torch.allclose(sample.gt_segments[:2], whole[:2].clamp(0, end_sec))
    assert sample.gt_labels[:2].tolist() == [7, 41]


def test_training_sees_a_video_once_an_epoch(det_root):
    dataset = build(det_root)
    names = [dataset[i]['data_samples'].video for i in range(len(dataset))]
    assert names == ['lab_train_0', 'lab_train_1', 'street_train_0']
    none = dataset[2]['data_samples']
    assert (none.gt_segments.shape, none.gt_labels.shape) == ((0, 2), (0,))


def test_metainfo_in_training(det_root):
    meta = build(det_root).metainfo
    assert [len(meta[k]) for k in ('classes', 'bodies', 'body_of')] == [82, 7, 82]
    assert meta['videos'] == ['lab_train_0', 'lab_train_1', 'street_train_0']
    assert meta['labels'] == [[7, 41], [20], []]
    assert meta['domains'] == ['lab', 'lab', 'street']
    assert meta['subjects'] == ['s0', 's1', 's3']
    assert meta['durations']['lab_train_1'] == 10.0
    segments, labels = meta['truth']['lab_train_0']
    assert segments.tolist() == [[0.5, 2.0], [1.0, 3.5], [3.0, 3.9]]
    assert labels.tolist() == [7, 41, 7]
    assert meta['truth']['street_train_0'][0].shape == (0, 2)
    assert pickle.loads(pickle.dumps(meta))['labels'] == meta['labels']


def test_testing_gives_every_window_in_order(det_root):
    dataset = build(det_root, 'test', test_mode=True)
    meta = dataset.metainfo
    samples = [dataset[i]['data_samples'] for i in range(len(dataset))]
    videos = ['lab_test_0'] * 3 + ['lab_test_1', 'street_test_0']
    assert [s.video for s in samples] == videos
    assert [s.window_start_sec for s in samples] == [0.0, 3.2, 3.6, 0.0, 0.0]
    assert [s.window_index for s in samples[:4]] == [0, 1, 2, 0]
    assert [s.num_windows for s in samples[:4]] == [3, 3, 3, 1]
    assert [s.valid for s in samples] == [32, 32, 32, 10, 15]
    assert meta['videos'] == [s.video for s in samples]
    assert meta['labels'] == [[7, 20]] * 3 + [[-1], [63]]
    assert set(meta['truth']) == {'lab_test_0', 'street_test_0'}  # one is withheld
    assert list(meta['durations'].values()) == [10.0, 2.0, 3.0]
    np.testing.assert_allclose(samples[1].gt_segments, [[1.8, 4.8]], atol=1e-6)


def test_windows_show_the_same_moments(det_root):
    dataset = build(det_root, 'test', test_mode=True, pipeline=POSE)
    x = [dataset[i]['inputs'][0, :, 0, 0] for i in range(4)]
    assert x[0].tolist() == list(range(0, 64, 2))  # 10 frames, 5 positions per second
    assert x[2].tolist() == list(range(36, 100, 2))
    assert x[3].tolist() == [*range(0, 20, 2), *[18] * 22]  # the last is repeated


def test_domains_and_videos_restrict(det_root):
    assert build(det_root, domains=['street']).metainfo['videos'] == ['street_train_0']
    chosen = build(det_root, 'test', test_mode=True, videos=['street_test_0'])
    assert len(chosen) == 1


def test_indices_shorten_the_truth_as_well(det_root):
    meta = build(det_root, indices=[0, 2]).metainfo
    assert list(meta['truth']) == meta['videos'] == ['lab_train_0', 'street_train_0']


@pytest.mark.parametrize(
    ('pipeline', 'modality'), [(RGB, 'RGB'), (POSE, 'Pose')], ids=['RGB', 'Pose']
)
def test_a_sample_is_a_function_of_its_key(det_root, pipeline, modality):
    dataset = build(det_root, pipeline=pipeline, modality=modality)

    def sample(*key):
        data = dataset[SampleKey(*key)]
        return data['data_samples'].window_start_sec, data['inputs']

    first = sample(0, 0, 1)
    random.seed(3), np.random.seed(3)
    again = sample(0, 0, 1)
    assert first[0] == again[0]
    assert torch.equal(first[1], again[1])
    starts = {sample(0, epoch, 1)[0] for epoch in range(6)}
    assert len(starts) > 2
    assert sample(0, 0, 1, 1)[0] in {s / 5 for s in range(19)}


def windows(dataset, workers):
    sampler = EpochSampler(dataset, seed=0)
    loader = DataLoader(
        dataset, 2, sampler=sampler, num_workers=workers, collate_fn=pseudo_collate
    )
    return [(b['inputs'], b['data_samples']) for b in loader]


def test_batches_are_lists_and_workers_change_nothing(det_root):
    dataset = build(det_root)
    for own, other in zip(windows(dataset, 0), windows(dataset, 2), strict=True):
        assert [s.window_start_sec for s in own[1]] == [
            s.window_start_sec for s in other[1]
        ]
        assert all(torch.equal(*pair) for pair in zip(own[0], other[0], strict=True))


def test_in_testing_it_is_an_error_or_skipped(own_root):
    spoil(own_root, 'lab_test_0')
    with pytest.raises(
        ValueError,
        match=r"video 'lab_test_0' cannot be read: \S+lab_test_0\.mp4: zero bytes.*"
        r'leave such videos out',
    ):
        build(own_root, 'test', test_mode=True)[1]
    dataset = build(own_root, 'test', test_mode=True, on_broken='skip')
    sample = dataset[1]['data_samples']
    assert (sample.index, sample.video, sample.broken) == (1, *['lab_test_0'] * 2)
    assert (sample.window_start_sec, sample.valid) == (3.2, 32)


def test_a_file_of_another_length(own_root):
    shutil.copy(
        own_root / 'videos/lab_train_1.mp4', own_root / 'videos/lab_train_0.mp4'
    )
    with pytest.raises(ValueError, match=r'lab_train_0\.mp4 is 10.00 s long.*4.00 s'):
        build(own_root)[0]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'window': {'positons': 8}}, "unknown window option 'positons'.*'positions'"),
        ({'modality': 'pose'}, "unknown modality 'pose'.*Feature"),
        ({'videos': ['lab_train_9']}, 'no train videos of lab.*the first'),
        (
            {'subset': 'val', 'domains': ['street']},
            r'no val video of street\. It holds',
        ),
    ],
)
def test_bad_options_of_untrimmed_dataset(det_root, options, message):
    with pytest.raises(ValueError, match=message):
        build(det_root, **options)


def test_a_subset_whose_truth_is_withheld(det_root):
    with pytest.raises(ValueError, match=r'of lab with annotations \(of 1\)'):
        build(det_root, videos=['lab_train_2'], domains=['lab'])


@pytest.fixture(scope='module')
def feature_root(det_root, tmp_path_factory):
    """The root with features that the config of VideoMAE-S accepts."""
    root = tmp_path_factory.mktemp('features') / 'root'
    shutil.copytree(det_root, root)
    info = FeaturesInfo(2 / 15, 384, offset_sec=1 / 30, fps=15.0)
    with FeatureWriter(root, 'videomae-s', info) as writer:
        for name, (seconds, _) in VIDEOS.items():
            writer.append(name, np.ones((round(seconds * 7.5), 384)))
    return root


@pytest.mark.parametrize(
    ('name', 'shape'),
    [
        ('rgb_256x160', (3, 256, 160, 160)),
        ('rgb_128x64', (3, 128, 64, 64)),
        ('skeleton_p256', (1, 256, 31, 4)),
        ('features_videomae-s', (384, 256)),
    ],
)
def test_base_configs_give_what_their_names_say(feature_root, name, shape):
    cfg = Config.fromfile(BASES / f'mma82_det_{name}.py')
    for subset in ('train', 'val', 'test'):
        dataset = cfg[f'{subset}_dataloader'].dataset
        dataset.update(data_root=str(feature_root), _scope_='mmma')
        data = DATASETS.build(dataset)[0]
        assert data['inputs'].shape == shape
        assert torch.isfinite(data['inputs'].float()).all()
        assert data['data_samples'].valid < shape[-1 if len(shape) == 2 else 1]


def test_windows_cover_a_video_at_constant_steps():
    windows = options(positions=4, rate=2.0, stride=4).tile(4.6)
    assert [(w.start_sec, w.valid) for w in windows] == [(0, 4), (2, 4), (4, 2)]
    windows = options(positions=4, rate=2.0, stride=1).tile(2.6)
    assert [(w.start_sec, w.valid) for w in windows] == [(0, 4), (0.5, 4), (1, 4)]
    windows = options(positions=4, rate=2.0, stride=6).tile(3.0)
    assert [(w.start_sec, w.valid) for w in windows] == [(0, 4)]
