"""Infer says what testing says, and says how sure it may be."""

import csv
import json
import re
import shutil
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from inference_models import RECIPES, make_checkpoint
from pose_backends import FakeExtractor, use_fake
from video_files import make_audio, make_video, moving_frames, spoil_packet

from mmma.apis import evaluate
from mmma.cli import _note, main
from mmma.data.root import DataRoot
from mmma.engine import infer
from mmma.engine.findings import InferenceOptions, summary
from mmma.engine.infer import config_of, own_label_space
from mmma.engine.weights import read_checkpoint
from mmma.evaluation.scores import read_scores
from mmma.hub import zoo
from mmma.hub.zoo import ZooModel
from mmma.media import pose
from mmma.media.pose import PoseOptions, extract_root
from mmma.taxonomy import load_label_space


def test_bad_options():
    for options, text in (
        ({'threshold': 1.5}, 'threshold 1.5: use a score from 0 to 1'),
        ({'threshold': -0.1}, 'threshold -0.1'),
        ({'device': 'cuda:99'}, "unknown device 'cuda:99': use one of cpu"),
        ({'device': 'cpux'}, "Did you mean 'cpu'"),
    ):
        with pytest.raises(ValueError, match=text):
            InferenceOptions(**options)


SPACE = load_label_space('mma82')
SMALL = ['test_dataloader.num_workers=0', 'test_dataloader.persistent_workers=False']
PAIRS = sorted(RECIPES)


@pytest.fixture(autouse=True)
def fake_pose(monkeypatch):
    use_fake(monkeypatch)


@pytest.fixture(scope='session')
def checkpoints(tmp_path_factory):
    """A checkpoint of each task and modality, trained on what is called real."""
    folder = tmp_path_factory.mktemp('models')
    found = {}
    for (task, modality), config in RECIPES.items():
        path = folder / f'{task}{modality}.pth'
        found[task, modality] = make_checkpoint(path, config)
    return found


@pytest.fixture(scope='session')
def models(checkpoints):
    """They, open; built when first used; without a threshold."""
    with pytest.MonkeyPatch.context() as patch:
        use_fake(patch)
        return {
            pair: infer.open_model(path, threshold=0.0)
            for pair, path in checkpoints.items()
        }


@pytest.fixture
def video(video_root):
    return video_root / 'videos/street/street_test_0.mp4'


def dumped(root, task, modality, checkpoint, folder):
    """Dump of ``test.py --dump`` for the videos of the street."""
    dump = folder / ('pred.json' if task == 'det' else 'scores.npz')
    one = [] if task == 'det' else ['test_dataloader.batch_size=1']
    argv = [
        *(RECIPES[task, modality], checkpoint, '--data-root', str(root)),
        *('--protocol', 'zeroshot', '--target', 'street', '--dump', str(dump)),
        *('--work-dir', str(folder / 'work'), '--cfg-options', *SMALL, *one),
    ]
    assert main('test', argv) == 0
    if task == 'det':
        return json.loads(dump.read_text())['results']
    content = np.load(dump)
    assert content['classes'].tolist() == list(SPACE.actions)
    return dict(zip(content['clips'].tolist(), content['scores'], strict=True))


@pytest.mark.parametrize('pair', PAIRS, ids='-'.join)
def test_scores_are_those_of_testing(
    pair, checkpoints, models, video_root, det_root, tmp_path
):
    task, modality = pair
    root = tmp_path / 'root'
    shutil.copytree(det_root if task == 'det' else video_root, root)
    if 'Pose' in modality:
        shutil.rmtree(root / 'skeletons', ignore_errors=True)
        extract_root(DataRoot(root), PoseOptions('mediapipe'), workers=0)
    expected = dumped(root, task, modality, checkpoints[pair], tmp_path)
    assert expected
    place = root / 'videos' / ('street' if task == 'rec' else '')
    for name, scores in expected.items():
        file = place / f'{name}.mp4'
        if task == 'rec':
            found = {
                f.action: f.score for f in infer.recognize(file, models[pair]).actions
            }
            assert [found[a] for a in SPACE.actions] == scores.astype(float).tolist()
        else:
            rows = infer.detect(file, models[pair]).segments
            times = [([f.start_sec, f.end_sec], f.action, f.score) for f in rows]
            assert times == [(r['segment'], r['label'], r['score']) for r in scores]


