from detection_problems import random_problem

from mmma.evaluation.functional.detection import match_detections
from mmma.evaluation.functional.detection_sensitivity import (
    LENGTH_SEC,
    characteristics,
    sensitivity,
)
from mmma.evaluation.functional.error_profile import error_profile
from mmma.reporting.error_profiles import draw_profile


def test_a_picture_is_written(tmp_path):
    truth, found = random_problem(1)
    match = match_detections(truth, found)
    lengths = characteristics(match.truth)['length']
    profile = {
        **error_profile(match, found).record(),
        'sensitivity': {'length': sensitivity(match, lengths, LENGTH_SEC).record()},
    }
    for levels in ({'action': profile}, {'action': profile, 'body': profile}):
        path = tmp_path / f'{len(levels)}.png'
        draw_profile(levels, path, 'title')
        assert path.read_bytes()[:4] == b'\x89PNG'
    one, two = ((tmp_path / f'{n}.png').stat().st_size for n in (1, 2))
    assert two > one
