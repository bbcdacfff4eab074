"""Features at the positions of a window."""

import shutil

import numpy as np
import pytest

from mmma.datasets.transforms.features import LoadFeatures, WindowFeatures
from mmma.datasets.windows import Window
from mmma.layout.features import FeaturesInfo, FeatureWriter
from mmma.layout.root import DataRoot

INFO = FeaturesInfo(
    stride_sec=0.4,
    dim=2,
    offset_sec=0.2,
    fps=10.0,
    dtype='float32',
    weights_sha256='abcd',
)


@pytest.fixture(scope='module')
def root(det_root, tmp_path_factory):
    """Feature t of a 10 s video is (time in seconds, 7)."""
    folder = tmp_path_factory.mktemp('features') / 'root'
    shutil.copytree(det_root, folder)
    fingerprint = DataRoot(folder).fingerprint()
    info = FeaturesInfo(**{**vars(INFO), 'data_fingerprint': fingerprint})
    with FeatureWriter(folder, 'tiny', info) as writer:
        times_sec = 0.2 + 0.4 * np.arange(25)
        writer.append('lab_test_0', np.stack([times_sec, np.full(25, 7)], axis=1))
    return folder


def load(root, window, video='lab_test_0', **wanted):
    results = {'video': video, 'data_root': str(root), 'window': window}
    return LoadFeatures(**{'name': 'tiny', **wanted})(results)


@pytest.mark.parametrize('start_sec', [0.0, 3.0, 8.4])
def test_a_position_gets_the_feature_of_its_time(root, start_sec):
    window = Window(start_sec, 16, 16, 10.0, 10.0)
    found = WindowFeatures()(load(root, window))['feature']
    assert found.shape == (2, 16)
    assert found.dtype == np.float32
    expected = window.times_sec().clip(0.2, 9.8)
    np.testing.assert_allclose(found, [expected, np.full(16, 7)], atol=1e-5)


def test_no_features_but_the_windows_are_read(root):
    results = load(root, Window(3.0, 16, 10, 10.0, 10.0))  # 3 to 4 s
    np.testing.assert_allclose(results['feature_times_sec'], [3.0, 3.4, 3.8, 4.2])


def test_what_the_config_asks_for(root):
    window = Window(0.0, 16, 10, 10.0, 10.0)
    load(root, window, stride_sec=0.4, dim=2, weights_sha256='ab', fps=10)
    with pytest.raises(
        ValueError,
        match=r'features\.json: stride_sec is 0\.4, wanted 0\.1; dim is 2, wanted 3\.'
        r'.*features\.py',
    ):
        load(root, window, stride_sec=0.1, dim=3)


def test_a_video_without_features(root):
    with pytest.raises(ValueError, match=r"no features of 'lab_test_1' in .* 1 others"):
        load(root, Window(0.0, 16, 10, 10.0, 2.0), video='lab_test_1')


def test_features_of_a_longer_video(root):
    with pytest.raises(
        ValueError, match=r"the features 'tiny' show of 'lab_test_0' is 10\.00 s.*7\.00"
    ):
        load(root, Window(0.0, 16, 10, 10.0, 7.0))


def test_a_video_shorter_than_one_feature(root):
    info = FeaturesInfo(**{**vars(INFO), 'stride_sec': 0.1, 'offset_sec': 1.0})
    with FeatureWriter(root, 'dense', info) as writer:
        writer.append('lab_test_0', np.ones((1, 2)))
    window = Window(0.0, 16, 8, 10.0, 0.8)  # a feature spans 2 s, the video 0.8 s
    found = WindowFeatures()(load(root, window, name='dense'))['feature']
    np.testing.assert_array_equal(found, np.ones((2, 8)))
    with pytest.raises(ValueError, match=r'2\.00 s long, but det\.json says 10\.00 s'):
        load(root, Window(0.0, 16, 10, 10.0, 10.0), name='dense')


def test_no_such_features(root):
    with pytest.raises(
        FileNotFoundError, match=r"use one of: .*tiny\. Did you .*'tiny'"
    ):
        load(root, Window(0.0, 16, 10, 10.0, 10.0), name='tinny')


def test_other_tables_are_told(root, tmp_path, monkeypatch):
    other = shutil.copytree(root, tmp_path / 'other')
    said = []
    monkeypatch.setattr(
        'mmma.datasets.transforms.features.print_log',
        lambda text, *_: said.append(text),
    )
    window = Window(0.0, 16, 10, 10.0, 10.0)
    load(other, window)
    assert not said
    (other / 'det.json').write_text((other / 'det.json').read_text() + '\n')
    (other / 'features/tiny/det.npy').touch()  # opened anew
    load(other, window)
    load(other, window)
    assert len(said) == 1
    assert 'extracted with other tables' in said[0]