def lossless(path, frames, times_ms):
    return make_video(path, frames, 10, times_ms=times_ms, options={'qp': '0'})


@pytest.mark.parametrize('task', ['rec', 'det'])
def test_times_are_those_of_the_file(task, models, tmp_path):
    frames = moving_frames(12, 32, 40).repeat(2, axis=0)
    times_ms = np.arange(24) * 100
    kept = [*range(8), *range(8, 16, 2), *range(16, 24)]  # half the rate in the middle
    even = lossless(tmp_path / 'even.mkv', frames, times_ms.tolist())
    uneven = tmp_path / 'uneven.mkv'  # and all of it half a second later
    lossless(uneven, frames[kept], (times_ms[kept] + 500).tolist())
    pair = (task, 'RGB')
    one, other = (infer.look_at(path, [models[pair]])[0] for path in (even, uneven))
    assert one.video == {**one.video, 'first_frame_sec': 0, 'frames': 24}
    assert other.video == {**other.video, 'first_frame_sec': 0.5, 'frames': 20}
    assert one.video['fps'] == pytest.approx(10)
    assert len(one.actions if task == 'rec' else one.segments) > 50
    assert replace(one, video=other.video) == other


def test_skeletons_at_a_variable_rate_are_even_in_time(models, tmp_path):
    brightness = np.arange(40, 220, 30, dtype=np.uint8)
    frames = np.broadcast_to(brightness[:, None, None, None], (6, 32, 40, 3))
    video = lossless(tmp_path / 'v.mkv', frames, [0, 100, 200, 300, 600, 900])
    found = infer.look_at(video, [models['rec', 'Pose']])[0].skeletons
    x = found.joints[:, 0, 0, 0]
    # One second, shown is at 1/12, 3/12, 5/12, 7/12, 9/12 and 11/12 of it.
    assert np.unique(x, return_inverse=True)[1].tolist() == [0, 1, 2, 2, 3, 4]


def test_a_bar_over_frames_and_windows(models, video, monkeypatch, capsys):
    monkeypatch.setattr(infer, 'LONG_SEC', 0.1)
    pose = [models['det', 'Pose']]
    infer.look_at(video, pose)
    assert capsys.readouterr().err == ''  # notebooks have none
    infer.look_at(video, pose, 'clip', bar=True)
    told = capsys.readouterr().err.splitlines()
    assert any(re.fullmatch(r'clip: frames (\d+)/\1', line) for line in told)
    assert any(re.fullmatch(r'clip: windows (\d+)/\1', line) for line in told)


def test_below_the_threshold_it_abstains_and_drops(models, video, monkeypatch):
    model = models['rec', 'RGB']
    monkeypatch.setattr(model, 'options', InferenceOptions(threshold=1.0))
    found = infer.recognize(video, model)
    assert found.abstained
    assert (found.answer.action, found.answer.body) == (None, None)
    assert found.answer.score == found.actions[0].score > 0
    model = models['det', 'RGB']
    whole = infer.detect(video, model)
    monkeypatch.setattr(model, 'options', InferenceOptions())
    some = infer.detect(video, model)
    assert (some.threshold, some.chosen_on) == (0.2, 'default')
    assert whole.chosen_on == 'the user'
    assert len(whole.segments) == len(some.segments) + some.dropped > 0
    assert whole.dropped == 0


def test_bodies_are_sums_of_their_actions(models, video):
    found = infer.recognize(video, models['rec', 'RGB'])
    sums = dict.fromkeys(SPACE.bodies, 0.0)
    for action in found.actions:
        sums[action.body] += action.score
    assert {f.body: f.score for f in found.bodies} == pytest.approx(sums)
    scores = [f.score for f in found.bodies]
    assert scores == sorted(scores, reverse=True)


