"""Metafiles: what is computed, what is kept, what is found wrong."""

import os
from types import SimpleNamespace

import pytest
import yaml
from http_files import file_server
from zoo_metafiles import FILE, HUB, NAME, OURS, SHA, URL, ours, recipe, write_metafiles
from zoo_metafiles import write_weights as put

from mmma.checkpoints import RemoteFile
from mmma.hub import zoo as index
from mmma.hub.metafiles import refresh
from mmma.hub.zoo import (
    checkpoint_path,
    differences,
    fetch_model,
    find_recipes,
    index_text,
    list_models,
    metafile_path,
    metafile_text,
    method_of,
    no_model,
    read_metafiles,
    repository_url,
    unlisted,
    verify_folder,
    with_entry,
)

COLLECTIONS = [{'Name': 'VideoMAE', 'Paper': {'URL': 'https://arxiv.org/abs/1'}}]


def leaves(name):
    protocols = ('indomain', 'zeroshot', 'fewshot')
    return tuple(f'configs/recog/{name}_{protocol}.py' for protocol in protocols)


def facts(**metadata):
    known = {'Architecture': 'VideoMAEViT', 'FLOPs': 2, 'Pretrained': None, **metadata}
    return {'Config': 'a.py', 'Configs': ['a.py'], 'Modality': 'RGB', 'Metadata': known}


def save(root, method, text):
    path = metafile_path(root, method)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding='utf-8')


def test_recipes_are_found_with_leaves_in_order(tmp_path):
    detector = 'configs/det/adatad_vit-s_mma82.py'
    for folder in ('recog', 'det'):
        (tmp_path / 'configs' / folder).mkdir(parents=True)
    other = leaves('a_mma82')[1]
    for leaf in (*leaves('b-s_mma82'), other, detector, 'configs/recog/x.py'):
        (tmp_path / leaf).touch()
    assert list(find_recipes(tmp_path).items()) == [
        ('a_mma82', (other,)),
        ('adatad_vit-s_mma82', (detector,)),
        ('b-s_mma82', leaves('b-s_mma82')),
    ]
    names = ['videomae_mma82', 'videomae-s_mma82', 'adatad_vit-s_mma82']
    assert [method_of(name) for name in names] == ['videomae', 'videomae', 'adatad']


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
    del (known := facts())['Metadata']['FLOPs']  # costs that cannot be computed stay
    new = refresh(data, {'b_mma82': known})
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
    told = yaml.safe_load(index_text(['tsm', 'gctsm']))['Import']
    assert told == ['configs/metafiles/gctsm.yml', 'configs/metafiles/tsm.yml']


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
    recipes = {'tsm_mma82': leaves('tsm_mma82'), 'gctsm_mma82': ('g',)}
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
    old, new = (
        {'Results': [{'Dataset': 'street', 'Metrics': {'top1': value}}]}
        for value in (1.0, 2.0)
    )
    assert list(differences(old, new)) == [
        'Results.street.Metrics.top1 is 1.0, should be 2.0'
    ]


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
    found = replaced['Models'][0]
    assert found == {**weights(Other=2), 'In Collection': 'VideoMAE'}
    assert data['Models'] == [recipe]  # the old contents stay
    new = refresh(added, {'a_mma82': facts()})
    assert new['Models'][1] == added['Models'][0]


def test_weights_and_recipes_do_not_replace_each_other():
    models = [{'Name': 'b_mma82'}, weights('w')]
    for entry in (weights('b_mma82'), {'Name': 'w'}):
        with pytest.raises(ValueError, match='one of the two is a recipe'):
            with_entry({'Collections': COLLECTIONS, 'Models': models}, entry)


def test_weights_need_a_config_of_their_method():
    recipes = {'a_mma82': leaves('a_mma82'), 'tsm_mma82': ('t.py',)}
    models = [weights(), weights('w2', Config='t.py'), weights('w3', Config='a.py')]
    metafiles = {'a': {'Models': models}, 'tsm': {}}
    problems = unlisted(recipes, metafiles)
    assert [p.split()[1] for p in problems] == ['w2', 'w3']
    assert 'has Config t.py, which is no config of this method' in problems[0]


def models(root, *entries, **kwargs):
    found = list_models(write_metafiles(root, *entries, **kwargs))
    return {model.name: model for model in found}


def test_our_own_weights(tmp_path):
    model = models(tmp_path, ours(License={'Weights': 'MIT'}))[NAME]
    assert model.listed() == {
        'name': NAME,
        'kind': 'ours',
        'task': 'rec',
        'modality': 'Pose',
        'size': len(OURS),
        'sha256': SHA,
        'config': 'configs/recog/tiny_mma82_zeroshot.py',
        'simulated': True,
    }
    assert (model.data, model.license) == ('MMA-82, simulated', 'MIT')
    assert model.local == tmp_path / 'zoo' / NAME / FILE
    assert model.remote() == RemoteFile(FILE, '', SHA, len(OURS), folder=NAME)


