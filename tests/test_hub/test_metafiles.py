"""Metafiles: what is computed, what is kept, what is found wrong."""

import pytest
import yaml

from mmma.hub.cost import ModelCost
from mmma.hub.metafiles import (
    Facts,
    Recipe,
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


@pytest.mark.parametrize('name', ['videomae_mma82', 'videomae-s_mma82'])
def test_the_method_is_the_first_word(name):
    assert Recipe(name, ()).method == 'videomae'


def test_config_facts_come_from_the_config():
    cfg = dict(
        label_space='ma52',
        model=dict(backbone=dict(type='ViT')),
        test_dataloader=dict(dataset=dict(modality='Pose')),
        pretrained=dict(url='https://x/y-00000000.pth', data='kinetics-400'),
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
        'Training Data': 'MA-52',
    }


@pytest.mark.parametrize(('trainable', 'shown'), [(5, None), (3, 3)])
def test_trainable_parameters_are_told_where_they_differ(trainable, shown):
    cost = ModelCost(5, trainable, 4, 6, (1, 3, 8))
    assert cost_facts(cost) == {
        'Input': '1x3x8',
        'Parameters': 5,
        'Trainable Parameters': shown,
        'FLOPs': 6,
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
