"""Opening models by name, path or URL, and looking at videos with them."""

import os
import shutil
import stat
import tempfile
from pathlib import Path

import pytest
from inference_models import RECIPES, make_checkpoint
from pose_backends import FakeExtractor, use_fake
from video_files import make_video, moving_frames

from mmma import apis
from mmma.hub import zoo as files
from mmma.hub import zoo as index
from mmma.hub.zoo import ZooModel


@pytest.fixture(scope='module')
def recognizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp('recognizer')
    return make_checkpoint(folder / 'small.pth', RECIPES['rec', 'Pose'])


@pytest.fixture(scope='module')
def detector(tmp_path_factory):
    folder = tmp_path_factory.mktemp('detector')
    return make_checkpoint(folder / 'finder.pth', RECIPES['det', 'Pose'])


@pytest.fixture
def video(tmp_path):
    return make_video(tmp_path / 'a person.mp4', moving_frames(9, 32, 40), 30)


@pytest.fixture(autouse=True)
def fake_pose(monkeypatch):
    use_fake(monkeypatch)


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Where work files go."""
    folder = tmp_path / 'temporary'
    folder.mkdir()
    monkeypatch.setattr(tempfile, 'tempdir', str(folder))
    return folder


def test_joints_are_found_once_for_all_models(recognizer, detector, video, monkeypatch):
    calls = []
    find = FakeExtractor.extract
    monkeypatch.setattr(
        FakeExtractor, 'extract', lambda *a: calls.append(1) or find(*a)
    )
    models = [apis.open_model(path) for path in (recognizer, detector)]
    found = apis.look_at(video, models)
    assert len(calls) == 1
    assert [r.model.name for r in found.results] == ['small', 'finder']
    assert [r.model.extractor for r in found.results] == [
        'fake 1 persons=1 smooth=False'
    ] * 2
    with pytest.raises(ValueError, match='finder is a detector: detect'):
        apis.recognize(video, models[1])
    with pytest.raises(ValueError, match='small is a recognizer: recognize'):
        apis.detect(video, models[0])
    with pytest.raises(ValueError, match='give config and options to open_model'):
        apis.recognize(video, models[0], threshold=0.5)


def test_names_of_the_zoo(recognizer, monkeypatch):
    entries = [
        ZooModel('ours-1', 'ours', 'rec', 'Pose', config=RECIPES['rec', 'Pose'],
                 local=Path(recognizer)),
        ZooModel('start', 'upstream', 'rec', 'RGB', url='https://x.org/start.pth'),
    ]  # fmt: skip
    for module in (index, files):
        monkeypatch.setattr(module, 'list_models', lambda root=None: entries)
    card = apis.open_model('ours-1').card
    assert (card.name, card.config) == ('ours-1', Path(RECIPES['rec', 'Pose']).stem)
    with pytest.raises(ValueError, match='recipes start training from'):
        apis.open_model('start')
    with pytest.raises(ValueError, match="no model 'ours-2' in the zoo"):
        apis.open_model('ours-2')


def test_an_unknown_option(recognizer):
    with pytest.raises(ValueError, match=r"option 'treshold'.* mean 'threshold'"):
        apis.open_model(recognizer, treshold=0.5)


def test_weights_of_another_model(recognizer, detector, video):
    model = apis.open_model(recognizer, config=RECIPES['rec', 'RGB'])
    with pytest.raises(ValueError, match=r'^\S*small\.pth is of another model'):
        apis.recognize(video, model)


def test_private_without_network_or_name(recognizer, video, monkeypatch):
    monkeypatch.delenv('MMMA_OFFLINE', raising=False)
    with pytest.raises(FileNotFoundError, match=r'x\.org'):
        apis.open_model('https://x.org/none-12345678.pth', private=True)
    model = apis.open_model(recognizer, private=True)
    video.write_bytes(b'no video')
    with pytest.raises(ValueError, match=r'^the video: not readable as video'):
        apis.recognize(video, model)
    assert 'MMMA_OFFLINE' not in os.environ


@pytest.mark.parametrize('error', [KeyboardInterrupt, ValueError, KeyError])
def test_work_files_are_private_and_go(
    error, recognizer, video, temporary, monkeypatch
):
    model = apis.open_model(recognizer)
    model.build()
    seen = []

    def fail(self, root):
        (folder,) = temporary.iterdir()
        seen.append(stat.S_IMODE(folder.stat().st_mode))
        raise error

    monkeypatch.setattr(type(model), 'scores', fail)
    with pytest.raises(error):
        apis.recognize(video, model)
    assert seen == [0o700]
    assert list(temporary.iterdir()) == []


def test_a_missing_backend_says_how_to_install_it(recognizer, monkeypatch):
    from mmma.media import extractors

    monkeypatch.setitem(extractors.BACKENDS, 'mediapipe', 'mmma.media.mediapipe')
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'mmma\[pose\]'"):
        apis.open_model(recognizer)


def test_a_config_of_its_own(recognizer, tmp_path):
    content = make_checkpoint(
        tmp_path / 'm.pth', RECIPES['rec', 'Pose'], config_name=None
    )
    with pytest.raises(ValueError, match='give it'):
        apis.open_model(content)
    own = tmp_path / 'own.py'
    shutil.copy(RECIPES['rec', 'Pose'], own)
    text = own.read_text().replace('../_base_', str(Path('configs/_base_').absolute()))
    own.write_text(text)
    assert apis.open_model(content, config=str(own)).card.config == 'own'
