"""Rules that every config follows."""

import pytest
from mmengine.config import Config

from mmma.apis import load_config
from mmma.config import config_folders
from mmma.protocols import PROTOCOLS
from mmma.taxonomy import load_label_space

CONFIGS = config_folders()[0]
RECIPES = sorted(CONFIGS.glob('recog/*_indomain.py'))
MODELS = [p.stem.removesuffix('_indomain') for p in RECIPES]
KINDS = PROTOCOLS[:3]  # of leaves; the others are flags of any of them
LEAVES = [CONFIGS / f'recog/{m}_{p}.py' for m in MODELS for p in KINDS]
DETECTORS = sorted(CONFIGS.glob('det/*.py'))


def files_of(path):
    """A config and all that it is based on."""
    namespace = {}
    exec(compile(path.read_text(), path, 'exec'), namespace)
    bases = namespace.get('_base_', [])
    bases = [bases] if isinstance(bases, str) else bases
    return {path}.union(*(files_of((path.parent / base).resolve()) for base in bases))


def written(path):
    """Lines of a config without comments and blanks."""
    lines = path.read_text().splitlines()
    return [line for line in lines if line.strip() and not line.startswith('#')]


def faults(cfg, protocol, task):
    """Rules that a resolved config breaks."""
    sets = {s: cfg[f'{s}_dataloader'].dataset for s in ('train', 'val', 'test')}
    head = cfg.model.cls_head if task == 'rec' else cfg.model.head
    *warmup, last = cfg.param_scheduler
    crossing = protocol != 'indomain'
    rules = {
        'task': cfg.task == task,
        'scope': cfg.default_scope == 'mmma',
        'subsets': [sets[s].subset for s in sets] == list(sets),
        'source': sets['train'].domains == sets['val'].domains,
        'target': bool(set(sets['train'].domains) & set(sets['test'].domains))
        != crossing,
        'root': {s.data_root for s in sets.values()} == {'somewhere'},
        'label space': head.get('label_space', 'mma82') == 'mma82',
        'classes': head.num_classes == load_label_space().num_actions,
        'epochs': last.get('end', last.get('T_max')) == cfg.train_cfg.max_epochs,
        'cosine': last.type != 'CosineAnnealingLR'
        or last.get('begin', 0) + last.T_max == cfg.train_cfg.max_epochs,
        'warm-up': len(warmup) == 0 or warmup[0].end <= 5,
        'best': task == 'rec' or cfg.default_hooks.checkpoint.save_best == 'action/mAP',
        'windows': task == 'rec' or sets['val'].window == sets['test'].window,
    }
    return [name for name, kept in rules.items() if not kept]


def test_a_recipe_is_one_file_on_its_pipelines():
    found = {}
    for path in [*RECIPES, *DETECTORS]:
        files = {f.name for f in files_of(path)} - {'default_runtime.py'}
        text = '\n'.join(written(path))
        head = path.read_text().partition('_base_')[0]
        if 'pipeline' in text or len(files) > 4 or len(text.splitlines()) > 80:
            found[path.stem] = (sorted(files), len(text.splitlines()))
        if 'Expected: ' not in head and 'reproduces nothing' not in head:
            found[path.stem] = 'no expectation'
    assert found == {}


def test_every_pipeline_of_a_base_is_that_of_a_loader():
    unused = []
    for path in sorted(CONFIGS.glob('_base_/datasets/*.py')):
        cfg = Config.fromfile(path)
        loaders = [cfg[key] for key in cfg if key.endswith('_dataloader')]
        used = [loader.dataset.get('pipeline') for loader in loaders if loader]
        pipelines = [key for key in cfg if key.endswith('_pipeline')]
        unused += [(path.stem, key) for key in pipelines if cfg[key] not in used]
    assert unused == []


def test_other_protocols_are_two_lines_on_the_recipe():
    found = [path.stem for path in sorted(CONFIGS.glob('recog/*.py'))]
    assert found == sorted(path.stem for path in LEAVES)
    for model in MODELS:
        for protocol in KINDS[1:]:
            assert written(CONFIGS / f'recog/{model}_{protocol}.py') == [
                f"_base_ = '{model}_indomain.py'",
                f"protocol = dict(_delete_=True, name='{protocol}')",
            ]


def test_a_pretraining_takes_the_domains_that_a_protocol_trains_on():
    found = sorted(path.stem for path in CONFIGS.glob('pretrain/*.py'))
    assert found == [f'videomae-{size}_mma82' for size in ('b', 's', 'tiny')]
    for name in found:
        for flags, domains in (
            ({'protocol': 'zeroshot'}, ['lab']),
            ({'protocol': 'fewshot', 'source': 'street'}, ['street']),
            ({'domain': 'emotion'}, ['emotion']),
        ):
            cfg = load_config(f'pretrain/{name}', flags, data_root='somewhere')
            assert cfg.train_dataloader.dataset.domains == domains
            assert cfg.val_dataloader is cfg.val_cfg is cfg.val_evaluator is None
            assert cfg.pretraining


def test_every_config_resolves_under_every_protocol():
    broken = {}
    for model in MODELS:
        resolved = {}
        for leaf in KINDS:
            path = str(CONFIGS / f'recog/{model}_{leaf}.py')
            for protocol in PROTOCOLS:
                cfg = load_config(path, {'protocol': protocol}, data_root='somewhere')
                broken[model, leaf, protocol] = faults(cfg, protocol, 'rec')
                resolved.setdefault(protocol, []).append(cfg.to_dict())
            named = load_config(path, data_root='somewhere').to_dict()
            resolved[leaf].append(named)
        for protocol, same in resolved.items():
            if any(one != same[0] for one in same):
                broken[model, protocol] = 'the flag and the leaf differ'
    assert {key: found for key, found in broken.items() if found} == {}


def test_every_detector_resolves_indomain_and_zeroshot():
    broken = {}
    for path in DETECTORS:
        assert Config.fromfile(path).protocol.name == 'indomain'
        for protocol in PROTOCOLS[:2]:
            cfg = load_config(str(path), {'protocol': protocol}, data_root='somewhere')
            broken[path.stem, protocol] = faults(cfg, protocol, 'det')
        with pytest.raises(ValueError, match='few-shot is for recognition'):
            load_config(str(path), {'protocol': 'fewshot'})
    assert {key: found for key, found in broken.items() if found} == {}


def test_leaves_of_emotions_are_recipes_with_another_label():
    found = sorted(path.stem for path in CONFIGS.glob('emotion/*.py'))
    models = 'skeletontcn-tiny', 'tsm'
    assert found == [f'{m}{end}_mma82' for m in models for end in ('-face', '')]
    for model in models:
        leaf = load_config(f'{model}_mma82', data_root='somewhere').to_dict()
        faces = load_config(f'emotion/{model}-face_mma82', data_root='somewhere')
        assert faces.to_dict() == leaf | {'face': {'scores': 'faces.csv'}}
        assert load_label_space(leaf['label_space']).name == 'mma82-emotion'
        assert leaf['model']['cls_head']['num_classes'] == 7
        sets = [leaf[f'{s}_dataloader']['dataset'] for s in ('train', 'val', 'test')]
        assert [own['label'] for own in sets] == ['emotion'] * 3
        action = load_config(f'{model}_mma82_indomain', data_root='somewhere').to_dict()
        assert {key for key in leaf if leaf[key] != action.get(key)} == {
            *('label', 'label_space', 'model'),
            *(f'{s}_dataloader' for s in ('train', 'val', 'test')),
        }
        assert 'label' not in action['test_dataloader']['dataset']


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