def test_calibrated_scores_and_the_threshold_of_validation(models, video, tmp_path):
    ece = {'ece': [0.2, 0.1]}
    softer = {'on': 'val of toy, 200 clips', 'action': {'temperature': 2.0, **ece}}
    config = RECIPES['rec', 'RGB']
    path = make_checkpoint(tmp_path / 'm.pth', config, calibration=softer)
    raw, found = (
        infer.recognize(video, models['rec', 'RGB']),
        infer.recognize(video, path),
    )
    assert found.notes == ('m: scores are calibrated on val of toy, 200 clips',)
    assert [f.action for f in found.actions] == [f.action for f in raw.actions]
    given = np.array([f.score for f in raw.actions])
    assert [f.raw_score for f in found.actions] == given.tolist()
    expected = np.sqrt(given) / np.sqrt(given).sum()
    assert [f.score for f in found.actions] == pytest.approx(expected.tolist())
    bodies = dict.fromkeys(SPACE.bodies, 0.0)
    for action in found.actions:
        bodies[action.body] += action.score
    assert {f.body: f.score for f in found.bodies} == pytest.approx(bodies)
    assert {f.raw_score for f in raw.actions} == {None}

    own = {'curves': {'': [1.0, 0.0], 'head': [2.0, 1.0]}, **ece}
    told = {'on': 'val of toy, 90 videos', 'action': {**own, 'threshold': 0.4}}
    told['body'] = {**own, 'threshold': 0.6}
    path = make_checkpoint(tmp_path / 'd.pth', RECIPES['det', 'RGB'], calibration=told)
    raw, found = (infer.detect(video, m) for m in (models['det', 'RGB'], path))
    assert (found.threshold, found.chosen_on) == (0.4, 'val of toy, 90 videos')
    assert len(found.actions) + found.dropped == len(raw.actions)
    odds = {f: f.score / (1 - f.score) for f in raw.actions}
    odds = {f: np.e * o**2 if f.body == 'head' else o for f, o in odds.items()}
    shown = sorted((o / (1 + o) for o in odds.values() if o >= 0.4 / 0.6), reverse=True)
    assert [f.score for f in found.actions] == pytest.approx(shown)
    assert all(f.score >= 0.6 for f in found.bodies)
    assert infer.detect(video, path, threshold=0.9).chosen_on == 'the user'


def test_nobody_there(models, video, monkeypatch):
    def nothing(self, frames, fps):
        shape = (1, len(list(frames)), 65)
        return np.zeros((*shape, 2)), np.zeros(shape)

    monkeypatch.setattr(FakeExtractor, 'extract', nothing)
    found = infer.recognize(video, models['rec', 'Pose'])
    assert found.abstained
    assert found.notes[1:] == ('no body was found in any frame: nothing can be said',)
    detected = infer.detect(video, models['det', 'Pose'])
    assert (detected.abstained, detected.segments) == (True, ())


def test_a_body_that_is_rarely_there_is_noted(models, video, monkeypatch):
    def rarely(self, frames, fps):
        shape = (1, len(list(frames)), 65)
        scores = np.zeros(shape)
        scores[:, 0] = 1
        return np.ones((*shape, 2)), scores

    monkeypatch.setattr(FakeExtractor, 'extract', rarely)
    _, note = infer.recognize(video, models['rec', 'Pose']).notes
    assert note == 'a body was found in only 8% of the frames'


def test_a_long_clip_is_noted(models, tmp_path):
    times_ms = range(0, 40_000, 4000)
    video = lossless(tmp_path / 'v.mkv', moving_frames(10), times_ms)
    _, note = infer.recognize(video, models['rec', 'RGB']).notes
    assert 'a detector finds actions in long videos' in note


SIMULATED = {'name': 'mma82-simulated', 'simulated': True, 'extractor': 'other 1'}


def test_simulated_weights_need_leave_and_say_so(tmp_path, video):
    config = RECIPES['rec', 'Pose']
    path = make_checkpoint(tmp_path / 'm.pth', config, data=SIMULATED)
    with pytest.raises(ValueError, match='trained on simulated data'):
        infer.recognize(video, path)
    found = infer.recognize(video, path, allow_simulated=True)
    assert found.simulated
    _, simulated, extractor = found.notes
    assert 'simulated people (mma82-simulated)' in simulated
    assert "skeletons of 'other 1', those of the video are of 'fake 1" in extractor


