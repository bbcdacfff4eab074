"""Infer says what testing says, and says how sure it may be."""

import csv
import errno
import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
from inference_models import RECIPES, make_checkpoint
from pose_backends import FakeExtractor, use_fake
from video_files import make_audio, make_video, moving_frames

from mmma import apis
from mmma.cli import main
from mmma.data.arrays import SkeletonStore
from mmma.data.joints import read_layout
from mmma.data.root import DataRoot
from mmma.datasets.clips import ClipDataset
from mmma.datasets.windows import UntrimmedDataset
from mmma.engine.infer import (
    COLUMNS,
    Detection,
    Finding,
    InferenceOptions,
    ModelCard,
    Outputs,
    Recognition,
    Skeletons,
    VideoFile,
    VideoFindings,
    called,
    config_of,
    csv_rows,
    describe,
    link_video,
    own_label_space,
    write_placeholder,
    write_root,
)
from mmma.engine.weights import read_checkpoint
from mmma.media.extractors import PoseOptions
from mmma.media.pose import RunOptions, extract_root
from mmma.taxonomy import load_label_space


@pytest.fixture
def video(tmp_path):
    return make_video(tmp_path / 'a person.MP4', moving_frames(9), 30)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'work').mkdir()
    return tmp_path / 'work'


def test_a_link_that_does_not_tell_the_name(video, folder):
    file = link_video(video, folder)
    assert file.path == folder / 'video.mp4'
    assert file.path.resolve() == video
    assert (file.frames, file.fps, file.first_frame_sec) == (9, pytest.approx(30), 0)


def test_a_copy_where_there_are_no_links(video, folder, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EPERM, 'no links here')

    monkeypatch.setattr(os, 'symlink', refuse)
    file = link_video(video, folder)
    assert not file.path.is_symlink()
    assert file.frames == 9


@pytest.mark.parametrize(
    ('task', 'kind'), [('rec', ClipDataset), ('det', UntrimmedDataset)]
)
def test_data_sets_read_it(task, kind, video, folder):
    file = link_video(video, folder)
    root = write_root(folder / 'root', task, 'mma82', file)
    assert root.info.simulated is False
    dataset = kind(root.path, 'test', [dict], test_mode=True)
    dataset.root = root
    assert len(dataset) == 1
    assert dataset.get_data_info(0)['filename'] == str(file.path)


def test_skeletons_go_into_the_store(video, folder):
    joints = np.zeros((9, 2, 65, 3), np.int16)
    joints[:3, 1, 4, 2] = 5
    joints[:, :, 30] = 5  # of a hand
    skeletons = Skeletons(joints, 30.0, (64, 48), 'mediapipe 1')
    assert skeletons.body_found == pytest.approx(1 / 3)
    file = link_video(video, folder)
    root = write_root(folder / 'root', 'det', 'mma82', file, skeletons)
    store = SkeletonStore(root, 'det')
    assert store.layout.extractor == 'mediapipe 1'
    assert store.get('video')[0].shape == (2, 9, 65, 2)


def test_a_root_to_build_on(folder):
    write_placeholder(folder, 'rec', 'ma52', 'mediapipe 1')
    assert read_layout(folder / 'skeletons').extractor == 'mediapipe 1'
    assert len(ClipDataset(folder, 'test', [], label_space='ma52', test_mode=True)) == 1


def gone(folder, tmp_path):
    link_video(tmp_path / 'gone.mp4', folder)


def sound_only(folder, tmp_path):
    link_video(make_audio(tmp_path / 'sound.mp4'), folder)


def fail(error):
    def work(folder, _):
        raise type(error)(str(error).replace('FOLDER', str(folder)))

    return work


