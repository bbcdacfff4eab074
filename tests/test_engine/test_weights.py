import pytest
from mmengine.config import Config

from mmma.data.joints import JointLayout, write_layout
from mmma.data.root import DatasetInfo, write_info
from mmma.engine.hooks import _data_of
from mmma.engine.run import TestOptions
from mmma.engine.weights import check_extractor, extractor_of


@pytest.fixture
def cfg(tmp_path):
    """A skeleton config on a root whose joints ``mediapipe 1`` found."""
    write_info(tmp_path, DatasetInfo('toy', 'mma82', simulated=False))
    write_layout(tmp_path / 'skeletons', JointLayout(('nose',), (), (), 'mediapipe 1'))
    loader = {'dataset': {'modality': 'Pose'}}
    return Config({'data_root': str(tmp_path), 'test_dataloader': loader})


def meta(extractor, simulated=False):
    return {'data': {'extractor': extractor, 'simulated': simulated}}


def test_checkpoints_record_the_extractor(cfg):
    assert _data_of(cfg)['extractor'] == 'mediapipe 1'
    cfg.test_dataloader.dataset.modality = 'RGB'
    assert 'extractor' not in _data_of(cfg)


@pytest.mark.parametrize('cfg', [Config({'data_root': '.'}), Config({})])
def test_a_config_without_skeletons(cfg):
    assert extractor_of(cfg) is None


@pytest.mark.parametrize('content', [{}, {'data': {}}, meta('mediapipe 1')])
def test_the_same_extractor_or_none_told(cfg, content):
    check_extractor(content, cfg, TestOptions())


def test_another_extractor_is_refused(cfg):
    with pytest.raises(ValueError, match=r"of 'rtmlib 2'; .* of 'mediapipe 1', which"):
        check_extractor(meta('rtmlib 2'), cfg, TestOptions())


@pytest.mark.parametrize(
    ('content', 'options'),
    [
        (meta('rtmlib 2'), TestOptions(allow_extractor=True)),
        (meta('simulation 1', True), TestOptions(allow_simulated=True)),
    ],
)
def test_the_user_may_force_it(cfg, content, options):
    check_extractor(content, cfg, options)


def test_video_models_do_not_care(cfg):
    cfg.test_dataloader.dataset.modality = 'RGB'
    check_extractor(meta('rtmlib 2'), cfg, TestOptions())
