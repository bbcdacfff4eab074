"""Totals of the scales, cell by cell."""

import json

import numpy as np
import pytest

from mmma.simulation.scales import ROWS, det_size, rec_size
from mmma.taxonomy import load_label_space, load_statistics

SPACE = load_label_space('mma82')
LAB_TRAIN = ROWS.index(('lab', 'train'))


def size_of(task, scale, balanced=False, seed=0, space=SPACE):
    make = {'rec': rec_size, 'det': det_size}[task]
    return make(scale, balanced, space, np.random.default_rng(seed))


@pytest.mark.parametrize('row', ROWS, ids='-'.join)
@pytest.mark.parametrize('balanced', [False, True])
def test_full_clips_per_domain_and_subset(row, balanced):
    published = load_statistics()['rec'][row[0]][row[1]]
    size = size_of('rec', 'full', balanced)
    assert size.items[ROWS.index(row)] == published
    assert size.actions[ROWS.index(row)].sum() == published


@pytest.mark.parametrize('seed', [0, 1])
@pytest.mark.parametrize('task', ['rec', 'det'])
def test_full_instances_per_action(task, seed):
    published = {'rec': SPACE.rec_instances, 'det': SPACE.det_instances}[task]
    assert tuple(size_of(task, 'full', seed=seed).actions.sum(axis=0)) == published


def test_full_has_the_published_videos():
    assert size_of('det', 'full').items.sum() == load_statistics()['det']['videos']


def test_published_files_agree_cell_by_cell(shared_data):
    statistics = json.loads((shared_data / 'mma82_statistics.json').read_text())
    taxonomy = json.loads((shared_data / 'mma82_taxonomy.json').read_text())
    published = {
        (row['name'], task): row[f'{task}_instances']
        for row in taxonomy['actions']
        for task in ('rec', 'det')
    }
    rec, det = size_of('rec', 'full'), size_of('det', 'full')
    found = {
        (name, task): size.actions[:, action].sum()
        for action, name in enumerate(SPACE.actions)
        for task, size in (('rec', rec), ('det', det))
    }
    keys = {'lab': 'laboratory'}
    cells = [statistics['rec'][keys.get(d, d)][subset] for d, subset in ROWS]
    assert found == published
    assert rec.items.tolist() == cells
    assert det.items.sum() == statistics['det']['videos']


@pytest.mark.parametrize('task', ['rec', 'det'])
@pytest.mark.parametrize('scale', ['tiny', 'small', 'full'])
@pytest.mark.parametrize('balanced', [False, True])
def test_every_class_is_in_the_lab(task, scale, balanced):
    size = size_of(task, scale, balanced)
    assert (size.actions[LAB_TRAIN] >= 1).all()
    if scale != 'tiny':
        assert (size.actions[LAB_TRAIN + 1 : LAB_TRAIN + 3] >= 1).all()


@pytest.mark.parametrize('task', ['rec', 'det'])
def test_small_keeps_the_long_tail(task):
    counts = np.sort(size_of(task, 'small').actions.sum(axis=0))
    assert counts[-10:].sum() > 0.5 * counts.sum()
    assert counts[0] < 0.02 * counts[-1]


@pytest.mark.parametrize('scale', ['tiny', 'small', 'full'])
def test_balanced_classes_are_alike(scale):
    counts = size_of('rec', scale, balanced=True).actions.sum(axis=0)
    assert counts.max() - counts.min() <= 1


def test_domains_differ():
    share = size_of('rec', 'full').actions.reshape(4, 3, -1).sum(axis=1)
    share = share / share.sum(axis=1, keepdims=True)
    lab, psychiatric, street, emotion = share
    at = SPACE.action_id
    assert psychiatric[at('rubbing hands')] > 2 * lab[at('rubbing hands')]
    assert street[at('pointing')] > 2 * lab[at('pointing')]
    assert street[at('sitting straightly')] == 0
    assert emotion[at('covering mouth')] > 2 * lab[at('covering mouth')]


@pytest.mark.parametrize('task', ['rec', 'det'])
def test_unknown_scale(task):
    with pytest.raises(ValueError, match=r"unknown scale 'smal'.*Did you mean 'small'"):
        size_of(task, 'smal')


def test_needs_published_counts():
    with pytest.raises(ValueError, match='no published counts: use mma82'):
        size_of('rec', 'full', space=load_label_space('ma52'))