@pytest.mark.parametrize(
    ('work', 'text'),
    [
        (gone, 'no such video file'),
        (sound_only, 'audio only'),
        (
            fail(ValueError("video 'video' cannot be read: FOLDER/video.mp4: cut. "
                            'Repair the file; or leave it out')),
            'cannot be read: cut',
        ),
        (fail(RuntimeError('out of memory')), 'out of memory'),
    ],
)  # fmt: skip
def test_errors_call_it_by_its_label(work, text, folder, tmp_path):
    with (
        pytest.raises((ValueError, FileNotFoundError), match=f'^video 1: {text}$'),
        called('video 1', folder),
    ):
        work(folder, tmp_path)


@pytest.mark.parametrize(
    ('options', 'text'),
    [
        ({'threshold': 1.5}, 'threshold 1.5: use a score from 0 to 1'),
        ({'threshold': -0.1}, 'threshold -0.1'),
        ({'device': 'cuda:99'}, "unknown device 'cuda:99': use one of cpu"),
        ({'device': 'cpux'}, "Did you mean 'cpu'"),
    ],
)
def test_bad_options(options, text):
    with pytest.raises(ValueError, match=text):
        InferenceOptions(**options)


def test_thresholds_of_both_tasks():
    assert InferenceOptions().threshold_of('rec') == 0
    assert InferenceOptions().threshold_of('det') == 0.2
    assert InferenceOptions(threshold=0.0).threshold_of('det') == 0
    assert InferenceOptions(threshold=0.7).threshold_of('rec') == 0.7


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
            pair: apis.open_model(path, threshold=0.0)
            for pair, path in checkpoints.items()
        }


@pytest.fixture
def video_of_inference(video_root):
    return video_root / 'videos/street/street_test_0.mp4'


def dumped(root, task, modality, checkpoint, folder):
    """What ``test.py --dump`` writes of the videos of the street."""
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
    if modality == 'Pose':
        shutil.rmtree(root / 'skeletons', ignore_errors=True)
        extract_root(DataRoot(root), PoseOptions('mediapipe'), RunOptions(workers=0))
    expected = dumped(root, task, modality, checkpoints[pair], tmp_path)
    assert expected
    place = root / 'videos' / ('street' if task == 'rec' else '')
    for name, scores in expected.items():
        file = place / f'{name}.mp4'
        if task == 'rec':
            found = {
                f.action: f.score for f in apis.recognize(file, models[pair]).actions
            }
            assert [found[a] for a in SPACE.actions] == scores.astype(float).tolist()
        else:
            rows = apis.detect(file, models[pair]).segments
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
    first, second = (apis.look_at(path, [models[pair]]) for path in (even, uneven))
    assert (first.file.first_frame_sec, second.file.first_frame_sec) == (0, 0.5)
    assert (first.file.frames, second.file.frames) == (24, 20)
    (one,), (other,) = first.results, second.results
    assert len(one.actions if task == 'rec' else one.segments) > 50
    assert one == other


def test_skeletons_at_a_variable_rate_are_even_in_time(models, tmp_path):
    brightness = np.arange(40, 220, 30, dtype=np.uint8)
    frames = np.broadcast_to(brightness[:, None, None, None], (6, 32, 40, 3))
    video_of_inference = lossless(
        tmp_path / 'v.mkv', frames, [0, 100, 200, 300, 600, 900]
    )
    found = apis.look_at(video_of_inference, [models['rec', 'Pose']]).skeletons
    x = found.joints[:, 0, 0, 0]
    # One second, shown is at 1/12, 3/12, 5/12, 7/12, 9/12 and 11/12 of it.
    assert np.unique(x, return_inverse=True)[1].tolist() == [0, 1, 2, 2, 3, 4]


def test_below_the_threshold_it_abstains_and_drops(
    models, video_of_inference, monkeypatch
):
    model = models['rec', 'RGB']
    monkeypatch.setattr(model, 'options', InferenceOptions(threshold=1.0))
    found = apis.recognize(video_of_inference, model)
    assert found.abstained
    assert (found.answer.action, found.answer.body) == (None, None)
    assert found.answer.score == found.actions[0].score > 0
    model = models['det', 'RGB']
    whole = apis.detect(video_of_inference, model)
    monkeypatch.setattr(model, 'options', InferenceOptions())
    some = apis.detect(video_of_inference, model)
    assert some.threshold == 0.2
    assert len(whole.segments) == len(some.segments) + some.dropped > 0
    assert whole.dropped == 0


