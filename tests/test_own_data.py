"""docs/own_data.md, command by command, with two simulated coders who disagree."""

import itertools
import json
import os
from pathlib import Path

import numpy as np
import pose_backends
import pytest
from pages import commands

from mmma.cli import main
from mmma.convert.events import Event, Recording, format_function
from mmma.data.root import DataRoot
from mmma.taxonomy import load_label_space

RGB = 'configs/det/adatad_videomae-tiny_mma82.py'  # drawn people have no poses
QUICK = [
    'train_cfg.max_epochs=2',
    *(f'{subset}_dataloader.num_workers=0' for subset in ('train', 'val')),
]
DISAGREE = 0.3  # of the units are coded anew by the second coder, by their shares
SCHEME = {
    'name': 'postures',
    'bodies': ['upper', 'lower'],
    'actions': [
        {'name': 'head', 'body': 'upper'},
        {'name': 'hands', 'body': 'upper'},
        {'name': 'trunk', 'body': 'upper'},
        {'name': 'legs', 'body': 'lower'},
    ],
}
NAMES = [action['name'] for action in SCHEME['actions']]
GROUP = {a['name']: a['body'] for a in SCHEME['actions']}
OF_BODY = {'body': 'trunk', 'head': 'head', 'lower limb': 'legs', 'leg-hand': 'legs'}


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Ten simulated videos, two of them new, and a folder of ELAN files per coder."""
    monkeypatch.chdir(tmp_path)
    what = [
        '--scale',
        'tiny',
        '--modality',
        'video',
        '--tasks',
        'det',
        '--videos',
        '10',
    ]
    assert main('data/simulate', ['sim', *what]) == 0
    root = DataRoot('sim')
    space, videos = root.label_space(), root.read_det()
    rng = np.random.default_rng(1)
    codes = [_codes(video, space) for video in videos]
    shares = np.bincount(np.concatenate(codes), minlength=len(NAMES) + 1)
    for folder in ('videos', 'new'):
        Path(folder).mkdir()
    for i, video in enumerate(videos):
        for folder in ['videos', *['new'] * (i < 2)]:
            os.link(root.path / video.path, Path(folder, f'{video.video}.mp4'))
    for coder in ('a', 'b'):
        recordings = []
        for video, own in zip(videos, codes, strict=True):
            if coder == 'b':
                anew = rng.random(len(own)) < DISAGREE
                others = rng.choice(len(shares), len(own), p=shares / shares.sum())
                own = np.where(anew, others, own)
            facts = (video.video, f'../videos/{video.video}.mp4', video.fps)
            events = _events(own, video)
            by = f'simulated coder {coder}'
            recordings.append(Recording(*facts, video.duration, events, by))
        own_space = load_label_space(SCHEME)
        format_function('write', 'elan')(Path(f'coder-{coder}'), recordings, own_space)
    return tmp_path


def _codes(video, space):
    """(U,) code of each second: that of the first event in it; the last is none."""
    found = np.full(round(video.duration), len(NAMES))
    for one in reversed(video.instances):
        body = space.bodies[space.body_of[one.label]]
        code = NAMES.index(OF_BODY.get(body, 'hands'))
        first = round(one.start_sec)
        found[first : max(round(one.end_sec), first + 1)] = code
    return found


def _events(codes, video):
    """Runs of one code, as events."""
    edges = [0, *np.flatnonzero(np.diff(codes)) + 1, len(codes)]
    return tuple(
        Event(start, min(end, video.duration), NAMES[code], video.subject, tier=tier)
        for start, end in itertools.pairwise(map(float, edges))
        if (code := codes[int(start)]) < len(NAMES)
        for tier in [SCHEME['actions'][code]['body']]
    )


def test_from_two_coders_to_a_model_and_back(study, monkeypatch, capsys):
    """The second coder codes a share of the seconds anew, by the first one's shares.

    So kappa is 1 less that share, but for the draw.
    """
    pose_backends.use_fake(monkeypatch)
    told = {}
    for name, argv in commands('own_data.md'):
        small = [RGB if 'skeletondet' in a else a for a in argv]
        small += ['--cfg-options', *QUICK] * (name == 'train')
        small += ['--allow-simulated'] * (name == 'infer')
        status = main(name, [*small, *['--json'] * (name == 'agree')])
        captured = capsys.readouterr()
        assert status == 0, f'{name} {small}\n{captured.err[-3000:]}'
        told.setdefault(name, []).append(captured.out)
    human, model = (json.loads(text.splitlines()[-1]) for text in told['agree'])
    low, high = human['intervals']['kappa']
    print('kappa', human['kappa'], low, high, [p['kappa'] for p in model['pairs']])
    assert low < 1 - DISAGREE < high, (human['kappa'], low, high)
    assert (human['n'], human['units'], len(model['pairs'])) == (10, 145, 3)
    assert 'simulated' in told['summarize'][0]
    assert DataRoot('data/own').label_space().bodies == ('lower', 'upper')
    assert sorted(p.name for p in Path('to-check').glob('*.eaf')) == sorted(
        f'{path.stem}.eaf' for path in Path('new').iterdir()
    )
