import shutil

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


def test_bad_usage(det_root, capsys):
    rgb = 'videomae-tiny'
    for argv, message in (
        ([rgb, '--tokens'], '--tokens is no option of --task det'),
        ([rgb, '--task', 'rec', '--stride-sec', '1'], '--stride-sec is no option of'),
        ([rgb, '--workers', '2'], '--workers is of --cluster slurm: leave it out'),
        ([rgb], 'the recipe names no pretrained weights'),
        ([rgb, '--rate', '0'], 'rate 0.0: use a number above 0'),
        ([rgb, '--stride-sec', '-1'], 'stride_sec -1.0: use a number above 0'),
        (
            ['skeletontcn-tiny', '--no-pretrained'],
            'need a recipe for RGB whose test pipeline has one UniformFrames; this one',
        ),
    ):
        assert main('data/features', [str(det_root), *argv]) == 2
        assert message in capsys.readouterr().err