def test_another_extractor_needs_leave(tmp_path):
    data = {**SIMULATED, 'simulated': False}
    path = make_checkpoint(tmp_path / 'm.pth', RECIPES['rec', 'Pose'], data=data)
    with pytest.raises(ValueError, match=r"of 'other 1', .* or --allow-extractor"):
        infer.open_model(path)
    assert len(infer.open_model(path, allow_extractor=True).notes) == 2


def test_models_of_features_are_refused(tmp_path, checkpoints):
    config = 'configs/det/actionformer_videomae-s-features_mma82.py'
    with pytest.raises(ValueError, match='sees features of another model'):
        infer.open_model(checkpoints['det', 'Pose'], config=config)


def test_the_config_is_found_by_name_and_no_path_is_followed(checkpoints, tmp_path):
    weights = read_checkpoint(checkpoints['rec', 'RGB'])
    assert config_of(weights, 'm').endswith(RECIPES['rec', 'RGB'])
    own = tmp_path / 'own.py'
    own.write_text('raise RuntimeError')
    for told, text in ((str(own), "names 'own.py', which does not"), (None, 'none')):
        changed = {**weights.content, 'meta': {'config_name': told}}
        with pytest.raises(ValueError, match=text):
            config_of(replace(weights, content=changed), 'm')


def test_a_model_of_another_label_space(tmp_path, video):
    path = make_checkpoint(tmp_path / 'm.pth', RECIPES['rec', 'RGB'], 'ma52')
    found = infer.recognize(video, path)
    assert found.model.label_space == 'ma52'
    assert len(found.actions) == 52


def test_own_body_groups_win():
    classes = list(reversed(SPACE.actions))
    bodies = list(reversed(SPACE.bodies))
    groups = [bodies.index(SPACE.bodies[b]) for b in reversed(SPACE.body_of)]
    groups[0] = (groups[0] + 1) % len(bodies)  # of the last action
    meta = {'classes': classes, 'bodies': bodies, 'body_of': groups}
    found = own_label_space(meta, 'mma82')
    assert found.body_of[:-1] == SPACE.body_of[:-1]
    assert found.body_of[-1] != SPACE.body_of[-1]
    assert own_label_space({}, 'mma82') == SPACE
    assert own_label_space({**meta, 'classes': classes[1:]}, 'mma82') == SPACE


def test_joints_are_found_once_for_all_models(models, video, monkeypatch):
    calls = []
    find = FakeExtractor.extract
    monkeypatch.setattr(
        FakeExtractor, 'extract', lambda *a: calls.append(1) or find(*a)
    )
    both = [models['rec', 'Pose'], models['det', 'Pose']]
    found = infer.look_at(video, both)
    assert len(calls) == 1
    assert [r.model.name for r in found] == ['recPose', 'detPose']
    extractor = 'fake 1 persons=1 smooth=False'
    assert [r.model.extractor for r in found] == [extractor] * 2
    assert summary(found).endswith(' segments, 0 below threshold')


@pytest.mark.parametrize(
    ('look', 'pair', 'options', 'text'),
    [
        (infer.recognize, ('det', 'Pose'), {}, 'detPose is a detector: detect'),
        (infer.detect, ('rec', 'Pose'), {}, 'recPose is a recognizer: recognize'),
        (
            infer.recognize,
            ('rec', 'Pose'),
            {'threshold': 0.5},
            'give config and options to open_model',
        ),
    ],
)
def test_models_that_are_not_asked_for(look, pair, options, text, models, video):
    with pytest.raises(ValueError, match=text):
        look(video, models[pair], **options)


def test_names_of_the_zoo(checkpoints, monkeypatch):
    config, local = RECIPES['rec', 'Pose'], Path(checkpoints['rec', 'Pose'])
    entries = [
        ZooModel('ours-1', 'ours', 'rec', 'Pose', config=config, local=local),
        ZooModel('start', 'upstream', 'rec', 'RGB', url='https://x.org/start.pth'),
    ]
    for module in (zoo, infer):
        monkeypatch.setattr(module, 'list_models', lambda root=None: entries)
    card = infer.open_model('ours-1').card
    assert (card.name, card.config) == ('ours-1', Path(config).stem)
    with pytest.raises(ValueError, match='recipes start training from'):
        infer.open_model('start')
    with pytest.raises(ValueError, match="no model 'ours-2' in the zoo"):
        infer.open_model('ours-2')
    with pytest.raises(ValueError, match=r"option 'treshold'.* mean 'threshold'"):
        infer.open_model('ours-1', treshold=0.5)


