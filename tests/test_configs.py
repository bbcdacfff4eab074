"""Rules that every config follows."""

import itertools

import pytest
from mmengine.config import Config

from mmma.apis import load_config
from mmma.config import config_folders
from mmma.protocols import PROTOCOLS
from mmma.taxonomy import load_label_space

CONFIGS = config_folders()[0]
LEAVES = sorted(CONFIGS.glob('recog/*.py'))
DETECTORS = sorted(CONFIGS.glob('det/*.py'))
MODELS = sorted({p.stem.rpartition('_')[0] for p in LEAVES})


def depth(path):
    return 1 + max((depth(base) for base in _bases(path)), default=0)


def _bases(path):
    namespace = {}
    exec(compile(path.read_text(), path, 'exec'), namespace)
    bases = namespace.get('_base_', [])
    bases = [bases] if isinstance(bases, str) else bases
    return [(path.parent / b).resolve() for b in bases]


@pytest.mark.parametrize('path', LEAVES + DETECTORS, ids=lambda p: p.stem)
def test_a_leaf_is_a_recipe_and_a_protocol(path):
    text = path.read_text()
    assert len([line for line in text.splitlines() if line.strip()]) <= 5
    assert 'pipeline' not in text
    assert depth(path) <= 3
    named = 'indomain' if path in DETECTORS else path.stem.rpartition('_')[2]
    assert Config.fromfile(path).protocol.name == named


@pytest.mark.parametrize(
    ('path', 'protocol'),
    list(itertools.product(LEAVES, PROTOCOLS)),
    ids=lambda v: getattr(v, 'stem', v),
)
def test_every_config_resolves_under_every_protocol(path, protocol):
    cfg = load_config(str(path), {'protocol': protocol}, data_root='somewhere')
    check_resolved(cfg, protocol)
    assert cfg.task == 'rec'
    assert cfg.model.cls_head.num_classes == load_label_space().num_actions


def check_resolved(cfg, protocol):
    sets = {s: cfg[f'{s}_dataloader'].dataset for s in ('train', 'val', 'test')}
    assert [sets[s].subset for s in sets] == ['train', 'val', 'test']
    assert sets['train'].domains == sets['val'].domains
    if protocol != 'indomain':
        assert not set(sets['train'].domains) & set(sets['test'].domains)
    assert cfg.default_scope == 'mmma'
    assert {s.data_root for s in sets.values()} == {'somewhere'}


@pytest.mark.parametrize('path', DETECTORS, ids=lambda p: p.stem)
@pytest.mark.parametrize('protocol', ['indomain', 'zeroshot'])
def test_every_detector_resolves_indomain_and_zeroshot(path, protocol):
    cfg = load_config(str(path), {'protocol': protocol}, data_root='somewhere')
    check_resolved(cfg, protocol)
    assert cfg.task == 'det'
    assert cfg.model.head.num_classes == load_label_space().num_actions
    assert cfg.default_hooks.checkpoint.save_best == 'action/mAP'
    val, test = (cfg[f'{s}_dataloader'].dataset for s in ('val', 'test'))
    assert val.window == test.window


@pytest.mark.parametrize('path', DETECTORS, ids=lambda p: p.stem)
def test_every_detector_refuses_fewshot(path):
    with pytest.raises(ValueError, match='few-shot is for recognition'):
        load_config(str(path), {'protocol': 'fewshot'})


@pytest.mark.parametrize('model', MODELS)
@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_the_flag_and_the_leaf_mean_the_same(model, protocol):
    leaf = load_config(str(CONFIGS / 'recog' / f'{model}_{protocol}.py'))
    other = 'indomain' if protocol != 'indomain' else 'zeroshot'
    flag = load_config(
        str(CONFIGS / 'recog' / f'{model}_{other}.py'), {'protocol': protocol}
    )
    assert leaf.to_dict() == flag.to_dict()


@pytest.mark.parametrize('model', MODELS)
def test_each_model_has_all_three_leaves(model):
    missing = [
        p for p in PROTOCOLS if not (CONFIGS / f'recog/{model}_{p}.py').is_file()
    ]
    assert missing == []


def test_a_resolved_config_reruns_without_flags(tmp_path):
    path = str(LEAVES[0])
    cfg = load_config(path, {'protocol': 'zeroshot', 'target': ['street'], 'seed': 4})
    dumped = tmp_path / 'dumped.py'
    cfg.dump(dumped)
    assert load_config(str(dumped)).to_dict() == cfg.to_dict()


def test_options_that_the_protocol_writes_are_refused():
    with pytest.raises(ValueError, match='this key is written by the protocol'):
        load_config(
            str(LEAVES[0]), cfg_options=['train_dataloader.dataset.subset=test']
        )
