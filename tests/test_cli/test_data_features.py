import shutil

import pytest

from mmma.cli import main
from mmma.data.arrays import FeatureStore

SMALL = [
    'test_dataloader.num_workers=0', 'test_dataloader.persistent_workers=False'
]  # fmt: skip


def test_features_of_videos(det_root, tmp_path, monkeypatch, capsys):
    root = tmp_path / 'root'
    shutil.copytree(det_root, root)
    monkeypatch.chdir(tmp_path)
    argv = [str(root), 'videomae-tiny', '--no-pretrained', '--dtype', 'float32']
    assert main('data/features', [*argv, '--cfg-options', *SMALL]) == 0
    assert 'videomae-tiny: 8 rows of det, 8 of them now' in capsys.readouterr().out
    store = FeatureStore(root, 'videomae-tiny').require(stride_sec=2 / 15, fps=15.0)
    assert store.steps('lab_train_0') == 30  # 4 s


@pytest.mark.parametrize(
    ('more', 'message'),
    [
        (['--tokens'], '--tokens is no option of --task det'),
        (['--task', 'rec', '--stride-sec', '1'], '--stride-sec is no option of'),
        ([], 'the recipe names no pretrained weights'),
        (['--rate', '0'], 'rate 0.0: use a number above 0'),
    ],
)
def test_bad_usage(more, message, det_root, capsys):
    assert main('data/features', [str(det_root), 'videomae-tiny', *more]) == 2
    assert message in capsys.readouterr().err
