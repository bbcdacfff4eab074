import json

import pytest

from mmma.reporting.published import (
    is_published_space,
    load_published,
    published_rows,
)
from mmma.taxonomy import load_label_space


def test_rows_of_the_paper_by_hand():
    rows = published_rows('rec', 'indomain')
    assert (rows[1].place, rows[1].method) == ('all', 'GC-TSM')
    assert rows[1].values['test']['action/top1'] == 60.43
    street = [r for r in published_rows('rec', 'crossdomain') if r.place == 'street']
    assert [row.shots for row in street] == [0, 1, 5, 10]
    assert list(street[0].values) == ['test']
    large = published_rows('det', 'indomain')[3]
    assert large.method == 'AdaTAD VideoMAE-H'
    assert large.recipe == 'adatad_videomae-h_mma82'
    assert {row.recipe for row in street} == {'posec3d_mma82'}
    assert large.values['test']['body/mAP@0.50'] == 33.64
    assert published_rows('det', 'crossdomain') == []


def test_the_detection_averages_are_means_of_the_levels():
    for row in load_published()['detection']:
        mean = (row['test']['action/mAP'] + row['test']['body/mAP']) / 2
        assert row['test']['AVG'] == pytest.approx(mean, abs=0.006)


def test_every_cell_equals_the_transcription(shared_data):
    """Numbers in order of appearance: the two files differ in layout alone."""

    def numbers(value):
        items = value.values() if isinstance(value, dict) else value
        if isinstance(value, dict | list):
            return sorted(n for item in items for n in numbers(item))
        return [value] if isinstance(value, float) else []

    theirs = json.loads((shared_data / 'mma82_published_results.json').read_text())
    assert numbers(load_published()) == numbers(theirs)


def test_only_the_82_actions_are_compared_with_the_paper():
    assert is_published_space(load_label_space('mma82').actions)
    assert not is_published_space(load_label_space('ma52').actions)
    assert not is_published_space(None)