def test_what_an_entry_need_not_say(tmp_path):
    entry = {'Name': NAME, 'Weights': f'zoo/{NAME}/{FILE}'}
    model = models(tmp_path, entry)[NAME]
    assert (model.sha256, model.size, model.config) == (SHA[:8], None, None)
    assert (model.simulated, model.license, model.modality) == (False, None, 'RGB')


def test_detectors(tmp_path):
    of_results = [{'Task': 'Temporal Action Detection', 'Metrics': {}}]
    for i, changes in enumerate(
        [
            {'Config': 'configs/det/tiny_mma82.py'},
            {'Config': 'zoo/x/config.py', 'Results': of_results},
        ]
    ):
        assert models(tmp_path / f'{i}', ours(**changes))[NAME].task == 'det'


def test_upstream_weights_of_several_recipes(tmp_path):
    found = models(
        tmp_path,
        recipe('a_mma82', URL),
        recipe('b_mma82', URL, **{'Pretrained Weights SHA256': '0123abcdef'}),
        recipe('c_mma82', URL, **{'Pretrained Weights Size': 5}),
        recipe('d_mma82'),
        license={'Code': 'MIT', 'Pretrained Weights': 'CC-BY'},
    )
    assert list(found) == ['net_2022-0123abcd']
    model = found['net_2022-0123abcd']
    assert (model.kind, model.sha256, model.size) == ('upstream', '0123abcdef', 5)
    assert (model.data, model.license, model.simulated) == ('k400', 'CC-BY', False)
    assert model.config == 'configs/recog/a_mma82_indomain.py'
    assert model.configs == tuple(
        f'configs/recog/{name}_mma82_indomain.py' for name in 'abc'
    )
    assert model.remote() == RemoteFile(
        'net_2022-0123abcd.pth', URL, '0123abcdef', size=5
    )


def test_upstream_weights_of_a_detector_too(tmp_path):
    entries = [{**recipe('b', URL), 'Config': 'configs/det/b.py'}, recipe('a', URL)]
    for i, order in enumerate((entries, entries[::-1])):
        model = models(tmp_path / f'{i}', *order)['net_2022-0123abcd']
        assert (model.task, model.config) == ('rec', 'configs/recog/a_indomain.py')
        assert model.configs == ('configs/recog/a_indomain.py', 'configs/det/b.py')


def test_ours_come_first_and_files_of_the_hub_have_their_repository(tmp_path):
    found = models(tmp_path, recipe('a', URL), recipe('b', HUB), ours())
    assert list(found) == [NAME, 'a-b-model', 'net_2022-0123abcd']
    assert found['a-b-model'].sha256 is None
    assert found['a-b-model'].remote().name == 'a-b-model.safetensors'


def test_two_files_of_one_name(tmp_path):
    with pytest.raises(
        ValueError, match=r'two files .* called net_2022-0123abcd: http'
    ):
        models(tmp_path, recipe('a', URL), recipe('b', URL.replace('a.org', 'b.org')))


def test_entries_that_lead_elsewhere(tmp_path):
    for i, entry in enumerate(
        [
            ours(Weights='zoo/../../etc/passwd'),
            ours(Weights='/etc/passwd'),
            ours(Weights='zoo\\..\\x.pth'),
            ours(Name='../x'),
            recipe('a', 'https://a.org/..%2F..%2Fx.pth'),
        ]
    ):
        with pytest.raises(
            ValueError, match=r'the metafile entry .* names a file .* slash'
        ):
            models(tmp_path / f'{i}', entry)


def test_repository(monkeypatch):
    both = ['Homepage, https://a.org', 'Repository, https://b.org/c/']
    for urls, expected in ((None, ''), (both[:1], ''), (both, 'https://b.org/c')):
        told = SimpleNamespace(get_all=lambda name, urls=urls: urls)
        monkeypatch.setattr(index, 'metadata', lambda name, told=told: told)
        assert repository_url() == expected

    def missing(name):
        raise index.PackageNotFoundError(name)

    monkeypatch.setattr(index, 'metadata', missing)
    assert repository_url() == ''


def test_our_weights_come_from_the_release(tmp_path, monkeypatch):
    monkeypatch.setattr(index, 'repository_url', lambda: 'https://b.org/c')
    monkeypatch.setattr(index, '__version__', '1.2.3')
    url = models(tmp_path, ours())[NAME].url
    assert url == f'https://b.org/c/raw/v1.2.3/zoo/{NAME}/{FILE}'


