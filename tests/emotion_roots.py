"""A data root whose videos have emotions that go with some of their actions."""

import json
from pathlib import Path

import numpy as np

EMOTIONS = ('calm', 'glad', 'sad')
ACTIONS = tuple(f'action {chr(97 + i)}' for i in range(24))
PLANTED = {e: ACTIONS[5 * i : 5 * i + 5] for i, e in enumerate(EMOTIONS)}


def make_emotion_root(
    root: Path, videos: int = 90, rate: float = 0.5, subjects: int = 0, seed: int = 0
) -> Path:
    """Write ``dataset.json``, ``det.json`` and, of the same events, ``rec.csv``.

    Args:
        root: Folder to make.
        videos: Their emotions take turns.
        rate: Chance of an action that goes with the emotion; 0.1 of the others.
        subjects: Who takes turns as well; without, none is named.
        seed: Of the events.
    """
    rng = np.random.default_rng(seed)
    database, clips = (
        {},
        ['clip,path,subset,domain,subject,action,body,emotion,source_video'],
    )
    for i in range(videos):
        emotion, name = EMOTIONS[i % 3], f'v{i}'
        chances = [rate if a in PLANTED[emotion] else 0.1 for a in ACTIONS]
        shown = list(np.array(ACTIONS)[rng.random(24) < chances]) or ['action x']
        subject = f's{rng.integers(subjects)}' if subjects else ''
        rows = [
            {'segment': [float(k), k + 0.5], 'label': str(a)}
            for k, a in enumerate(shown)
        ]
        database[name] = {
            'path': '', 'subset': 'test', 'domain': 'lab', 'subject': subject,
            'emotion': emotion, 'fps': 10, 'frames': 300, 'duration': 30.0,
            'annotations': rows,
        }  # fmt: skip
        clips += [
            f'{name}-{k},,test,lab,{subject},{a},,{emotion},{name}'
            for k, a in enumerate(shown)
        ]
    root.mkdir(exist_ok=True)
    space = {'name': 'small', 'actions': [{'name': a} for a in ACTIONS]}
    planted = {e: {a: 5.0 - i for i, a in enumerate(own)} for e, own in PLANTED.items()}
    info = {'name': 'moods', 'label_space': space, 'simulated': True}
    info |= {'emotions': EMOTIONS, 'planted': {'emotion_actions': planted}}
    (root / 'dataset.json').write_text(json.dumps(info))
    (root / 'det.json').write_text(json.dumps({'database': database}))
    (root / 'rec.csv').write_text('\n'.join([*clips, '']))
    return root
