"""Data roots of one's own for tests: classes, groups and domains that nobody shipped.

Tables are written by hand, as docs/data_format.md says, without the package; skeletons
stand in for what ``data/pose.py`` would find.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from video_files import make_video, moving_frames

GROUPS = ('hands', 'head', 'legs', 'trunk')
ACTIONS = [
    {
        'name': f'{GROUPS[i % 4]} gesture {chr(97 + i // 26)}{chr(97 + i % 26)}',
        'body': GROUPS[i % 4],
    }
    for i in range(30)
]
SPACE = {'name': 'gestures', 'bodies': list(GROUPS), 'actions': ACTIONS}
PLAIN = {'name': 'plain', 'actions': [{'name': a['name']} for a in ACTIONS]}
CLIP_SEC, FPS = 0.4, 10
SUBSETS = {'train': 2, 'val': 1, 'test': 1}


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    """MMEngine waits two seconds where an epoch of a trial has one batch."""
    monkeypatch.setattr('mmengine.runner.loops.time.sleep', lambda _: None)


def make_own_root(
    root: Path, domains: tuple[str, ...] = ('clinic', 'home'), space: Any = SPACE
) -> Path:
    """Write a root whose clips are spans of one video per domain and subset.

    Each video shows every action once or twice, one behind the other, and is in the
    detection table too. Joints move at a rate that tells the action.

    Args:
        root: Folder to make.
        domains: The first is the source; of one, ``dataset.json`` names none.
        space: Label space, an object.
    """
    (root / 'skeletons').mkdir(parents=True)
    info = {'name': 'Two clinics', 'label_space': space, 'simulated': False}
    info |= {'domains': list(domains)} if len(domains) > 1 else {}
    (root / 'dataset.json').write_text(json.dumps(info))
    clips, database = [], {}
    for domain in domains:
        for subset, times in SUBSETS.items():
            name = f'{domain}-{subset}'
            labels = [a for a in ACTIONS for _ in range(times)]
            frames = round(len(labels) * CLIP_SEC * FPS)
            path = f'videos/{name}.mp4'
            seed = len(database)
            make_video(root / path, moving_frames(frames, 32, 32, seed), FPS)
            spans = [
                (i * CLIP_SEC, (i + 1) * CLIP_SEC, a) for i, a in enumerate(labels)
            ]
            for i, (start_sec, end_sec, action) in enumerate(spans):
                row = {'clip': f'{name}-{i}', 'path': path, 'subset': subset}
                row |= {'domain': domain, 'subject': f'{domain}-{subset}-{i % 3}'}
                row |= {'action': action['name'], 'body': action['body']}
                times_of = {
                    'start_sec': f'{start_sec:.1f}',
                    'end_sec': f'{end_sec:.1f}',
                }
                clips.append(row | times_of)
            database[name] = {
                'path': path, 'subset': subset, 'domain': domain, 'subject': name,
                'fps': FPS, 'frames': frames, 'duration': frames / FPS,
                'annotations': [
                    {'segment': [round(s, 1), round(e, 1)], 'label': a['name']}
                    for s, e, a in spans[::5]
                ],
            }  # fmt: skip
    if 'bodies' not in space:
        clips = [{k: v for k, v in row.items() if k != 'body'} for row in clips]
    with (root / 'rec.csv').open('w', newline='') as file:
        writer = csv.DictWriter(file, list(clips[0]))
        writer.writeheader()
        writer.writerows(clips)
    (root / 'det.json').write_text(json.dumps({'database': database}))
    frames = round(CLIP_SEC * FPS)
    numbers = {a['name']: i for i, a in enumerate(ACTIONS)}
    rows = [(c['clip'], frames, numbers[c['action']]) for c in clips]
    _write_skeletons(root, 'rec', rows)
    _write_skeletons(root, 'det', [(n, v['frames'], 0) for n, v in database.items()])
    return root


def _write_skeletons(root: Path, task: str, rows: list[tuple[str, int, int]]) -> None:
    from mmma.data.arrays import SkeletonWriter
    from mmma.data.joints import WHOLEBODY65

    rng = np.random.default_rng(0)
    home = rng.uniform(40, 160, (len(WHOLEBODY65.names), 2))
    with SkeletonWriter(root, task, WHOLEBODY65) as writer:
        for name, frames, number in rows:
            phase = np.arange(frames)[:, None, None] * (1 + number) / 5
            joints = home + 8 * np.sin(phase + np.arange(len(home))[:, None])
            writer.append(
                name, joints[None], np.ones(joints.shape[:2])[None], FPS, 200, 200
            )
