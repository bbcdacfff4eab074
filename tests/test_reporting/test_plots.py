"""Pictures, and the numbers in them."""

import re

import numpy as np
import pytest
from detection_problems import random_problem

from mmma.data.clips import Clip
from mmma.evaluation.detection import match_detections
from mmma.evaluation.errors import profile_levels
from mmma.evaluation.scores import ScoreTable
from mmma.reporting.plots import (
    draw_associations,
    draw_profile,
    draw_reliability,
    draw_sankey,
)
from mmma.reporting.report import draw_confusions
from mmma.taxonomy import LabelSpace, load_label_space

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
        '3 of 4 are taken for another class, 67 % of these for one of the same body '
        'group; most often nodding for shaking head (2 times)',
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


def test_reliability_is_drawn_and_told(tmp_path):
    scores = np.array([[0.8, 0.2], [0.8, 0.2], [0.6, 0.4], [0.4, 0.6]])
    space = LabelSpace('two', ('$a', 'b'), ('x',), (0, 0))
    scored = ScoreTable(tuple('abcd'), scores), np.array([0, 1, 0, 1]), space
    told = {'action': {'temperature': 0.5}}
    path = tmp_path / 'r.svg'
    raw = 'action: expected calibration error raw 35.00 %'
    assert draw_reliability(scored, {}, path, 'a $ title') == [raw]
    # 0.64 / 0.68 and 0.36 / 0.52: two of four, of which one is right, and two right
    after = 100 * (2 * (0.64 / 0.68 - 0.5) + 2 * (1 - 0.36 / 0.52)) / 4
    assert draw_reliability(scored, told, path, 'title') == [
        f'{raw}, calibrated {after:.2f} %'
    ]
    assert '<svg' in path.read_text()


def _association(*importances):
    """Two emotions with two actions of three, one of them both have."""
    actions = ('a$b', 'bowing head', 'nodding')
    rows = [
        [
            {'action': name, 'importance': value, 'effect': 1 - value, 'q': q}
            for name, value, q in zip(actions, own, (0.01, 0.2, None), strict=True)
        ]
        for own in (importances, importances[::-1])
    ]
    tops = ['bowing head', 'a$b'], ['nodding', 'bowing head']
    return {
        emotion: {'top': top, 'actions': own}
        for emotion, top, own in zip(('happy', 'sad'), tops, rows, strict=True)
    }


def _ribbons(text, color):
    """Their opacities: of the shapes filled in a color."""
    return [
        float(o) for o in re.findall(rf'fill: {color}; fill-opacity: (0\.\d+)', text)
    ]


@pytest.mark.parametrize('draw', [draw_sankey, draw_associations])
def test_associations_are_drawn_the_same_every_time(tmp_path, draw):
    for path in [tmp_path / name for name in ('1.svg', '2.svg', '1.png', '2.png')]:
        draw(_association(0.2, 0.1, -0.05), path, f'a $ title {"of many words " * 20}')
    assert (tmp_path / '1.svg').read_bytes() == (tmp_path / '2.svg').read_bytes()
    assert (tmp_path / '1.png').read_bytes() == (tmp_path / '2.png').read_bytes()
    assert (tmp_path / '1.png').read_bytes()[:4] == b'\x89PNG'
    text = (tmp_path / '1.svg').read_text()
    for label in ('happy', 'sad', 'bowing head', 'nodding', 'a$b'):
        assert f'<!-- {label} -->' in text, label
    with pytest.raises(ValueError, match="Format 'doc' is not supported"):
        draw(_association(0.2, 0.1, 0.0), tmp_path / 'picture.doc', 'title')


def test_ribbons_are_pale_where_no_test_supports_them(tmp_path):
    path = tmp_path / 's.svg'
    draw_sankey(_association(0.2, 0.1, 0.3), path, 'title')
    happy, sad = (_ribbons(path.read_text(), c) for c in ('#1f77b4', '#ff7f0e'))
    assert sorted(happy) == [0.25, 0.6]  # bowing head, with q 0.2; a$b
    assert sad == [0.25, 0.25]  # q is 0.2, and unknown


def test_nothing_important_is_drawn_as_hairs(tmp_path):
    for draw in (draw_sankey, draw_associations):
        draw(_association(0.0, 0.0, 0.0), tmp_path / 'x.png', 'title')
