import json
from pathlib import Path

import pytest

from mmma import taxonomy
from mmma.taxonomy import (
    DOMAINS,
    check_choice,
    load_label_space,
    load_statistics,
    read_label_space,
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


OWN = {
    'name': 'gestures',
    'bodies': ['hand', 'head'],
    'domains': ['clinic', 'home'],
    'actions': [
        {'name': 'waving', 'body': 'hand'},
        {'name': 'nodding', 'body': 'head', 'description': 'twice,\nat least'},
        {'name': 'pointing', 'body': 'hand'},
    ],
}


def test_a_space_of_ones_own_keeps_all_that_it_says(tmp_path):
    space = load_label_space(OWN)
    assert (space.bodies, space.body_of) == (('hand', 'head'), (0, 1, 0))
    assert space.descriptions == ('', 'twice,\nat least', '')
    assert space.plain() == OWN
    for name, content in (('s.json', OWN), ('dataset.json', {'label_space': OWN})):
        (tmp_path / name).write_text(json.dumps(content))
        assert read_label_space(str(tmp_path / name)) == space
    assert load_label_space({**OWN, 'bodies': None}) == space  # in order of use
    assert space.action_id(' waving ') == 0


def test_a_space_without_groups_has_none():
    space = load_label_space({'name': 'x', 'actions': [{'name': 'cafe\u0301'}]})
    assert (space.actions, space.bodies, space.body_of) == (('caf\xe9',), (), ())
    assert space.action_id('cafe\u0301') == 0
    assert space.plain() == {'name': 'x', 'actions': [{'name': 'caf\xe9'}]}
    assert space.with_body_of([]) == space
    with pytest.raises(ValueError, match="body group 'hand': label space 'x' has none"):
        space.body_id('hand')


@pytest.mark.parametrize('name', ['mma82', 'ma52'])
def test_shipped_tables_have_the_form_of_ones_own(name):
    space = load_label_space(name)
    path = Path(taxonomy.__file__).with_name('tables') / f'{name}.json'
    assert load_label_space(json.loads(path.read_text('utf-8'))) == space
    assert read_label_space(name) == space == read_label_space(str(path))
    assert space.plain() == space.with_body_of([0] * space.num_actions).plain() == name
    assert space.domains == (DOMAINS if name == 'mma82' else ('lab',))


def test_keys_of_the_users_own_are_left_alone():
    actions = [{**action, 'valence': 'negative'} for action in OWN['actions']]
    own = changed(actions=actions, contact='x@y.z')
    assert load_label_space(own) == load_label_space(OWN)


def changed(**values):
    return {**OWN, **values}


@pytest.mark.parametrize(
    ('space', 'match'),
    [
        (changed(actoins=[]), r"unknown key 'actoins'\. Did you mean 'actions'"),
        (changed(actions=[]), 'actions must be a list of'),
        (changed(actions={'a': 1}), 'actions must be a list of'),
        (changed(bodies='hand'), "bodies must be a list of names, not 'hand'"),
        (changed(name=None), 'name None must be text'),
        (changed(actions=['waving']), r"actions\[0\] is 'waving': actions are a list"),
        (changed(actions=[{'nam': 'a'}]), r"actions\[0\]: .* 'nam'.*mean 'name'"),
        (changed(actions=[{'name': 'a\x1b'}]), 'text without control characters'),
        (changed(actions=[{'name': ' 7 '}]), 'reads as an index: add a letter'),
        (changed(actions=[{'name': 3}]), 'name 3 must be text'),
        (changed(bodies=['hand', '2']), r"bodies '2' reads as an index"),
        (changed(actions=2 * OWN['actions']), "action 'waving' is there twice; action"),
        (changed(bodies=['hand', 'head', 'head']), "body 'head' is there twice"),
        (changed(bodies=['hands', 'head']), "has the body 'hand': .* mean 'hands'"),
        (changed(actions=OWN['actions'][:1]), "no action has the body 'head'"),
        (changed(actions=[*OWN['actions'], {'name': 'x'}]), "'x' has the body ''"),
        (changed(actions=[{}] * 9), r"'gestures': .*; and 4 more faults"),
        (changed(name='ma52'), "'ma52' is not the one that is shipped by this name"),
        ('gestures', r"unknown label space 'gestures': use .* object with name"),
        (3, 'unknown label space 3'),
    ],
)
def test_faults_of_a_space_are_told(space, match):
    with pytest.raises(ValueError, match=match):
        load_label_space(space)


def test_files_that_hold_no_space(tmp_path):
    path = tmp_path / 's.json'
    with pytest.raises(FileNotFoundError, match=r'no label space .*s\.json'):
        read_label_space(str(path))
    for text, match in (
        ('[]', 'must be an object with name and actions'),
        ('{"name": "x", "name": "y"}', "'name' is there twice: keep one"),
        ('{"name": "x"}', "label space 'x': actions must be a list"),
        ('{', 'not readable as JSON'),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=rf's\.json.*{match}'):
            read_label_space(str(path))
    with pytest.raises(ValueError, match=r"'mma28': use .* or a JSON file or object"):
        read_label_space('mma28')
