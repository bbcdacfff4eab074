from pathlib import Path

import pytest

from mmma.layout.converters.detection_labels import DetectionLabels
from mmma.layout.converters.detection_mapping import DetectionMapping
from mmma.taxonomy import load_label_space

MMA82, MA52 = load_label_space('mma82'), load_label_space('ma52')
FILE = Path('some.json')


def labels(*found, names=None, tmp_path=None, **mapping):
    path = None
    if names is not None:
        path = tmp_path / 'category_idx.txt'
        path.write_text('\n'.join(names) + '\n')
    pairs = [(f'v{i}', label) for i, label in enumerate(found)]
    return DetectionLabels(pairs, path, DetectionMapping(**mapping))


@pytest.mark.parametrize('space', [MMA82, MA52])
def test_names_choose_their_label_space(space):
    own = set(space.actions) - set(({MMA82, MA52} - {space}).pop().actions)
    found = labels(sorted(own)[0], space.actions[0])
    found.check(FILE)
    assert found.space == space
    assert labels(space.actions[0], label_space='mma82').space == MMA82


def test_spelling_does_not_matter():
    found = labels('Rubbing_Hands')
    found.check(FILE)
    assert found.name('Rubbing_Hands') == 'rubbing hands'


def test_indices_by_a_list(tmp_path):
    names = [*reversed(MMA82.actions)]
    found = labels(0, '81', names=names, tmp_path=tmp_path)
    found.check(FILE)
    assert [found.name(0), found.name('81')] == [MMA82.actions[81], MMA82.actions[0]]
    assert found.space == MMA82
    counted = labels(1, 82, names=names, tmp_path=tmp_path, first_index=1)
    assert [counted.name(1), counted.name(82)] == [found.name(0), found.name('81')]


def test_indices_without_a_list_are_those_of_the_published_order():
    found = labels(9, 51)
    found.check(FILE)
    assert (found.space, found.name(9)) == (MA52, 'nodding')
    with pytest.raises(ValueError, match=r'1 unknown labels of mma82.*category_idx'):
        _check(labels(9, label_space='mma82'))


def _check(found):
    try:
        found.check(FILE)
    except ValueError as error:
        raise ValueError(' '.join(str(error).split())) from None


def test_unknown_labels_are_named_and_counted():
    found = labels('nodding', 'noding', 'jumping', 'noding', label_space='ma52')
    with pytest.raises(
        ValueError,
        match=r"some\.json: 2 unknown labels of ma52 in 3 annotations 'noding': 2 "
        r"annotations, the first in 'v1'\. Did you mean 'nodding'\? 'jumping': 1 .*"
        r'"Ambiguous": ""',
    ):
        _check(found)


def test_many_unknown_labels():
    with pytest.raises(ValueError, match=r"'x4': 1 .* and 3 more"):
        _check(labels(*(f'x{i}' for i in range(8))))


@pytest.mark.parametrize('label', [52, -1, None, True, 1.5, ['nodding']])
def test_what_is_no_label(label):
    with pytest.raises(ValueError, match='1 unknown labels'):
        _check(labels('nodding', label))


def test_labels_are_renamed_or_left_out():
    renamed = {'nod': 'nodding', 'Ambiguous': ''}
    found = labels('nod', 'Ambiguous', 'Ambiguous', action_names=renamed)
    found.check(FILE)
    assert [found.name('nod'), found.name('Ambiguous')] == ['nodding', '']
    assert found.left_out == {'Ambiguous': 2}


def test_no_label_at_all():
    assert labels().space == MMA82
