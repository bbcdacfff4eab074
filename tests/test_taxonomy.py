import pytest

from mmma.taxonomy import (
    DOMAINS,
    check_choice,
    load_label_space,
    load_statistics,
    suggest,
)


@pytest.mark.parametrize(('name', 'actions'), [('mma82', 82), ('ma52', 52)])
def test_spaces_have_their_size_and_seven_body_groups(name, actions):
    space = load_label_space(name)
    assert (space.num_actions, space.num_bodies) == (actions, 7)
    assert len(set(space.actions)) == len(space.body_of) == actions
    assert set(space.body_of) == set(range(7))


def test_published_counts_add_up():
    space = load_label_space('mma82')
    assert sum(space.rec_instances) == 39_816
    assert sum(space.det_instances) == 39_758
    rec = load_statistics()['rec']
    for subset, total in [('train', 23_176), ('val', 8_073), ('test', 8_567)]:
        assert sum(rec[d][subset] for d in DOMAINS) == rec['all'][subset] == total


def test_ma52_body_groups_are_the_official_ranges():
    starts = {0: 0, 5: 1, 11: 2, 24: 3, 32: 4, 38: 5, 48: 6}
    body_of = load_label_space('ma52').body_of
    assert [body_of[i] for i in starts] == list(starts.values())
    assert [body_of[i - 1] for i in starts if i] == [0, 1, 2, 3, 4, 5]


def test_disputed_group_is_an_option():
    forehead = load_label_space().action_id('scratching or touching forehead')
    by = {g: load_label_space('mma82', g) for g in ('taxonomy', 'statistics')}
    names = {g: s.bodies[s.body_of[forehead]] for g, s in by.items()}
    assert names == {'taxonomy': 'head-hand', 'statistics': 'body-hand'}
    differing = [
        a
        for a, b in zip(by['taxonomy'].body_of, by['statistics'].body_of, strict=True)
        if a != b
    ]
    assert len(differing) == 1


def test_ids_by_name_number_and_text():
    space = load_label_space()
    nodding = space.action_id('nodding')
    assert space.action_id(nodding) == space.action_id(str(nodding)) == nodding
    assert space.body_id('leg-hand') == 6


def test_real_lists_agree_with_the_tables(shared_data):
    names = (shared_data / 'ma52' / 'label_name.txt').read_text().splitlines()
    listed = [line.split('\t')[1] for line in names if line.strip()]
    assert tuple(listed) == load_label_space('ma52').actions


@pytest.mark.parametrize('action', ['noding', '82', -1])
def test_unknown_action(action):
    with pytest.raises(ValueError, match=r"unknown action .* in label space 'mma82'"):
        load_label_space().action_id(action)


def test_unknown_names_get_a_suggestion():
    with pytest.raises(ValueError, match="Did you mean 'leg-hand'"):
        load_label_space().body_id('leg hand')
    with pytest.raises(ValueError, match="unknown label space 'mma28'"):
        load_label_space('mma28')
    with pytest.raises(ValueError, match='unknown body_groups'):
        load_label_space('mma82', 'figure')
    with pytest.raises(ValueError, match="unknown domain 'stret': use one of lab"):
        check_choice('domain', 'stret', DOMAINS)
    assert suggest('xyz', DOMAINS) == ''