def test_weights_of_another_model(checkpoints, video):
    model = infer.open_model(checkpoints['rec', 'Pose'], config=RECIPES['rec', 'RGB'])
    with pytest.raises(ValueError, match=r'^\S*recPose\.pth is of another model'):
        infer.recognize(video, model)


def test_private_without_network_or_name(checkpoints, tmp_path, monkeypatch):
    monkeypatch.delenv('MMMA_OFFLINE', raising=False)
    with pytest.raises(FileNotFoundError, match=r'x\.org'):
        infer.open_model('https://x.org/none-12345678.pth', private=True)
    frozen = {'count': 1, 'source': 'start', 'sha256': '0'}
    pair = ('det', 'RGB')
    path = make_checkpoint(tmp_path / 'm.pth', RECIPES[pair], frozen=frozen)
    model = infer.open_model(path, private=True)
    model._cfg.pretrained = {
        **{'url': 'https://x.org/start.pth', 'sha8': '', 'data': 'kinetics'}
    }
    with pytest.raises(FileNotFoundError, match='not asked, for this is offline'):
        model.build()
    model = infer.open_model(checkpoints['rec', 'Pose'], private=True)
    broken = tmp_path / 'anna.mp4'
    with pytest.raises(FileNotFoundError, match=r'^the video: no such video file$'):
        infer.recognize(broken, model)
    broken.write_bytes(b'no video')
    with pytest.raises(ValueError, match=r'^the video: not readable as video'):
        infer.recognize(broken, model)
    make_audio(broken)
    with pytest.raises(ValueError, match=r'^the video: .*audio only'):
        infer.recognize(broken, model)
    make_video(broken, moving_frames(9, 32, 40), 30)
    spoil_packet(broken, 5)
    pictures = infer.open_model(checkpoints['rec', 'RGB'], private=True)
    with pytest.raises(ValueError, match=r'^the video: cannot be read: '):
        infer.recognize(broken, pictures)
    make_video(broken, moving_frames(9, 32, 40), 30)
    memory = RuntimeError(f'{broken}: out of memory')
    monkeypatch.setattr(
        FakeExtractor, 'extract', lambda *_: (_ for _ in ()).throw(memory)
    )
    with pytest.raises(ValueError, match=r'^the video: the video: out of memory$'):
        infer.recognize(broken, model)


def test_a_decoder_that_gives_key_frames_only_is_refused(checkpoints, tmp_path):
    own = tmp_path / 'own.py'
    base = Path(RECIPES['rec', 'RGB']).absolute()
    step = "dict(type='mmaction.PyAVDecode', mode='efficient')"
    own.write_text(
        f'_base_ = {str(base)!r}\n'
        f'test_dataloader = dict(dataset=dict(pipeline=[{step}]))\n'
    )
    model = infer.open_model(checkpoints['rec', 'RGB'], config=str(own))
    with pytest.raises(ValueError, match='returns key frames only'):
        model.build()


def test_a_missing_backend_says_how_to_install_it(checkpoints, monkeypatch):
    monkeypatch.setitem(pose.BACKENDS, 'mediapipe', 'mmma.media.mediapipe')
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'mmma\[pose\]'"):
        infer.open_model(checkpoints['rec', 'Pose'])


def test_a_config_of_its_own(tmp_path):
    content = make_checkpoint(
        tmp_path / 'm.pth', RECIPES['rec', 'Pose'], config_name=None
    )
    with pytest.raises(ValueError, match='give it'):
        infer.open_model(content)
    own = tmp_path / 'own.py'
    own.write_text(f'_base_ = {str(Path(RECIPES["rec", "Pose"]).absolute())!r}\n')
    assert infer.open_model(content, config=str(own)).card.config == 'own'


