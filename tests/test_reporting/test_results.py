import copy
from pathlib import Path

import pytest
from result_files import write_ablation, write_fewshot, write_model
from zoo_folders import det_results, rec_results

from mmma.evaluation.form import audit_results
from mmma.evaluation.reports import read_results, write_results
from mmma.evaluation.rows import SCHEMA, EvaluationOptions, recognition_row
from mmma.evaluation.scores import join_tables, read_scores
from mmma.reporting.results import (
    Sample,
    check_comparable,
    check_recipes,
    check_weights,
    pool_results,
    read_named,
    selection_of,
    take_samples,
)
from mmma.reporting.table import results_table
from mmma.taxonomy import DOMAINS

RESULTS = {
    'schema': SCHEMA,
    'task': 'rec',
    'name': 'a_mma82',
    'protocol': {'name': 'indomain'},
    'data': {'name': 'x', 'fingerprint': 'f', 'simulated': True, 'packed': None},
    'options': {'class_set': 'present'},
    'checkpoint': {'simulated': True},
    'runs': [{'domain': 'all', 'counts': {'clips': 2}, 'metrics': {}}],
}


def changed(key, value):
    other = copy.deepcopy(RESULTS)
    where = other
    *parents, last = key.split('.')
    for part in parents:
        where = where[part]
    where[last] = value
    return other


def test_rows_that_were_measured_differently_are_refused():
    for key, value in {
        'options.class_set': 'all',
        'options.new': 1,
        'data.simulated': False,
        'data.fingerprint': 'g',
        'task': 'det',
    }.items():
        with pytest.raises(ValueError, match=f'{key} differs: .* in a_mma82'):
            check_comparable([RESULTS, changed(key, value)])


def test_sources_and_choices_of_checkpoints_are_not_mixed():
    def told(name, file, **protocol):
        own = changed('protocol', {'name': name, **protocol})
        return {**own, 'files': [file]}

    rest = told('zeroshot', 'rest.json', source='rest', target=['street'])
    lab = told('fewshot', 'lab.json', target=['street'])
    check_comparable([told('indomain', 'all.json'), rest, dict(rest)])
    text = r"'rest' in .* rest\.json, 'lab' in .* lab\.json.* train and test with the "
    with pytest.raises(ValueError, match=text + 'same --source, or make two tables'):
        check_comparable([told('indomain', 'all.json'), rest, lab])

    chosen = {'subset': 'val', 'domains': ['lab'], 'metric': 'action/top1'}
    by = {
        'source-val': lab | {'selected_on': {'by': 'source-val', **chosen}},
        'target-val': lab | {'selected_on': {**chosen, 'domains': ['lab', 'street']}},
        'last': lab | {'selected_on': {'by': 'last'}, 'files': ['last.json']},
    }
    for name, own in by.items():
        assert selection_of(own) == name
        check_comparable([own, lab | {'selected_on': None}, lab])  # unknown
        for other in by.keys() - {name}:
            with pytest.raises(ValueError, match=r'selected_on differs: .*alike'):
                check_comparable([lab, own, by[other]])
    text = r"'source-val' in .* lab\.json, 'last' in .* last\.json"
    with pytest.raises(ValueError, match=text):
        check_comparable([by['source-val'], by['last']])
    check_comparable([by['source-val'], lab | {'selected_on': chosen}])  # older


def test_what_a_table_shows_may_differ():
    other = changed('options.class_set', 'all')
    check_comparable([RESULTS, other], besides=('class_set',))
    named = changed('name', 'b_mma82')
    check_comparable([RESULTS, named, changed('protocol.name', 'zeroshot')])


def test_skeletons_of_two_extractors_are_refused_beside_videos_they_are_not():
    one = changed('data.skeleton_layout', {'extractor': 'a 1'})
    other = changed('data.skeleton_layout', {'extractor': 'a 2'})
    check_comparable([RESULTS, one])
    with pytest.raises(ValueError, match=r'data\.skeleton_layout differs'):
        check_comparable([one, RESULTS, other])


def test_files_are_read_under_their_own_or_another_name(tmp_path):
    write_results(RESULTS, tmp_path / 'a=b.json')
    write_results(changed('name', 'b_mma82'), tmp_path / 'b.json')
    entries = read_named([f'{tmp_path}/a=b.json', f'mine={tmp_path}/b.json'])
    assert [entry['name'] for entry in entries] == ['a_mma82', 'mine']
    assert entries[1]['files'] == [tmp_path / 'b.json']


