from dataclasses import replace

import pytest
from mmengine.config import Config

from mmma.data.joints import JointLayout, layout_text
from mmma.data.root import DataRoot, DatasetInfo, write_info
from mmma.engine.run import Run, TestOptions, describe_data
from mmma.engine.weights import check_extractor


@pytest.fixture
def run(tmp_path):
    """A run on skeletons, of a root whose joints ``mediapipe 1`` found."""
    write_info(tmp_path, DatasetInfo('toy', 'mma82', simulated=False))
    layout = tmp_path / 'skeletons' / 'layout.json'
    layout.parent.mkdir()
    layout.write_text(layout_text(JointLayout(('nose',), extractor='mediapipe 1')))
    loader = {'dataset': {'modality': 'Pose'}}
    cfg = Config({'data_root': str(tmp_path), 'test_dataloader': loader})
    return Run(cfg, None, DataRoot(tmp_path))


def meta(extractor, simulated=False):
    return {'data': {'extractor': extractor, 'simulated': simulated}}


def test_checkpoints_record_the_extractor(run):
    assert describe_data(run)['extractor'] == 'mediapipe 1'
    assert [*describe_data(run)['arrays']] == ['skeletons/layout.json']
    for cfg in (
        Config({'test_dataloader': {'dataset': {'modality': 'RGB'}}}),
        Config(),
    ):
        other = replace(run, cfg=cfg)
        assert other.layout is None
        assert 'extractor' not in describe_data(other)


def test_the_same_extractor_or_none_told(run):
    for content in ({}, {'data': {}}, meta('mediapipe 1')):
        check_extractor(content, run, TestOptions())


def test_another_extractor_is_refused(run):
    with pytest.raises(ValueError, match=r"of 'rtmlib 2'; .* of 'mediapipe 1', which"):
        check_extractor(meta('rtmlib 2'), run, TestOptions())


def test_the_user_may_force_it(run):
    check_extractor(meta('rtmlib 2'), run, TestOptions(allow_extractor=True))
    simulated = meta('simulation 1', simulated=True)
    check_extractor(simulated, run, TestOptions(allow_simulated=True))


def test_video_models_do_not_care(run):
    run.cfg.test_dataloader.dataset.modality = 'RGB'
    check_extractor(meta('rtmlib 2'), run, TestOptions())
