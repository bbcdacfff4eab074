from collections import Counter

import pytest

from mmma.evaluation.functional.longtail import frequency_groups
from mmma.taxonomy import load_label_space, load_statistics


def test_limits_belong_to_head_and_tail():
    groups = frequency_groups([200, 199, 50, 49, 0])
    assert groups.tolist() == ['head', 'medium', 'medium', 'tail', 'tail']


def test_published_counts_give_the_documented_groups():
    clips = load_statistics()['rec']['all']
    share = clips['train'] / clips['clips']
    counts = [n * share for n in load_label_space().rec_instances]
    assert Counter(frequency_groups(counts).tolist()) == {
        'head': 26,
        'medium': 34,
        'tail': 22,
    }


def test_limits_must_not_overlap():
    with pytest.raises(ValueError, match='tail_max 5 must lie below head_min 5'):
        frequency_groups([1], head_min=5, tail_max=5)
