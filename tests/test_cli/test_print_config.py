import pytest

from mmma.cli import main

CONFIG = 'configs/recog/videomae_mma82_indomain.py'


def test_prints_a_config_without_data(capsys):
    assert main('print_config', [CONFIG, '--protocol', 'zeroshot']) == 0
    text = capsys.readouterr().out
    assert 'protocol = dict(' in text
    assert "name='zeroshot'" in text


def test_origin_names_the_file_that_sets_each_key(capsys):
    options = ['--cfg-options', 'train_dataloader.batch_size=3']
    assert main('print_config', [CONFIG, '--origin', *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    origin = {line.split(' = ')[0]: line.rpartition('# ')[2] for line in lines}
    base = 'configs/_base_/datasets'
    assert origin['model.backbone.arch'] == CONFIG
    assert origin['train_dataloader.sampler.repeats'] == f'{base}/mma82_rgb_16x224.py'
    assert origin['log_level'] == 'configs/_base_/default_runtime.py'
    assert origin['train_dataloader.batch_size'] == 'protocol or option'
    assert origin['train_dataloader.dataset.domains'] == 'protocol or option'


@pytest.mark.parametrize(
    ('argv', 'message'),
    [
        (['recog/videomae_mma82_indomian'], 'Did you mean'),
        ([CONFIG, '--protocol', 'fewshott'], "Did you mean 'fewshot'"),
        ([CONFIG, '--cfg-options', 'modell.x=1'], "no key 'modell'"),
    ],
)
def test_bad_input(capsys, argv, message):
    assert main('print_config', argv) == 2
    assert message in capsys.readouterr().err
