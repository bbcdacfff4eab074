import pytest
from mmengine.config import Config

from mmma.config import (
    apply_options,
    check_groups,
    find_config,
    flatten,
    load_config,
    model_name,
    origin_of,
    origins,
    parse_config,
)
from mmma.data.root import DatasetInfo, write_info


def config():
    return Config(
        dict(model=dict(head=dict(classes=82)), hooks=[dict(type='A'), dict(type='B')])
    )


@pytest.mark.parametrize(
    ('option', 'key', 'value'),
    [
        ('model.head.classes=3', 'model.head.classes', 3),
        ('hooks.1.type=C', 'hooks.1.type', 'C'),
        ('+model.neck.depth=2', 'model.neck.depth', 2),
        ('model.head.classes=[1,2]', 'model.head.classes', [1, 2]),
        ('+a.b=None', 'a.b', None),
        ('+hooks.2.type=C', 'hooks.2.type', 'C'),
        ('+a=[1,2]', 'a', [1, 2]),
    ],
)
def test_options_change_and_add(option, key, value):
    cfg = config()
    assert apply_options(cfg, [option]) == {key: value}
    where = cfg
    for part in key.split('.'):
        where = where[int(part)] if isinstance(where, list) else where[part]
    assert where == value


def test_options_append_to_a_list():
    cfg = config()
    options = ['+hooks.2.type=C', '+hooks.2.patience=3', '+a=[1]', '+a=[2,3]', 'a.0=7']
    apply_options(cfg, options)
    assert cfg['hooks'][2:] == [{'type': 'C', 'patience': 3}]
    assert cfg['a'] == [7, 2, 3]


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        ('model.haed.classes=3', "no key 'model.haed'. Did you mean 'head'"),
        ('classes=3', r'no key .classes.*To add a new key write \+classes'),
        ('hooks.2.type=C', r'from 0 to 1, or \+...2 to append'),
        ('model.head.classes.x=1', 'model.head.classes is 82 and has no keys'),
        ('model', 'write KEY=VALUE'),
        ('model.head.classes=(1,', r'=\(1,: brackets do not match'),
        ('model.head.classes=[(1,2]', 'brackets do not match'),
    ],
)
def test_bad_options(option, message):
    with pytest.raises(ValueError, match=message):
        apply_options(config(), [option])


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ("a = 'x\nb = 2\n", r'a\.py:1: not readable as a config: unterminated string'),
        ('a = 1\nb = ((((\n', r'a\.py:2: not readable as a config'),
        ('a = 1\x00', r'a\.py:1: not readable .* null bytes'),
        ('a = b', r"a\.py:1: .* NameError: name 'b' is not defined"),
        ("_base_ = 'good.py'\nc = a.x", r"a\.py:2: .*: NameError: name 'a' is not"),
        ("_base_ = 'bad.py'", r'bad\.py:2: not readable as a config: ZeroDivision'),
        ("_base_ = ['good.py', 'none.py']", r'a\.py: _base_ .*none\.py: no such file'),
        (f'_base_ = {"a" * 300!r}', r'a\.py: _base_ .*: no such file'),
        ('_base_ = 3', 'no such file'),
        (f'a = {"-" * 10**6}1', r'a\.py:1: not readable as a config: too deep'),
        ("_base_ = 'a.py'", r'a\.py: _base_ .*a\.py: comes again'),
        ('raise SystemExit(0)', r'a\.py:1: not readable as a config: SystemExit'),
        ('model = 3', r"a\.py: model is '3': it must be a group of keys"),
        ('model = dict(backbone=[])', r"a\.py: model\.backbone is '\[\]': it must be"),
        ("task = 'x'", "unknown task of .*a.py 'x'"),
        ('data_root = 3', 'data_root is 3: name a folder'),
        (
            "protocol = dict(name='indomain', seed='x')",
            "protocol indomain: seed, .* not .*'seed': 'x'",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(text, message, tmp_path):
    (tmp_path / 'good.py').write_text('a = 1')
    (tmp_path / 'bad.py').write_text('a = 1\nb = a / 0')
    (tmp_path / 'a.py').write_text(text)
    with pytest.raises(ValueError, match=message) as found:
        load_config(str(tmp_path / 'a.py'))
    assert '\n' not in str(found.value)


def test_a_group_of_keys_stays_one():
    for option in ('model=x', 'model.backbone=3', 'test_dataloader.dataset=[1,2]'):
        key = option.partition('=')[0]
        with pytest.raises(ValueError, match=f'{key} is .*: it must be a group'):
            load_config('recog/tsm_mma82_indomain', cfg_options=[option])


@pytest.mark.parametrize(
    'name',
    [
        'configs/recog/videomae_mma82_indomain.py',
        'recog/videomae_mma82_indomain.py',
        'recog/videomae_mma82_indomain',
        'videomae_mma82_indomain',
        'videomae_mma82_indomain.py',
    ],
)
def test_configs_are_found_by_path_and_by_name(name):
    assert find_config(name).name == 'videomae_mma82_indomain.py'


def test_a_misspelt_config_gets_a_suggestion():
    with pytest.raises(FileNotFoundError, match=r'Did you mean .recog/videomae_mma82'):
        find_config('recog/videomea_mma82_indomain.py')
    with pytest.raises(FileNotFoundError, match=r"mean .*'stgcnpp_mma82_") as error:
        find_config('stgcn_mma82')
    assert len(str(error.value)) < 400


def test_origin_is_the_nearest_file_that_writes_a_key(tmp_path):
    (tmp_path / 'base.py').write_text('a = dict(x=1, y=dict(z=2))\nb = 3\n')
    leaf = tmp_path / 'leaf.py'
    leaf.write_text("_base_ = 'base.py'\na = dict(y={'z': 5})\n")
    known = origins(leaf)
    cfg = Config.fromfile(leaf)
    files = {key: origin_of(key, known).name for key, _ in flatten(cfg)}
    assert files == {'a.x': 'base.py', 'a.y.z': 'leaf.py', 'b': 'base.py'}
    assert origin_of('nowhere', known) is None


@pytest.mark.parametrize(
    'task', ['recog/manet_mma82_indomain', 'det/skeletondet-tiny_mma82']
)
def test_the_label_space_is_that_of_the_data(tmp_path, task):
    write_info(tmp_path, DatasetInfo('own', 'ma52', False))
    cfg = load_config(task, data_root=str(tmp_path))
    head = cfg.model.get('cls_head') or cfg.model.head
    loaders = [cfg[f'{s}_dataloader'].dataset for s in ('train', 'val', 'test')]
    assert {d.label_space for d in (cfg, head, *loaders)} == {'ma52'}
    assert head.num_classes == 52
    asked = ['label_space=mma82']  # data sets refuse it
    cfg = load_config(task, data_root=str(tmp_path), cfg_options=asked)
    assert cfg.test_dataloader.dataset.label_space == 'mma82'


@pytest.mark.parametrize(
    ('file', 'space', 'data', 'expected'),
    [
        ('a/videomae_mma82_indomain.py', 'mma82', 'MMA-82 of ours', 'videomae_mma82'),
        ('a/videomae_mma82_zeroshot.py', 'ma52', 'MA-52', 'videomae_ma52'),
        ('videomae_mma82_fewshot.py', 'ma52', 'MMA-52', 'videomae_mma52'),
        (
            'tsm_mma82.py',
            {'name': 'x'},
            'Zwei Kliniken, süd/2',
            'tsm_zwei-kliniken-süd-2',
        ),
        ('tsm_mma82.py', {'name': 'x'}, '../..', 'tsm_own'),
        ('mine_indomain.py', 'ma52', 'MA-52', 'mine'),
        (None, 'ma52', 'MA-52', 'config'),
    ],
)
def test_names_of_runs_carry_that_of_the_data(file, space, data, expected):
    assert model_name(file, space, data) == expected


def test_a_config_takes_the_object_of_its_data(tmp_path):
    space = {'name': 'own', 'actions': [{'name': 'waving'}, {'name': 'nodding'}]}
    write_info(tmp_path, DatasetInfo('own', {**space, 'title': 'Ours'}, False))
    cfg = load_config('recog/manet_mma82_indomain', data_root=str(tmp_path))
    assert cfg.label_space == cfg.model.cls_head.label_space == space
    assert cfg.model.cls_head.num_classes == 2
    again = parse_config(cfg.pretty_text, 'text')
    assert check_groups(again, 'text')['label_space'] == space
    again['label_space']['actions'] = []
    with pytest.raises(ValueError, match="text: label space 'own': actions must be"):
        check_groups(again, 'text')