def test_warnings_call_a_video_by_its_label(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'mmengine.logging', None)  # no log of a run
    path = tmp_path / 'secret.webm'
    with (
        pytest.warns(UserWarning, match=r'^video 1 of 1: scaled$'),
        infer._called('video 1 of 1', path),
    ):
        warnings.warn(f'{path}: scaled', stacklevel=2)
    note = _note('scaled', UserWarning, infer.__file__, 1)
    assert note == 'note: scaled\n'
    assert _note('old', UserWarning, 'a.py', 1) == 'a.py:1: UserWarning: old\n'


def test_skeletons_of_a_root_instead_of_finding_them(
    checkpoints, models, video_root, tmp_path, monkeypatch
):
    root = tmp_path / 'root'
    shutil.copytree(video_root, root)
    shutil.rmtree(root / 'skeletons', ignore_errors=True)
    extract_root(DataRoot(root), PoseOptions('mediapipe'), workers=0)
    file = root / 'videos/street/street_test_0.mp4'
    expected = infer.recognize(file, models['rec', 'Pose'])
    plain = infer.from_pretrained(checkpoints['rec', 'Pose'])
    inputs = plain.transform(file)
    monkeypatch.delattr(FakeExtractor, 'extract')
    options = {'threshold': 0.0, 'skeletons': root}
    model = infer.open_model(checkpoints['rec', 'Pose'], **options)
    assert model.card.extractor == 'fake 1 persons=1 smooth=False'
    found = infer.recognize(file, model)
    assert found == expected
    assert (plain.transform(found.skeletons) == inputs).all()
    other = shutil.copy(file, tmp_path)
    with pytest.raises(ValueError, match=r'street_test_0.mp4: .* has no skeletons of'):
        infer.recognize(other, model)
    with pytest.raises(FileNotFoundError, match=r'layout\.json: no such file'):
        infer.open_model(checkpoints['rec', 'Pose'], skeletons=tmp_path)


def test_a_dense_head_scores_every_frame(det_root, tmp_path, monkeypatch):
    config = 'configs/det/skeletondense-tiny_mma82.py'
    monkeypatch.setitem(RECIPES, ('det', 'Pose'), config)
    checkpoint = make_checkpoint(tmp_path / 'dense.pth', config)
    root = tmp_path / 'root'
    shutil.copytree(det_root, root)
    shutil.rmtree(root / 'skeletons', ignore_errors=True)
    extract_root(DataRoot(root), PoseOptions('mediapipe'), workers=0)
    dumped(root, 'det', 'Pose', checkpoint, tmp_path)
    tested = read_scores(tmp_path / 'pred.frames.npz', SPACE)
    name = tested.names[0].rpartition('@')[0]
    file = root / f'videos/{name}.mp4'
    argv = [str(file), '--det', checkpoint, '--out', str(tmp_path / 'out')]
    assert main('infer', [*argv, '--threshold', '0']) == 0
    with open(tmp_path / 'out' / f'{name}.frames.csv', encoding='utf-8') as text:
        head, *rows = csv.reader(text)
    assert head == ['seconds', *SPACE.actions]
    own = [n for n in tested.names if n.startswith(f'{name}@')]
    seconds, *scores = zip(*(map(float, row) for row in rows), strict=True)
    assert seconds == pytest.approx([float(n.partition('@')[2]) for n in own], abs=1e-3)
    expected = tested.select(own).scores
    assert np.transpose(scores) == pytest.approx(expected, abs=1e-4)
    results = json.loads((tmp_path / 'work/results.json').read_text())
    (row,) = results['runs']
    pred, frames = tmp_path / 'pred.json', tmp_path / 'pred.frames.npz'
    where = {'subset': 'test', 'domain': 'street', 'resamples': 0}
    report = evaluate('det', root, pred, frames=frames, **where)
    assert report['rows'][0]['frames'] == row['frames']
    for level in SPACE.levels:
        assert report[f'{level}/frame_mAP'] == row['metrics'][f'{level}/frame_mAP']
    segments = evaluate('det', root, pred, **where)
    assert segments['action/frame_mAP'] != report['action/frame_mAP']