def test_the_same_results_twice_are_refused(tmp_path):
    write_results(RESULTS, tmp_path / 'a.json')
    write_results(RESULTS, tmp_path / 'copy.json')
    with pytest.raises(ValueError, match=r'copy\.json are the same results'):
        read_named([f'{tmp_path}/a.json', f'mine={tmp_path}/copy.json'])


def sample(file, seed=0, checkpoint='aaaaaaaa', results=None, **config):
    results = results or {
        'name': 'a_mma82',
        'files': [Path(file)],
        'protocol': {'name': 'indomain', 'seed': seed},
        'options': {'subset': 'test'},
        'checkpoint': {'sha256': checkpoint},
        'config': config,
    }
    return Sample(results, {'subset': 'test'})


def test_rows_are_sorted_by_seed_and_draws_stay_together():
    first = sample('1.json', seed=1)
    second = sample('1.json', results=first.results)
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
    check_weights([val, test], 'a')
    other = sample('2.json', checkpoint='bbbbbbbb')
    with pytest.raises(ValueError, match='seed 0 is of weights aaaaaaaa in'):
        check_weights([val, other], 'a')


def recipe(domains, folder, **changes):
    data = {'domains': domains, 'data_root': folder}
    return {
        'model': {'depth': 50},
        'train_dataloader': {'batch_size': 8, 'dataset': data},
        'work_dir': folder,
        'randomness': {'seed': len(domains)},
        **changes,
    }


def test_a_recipe_is_what_trains_and_tests_wherever_it_ran():
    own = sample('1.json', **recipe(['lab'], 'x'))
    elsewhere = sample('2.json', **recipe(['lab', 'street'], 'y'))
    for other in (elsewhere, sample('2.json')):
        check_recipes([own.results, other.results])
    other = sample('2.json', **recipe(['lab'], 'x', model={'depth': 18}))
    with pytest.raises(ValueError, match=r'\.model\.depth differs: 50 in 1\.json'):
        check_recipes([own.results, other.results])


@pytest.fixture(scope='module')
def separate(rec_root, tmp_path_factory):
    """Results of one model per domain."""
    folder = tmp_path_factory.mktemp('separate')
    return [
        write_model(folder / d, rec_root, 'a_mma82', 0.3 + 0.1 * i, domain=d)
        for i, d in enumerate(DOMAINS)
    ]


def read(files):
    return read_named([str(file) for file in files])


def test_pooled_metrics_equal_those_of_all_clips_at_once(separate, rec_root):
    (pooled,) = pool_results(read(separate))
    row = pooled['runs'][0]
    space = rec_root.label_space()
    table = join_tables([read_scores(f.parent / 'scores.npz', space) for f in separate])
    clips = [c for c in rec_root.read_rec() if c.subset == 'test']
    expected = recognition_row(table, clips, space, EvaluationOptions())
    assert row['domain'] == 'all'
    assert row['metrics'] == pytest.approx(expected['metrics'])
    assert row['counts'] == expected['counts']
    for name, metrics in row['class_sets'].items():
        assert metrics == pytest.approx(expected['class_sets'][name])
    hits = expected['per_class']['action']['hits']
    assert row['per_class']['action']['hits'] == hits
    assert 'intervals' not in row
    assert row['across_domains']['worst_domain']['action/top1'] in DOMAINS


def test_a_pooled_result_keeps_the_rows_of_its_domains_and_its_files(separate):
    (pooled,) = pool_results(read(separate))
    assert [run['domain'] for run in pooled['runs']] == ['all', *DOMAINS]
    assert pooled['protocol']['pooled'] == list(DOMAINS)
    assert pooled['files'] == separate
    assert 'indomain, one model per domain' in results_table([pooled])


def test_fewer_domains_are_no_all(separate):
    (pooled,) = pool_results(read(separate[2:0:-1]))
    assert pooled['runs'][0]['domain'] == 'psychiatric+street'


def test_other_results_stay_as_they_are(separate, rec_root, tmp_path):
    other = write_fewshot(tmp_path / 'f', rec_root, 'a_mma82', 0.5)
    entries = pool_results(read([other, *separate]))
    assert [e['protocol']['name'] for e in entries] == ['fewshot', 'indomain']


def test_nothing_to_pool_is_an_error(separate, rec_root, tmp_path):
    joint = write_model(tmp_path / 'j', rec_root, 'a_mma82', 0.5)
    with pytest.raises(ValueError, match='nothing to pool'):
        pool_results(read([joint, separate[0]]))


