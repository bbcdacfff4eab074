"""The command that draws what a model sees."""

import cv2
import numpy as np
import pytest
from own_roots import make_own_root

from mmma.cli import main


def browse(config, root, out, *more):
    more = ('--samples', 2, '--epochs', 2, '--frames', 3, *more)
    argv = [config, '--data-root', root, '--out', out, *more]
    return main('data/browse', list(map(str, argv)))


def test_frames_change_with_the_epoch_in_training_alone(video_root, tmp_path, capsys):
    out = tmp_path / 'sheet.png'
    assert browse('recog/videomae-tiny_mma82_indomain', video_root, out) == 0
    assert '2 samples of train, 2 epochs; 2 of 2 change' in capsys.readouterr().out
    sheet = cv2.imread(str(out))
    assert sheet.shape == (18 + 2 * (96 + 18), 2 * (3 * 96 + 4), 3)
    left, right = sheet[32:128, :288], sheet[32:128, 292:580]
    assert (left != right).any()
    assert left.std() > 10
    config = 'recog/videomae-tiny_mma82_zeroshot'
    assert browse(config, video_root, out, '--subset', 'val') == 0
    assert '; 0 of 2 change' in capsys.readouterr().out
    sheet = cv2.imread(str(out))
    assert np.array_equal(sheet[32:128, :288], sheet[32:128, 292:580])


@pytest.mark.parametrize('recipe', ['posec3d-tiny', 'skeletontcn-tiny'])
def test_skeletons_are_drawn(recipe, tmp_path, capsys):
    root, out = make_own_root(tmp_path / 'root'), tmp_path / 'sheet.jpg'
    assert browse(f'recog/{recipe}_mma82_indomain', root, out) == 0
    assert '2 of 2 change' in capsys.readouterr().out
    sheet = cv2.imread(str(out))
    for row in (32, 32 + 114):
        for column in (0, 292):
            assert (sheet[row : row + 96, column : column + 288] < 200).sum() > 20


@pytest.mark.parametrize('recipe', ['adatad_videomae-tiny', 'skeletondet-tiny'])
def test_windows_have_a_lane_for_each_instance(recipe, det_root, tmp_path):
    out = tmp_path / 'sheet.png'
    assert browse(f'det/{recipe}_mma82', det_root, out, '--samples', 4) == 0
    sheet = cv2.imread(str(out))[..., ::-1]
    blue = (sheet == (170, 205, 240)).all(axis=2)
    rows = np.flatnonzero(blue[:, :288].any(axis=1))
    assert len(rows) == (3 + 1) * 12  # lab_train_0 has three, lab_train_1 one
    assert rows[0] == 18 + 14 + 96
    first = np.flatnonzero(blue[rows[0], :288])
    wide = first[-1] - first[0] + 1  # 1.5 of 3.6 to 4.0 s
    assert 288 * 1.4 / 4 < wide < 288 * 1.5 / 3.5


def test_what_cannot_be_drawn_is_told(det_root, tmp_path, capsys):
    config, out = 'det/skeletondet-tiny_mma82', tmp_path / 'sheet.png'
    assert browse(config, det_root, out, '--epochs', 0) == 2
    assert '--samples, --epochs and --frames must be' in capsys.readouterr().err
    assert browse(config, det_root, tmp_path / 'sheet.svg') == 2
    assert 'suffix of --out' in capsys.readouterr().err
    assert not out.exists()
