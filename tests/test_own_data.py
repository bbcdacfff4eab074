"""docs/own_data.md, command by command, with two simulated coders who disagree."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pages import commands

from mmma.cli import main
from mmma.data.convert.events import Event, Recording, format_function
from mmma.data.root import DataRoot
from mmma.taxonomy import load_label_space

SMALL = {  # recipe of the page: one that needs no poses, and two CPU cores
    'configs/det/skeletondet-tiny_mma82.py': 'det/adatad_videomae-tiny_mma82',
}
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
OF_BODY = {'head': 'head', 'head-hand': 'hands', 'body-hand': 'hands', 'body': 'trunk'}


@pytest.fixture(scope='module')
def study(tmp_path_factory):
    """Ten simulated videos, and a folder of ELAN files of each coder."""
    folder = tmp_path_factory.mktemp('study')
    options = ['--modality', 'video', '--tasks', 'det', '--videos', '10']
    assert main('data/simulate', [str(folder / 'sim'), '--scale', 'tiny', *options]) == 0
    root = DataRoot(folder / 'sim')
    space, videos = root.label_space(), root.read_det()
    rng = np.random.default_rng(1)
    codes = [_codes(video, space) for video in videos]
    shares = np.bincount(np.concatenate(codes), minlength=len(NAMES) + 1)
    shares = shares / shares.sum()
    for coder in ('coder-a', 'coder-b'):
        recordings = []
        for video, own in zip(videos, codes, strict=True):
            if coder == 'coder-b':
                anew = rng.random(len(own)) < DISAGREE
                own = np.where(anew, rng.choice(len(shares), len(own), p=shares), own)
            events = _events(own, video.subject, video.duration)
            path = str(root.path / video.path)
            name = Path(video.path).stem
            recordings.append(
                Recording(name, path, video.fps, video.duration, events, coder)
            )
        write = format_function('write', 'elan')
        write(folder / coder, recordings, load_label_space(SCHEME))
    (folder / 'videos').symlink_to(root.path / 'videos')
    return folder


def _codes(video, space):
    """(U,) code of each second: the group of the first event there, or the last."""
    found = np.full(round(video.duration), len(NAMES))
    for one in reversed(video.instances):
        name = space.bodies[space.body_of[one.label]]
        code = NAMES.index(OF_BODY.get(name, 'legs' if 'leg' in name else 'hands'))
        first, last = round(one.start_sec), max(round(one.end_sec), round(one.start_sec) + 1)
        found[first:last] = code
    return found


def _events(codes, subject, duration):
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    ends = [*starts[1:], len(codes)]
    return tuple(
        Event(float(a), min(float(b), duration), NAMES[codes[a]], subject, tier=GROUP[NAMES[codes[a]]])
        for a, b in zip(starts, ends, strict=True)
        if codes[a] < len(NAMES)
    )
