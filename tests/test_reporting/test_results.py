import copy

import pytest

from mmma.reporting.results import (
    SCHEMA,
    check_comparable,
    environment,
    read_entries,
    read_results,
    write_results,
)

RESULTS = {
    'schema': SCHEMA,
    'task': 'rec',
    'name': 'a_mma82',
    'protocol': {'name': 'indomain'},
    'data': {'name': 'x', 'fingerprint': 'f', 'simulated': True, 'packed': None},
    'options': {'class_set': 'present'},
    'runs': [],
}


def changed(key, value):
    other = copy.deepcopy(RESULTS)
    where = other
    *parents, last = key.split('.')
    for part in parents:
        where = where[part]
    where[last] = value
    return other


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / 'new' / 'results.json'
    write_results(RESULTS, path)
    assert read_results(path) == RESULTS
    assert [p.name for p in path.parent.iterdir()] == ['results.json']


def test_nan_is_refused_and_the_old_file_stays(tmp_path):
    path = tmp_path / 'results.json'
    write_results(RESULTS, path)
    with pytest.raises(ValueError, match='JSON compliant'):
        write_results(changed('options.class_set', float('nan')), path)
    assert read_results(path) == RESULTS


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('{"schema": 99, "runs": []}', 'has schema 99, this version reads'),
        ('{"runs": []}', 'is no results file'),
        ('scores', 'is no results file'),
    ],
)
def test_other_files_are_refused(tmp_path, text, message):
    path = tmp_path / 'results.json'
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_results(path)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match='no results file'):
        read_results(tmp_path / 'nowhere.json')


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        ('options.class_set', 'all'),
        ('options.new', 1),
        ('data.simulated', False),
        ('data.fingerprint', 'g'),
        ('task', 'det'),
    ],
)
def test_rows_that_were_measured_differently_are_refused(key, value):
    with pytest.raises(ValueError, match=f'{key} differs: .* in a_mma82'):
        check_comparable([RESULTS, changed(key, value)])


def test_what_a_table_shows_may_differ():
    other = changed('options.class_set', 'all')
    check_comparable([RESULTS, other], besides=('class_set',))


def test_skeletons_of_two_extractors_are_refused_beside_videos_they_are_not():
    one = changed('data.skeleton_layout', {'extractor': 'a 1'})
    other = changed('data.skeleton_layout', {'extractor': 'a 2'})
    check_comparable([RESULTS, one])
    with pytest.raises(ValueError, match=r'data\.skeleton_layout differs'):
        check_comparable([one, RESULTS, other])


def test_files_are_read_under_their_own_or_another_name(tmp_path):
    write_results(RESULTS, tmp_path / 'a=b.json')
    write_results(changed('name', 'b_mma82'), tmp_path / 'b.json')
    entries = read_entries([f'{tmp_path}/a=b.json', f'mine={tmp_path}/b.json'])
    assert [entry.results['name'] for entry in entries] == ['a_mma82', 'mine']
    assert entries[1].files == (tmp_path / 'b.json',)


def test_the_same_results_twice_are_refused(tmp_path):
    write_results(RESULTS, tmp_path / 'a.json')
    write_results(RESULTS, tmp_path / 'copy.json')
    with pytest.raises(ValueError, match=r'copy\.json are the same results'):
        read_entries([f'{tmp_path}/a.json', f'mine={tmp_path}/copy.json'])


def test_protocol_and_model_may_differ():
    check_comparable(
        [RESULTS, changed('name', 'b_mma82'), changed('protocol.name', 'zeroshot')]
    )


def test_environment_names_versions_and_device():
    found = environment('cpu')
    assert found['device'] == 'cpu'
    assert found['torch'][0].isdigit()
