"""``emotion.py fuse``: micro-actions, faces and both, on a planted root."""

import csv
import json
from itertools import cycle

import numpy as np
import pytest
from pages import commands

from mmma.cli import main

EMOTIONS = ('anger', 'disgust', 'fear', 'happy', 'melancholy', 'sad', 'surprise')
FACES = ('angry', 'disgust', 'fear', 'happy', 'sad', 'surprise', 'neutral')
ACTIONS = ('nodding', 'shaking head', 'shrugging', 'bowing head')
SIZES = (('train', 105), ('val', 70), ('test', 140))


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    """Actions tell four emotions, and the face the rest but for melancholy."""
    root, rng = tmp_path_factory.mktemp('emotions'), np.random.default_rng(0)
    info = {'name': 'planted', 'label_space': 'mma82', 'simulated': True}
    (root / 'dataset.json').write_text(json.dumps({**info, 'emotions': EMOTIONS}))
    told, database, rows = cycle(EMOTIONS), {}, []
    for subset, size in SIZES:
        for i in range(size):
            name, emotion = f'{subset}{i:03}', next(told)
            own = EMOTIONS.index(emotion)
            labels = {ACTIONS[own] if own < 4 else rng.choice(ACTIONS)}
            labels |= {'turning head'} if rng.random() < 0.5 else set()
            database[name] = {
                **{'path': '', 'subset': subset, 'domain': 'emotion', 'subject': ''},
                **{'fps': 25, 'frames': 100, 'duration': 4.0, 'emotion': emotion},
                'annotations': [
                    {'segment': [0, 2], 'label': label} for label in labels
                ],
            }
            scores = rng.dirichlet(np.ones(7))
            if own > 4:
                scores[FACES.index(emotion)] += 2
            face = i % 10 > 0
            row = (scores / scores.sum()).round(4).tolist() if face else [''] * 7
            rows += [[name, frame, frame / 25, int(face), *row] for frame in range(2)]
    (root / 'det.json').write_text(json.dumps({'database': database}))
    with (root / 'faces.csv').open('w', newline='') as file:
        header = ['video', 'frame', 'time_sec', 'face', *FACES]
        csv.writer(file).writerows([header, *rows])
    return root


def test_a_gain_is_told_beside_the_paper_and_what_could_be_seen(root, tmp_path, capsys):
    out = tmp_path / 'out'
    assert main('emotion', ['fuse', str(root), '--out', str(out)]) == 0
    text = capsys.readouterr().out
    for part in (
        'micro-action, TSM [paper]',
        'both, DeepFace + TSM [paper]',
        'both against micro-action: both gains over micro-action.',
        '140 videos: one is 0.71 points; the least difference that the test could see',
        'were no video lost: 4.29 points',
        'learnt on 70 val videos alone',
        '630 frames',
        'No class of the face, next to no score: melancholy.',
        'Left out: neutral.',
        'SIMULATED DATA',
    ):
        assert part in text, part
    results = json.loads((out / 'results.json').read_text())
    assert results['task'] == 'emotion'
    assert results['protocol'] == {'name': 'fuse'}
    assert results['classes'] == list(EMOTIONS)
    assert [run['input'] for run in results['runs']] == [
        'micro-action',
        'micro-expression',
        'both',
    ]
    assert {run['counts']['videos'] for run in results['runs']} == {140}
    assert results['fusion']['test_videos_without_face'] == 14


def test_json_alone_on_standard_output(root, capsys):
    argv = ['fuse', str(root), '--json', '--space', 'logit', '--resamples', '0']
    assert main('emotion', argv) == 0
    report = json.loads(capsys.readouterr().out)
    assert report['fusion']['space'] == 'logit'
    assert 'intervals' not in report['runs'][0]


def test_scores_of_a_recognizer_take_the_place_of_the_classifier(
    root, tmp_path, capsys
):
    names = [f'{subset}{i:03}' for subset, size in SIZES[1:] for i in range(size)]
    told = json.loads((root / 'det.json').read_text())['database']
    labels = [EMOTIONS.index(told[name]['emotion']) for name in names]
    scores = np.full((len(names), 7), 0.02)
    scores[np.arange(len(names)), labels] = 0.88
    path = tmp_path / 'scores.npz'
    np.savez(path, clips=np.array(names), scores=scores, classes=np.array(EMOTIONS))
    argv = ['fuse', str(root), '--json', '--resamples', '0', '--scores', str(path)]
    assert main('emotion', argv) == 0
    report = json.loads(capsys.readouterr().out)
    assert report['runs'][0]['metrics']['emotion/top1'] == 100
    assert report['tests'][0]['verdict'] == 'no gain shown'


@pytest.mark.parametrize(
    ('argv', 'told'),
    [
        (['--face', 'nowhere.csv'], 'nowhere.csv: no scores of faces: make them with'),
        (['--scores', 'nowhere.npz'], 'no score file nowhere.npz'),
        (['--config', 'x.py'], '--config with --checkpoint: give one of them'),
        (['--pred', 'a.npz', '--scores', 'b.npz'], 'are of --pred, of --scores, or'),
        (['--config', 'x.py', '--checkpoint', 'y'], "no model 'y' in the zoo"),
    ],
)
def test_what_is_missing_is_named(root, capsys, argv, told):
    assert main('emotion', ['fuse', str(root), *argv]) == 2
    assert told in capsys.readouterr().err


def test_the_commands_of_the_page(root, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    told = []
    for name, argv in commands('emotion.md', 'Micro-actions and the face'):
        argv = [str(root) if text == 'data/mma82' else text for text in argv]
        if '--config' not in argv:  # which tests/test_emotion_label.py runs
            told.append(main(name, argv))
    assert told == [0, 2, 2]
    errors = [e for e in capsys.readouterr().err.splitlines() if e[:6] == 'error:']
    missing = 'openface: no scores of faces', 'no score file val.npz'
    for text, error in zip(missing, errors, strict=True):
        assert text in error
