"""Recipes that learn the emotion of clips instead of their action."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from own_roots import make_own_root, no_pause  # noqa: F401
from pages import commands

from mmma.cli import main
from mmma.evaluation.scores import read_scores
from mmma.taxonomy import load_label_space

FEELINGS = ('calm', 'cross', 'glad')
ALONE = [f'{s}_dataloader.num_workers=0' for s in ('train', 'val', 'test')]


def tell_emotions(root, domain=None):
    """Write emotions into ``rec.csv``, of one domain, or else into ``det.json``."""
    if domain:
        with (root / 'rec.csv').open(newline='') as file:
            rows = list(csv.DictReader(file))
        for i, row in enumerate(rows):
            row['emotion'] = FEELINGS[i % 3] if row['domain'] == domain else ''
        with (root / 'rec.csv').open('w', newline='') as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return
    table = json.loads((root / 'det.json').read_text())
    for name, entry in table['database'].items():
        entry['emotion'] = 'calm' if 'home' in name else 'glad'
    (root / 'det.json').write_text(json.dumps(table))


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """Folder with a root whose clips have emotions, one with those of videos, and one
    without, in which the commands are given."""
    folder, before = tmp_path_factory.mktemp('label'), Path.cwd()
    tell_emotions(make_own_root(folder / 'rec'), 'home')
    tell_emotions(make_own_root(folder / 'det'))
    os.chdir(folder)
    yield folder
    os.chdir(before)


def run(tool, config, root, *more, label=None):
    given = [config, '--data-root', root, *more, '--cfg-options', *ALONE]
    return main(tool, [*given, *([f'+label={label}'] if label else [])])


def test_any_recipe_learns_the_emotions_of_clips(place, capsys):
    recipe = 'recog/gctsm-tiny_mma82_indomain'
    assert run('train', recipe, 'rec', '--fast-dev-run', label='emotion') == 0
    told = capsys.readouterr().err
    assert '120 of 240 rows have one, none of clinic: the rest is left out' in told
    folder = Path('work_dirs/gctsm-tiny_two-clinics-emotion/indomain/fast-dev-run')
    results = json.loads((folder / 'results.json').read_text())
    assert results['name'] == 'gctsm-tiny_two-clinics-emotion'
    assert results['options']['label'] == 'emotion'
    assert tuple(results['classes']) == FEELINGS
    assert [row['domain'] for row in results['runs']] == ['all', 'home']
    assert [*results['runs'][0]['per_class']] == ['action']
    model = str(folder / 'iter_2.pth')
    again = ['--out', 'again.json', '--dump', 'scores.npz', '--work-dir', 'again']
    dumped = str(folder / 'gctsm-tiny_mma82_indomain.py')
    assert main('test', [dumped, model, *again]) == 0  # no flag is needed
    space = {'name': 'e', 'actions': [{'name': name} for name in FEELINGS]}
    table = read_scores(Path('scores.npz'), load_label_space(space))
    assert table.names[0].startswith('home-test-')
    assert run('test', recipe, 'rec', model, '--work-dir', 'x') == 2
    assert "'gestures-emotion' (3 classes), the data has 'gestures' (30)" in (
        capsys.readouterr().err
    )
    given = ['rec/videos/home-test.mp4', '--recog', model, '--threshold', '0']
    assert main('infer', [*given, '--out', 'found']) == 0
    told = json.loads(Path('found/home-test.json').read_text())['recognition']
    assert told['action'] in FEELINGS
    assert told['bodies'] == []
    results['options'].pop('label')
    Path('action.json').write_text(json.dumps(results))
    assert main('table', ['again.json', 'action.json']) == 2
    assert "options.label differs: 'emotion' in" in capsys.readouterr().err


def test_videos_are_the_clips_where_no_clip_has_an_emotion(place, capsys):
    config = 'emotion/skeletontcn-tiny_mma82'
    assert run('train', config, 'det', '--fast-dev-run', '--protocol', 'indomain') == 0
    folder = Path('work_dirs/skeletontcn-tiny_two-clinics-emotion/indomain')
    results = json.loads((folder / 'fast-dev-run/results.json').read_text())
    assert results['classes'] == ['calm', 'glad']
    assert [row['domain'] for row in results['runs']] == ['all', 'clinic', 'home']
    assert [row['counts']['clips'] for row in results['runs']] == [2, 1, 1]
    fused = ['--config', 'emotion/skeletontcn-tiny-face_mma82', '--checkpoint']
    fused += [str(folder / 'fast-dev-run/iter_2.pth'), '--face-mapping', 'map.json']
    Path('map.json').write_text('{"emotions": {"calm": "neutral", "glad": "happy"}}')
    videos = json.loads(Path('det/det.json').read_text())['database']
    scores = [f'{name},{i % 2},0.5' for i, name in enumerate(videos)]
    Path('det/faces.csv').write_text('\n'.join(['video,happy,neutral', *scores, '']))
    capsys.readouterr()
    assert main('emotion', ['fuse', 'det', '--json', *fused]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report['name'] == 'recognizer + faces'
    assert [run['counts']['videos'] for run in report['runs']] == [2, 2, 2]
    fused[1] = 'recog/skeletontcn-tiny_mma82_indomain'
    assert main('emotion', ['fuse', 'det', *fused]) == 2
    assert "learns actions: use one with label = 'emotion'" in capsys.readouterr().err


def test_what_cannot_be_learnt_is_refused_in_a_line(place, capsys):
    config = 'emotion/skeletontcn-tiny-face_mma82'
    for argv, label, said in (
        ([config, 'rec', '--protocol', 'zeroshot'], None, "the data have only 'home'"),
        ([config, 'rec', '--domain', 'clinic'], None, 'use one of all, home'),
        ([config, 'rec'], 'emotions', "Did you mean 'emotion'?"),
        (['det/skeletondet-tiny_mma82', 'rec'], 'emotion', 'this is a detector'),
    ):
        if label and config in argv:
            argv = ['recog/tsm_mma82_indomain', *argv[1:]]
        assert run('train', *argv, label=label) == 2
        assert said in capsys.readouterr().err.splitlines()[-1]


def test_the_commands_of_the_page(place, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    few = {'data/simulate': [], 'test': ALONE[2:], 'train': ALONE}
    for name, argv in commands('emotion.md', 'A recognizer that learns emotions'):
        small = ['tiny' if a == 'small' else a for a in argv]
        epochs = ['train_cfg.max_epochs=1'] * (name == 'train')
        options = [*few[name], *epochs]
        small += ['--cfg-options', *options] if options else ['--workers', '1']
        assert main(name, small) == 0, capsys.readouterr().err[-2000:]
    table = np.load('scores.npz')
    assert [*table['classes']] == [
        *('anger', 'disgust', 'fear', 'happy', 'melancholy', 'sad', 'surprise')
    ]
    assert len(table['clips']) == len(table['scores']) > 0
