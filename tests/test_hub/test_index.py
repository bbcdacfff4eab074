import pytest
from zoo_metafiles import FILE, HUB, NAME, OURS, SHA, URL, ours, recipe, write_metafiles

from mmma.checkpoints import RemoteFile
from mmma.hub import index
from mmma.hub.index import find_model, list_models, repository_url

DETECTION = 'Temporal Action Detection'


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


@pytest.mark.parametrize(
    'changes',
    [
        {'Config': 'configs/det/tiny_mma82.py'},
        {'Config': 'zoo/x/config.py', 'Results': [{'Task': DETECTION, 'Metrics': {}}]},
    ],
)
def test_detectors(tmp_path, changes):
    assert models(tmp_path, ours(**changes))[NAME].task == 'det'


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


@pytest.mark.parametrize('order', [1, -1])
def test_upstream_weights_of_a_detector_too(tmp_path, order):
    detector = {**recipe('b', URL), 'Config': 'configs/det/b.py'}
    found = models(tmp_path, *[detector, recipe('a', URL)][::order])
    model = found['net_2022-0123abcd']
    assert (model.task, model.config) == ('rec', 'configs/recog/a_indomain.py')
    assert model.configs == ('configs/recog/a_indomain.py', 'configs/det/b.py')


def test_files_of_the_hub(tmp_path):
    found = models(tmp_path, recipe('a_mma82', HUB))
    assert found['a-b-model'].sha256 is None
    assert found['a-b-model'].remote().name == 'a-b-model.safetensors'


def test_ours_come_first(tmp_path):
    found = models(tmp_path, recipe('a', URL), recipe('b', HUB), ours())
    assert list(found) == [NAME, 'a-b-model', 'net_2022-0123abcd']


def test_two_files_of_one_name(tmp_path):
    with pytest.raises(
        ValueError, match=r'two files .* called net_2022-0123abcd: http'
    ):
        models(tmp_path, recipe('a', URL), recipe('b', URL.replace('a.org', 'b.org')))


@pytest.mark.parametrize(
    'entry',
    [
        ours(Weights='zoo/../../etc/passwd'),
        ours(Weights='/etc/passwd'),
        ours(Weights='zoo\\..\\x.pth'),
        ours(Name='../x'),
        recipe('a', 'https://a.org/..%2F..%2Fx.pth'),
    ],
)
def test_entries_that_lead_elsewhere(tmp_path, entry):
    with pytest.raises(
        ValueError, match=r'the metafile entry .* names a file .* slash'
    ):
        models(tmp_path, entry)


@pytest.mark.parametrize(
    ('urls', 'expected'),
    [
        (None, ''),
        (['Homepage, https://a.org'], ''),
        (
            ['Homepage, https://a.org', 'Repository, https://b.org/c/'],
            'https://b.org/c',
        ),
    ],
)
def test_repository(monkeypatch, urls, expected):
    class Metadata:
        def get_all(self, name):
            return urls

    monkeypatch.setattr(index, 'metadata', lambda name: Metadata())
    assert repository_url() == expected


def test_repository_of_what_is_not_installed(monkeypatch):
    def missing(name):
        raise index.PackageNotFoundError(name)

    monkeypatch.setattr(index, 'metadata', missing)
    assert repository_url() == ''


def test_our_weights_come_from_the_release(tmp_path, monkeypatch):
    monkeypatch.setattr(index, 'repository_url', lambda: 'https://b.org/c')
    monkeypatch.setattr(index, '__version__', '1.2.3')
    url = models(tmp_path, ours())[NAME].url
    assert url == f'https://b.org/c/raw/v1.2.3/zoo/{NAME}/{FILE}'


@pytest.mark.parametrize(
    ('name', 'near'),
    [
        ('net', 'net_2022-0123abcd'),
        ('net_2022-0123abce', 'net_2022-0123abcd'),
        ('big_mma82', 'net_2022-0123abcd'),
        ('tiny', NAME),
    ],
)
def test_a_misspelt_name(tmp_path, name, near):
    write_metafiles(tmp_path, recipe('big_mma82', URL), ours())
    with pytest.raises(
        ValueError, match=rf"no model '{name}' in the zoo\. Near: {near}"
    ):
        find_model(name, tmp_path)


def test_a_name_unlike_all(tmp_path):
    write_metafiles(tmp_path, ours())
    assert find_model(NAME, tmp_path).name == NAME
    with pytest.raises(
        ValueError, match=r'in the zoo\. All names: download\.py --list'
    ):
        find_model('../x', tmp_path)


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
