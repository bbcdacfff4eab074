from dataclasses import replace

import pytest

from mmma.layout.converters.labels import ReleaseLabels
from mmma.layout.converters.mapping import RELEASE, load_mapping
from mmma.layout.converters.source import SourceTree


@pytest.fixture
def labels(tree, space):
    def make(files=None, **changes):
        mapping = replace(load_mapping(RELEASE), **changes)
        return ReleaseLabels(SourceTree(tree(files or {})), mapping, space)

    return make


def test_names_in_any_spelling(labels, space):
    nodding = space.action_id('nodding')
    assert [labels().action(t) for t in ('nodding', 'Nodding', ' nodding')] == [
        nodding
    ] * 3
    assert labels().action('SWING_BODY') == space.action_id('swing body')
    assert labels().body('Head') == space.body_id('head')


@pytest.mark.parametrize('text', ['', '-1'])
def test_withheld(labels, text):
    assert labels().action(text) is None
    assert labels().body(text) is None


@pytest.mark.parametrize(
    'text',
    ['1 nodding\n0 swing body\n', '1,nodding\n0,swing body', 'swing body\nnodding\n'],
)
def test_an_index_follows_the_release_not_our_order(labels, space, text):
    found = labels({'ann/label_name.txt': text})
    assert found.action('1') == space.action_id('nodding')
    assert found.action('0') == space.action_id('swing body')


def test_an_index_means_nothing_without_the_list(labels):
    with pytest.raises(
        ValueError, match=r"action '3' is an index that nothing explains"
    ):
        labels().action('3')


def test_an_index_outside_the_list(labels):
    with pytest.raises(ValueError, match=r"'7' is an index .*label_name\.txt"):
        labels({'label_name.txt': '0 nodding'}).action('7')


def test_renaming(labels, space):
    found = labels(
        action_names={'7': 'nodding', 'nod': 'nodding'}, body_names={'1': 'head'}
    )
    nodding = space.action_id('nodding')
    assert (found.action('7'), found.action('nod')) == (nodding, nodding)
    assert found.body('1') == space.body_id('head')


def test_names_of_the_list_are_renamed_too(labels, space):
    found = labels({'label_name.txt': '4 nod'}, action_names={'nod': 'nodding'})
    assert found.action('4') == space.action_id('nodding')


def test_unknown_names(labels):
    with pytest.raises(
        ValueError, match=r"action 'noding'.*'nodding'.*under action_names"
    ):
        labels().action('noding')
    with pytest.raises(ValueError, match=r"body group '1'.*under body_names in a copy"):
        labels().body('1')


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('0 nodding\nswing body', r"label_name\.txt:2: 'swing body': expected"),
        ('0 nodding\n0 swing body', 'each index once'),
        ('3 noding', r"label_name\.txt: index 3: unknown action 'noding'"),
    ],
)
def test_bad_label_files(labels, text, message):
    with pytest.raises(ValueError, match=message):
        labels({'label_name.txt': text})