def test_a_domain_twice_is_refused(separate, rec_root, tmp_path):
    again = write_model(
        tmp_path / 'again', rec_root, 'a_mma82', 0.9, domain='lab', broken=['x']
    )
    with pytest.raises(ValueError, match="two results of domain 'lab' with seed 0"):
        pool_results(read([*separate, again]))


def test_results_measured_differently_are_not_pooled(separate, rec_root, tmp_path):
    other = write_model(
        *(tmp_path / 'o', rec_root, 'a_mma82', 0.9),
        domain='lab',
        options__body_groups='statistics',
    )
    with pytest.raises(ValueError, match=r'options\.body_groups differs'):
        pool_results(read([separate[1], other]))


def test_other_classes_are_not_pooled(separate):
    entries = read(separate[:2])
    entries[1]['runs'][1]['per_class']['action']['name'][0] = 'flying'
    with pytest.raises(ValueError, match='the action classes of its results differ'):
        pool_results(entries)


def test_detection_is_not_pooled(separate):
    (entry,) = read(separate[:1])
    with pytest.raises(ValueError, match='AP ranks the predictions of all videos'):
        pool_results([{**entry, 'task': 'det'}])


@pytest.fixture(scope='module')
def measured():
    det = det_results({'name': 'tiny_set', 'simulated': True})
    det['checkpoint'] = {'simulated': True}
    return {'rec': rec_results(simulated=True), 'det': det}


def test_what_was_measured_agrees_with_itself(measured):
    for results in measured.values():
        audit_results(results, 'r.json')


def test_a_row_that_is_refused_is_named_by_its_labels(measured):
    edited = copy.deepcopy(measured['rec'])
    edited['runs'] = [{'target': 'street', 'shots': 5, 'run': 0}]
    with pytest.raises(ValueError, match=r'^r.json: street, shots 5, run 0: KeyError'):
        audit_results(edited, 'r.json')


def put(section, key, value):
    def change(run):
        place = run
        for part in section.split('.'):
            place = place[part]
        place[key] = value

    return change


def lists(section, key, value):
    def change(run):
        level, _, name = section.partition('.')
        run['per_class'][level][name][key] = value

    return change


@pytest.mark.parametrize(
    ('task', 'change', 'message'),
    [
        ('rec', put('metrics', 'action/top1', 99.0), 'action/top1 is 99.0, but the o'),
        ('rec', put('metrics', 'F1_mean', 99.0), 'F1_mean is 99.0'),
        ('rec', put('metrics', 'body/mca', float('nan')), 'body/mca is nan'),
        ('rec', put('counts', 'clips', 47), 'action clips is 47, but .* give 48'),
        ('rec', put('counts', 'classes_present', 9), 'classes present is 9'),
        ('rec', put('counts', 'bodies_present', 9), 'bodies present is 9'),
        ('rec', lists('action.predicted', 0, 40), 'action predictions is'),
        ('rec', lists('body.top5_hits', 0, 99), 'body classes with more hits'),
        ('rec', lists('action.hits', 1, 3), 'action hits is'),
        ('det', put('metrics', 'action/mAP@0.20', 13.0), r'action/mAP@0.20 is 13.0'),
        ('det', put('metrics', 'action/mAP@0.30', 13.0), 'action/mAP is 7.5, but'),
        ('det', put('metrics', 'AVG', 50.0), 'AVG is 50.0, but .* give 16.25'),
        ('det', put('counts.classes', 'body', 3), 'body classes is 3'),
        ('det', lists('body.AP', 0, 90.0), 'body/mAP is 25.0'),
    ],
)
def test_a_number_changed_by_hand_is_refused(measured, tmp_path, task, change, message):
    edited = copy.deepcopy(measured[task])
    change(edited['runs'][0])
    with pytest.raises(ValueError, match=f'^r.json: all: {message}'):
        audit_results(edited, 'r.json')
    if 'nan' not in message:
        write_results(edited, tmp_path / 'r.json')
        with pytest.raises(ValueError, match=rf'{tmp_path}/r.json: all: {message}'):
            read_results(tmp_path / 'r.json')


def test_a_consistent_row_must_still_fit_the_row_of_all(measured):
    edited = copy.deepcopy(measured['rec'])
    edited['runs'][1] = {**edited['runs'][2], 'domain': 'lab'}
    with pytest.raises(ValueError, match=r'all: action .* are not the sum of those'):
        audit_results(edited, 'r.json')
    del edited['runs'][1]
    with pytest.raises(ValueError, match=r'all: 48 clips, but .* add up to 36'):
        audit_results(edited, 'r.json')