def test_bodies_are_sums_of_their_actions(models, video_of_inference):
    found = apis.recognize(video_of_inference, models['rec', 'RGB'])
    sums = dict.fromkeys(SPACE.bodies, 0.0)
    for action in found.actions:
        sums[action.body] += action.score
    assert {f.body: f.score for f in found.bodies} == pytest.approx(sums)
    scores = [f.score for f in found.bodies]
    assert scores == sorted(scores, reverse=True)


def test_nobody_there(models, video_of_inference, monkeypatch):
    def nothing(self, frames, fps):
        shape = (1, len(list(frames)), 65)
        return np.zeros((*shape, 2)), np.zeros(shape)

    monkeypatch.setattr(FakeExtractor, 'extract', nothing)
    found = apis.recognize(video_of_inference, models['rec', 'Pose'])
    assert found.abstained
    assert found.notes == ('no body was found in any frame: nothing can be said',)
    detected = apis.detect(video_of_inference, models['det', 'Pose'])
    assert (detected.abstained, detected.segments) == (True, ())


def test_a_body_that_is_rarely_there_is_noted(models, video_of_inference, monkeypatch):
    def rarely(self, frames, fps):
        shape = (1, len(list(frames)), 65)
        scores = np.zeros(shape)
        scores[:, 0] = 1
        return np.ones((*shape, 2)), scores

    monkeypatch.setattr(FakeExtractor, 'extract', rarely)
    (note,) = apis.recognize(video_of_inference, models['rec', 'Pose']).notes
    assert note == 'a body was found in only 8% of the frames'


def test_a_long_clip_is_noted(models, tmp_path):
    times_ms = range(0, 40_000, 4000)
    video_of_inference = lossless(tmp_path / 'v.mkv', moving_frames(10), times_ms)
    (note,) = apis.recognize(video_of_inference, models['rec', 'RGB']).notes
    assert 'a detector finds actions in long videos' in note


SIMULATED = {'name': 'mma82-simulated', 'simulated': True, 'extractor': 'other 1'}


def test_simulated_weights_need_leave_and_say_so(tmp_path, video_of_inference):
    config = RECIPES['rec', 'Pose']
    path = make_checkpoint(tmp_path / 'm.pth', config, data=SIMULATED)
    with pytest.raises(ValueError, match='trained on simulated data'):
        apis.recognize(video_of_inference, path)
    found = apis.recognize(video_of_inference, path, allow_simulated=True)
    assert found.simulated
    simulated, extractor = found.notes
    assert 'simulated people (mma82-simulated)' in simulated
    assert "skeletons of 'other 1', those of the video are of 'fake 1" in extractor


def test_another_extractor_needs_leave(tmp_path):
    data = {**SIMULATED, 'simulated': False}
    path = make_checkpoint(tmp_path / 'm.pth', RECIPES['rec', 'Pose'], data=data)
    with pytest.raises(ValueError, match=r"of 'other 1', .* or --allow-extractor"):
        apis.open_model(path)
    assert len(apis.open_model(path, allow_extractor=True).notes) == 1


def test_models_of_features_are_refused(tmp_path, checkpoints):
    config = 'configs/det/actionformer_videomae-s-features_mma82.py'
    with pytest.raises(ValueError, match='sees features of another model'):
        apis.open_model(checkpoints['det', 'Pose'], config=config)


def test_the_config_is_found_by_name_and_no_path_is_followed(checkpoints, tmp_path):
    weights = read_checkpoint(checkpoints['rec', 'RGB'])
    assert config_of(weights, 'm').endswith(RECIPES['rec', 'RGB'])
    own = tmp_path / 'own.py'
    own.write_text('raise RuntimeError')
    for told, text in ((str(own), "names 'own.py', which does not"), (None, 'none')):
        changed = {**weights.content, 'meta': {'config_name': told}}
        with pytest.raises(ValueError, match=text):
            config_of(replace(weights, content=changed), 'm')


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