def test_a_misspelt_name(tmp_path):
    known = list_models(write_metafiles(tmp_path, recipe('big_mma82', URL), ours()))
    for name, near in {
        'net': 'net_2022-0123abcd',
        'net_2022-0123abce': 'net_2022-0123abcd',
        'big_mma82': 'net_2022-0123abcd',
        'tiny': NAME,
    }.items():
        told = no_model(name, known)
        assert told.startswith(f"no model '{name}' in the zoo. Near: {near}"), told
    told = no_model('../x', known)
    assert told.endswith('in the zoo. All names: download.py --list')


def test_without_configs(monkeypatch):
    monkeypatch.setattr(index, 'config_folders', list)
    with pytest.raises(FileNotFoundError, match='no configs found: install mmma again'):
        list_models()


def test_every_recipe_of_this_toolbox_is_in_the_index():
    found = list_models()
    assert len({model.remote().name for model in found}) == len(found)
    assert all(model.configs for model in found)
    upstream = [model for model in found if model.kind == 'upstream']
    tsm = next(m for m in upstream if m.name.startswith('tsm_imagenet-pretrained'))
    recipes = {config.split('/')[-1].split('_')[0] for config in tsm.configs}
    assert recipes == {'gctsm', 'tsm'}
    assert tsm.sha256 == '64d69186'


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """Root of a checkout with a zoo of its own, and with an empty cache."""
    root = write_metafiles(tmp_path / 'checkout', recipe('a', URL), ours())
    monkeypatch.setattr(index, 'config_folders', lambda: [root / 'configs'])
    monkeypatch.setenv('MMMA_HOME', str(tmp_path / 'home'))
    for name in ('MMMA_ZOO_URL', 'MMMA_OFFLINE'):
        monkeypatch.delenv(name, raising=False)
    return root


def test_a_path_stays(zoo, tmp_path, monkeypatch):
    path = tmp_path / NAME
    path.touch()
    assert checkpoint_path(str(path)) == path
    monkeypatch.chdir(tmp_path)
    assert str(checkpoint_path(NAME)) == NAME  # a file wins over a name


def test_the_checkout_comes_first(zoo, monkeypatch):
    path = put(zoo)
    assert checkpoint_path(NAME) == path
    monkeypatch.chdir(zoo)
    assert str(checkpoint_path(NAME)) == f'zoo/{NAME}/{FILE}'


def test_a_changed_file_of_the_checkout_is_not_used(zoo, tmp_path, monkeypatch, capsys):
    path = put(zoo, b'other bytes')
    (tmp_path / 'mirror').mkdir()
    (tmp_path / 'mirror' / FILE).write_bytes(OURS)
    with pytest.raises(ValueError, match=rf'{FILE}: has SHA-256 .*; not used'):
        checkpoint_path(NAME)
    monkeypatch.setenv('MMMA_ZOO_URL', str(tmp_path / 'mirror'))
    assert checkpoint_path(NAME).read_bytes() == OURS
    assert path.read_bytes() == b'other bytes'
    assert 'not used. Now asked' in capsys.readouterr().err


def test_without_an_address(zoo):
    with pytest.raises(FileNotFoundError, match=r'No place is known .* MMMA_ZOO_URL'):
        checkpoint_path(NAME)


def test_from_the_repository(zoo, tmp_path, monkeypatch):
    path = f'raw/v1.2.3/zoo/{NAME}/{FILE}'
    with file_server(files={path: OURS}) as server:
        monkeypatch.setattr(index, 'repository_url', lambda: server.url)
        monkeypatch.setattr(index, '__version__', '1.2.3')
        found = checkpoint_path(NAME)
        assert found == tmp_path / 'home/checkpoints' / FILE
        assert checkpoint_path(NAME, offline=True) == found
        assert checkpoint_path(f'{server.url}/{path}').read_bytes() == OURS


def test_offline(zoo):
    with pytest.raises(FileNotFoundError, match='not asked, for this is offline'):
        checkpoint_path('net_2022-0123abcd', offline=True)


def test_paths_to_nothing(zoo, tmp_path, monkeypatch):
    (tmp_path / 'empty').mkdir()
    monkeypatch.chdir(tmp_path / 'empty')
    for ckpt in (
        'a/best.pth',
        '../x',
        'best.pth',
        'best.safetensors',
        '..\\x',
        '/etc/x',
    ):
        with pytest.raises(FileNotFoundError, match=r'checkpoint .*: no such file'):
            checkpoint_path(ckpt)
    for name in ('work_dir', 'a/b'):
        (tmp_path / 'empty' / name).mkdir(parents=True)
        with pytest.raises(FileNotFoundError, match=f'^{name} holds no checkpoint'):
            checkpoint_path(name)


