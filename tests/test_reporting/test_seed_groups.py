from pathlib import Path

import pytest

from mmma.reporting.results import Entry
from mmma.reporting.seed_groups import (
    Sample,
    check_recipes,
    check_weights,
    take_samples,
)


def sample(file, seed=0, checkpoint='aaaaaaaa', entry=None, **config):
    results = {
        'name': 'a_mma82',
        'protocol': {'name': 'indomain', 'seed': seed},
        'options': {'subset': 'test'},
        'checkpoint': {'sha256': checkpoint},
        'config': config,
    }
    return Sample(entry or Entry(results, (Path(file),)), {'subset': 'test'})


def test_rows_are_sorted_by_seed_and_draws_stay_together():
    first = sample('1.json', seed=1)
    second = sample('1.json', entry=first.entry)
    third = sample('0.json', seed=0, checkpoint='b')
    found = take_samples([first, second, third], 'a', shared=False)
    assert found == {0: [third], 1: [first, second]}
    assert list(found) == [0, 1]


def test_a_seed_in_two_files_is_refused():
    samples = [sample('1.json'), sample('2.json')]
    with pytest.raises(ValueError, match=r'seed 0 is in 1\.json and in 2\.json.*NAME='):
        take_samples(samples, 'a', shared=False)
    samples[1] = sample('2.json', checkpoint='bbbbbbbb')
    with pytest.raises(ValueError, match='seed 0 is in'):
        take_samples(samples, 'a', shared=True)


def test_zero_shot_rows_of_the_same_weights_count_once():
    first, second = sample('1.json'), sample('2.json')
    assert take_samples([first, second], 'a', shared=True) == {0: [first]}


def test_the_same_weights_are_no_two_seeds():
    samples = [sample('1.json', seed=0), sample('2.json', seed=1)]
    with pytest.raises(ValueError, match='seeds 0 and 1 tested the same weights'):
        take_samples(samples, 'a', shared=False)


def test_val_and_test_of_one_seed_share_their_weights():
    val, test = sample('1.json'), sample('2.json')
    check_weights({'val': [val], 'test': [test]}, 'a')
    other = sample('2.json', checkpoint='bbbbbbbb')
    with pytest.raises(ValueError, match='seed 0 is of weights aaaaaaaa in'):
        check_weights({'val': [val], 'test': [other]}, 'a')


RECIPE = {
    'model': {'depth': 50},
    'train_dataloader': {
        'batch_size': 8, 'dataset': {'domains': ['lab'], 'data_root': 'x'},
    },
    'work_dir': 'here',
    'randomness': {'seed': 0},
}  # fmt: skip
ELSEWHERE = {
    **RECIPE,
    'train_dataloader': {
        'batch_size': 8, 'dataset': {'domains': ['lab', 'street'], 'data_root': 'y'},
    },
    'work_dir': 'there',
    'randomness': {'seed': 1},
}  # fmt: skip


def test_a_recipe_is_what_trains_and_tests_wherever_it_ran():
    check_recipes([sample('1.json', **RECIPE).entry, sample('2', **ELSEWHERE).entry])
    check_recipes([sample('1.json', **RECIPE).entry, sample('2.json').entry])


def test_seeds_of_two_recipes_are_refused():
    other = {**RECIPE, 'model': {'depth': 18}}
    entries = [sample('1.json', **RECIPE).entry, sample('2.json', **other).entry]
    with pytest.raises(
        ValueError, match=r'config\.model\.depth differs: 50 in 1\.json'
    ):
        check_recipes(entries)
