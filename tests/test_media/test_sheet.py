import cv2
import numpy as np
import pytest
from pose_backends import use_fake
from video_files import make_video_root

from mmma.data.joints import WHOLEBODY65
from mmma.data.root import DataRoot
from mmma.media import sheet
from mmma.media.extractors import JOINTS
from mmma.media.pose import PoseOptions, RunOptions, extract_root


def test_limbs_are_drawn_in_the_colour_of_their_side():
    keypoints, scores = np.zeros((65, 2)), np.zeros(65)
    for side, x in {'left': 10, 'right': 30}.items():
        elbow, wrist = (JOINTS[f'{side}_{part}'] for part in ('elbow', 'wrist'))
        keypoints[[elbow, wrist]] = [x, 5], [x, 25]
        scores[[elbow, wrist]] = 1
    scores[JOINTS['right_wrist']] = 0.2  # doubtful: faint
    frame = np.zeros((900, 900, 3), np.uint8)  # lines of 3 pixels
    drawn = sheet.draw_over(frame, keypoints, scores, WHOLEBODY65)
    assert drawn[15, 10].tolist() == [255, 140, 40]
    assert drawn[15, 30].tolist() == pytest.approx([24, 60, 102], abs=1)
    assert not drawn[:, 20].any()
    assert not frame.any()


@pytest.fixture
def root(tmp_path, monkeypatch):
    use_fake(monkeypatch)
    root = DataRoot(make_video_root(tmp_path / 'root', clips=1))
    extract_root(root, PoseOptions('mediapipe'), RunOptions(workers=0))
    return root


def test_a_sheet_shows_some_clips(root, tmp_path):
    names = sheet.write_sheet(root, 'rec', tmp_path / 'a.png', clips=2, height=50)
    assert names == ['psychiatric_train_0', 'emotion_train_0']
    picture = cv2.imread(str(tmp_path / 'a.png'))
    assert picture.shape[0] >= 2 * 50


def test_a_sheet_that_cannot_be_encoded(root, tmp_path, monkeypatch):
    monkeypatch.setattr(cv2, 'imencode', lambda *_: (False, None))
    with pytest.raises(ValueError, match='could not be encoded; show fewer clips'):
        sheet.write_sheet(root, 'rec', tmp_path / 'a.png', clips=1)
