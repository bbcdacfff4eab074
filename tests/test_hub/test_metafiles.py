"""Metafiles: what is computed, what is kept, what is found wrong."""

import pytest
import yaml

from mmma.hub.cost import ModelCost
from mmma.hub.metafiles import (
    Facts,
    Recipe,
    checkpoint_entries,
    config_facts,
    cost_facts,
    differences,
    find_recipes,
    index_text,
    metafile_path,
    metafile_text,
    read_metafiles,
    refresh,
    unlisted,
    with_entry,
)

COLLECTIONS = [{'Name': 'VideoMAE', 'Paper': {'URL': 'https://arxiv.org/abs/1'}}]


def leaves(name):
    protocols = ('indomain', 'zeroshot', 'fewshot')
    return tuple(f'configs/recog/{name}_{protocol}.py' for protocol in protocols)


def facts(**metadata):
    entry = {'Config': 'a.py', 'Configs': ['a.py'], 'Modality': 'RGB'}
    return Facts('VideoMAEViT', entry, {'FLOPs': 2, 'Pretrained': None, **metadata})


def save(root, method, text):
    path = metafile_path(root, method)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding='utf-8')


def test_recipes_are_found_with_leaves_in_order(tmp_path):
    (tmp_path / 'configs/recog').mkdir(parents=True)
    for leaf in (*leaves('b-s_mma82'), leaves('a_mma82')[1], 'configs/recog/x.py'):
        (tmp_path / leaf).touch()
    assert find_recipes(tmp_path) == [
        Recipe('a_mma82', leaves('a_mma82')[1:2]),
        Recipe('b-s_mma82', leaves('b-s_mma82')),
    ]


def test_a_detector_is_one_leaf(tmp_path):
    leaf = 'configs/det/adatad_vit-s_mma82.py'
    (tmp_path / 'configs/det').mkdir(parents=True)
    (tmp_path / leaf).touch()
    (found,) = find_recipes(tmp_path)
    assert (found.name, found.method) == ('adatad_vit-s_mma82', 'adatad')
    assert found.leaves == (leaf,)


@pytest.mark.parametrize('name', ['videomae_mma82', 'videomae-s_mma82'])
def test_the_method_is_the_first_word(name):
    assert Recipe(name, ()).method == 'videomae'


def test_config_facts_come_from_the_config():
    cfg = dict(
        label_space='ma52',
        model=dict(backbone=dict(type='ViT')),
        test_dataloader=dict(dataset=dict(modality='Pose')),
        pretrained=dict(
            url='https://x/y-00000000.pth', sha8='00000000', size=5, data='kinetics-400'
        ),
    )
    found = config_facts(Recipe('a_mma82', leaves('a_mma82')), cfg)
    assert found.architecture == 'ViT'
    assert found.entry == {
        'Config': leaves('a_mma82')[0],
        'Configs': list(leaves('a_mma82')),
        'Modality': 'Pose',
    }
    assert found.metadata == {
        'Pretrained': 'kinetics-400',
        'Pretrained Weights': 'https://x/y-00000000.pth',
        'Pretrained Weights SHA256': '00000000',
        'Pretrained Weights Size': 5,
        'Training Data': 'MA-52',
    }


def test_a_detector_without_backbone_is_called_by_its_projection():
    cfg = dict(
        label_space='mma82',
        model=dict(projection=dict(type='TriDetProj')),
        test_dataloader=dict(dataset=dict(modality='Feature')),
        pretrained=dict(url='https://x/y.bin', sha8='', data='kinetics-400'),
    )
    found = config_facts(Recipe('a_mma82', ('configs/det/a_mma82.py',)), cfg)
    assert (found.architecture, found.entry['Modality']) == ('TriDetProj', 'Feature')
    assert found.metadata['Pretrained Weights SHA256'] is None  # unknown


def test_the_window_of_a_detector_is_told():
    cost = ModelCost(5, 5, 4, 6, (1, 3, 8), window_sec=256 / 15)
    assert cost_facts(cost)['Window Seconds'] == 17.07


@pytest.mark.parametrize(('trainable', 'shown'), [(5, None), (3, 3)])
def test_trainable_parameters_are_told_where_they_differ(trainable, shown):
    cost = ModelCost(5, trainable, 4, 6, (1, 3, 8))
    assert cost_facts(cost) == {
        'Input': '1x3x8',
        'Parameters': 5,
        'Trainable Parameters': shown,
        'FLOPs': 6,
        'Window Seconds': None,
    }


def test_refresh_changes_what_is_computed_and_keeps_what_people_wrote():
    entry = {
        'Name': 'b_mma82',
        'Metadata': {'Architecture': 'ViT-B', 'FLOPs': 1, 'Pretrained': 'old'},
        'Results': [{'Task': 'Action Recognition'}],
    }
    data = {'Collections': COLLECTIONS, 'Models': [entry]}
    new = refresh(data, {'b_mma82': facts(), 'a_mma82': facts()})
    added, changed = new['Models']
    assert changed['Metadata'] == {'Architecture': 'ViT-B', 'FLOPs': 2}
    assert changed['Results'] == entry['Results']
    assert added['Metadata'] == {'Architecture': 'VideoMAEViT', 'FLOPs': 2}
    assert added['In Collection'] == changed['In Collection'] == 'VideoMAE'
    assert entry['Metadata']['FLOPs'] == 1  # the old contents stay


