from dataclasses import replace
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmma.data.joints import JointLayout, layout_text
from mmma.data.root import DataRoot, DatasetInfo, write_info
from mmma.engine.run import Run, TestOptions, describe_data
from mmma.engine.runner import ConsoleRunner
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


def test_the_console_has_a_few_short_lines_and_the_log_file_all(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv('COLUMNS', '90')
    cfg = Config({'a': {f'key{i}': i for i in range(300)}})
    model, place = torch.nn.Linear(1, 1), str(tmp_path)
    runner = ConsoleRunner(model, place, cfg=cfg, experiment_name='console')
    told = 'lr: 1.0e-03  eta: 0:10:00  time: 0.1  data_time: 0.1  memory: 9  loss: 2.5'
    for i in range(100):
        runner.logger.info(f'Epoch(train)  [{i}][20/31]  {told}')
        runner.logger.info(f'Saving checkpoint at {i} epochs')
    many = '  '.join(f'action/mAP@0.{i}0: 1.0  body/m{i}: 3.0' for i in range(9))
    runner.logger.info(f'Epoch(val) [9][6/6]    {many}')
    runner.logger.warning('rates are odd')
    runner.logger.warning('"FileClient" will be deprecated in future.')
    lines = capsys.readouterr().out.splitlines()
    assert [line[9:] for line in lines[:1]] == [
        'Epoch(train)  [0][20/31]  lr: 1.0e-03  eta: 0:10:00  loss: 2.5'
    ]
    assert lines[1].endswith('body/m3: 3.0')
    assert '@' not in lines[1]
    assert lines[2:] == ['warning: rates are odd']
    text = Path(runner.logger.log_file).read_text()
    assert 'System environment' in text
    assert 'key299=299' in text
    assert text.count('data_time: 0.1') == 100


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
