"""Pictures, and the numbers in them."""

import numpy as np
from detection_problems import random_problem

from mmma.data.clips import Clip
from mmma.evaluation.detection import match_detections
from mmma.evaluation.errors import profile_levels
from mmma.evaluation.scores import ScoreTable
from mmma.reporting.plots import (
    draw_confusions,
    draw_profile,
)
from mmma.taxonomy import load_label_space

SPACE = load_label_space()
NODDING, SHAKING, WAVING = map(SPACE.action_id, ['nodding', 'shaking head', 'waving'])


def test_mistakes_are_drawn_counted_and_ranked(tmp_path):
    truth = [NODDING, NODDING, NODDING, WAVING]
    predicted = [SHAKING, SHAKING, NODDING, NODDING]
    table = ScoreTable(tuple('abcd'), np.eye(SPACE.num_actions)[predicted])
    clips = [
        Clip(name, '', 'test', 'lab', 's', action, SPACE.body_of[action])
        for name, action in zip('abcd', truth, strict=True)
    ]
    path = tmp_path / 'confusions.png'
    assert draw_confusions(table, clips, SPACE, path, 'title') == [
        '67% of the mistakes stay in the true body group',
        '    2  nodding taken for shaking head',
        '    1  waving taken for nodding',
    ]
    assert path.read_bytes().startswith(b'\x89PNG')


def test_profiles_are_drawn(tmp_path):
    truth, found = random_problem(1)
    match = match_detections(truth, found)
    both = profile_levels({'action': match, 'body': match}, np.full(9, 20.0))
    for levels in ({'action': both['action']}, both):
        path = tmp_path / f'{len(levels)}.png'
        draw_profile(levels, path, 'title')
        assert path.read_bytes()[:4] == b'\x89PNG'
    one, two = ((tmp_path / f'{n}.png').stat().st_size for n in (1, 2))
    assert two > one
