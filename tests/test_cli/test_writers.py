"""Of two processes that write into one folder, one works and the other says so."""

import os

from kill_points import told_elsewhere
from mmengine.config import Config

from mmma.cli import build_model_zoo, main
from mmma.engine.run import Run
from mmma.files import only_writer


def test_commands_say_that_another_works(tmp_path, monkeypatch):
    (tmp_path / 'a.mp4').touch()
    out, root = str(tmp_path / 'out'), tmp_path / 'checkout'
    monkeypatch.setattr(build_model_zoo, 'config_folders', lambda: [root / 'configs'])
    run = Run(Config(dict(work_dir=out, launcher='none')), None, None)
    video, fused, results = (str(tmp_path / n) for n in ('a.mp4', 'f.npz', 'r.json'))

    def test(*files):
        with run.held(*files):
            pass

    for place, file, work in (
        ('out', False, test),
        ('r.json', True, lambda: test(None, results)),
        ('out', False, lambda: main('infer', [video, '--recog=x', '--out', out])),
        ('.', False, lambda: main('annotate', [str(tmp_path)])),
        ('f.json', True, lambda: main('fuse', [video, video, '--out', fused])),
        ('checkout/configs/metafiles', False, lambda: main('build_model_zoo', [])),
    ):
        with only_writer(tmp_path / place, file):
            told = told_elsewhere(work)
        assert f'{tmp_path / place}: another process is at work here: wait' in told
    run.cfg.launcher = 'pytorch'  # rank 0 holds what all of them write
    monkeypatch.setenv('RANK', '1')
    with only_writer(tmp_path / 'out'):
        assert told_elsewhere(test) == ''
    assert sorted(os.listdir(tmp_path)) == ['a.mp4', 'checkout']
