"""Which clips of a table a data set takes."""

from pathlib import Path

import pytest

from mmma.datasets.clip_selection import ClipFilter, select_clips
from mmma.layout.rec import Clip

ROOT = Path('some/root')


def row(name, subset='train', domain='lab', action=0):
    return Clip(name, f'{name}.mp4', subset, domain, 's', action, 0)


TABLE = [
    row('b'),
    row('a', domain='street'),
    row('c', subset='val'),
    row('d', action=None),
    row('e', subset='test', domain='street', action=None),
]


def names(subset='train', domains=None, clips=None, keep_unlabelled=False):
    wanted = ClipFilter(subset, domains, clips, keep_unlabelled)
    chosen, left_out = select_clips(TABLE, wanted, ROOT)
    return [clip.clip for clip in chosen], left_out


def test_subset_and_domains():
    assert names() == (['b', 'a'], 1)  # in the order of the table
    assert names(domains=['street']) == (['a'], 0)
    assert names(domains='street') == (['a'], 0)
    assert names('val') == (['c'], 0)


def test_withheld_labels():
    assert names(keep_unlabelled=True) == (['b', 'a', 'd'], 0)


def test_a_list_of_clips(tmp_path):
    assert names(clips=['a']) == (['a'], 0)
    file = tmp_path / 'support.txt'
    file.write_text('b\n\na\n')
    assert names(clips=file) == (['b', 'a'], 0)
    assert names(clips=str(file)) == (['b', 'a'], 0)


def test_a_missing_list(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'absent\.txt: no such list of clips'):
        names(clips=str(tmp_path / 'absent.txt'))


def test_a_listed_clip_of_another_subset():
    with pytest.raises(
        ValueError, match=r"1 of 2 listed clips are no train clips of lab.*'c'"
    ):
        names(domains=['lab'], clips=['b', 'c'])


def test_an_unknown_domain():
    with pytest.raises(
        ValueError, match=r"unknown domain 'stret'.*Did you mean 'street'"
    ):
        names(domains=['stret'])


def test_an_empty_selection_tells_what_there_is():
    with pytest.raises(ValueError, match='no test clip of emotion') as error:
        names('test', ['emotion'])
    assert str(error.value).endswith(
        'It holds: lab: train 2, val 1, test 0; street: train 1, val 0, test 1'
    )


def test_a_selection_without_labels():
    with pytest.raises(
        ValueError, match=r'no test clip of street with a known action \(of 1\)'
    ):
        names('test', ['street'])