def test_a_work_dir_means_its_newest_best(tmp_path, capsys):
    for name, when in (('best_top1_epoch_9.pth', 1), ('best_top1_epoch_2.pth', 2)):
        (tmp_path / name).write_bytes(b'')
        os.utime(tmp_path / name, (when, when))
    assert checkpoint_path(str(tmp_path)).name == 'best_top1_epoch_2.pth'
    assert 'best_top1_epoch_2.pth is taken, the newest of 2' in capsys.readouterr().err


def test_or_else_its_last(tmp_path, capsys):
    (tmp_path / 'epoch_9.pth').write_bytes(b'')
    assert checkpoint_path(str(tmp_path)).name == 'epoch_9.pth'
    (tmp_path / 'last.pth').write_bytes(b'')
    (tmp_path / 'last_checkpoint').write_text('/elsewhere/last.pth')
    assert checkpoint_path(str(tmp_path)).name == 'last.pth'
    assert 'last.pth is taken, the last, for there is no' in capsys.readouterr().err


def test_a_folder_called_like_a_model(zoo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / NAME).mkdir()
    path = put(zoo)
    assert checkpoint_path(NAME) == path.relative_to(tmp_path)


def test_neither_path_nor_name(zoo):
    with pytest.raises(
        ValueError,
        match=rf"^checkpoint tiny: no such file, and no model 'tiny' in the zoo\. "
        rf'Near: {NAME}\. All names: download\.py --list$',
    ):
        checkpoint_path('tiny')


def named(name):
    return next(model for model in list_models() if model.name == name)


def test_into_another_folder(zoo, tmp_path, capsys):
    put(zoo)
    dest = tmp_path / 'dest'
    assert fetch_model(named(NAME), dest) == dest / FILE
    assert (dest / FILE).read_bytes() == OURS
    assert 'copying' in capsys.readouterr().err
    assert not (tmp_path / 'home').exists()


def test_into_another_folder_from_the_cache(zoo, tmp_path):
    cached = tmp_path / 'home/checkpoints' / FILE
    cached.parent.mkdir(parents=True)
    cached.write_bytes(OURS)
    assert fetch_model(named(NAME), tmp_path / 'dest', offline=True).is_file()
    assert fetch_model(named(NAME), cached.parent, offline=True) == cached
    cached.write_bytes(b'damaged')
    with pytest.raises(FileNotFoundError, match='No place is known'):
        fetch_model(named(NAME), cached.parent)


def test_verify(tmp_path):
    root = write_metafiles(tmp_path, recipe('a', URL), recipe('b', HUB), ours())
    folder = tmp_path / 'cache'
    contents = {
        FILE: OURS,
        'a-b-model.safetensors': b'1',
        'net_2022-0123abcd.pth': b'2',
        'net_2022-0123abcd.pth.bad-hash': b'3',
        'other.pth': b'4',
        'other.pth.part': b'5',
        'other.pth.part.json': b'6',
        'other.pth.lock': b'',
        f'sub/{FILE}': OURS[:-1],
    }
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    found = {
        str(path.relative_to(folder)): (state, why)
        for path, state, why in verify_folder(folder, list_models(root))
    }
    digest = 'd4735e3a265e16ee'  # SHA-256 of b'2' starts with it
    assert found == {
        FILE: ('ok', ''),
        'a-b-model.safetensors': ('unknown', 'the index has no hash of it'),
        'net_2022-0123abcd.pth': (
            'damaged',
            f'has SHA-256 {digest}..., expected 0123abcd...',
        ),
        'net_2022-0123abcd.pth.bad-hash': (
            'damaged',
            'put aside, never used: delete it',
        ),
        'other.pth': ('unknown', 'not in the index'),
        'other.pth.part': ('unknown', 'a download that was interrupted'),
        f'sub/{FILE}': ('damaged', 'has 10 bytes, expected 11'),
    }
    with pytest.raises(FileNotFoundError, match='x: no such folder to verify'):
        next(verify_folder(tmp_path / 'x', []))


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'Collections:\n- Name: \xff\n', r'x\.yml is no YAML'),
        (b'Collections: 2020-13-45\n', r'x\.yml is no YAML'),
        (b'[' * 100_000, r'x\.yml is no YAML'),
        (b'Collections: [{Name: X}]\nModels: [{Name: a, Metadata: t}]\n', 'a.Metadata'),
        (b'Collections: [{Name: X}]\nModels: [{Name: a, Metadata: [1]}]', 'a.Metadata'),
    ],
)  # fmt: skip
def test_metafiles_that_are_none_are_named(tmp_path, content, message):
    path = tmp_path / 'configs/metafiles/x.yml'
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as told:
        list_models(tmp_path)
    assert str(path) in str(told.value)