CARD = ModelCard(
    *('small', 'rec', 'Pose', '0' * 64, 'small_mma82', '1' * 64, 'mma82', 'toy'),
    simulated=True,
    extractor='fake 1',
)
NOD, TURN = (
    Finding(0.0, 2.5, action, 'head', score)
    for action, score in (('nodding', 0.75), ('turning head', 0.25))
)
BODY = Finding(0.0, 2.5, None, 'head', 1.0)


def findings(folder, abstained=False):
    detector = ModelCard(**{**vars(CARD), 'name': 'finder', 'task': 'det'})
    segment = Finding(0.5, 1.23456, 'nodding', 'head', 0.98765)
    return VideoFindings(
        VideoFile(folder / 'video.mp4', 75, 2.5, 0.5),
        (
            Recognition(CARD, (NOD, TURN), (BODY,), abstained, 0.5, ('mind',)),
            Detection(detector, (segment,), (), 3, 0.2),
        ),
        Skeletons(np.ones((75, 1, 65, 3), np.int16), 30.0, (64, 48), 'fake 1'),
    )


def test_rows(tmp_path):
    rows = [','.join(row) for row in csv_rows(findings(tmp_path))]
    assert rows == [
        'rec,0.000,2.500,nodding,head,0.7500,false,true,small',
        'det,0.500,1.235,nodding,head,0.9877,false,true,finder',
    ]
    row, _ = csv_rows(findings(tmp_path, abstained=True))
    assert row == ['rec', '0.000', '2.500', '', '', '0.7500', 'true', 'true', 'small']


def test_the_json_keeps_what_an_abstention_hides(tmp_path):
    facts = {'request': {'a': 1}, 'top_k': 1, 'path': '/x/v.mp4'}
    found = describe(findings(tmp_path, abstained=True), facts)
    assert found['simulated'] is True
    assert found['video'] == {
        'path': '/x/v.mp4',
        'frames': 75,
        'fps': 30.0,
        'duration_sec': 2.5,
        'first_frame_sec': 0.5,
    }
    assert found['skeletons'] == {'extractor': 'fake 1', 'body_found': 1.0}
    recognition, detection = found['recognition'], found['detection']
    assert recognition['action'] is recognition['body'] is None
    assert recognition['abstained'] is True
    assert recognition['threshold'] == 0.5
    assert recognition['actions'] == [
        {'action': 'nodding', 'body': 'head', 'score': 0.75}
    ]
    assert recognition['notes'] == ['mind']
    assert detection['below_threshold'] == 3
    assert detection['segments'][0]['end_sec'] == 1.23456
    assert 'path' not in describe(findings(tmp_path), {'request': {}, 'top_k': 1})[
        'video'
    ]  # fmt: skip


def test_what_is_whole_and_made_alike_is_known(tmp_path):
    outputs = Outputs(tmp_path / 'new', 'clip', 'video 1')
    request = {'options': {'threshold': 0.5}}
    assert not outputs.made_with(request)
    outputs.write(findings(tmp_path), {'request': request, 'top_k': 5})
    assert outputs.made_with(request)
    assert not outputs.made_with({'options': {'threshold': 0.4}})
    with outputs.csv.open() as file:
        assert tuple(next(csv.reader(file))) == COLUMNS
    assert sorted(p.name for p in outputs.folder.iterdir()) == ['clip.csv', 'clip.json']
    outputs.csv.unlink()
    assert not outputs.made_with(request)


@pytest.mark.parametrize(
    ('name', 'text'),
    [
        ('clip.json', json.dumps({'schema': 'other'})),
        ('clip.json', '{'),
        ('clip.json', '[]'),
        ('clip.csv', 'time,label\n'),
    ],
)
def test_files_of_others_are_left_alone(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=r'video 1: .* file of its stem that another'):
        Outputs(tmp_path, 'clip', 'video 1').made_with({})