def test_costs_that_cannot_be_computed_stay():
    entry = {'Name': 'a_mma82', 'Metadata': {'FLOPs': 1, 'Parameters': 3}}
    known = facts()
    del known.metadata['FLOPs']
    new = refresh({'Collections': COLLECTIONS, 'Models': [entry]}, {'a_mma82': known})
    assert new['Models'][0]['Metadata']['FLOPs'] == 1


def test_text_is_stable_and_reads_back(tmp_path):
    data = refresh({'Collections': COLLECTIONS}, {'a_mma82': facts(Input='1x3–8')})
    save(tmp_path, 'videomae', metafile_text(data))
    read = read_metafiles(tmp_path)['videomae']
    assert read == data
    assert metafile_text(read) == metafile_path(tmp_path, 'videomae').read_text('utf-8')
    assert list(read['Models'][0]) == [
        'Name', 'In Collection', 'Config', 'Configs', 'Modality', 'Metadata',
    ]  # fmt: skip


def test_the_index_lists_metafiles_by_name():
    index = yaml.safe_load(index_text(['tsm', 'gctsm']))
    assert index == {
        'Import': ['configs/metafiles/gctsm.yml', 'configs/metafiles/tsm.yml']
    }


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('a: [', 'videomae.yml is no YAML'),
        ('Models: []', 'one item in Collections'),
        ('Collections: [{Name: a}, {Name: b}]', 'one item in Collections'),
        ('Collections: [{Name: a}]\nModels: [{Config: x}]', 'Models must be a list'),
        ('Collections: [{Name: a}]\nModels: [{Name: m}, {Name: m}]', 'm is there 2'),
    ],
)
def test_bad_metafiles(tmp_path, text, message):
    save(tmp_path, 'videomae', text)
    with pytest.raises(ValueError, match=message):
        read_metafiles(tmp_path)


def test_unlisted_names_both_sides():
    recipes = [Recipe('tsm_mma82', leaves('tsm_mma82')), Recipe('gctsm_mma82', ('g',))]
    metafiles = {'tsm': {'Models': [{'Name': 'tms_mma82'}, {'Name': 'gctsm_mma82'}]}}
    lacking, misspelt, misplaced = unlisted(recipes, metafiles)
    assert lacking.startswith('g: there is no configs/metafiles/gctsm.yml')
    assert 'tms_mma82 has no config configs/recog/tms_mma82_*.py' in misspelt
    assert "Did you mean 'tsm_mma82'" in misspelt
    assert 'gctsm_mma82 has no config' in misplaced


def test_differences_name_the_key():
    old = {'Models': [{'Name': 'a', 'Metadata': {'FLOPs': 1, 'Old': 3}}]}
    new = {'Models': [{'Name': 'b'}, {'Name': 'a', 'Metadata': {'FLOPs': 2}}]}
    assert sorted(differences(old, new)) == [
        'Models.a.Metadata.FLOPs is 1, should be 2',
        'Models.a.Metadata.Old is 3, should be None',
        'Models.b is missing',
    ]
    assert not list(differences(new, new))


def test_differences_of_results_name_the_data_set():
    def results(value):
        return {'Results': [{'Dataset': 'street', 'Metrics': {'action/top1': value}}]}

    (found,) = differences(results(1.0), results(2.0))
    assert found == 'Results.street.Metrics.action/top1 is 1.0, should be 2.0'


def weights(name='a_mma82_zeroshot', **keys):
    config = leaves('a_mma82')[1]
    return {'Name': name, 'Config': config, 'Weights': f'zoo/{name}/w', **keys}


def test_weights_are_added_and_replaced_by_name():
    recipe = {'Name': 'b_mma82', 'In Collection': 'VideoMAE'}
    data = {'Collections': COLLECTIONS, 'Models': [recipe]}
    added = with_entry(data, weights(Size=1))
    assert [e['Name'] for e in added['Models']] == ['a_mma82_zeroshot', 'b_mma82']
    assert added['Models'][0]['In Collection'] == 'VideoMAE'
    replaced = with_entry(added, weights(Other=2))
    (found,) = checkpoint_entries({'videomae': replaced, 'tsm': {'Models': None}})
    assert found == {**weights(Other=2), 'In Collection': 'VideoMAE'}
    assert data['Models'] == [recipe]  # the old contents stay


@pytest.mark.parametrize('entry', [weights('b_mma82'), {'Name': 'w'}])
def test_weights_and_recipes_do_not_replace_each_other(entry):
    models = [{'Name': 'b_mma82'}, weights('w')]
    with pytest.raises(ValueError, match='one of the two is a recipe'):
        with_entry({'Collections': COLLECTIONS, 'Models': models}, entry)


def test_refresh_leaves_weights_alone():
    data = with_entry({'Collections': COLLECTIONS}, weights(Results=[1]))
    new = refresh(data, {'a_mma82': facts()})
    assert new['Models'][1] == data['Models'][0]


def test_weights_need_a_config_of_their_method():
    recipes = [Recipe('a_mma82', leaves('a_mma82')), Recipe('tsm_mma82', ('t.py',))]
    models = [weights(), weights('w2', Config='t.py'), weights('w3', Config='a.py')]
    metafiles = {'a': {'Models': models}, 'tsm': {}}
    problems = unlisted(recipes, metafiles)
    assert [p.split()[1] for p in problems] == ['w2', 'w3']
    assert 'has Config t.py, which is no config of this method' in problems[0]