def test_rows_without_what_is_behind_them_are_refused(measured):
    edited = copy.deepcopy(measured['det'])
    del edited['runs'][0]['per_class']
    with pytest.raises(ValueError, match=r"all: KeyError.'per_class'. is missing"):
        audit_results(edited, 'r.json')


def test_results_may_be_older_than_a_metric(measured, tmp_path):
    edited = copy.deepcopy(measured['rec'])
    del edited['runs'][0]['metrics']['action/mca']
    with pytest.raises(ValueError, match=r"all: KeyError.'action/mca'. is missing"):
        audit_results(edited, 'r.json')
    write_results(edited, tmp_path / 'r.json')
    assert read_results(tmp_path / 'r.json') == edited
    for row in edited['runs'][1:]:
        del row['metrics']['action/mca']
    audit_results(edited, 'r.json')
    for results in measured.values():  # printed digits, and counts that older ones lack
        older = copy.deepcopy(results)
        for row in older['runs']:
            row['metrics'] = {k: round(v, 2) for k, v in row['metrics'].items()}
            row['counts'].pop('classes_present', None)
        older['runs'][-1].pop('per_class')
        write_results(older, tmp_path / 'r.json')
        read_results(tmp_path / 'r.json')


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (put('per_class.action', 'AP', [9.0]), 'action.AP has 1 items for 2 names'),
        (put('per_class.body', 'truths', 'many'), "body.truths is 'many': it must be"),
        (lists('action.AP@0.20', 1, 101.0), r'AP@0.20\[1\] is 101.0: it must be a n'),
        (put('per_class.body', 'AP_bounds', [[1]] * 2), r'AP_bounds\[0\] is \[1\]: it'),
        (
            put('per_class.body', 'predictions', [-1, 2]),
            r'\[0\] is -1: it must be a wh',
        ),
        (lists('body.name', 0, 3), r'name\[0\] is 3: it must be text'),
    ],
)
def test_classes_of_detection_have_their_form(measured, tmp_path, change, message):
    edited = copy.deepcopy(measured['det'])
    change(edited['runs'][0])
    write_results(edited, tmp_path / 'r.json')
    with pytest.raises(ValueError, match=rf'r.json: runs\[0\].per_class.*{message}'):
        read_results(tmp_path / 'r.json')


@pytest.fixture(scope='module')
def emotions(tmp_path_factory):
    """Contents of results of task ``emotion``."""
    folder = tmp_path_factory.mktemp('study')
    return read_results(write_ablation(folder / 'results.json', videos=70))


def test_results_of_emotions_agree_with_themselves(emotions):
    audit_results(emotions, 'r.json')


@pytest.mark.parametrize(
    ('where', 'value', 'message'),
    [
        ('protocol name', 'guess', 'protocol.name is .guess.: need associate'),
        ('classes', None, 'classes is missing'),
        ('association', {'sad': {'actions': []}}, 'association.sad.top is missing'),
        ('runs 0 subset', 'x', "runs.*subset is 'x': need test, val, folds"),
        ('runs 0 subset', None, r'runs\[0\].subset is missing'),
        ('runs 1 experiment', None, r'runs\[1\] has neither experiment nor input'),
        ('runs 0 counts videos', None, 'runs.*counts.videos is missing'),
        ('runs 0 counts videos', 71, 'all .*: emotion videos is 71, but .* 70'),
        ('runs 0 counts emotions', 6, 'all .*: emotions is 6, but .* give 7'),
        ('runs 1 metrics emotion/top1', 90, 'without the .*: emotion/top1 is 90, but'),
        ('runs 0 per_class emotion hits 0', 70, 'all .*: emotion hits is'),
    ],
)
def test_results_of_emotions_have_their_form(emotions, tmp_path, where, value, message):
    place = edited = copy.deepcopy(emotions)
    *path, last = [int(k) if k.isdecimal() else k for k in where.split()]
    for key in path:
        place = place[key]
    place[last] = value
    if value is None:
        del place[last]
    write_results(edited, tmp_path / 'r.json')
    with pytest.raises(ValueError, match=rf'{tmp_path}/r.json: {message}'):
        read_results(tmp_path / 'r.json')


def test_emotions_are_not_pooled(emotions):
    with pytest.raises(ValueError, match='Emotions have no domains'):
        pool_results([{**emotions, 'files': []}])
