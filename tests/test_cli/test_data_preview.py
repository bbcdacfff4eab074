"""The command that draws a contact sheet."""

import cv2
import numpy as np
import pytest
from video_files import make_video, moving_frames

from mmma.cli import main
from mmma.data.arrays import SkeletonWriter
from mmma.data.clips import Clip, write_rec
from mmma.data.joints import WHOLEBODY65
from mmma.data.root import DatasetInfo, write_info
from mmma.taxonomy import load_label_space

SPACE = load_label_space()


def preview(*arguments):
    return main('data/preview', [str(a) for a in arguments])


@pytest.fixture
def root(tmp_path):
    """Skeletons of two actions in two domains; one clip has neither them nor video."""
    write_info(tmp_path, DatasetInfo('toy', 'mma82', simulated=True))
    clips = [
        Clip(f'{d}_{a}', '', 'train', d, 's', SPACE.action_id(a), None)
        for d, a in (('lab', 'nodding'), ('street', 'nodding'), ('lab', 'waving'))
    ]
    lost = Clip('lost', '', 'train', 'lab', 's', SPACE.action_id('clapping'), None)
    hidden = Clip('hidden', '', 'test', 'lab', 's', None, None)
    write_rec(tmp_path / 'rec.csv', [*clips, lost, hidden], SPACE)
    rng = np.random.default_rng(0)
    with SkeletonWriter(tmp_path, 'rec', WHOLEBODY65) as writer:
        for clip in clips:
            points = rng.uniform(0, 60, (1, 9, 65, 2)).astype(np.float32)
            scores = np.ones((1, 9, 65), np.float32)
            writer.append(clip.clip, points, scores, 30.0, 64, 64)
    return tmp_path


def test_actions_by_domains(root, capsys):
    out = root / 'sheet.png'
    assert preview(root, '--out', out, '--actions', 'nodding', 'waving') == 0
    assert '3 clips' in capsys.readouterr().out
    sheet = cv2.imread(str(out))
    assert sheet.shape == (18 + 2 * (96 + 18), 2 * (4 * 96 + 4), 3)


def test_one_domain_and_fewer_frames(root):
    out = root / 'sheet.jpg'
    options = ['--domain', 'street', '--actions', 'nodding', '--frames', 2]
    assert preview(root, '--out', out, *options, '--height', 48) == 0
    assert cv2.imread(str(out)).shape == (18 + 48 + 18, 2 * 48 + 4, 3)


def test_video_is_preferred(root):
    make_video(root / 'a.mp4', moving_frames(9))
    action = SPACE.action_id('clapping')
    clips = [Clip('a', 'a.mp4', 'train', 'lab', 's', action, None)]
    write_rec(root / 'rec.csv', clips, SPACE)
    out = root / 'sheet.png'
    assert preview(root, '--out', out, '--actions', 'clapping') == 0
    assert cv2.imread(str(out)).shape == (18 + 96 + 18, 4 * 128 + 4, 3)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--domain', 'lap'], "unknown domain 'lap'"),
        (['--actions', 'noding'], "Did you mean 'nodding'"),
        (['--actions', 'tiptoe'], 'no labelled clip of these actions in any domain'),
        (['--actions', 'clapping'], "clip 'lost' has neither video nor skeleton"),
        (['--frames', '0'], '--frames must be at least 1'),
    ],
)
def test_bad_arguments(root, capsys, arguments, message):
    assert preview(root, '--out', root / 'x.png', *arguments) == 2
    assert message in capsys.readouterr().err


def test_bad_output(root, capsys):
    assert preview(root, '--out', root / 'x.gif') == 2
    assert "unknown suffix of --out '.gif'" in capsys.readouterr().err
    assert preview(root, '--out', root / 'no' / 'x.png') == 2
    assert 'there is no folder' in capsys.readouterr().err
