"""Weights of ours and their results belong together, or are refused."""

import json

import pytest
from zoo_folders import add_weights, edit_results, make_checkout

from mmma.hub.published import ZooFolder
from mmma.hub.zoo import is_checkpoint, read_metafiles
from mmma.reporting.zoo_results import Method, read_zoo_checkpoint, task_of


def read(root, entry):
    weights = root / entry['Weights']
    return read_zoo_checkpoint(ZooFolder(weights.parent, weights), entry)


@pytest.fixture
def published(tmp_path):
    """A checkout with one detector on simulated data, and its entry."""
    add_weights(make_checkout(tmp_path), 'det')
    models = read_metafiles(tmp_path)['skeletondet']['Models']
    (entry,) = filter(is_checkpoint, models)
    return tmp_path, entry


def test_weights_with_what_was_measured(published):
    root, entry = published
    found = read(root, entry)
    assert (found.name, found.task, found.simulated) == (entry['Name'], 'det', True)
    (row,) = found.rows()
    assert (row.place, row.name, row.simulated) == ('all', entry['Name'], True)
    assert row.cells['AVG', 'test'].value == 16.25


def test_weights_belong_to_the_recipe_of_their_config(published):
    root, entry = published
    checkpoint = read(root, entry)
    recipes = ({'Configs': [entry['Config']]}, {'Configs': ['b.py']})
    method = Method('a', {}, recipes, (checkpoint,))
    assert [method.weights_of(r) for r in recipes] == [[checkpoint], []]
    assert task_of(entry) == 'det'
    assert task_of({'Config': 'configs/recog/a.py'}) == 'rec'


def test_a_missing_file_is_named(published):
    root, entry = published
    folder = f'zoo/{entry["Name"]}'
    names = ('results.json', 'train.log', 'config.json')
    files = [f'{folder}/{name}' for name in names]
    for file in (*files, entry['Weights']):  # weights are looked for first
        (root / file).unlink()
        with pytest.raises(FileNotFoundError, match=f'there is no {file}. Publish'):
            read(root, entry)


def test_weights_of_another_hash_are_refused_with_both(published):
    root, entry = published
    (root / entry['Weights']).write_bytes(b'others')
    wanted = entry['Weights SHA256']
    with pytest.raises(ValueError, match=f'has SHA-256 [0-9a-f]{{64}}, .* {wanted}'):
        read(root, entry)


def test_weights_are_called_by_their_whole_hash(published):
    root, entry = published
    short, none = {'Weights SHA256': '0' * 64}, {'Weights SHA256': None}
    for change in (short, none, {'Weights': 'zoo/a.pth'}):
        with pytest.raises(ValueError, match='weights of this hash are called zoo/'):
            read(root, {**entry, **change})


def test_results_of_another_checkpoint_are_refused_with_both_hashes(published):
    root, entry = published
    other, own = 'f' * 64, entry['Weights SHA256']
    edit_results(root, entry['Name'], lambda r: r['checkpoint'].update(sha256=other))
    with pytest.raises(ValueError, match=f'weights of SHA-256 {other}, .* of {own}'):
        read(root, entry)


@pytest.mark.parametrize('part', ['checkpoint', 'data'])
def test_real_and_simulated_do_not_mix(published, part):
    root, entry = published
    edit_results(root, entry['Name'], lambda r: r[part].update(simulated=False))
    with pytest.raises(ValueError, match=f'{part}.simulated is False, Simulated of'):
        read(root, entry)


def test_the_name_says_that_weights_are_of_simulated_data(published):
    root, entry = published
    for name, simulated in (('a-simulated', False), ('a', True), ('a', None)):
        bad = {**entry, 'Name': name, 'Metadata': {'Simulated': simulated}}
        with pytest.raises(ValueError, match=f'Simulated is {simulated}. Write'):
            read(root, bad)


def as_recognition(results):
    results['task'] = 'rec'
    for run in results['runs']:
        run['counts']['clips'] = 1


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (as_recognition, "is of task 'rec', configs/det/"),
        (lambda r: r['options'].update(fast_dev_run=True), 'is not over all clips'),
        (lambda r: r.update(broken=['v1']), 'is not over all clips'),
        (lambda r: r['protocol'].update(name='zeroshot'), 'is of protocol zeroshot'),
        (lambda r: r['runs'][0]['metrics'].update(AVG=50.0), 'AVG is 50.0'),
    ],
)
def test_results_of_something_else_are_refused(published, change, message):
    root, entry = published
    edit_results(root, entry['Name'], change)
    with pytest.raises(ValueError, match=message):
        read(root, entry)


def test_results_of_further_protocols_are_read_and_checked_too(published):
    root, entry = published
    place = root / 'zoo' / entry['Name']
    results = json.loads((place / 'results.json').read_text('utf-8'))
    results['protocol'] = {'name': 'zeroshot', 'target': ['street'], 'seed': 0}
    results['runs'][0]['target'] = 'street'
    (place / 'results_zeroshot.json').write_text(json.dumps(results), 'utf-8')
    rows = read(root, entry).rows()
    assert [(r.place, r.setting) for r in rows] == [
        ('all', ''),
        ('street', 'zero-shot'),
    ]
    results['runs'][0]['metrics']['AVG'] = 50.0
    (place / 'results_zeroshot.json').write_text(json.dumps(results), 'utf-8')
    with pytest.raises(ValueError, match=r'zeroshot\.json: street: AVG is 50\.0'):
        read(root, entry)
