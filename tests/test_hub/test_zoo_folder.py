"""Published folders: finding them, and which results belong to them."""

import json

import pytest
import torch
from zoo_runs import make_results

from mmma.apis import load_config
from mmma.checkpoints.safetensors_files import write_safetensors
from mmma.hub.zoo_folder import (
    MAX_BYTES,
    ZooFolder,
    check_results,
    large_files,
    problems_of,
    read_published,
    read_results,
    results_name,
)

CONFIG = 'configs/recog/skeletontcn-tiny_mma82_zeroshot.py'


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / 'zoo' / 'tiny'
    folder.mkdir(parents=True)
    draft = folder / 'draft.safetensors'
    meta = dict.fromkeys(('label_space', 'classes', 'protocol'), 'x')
    write_safetensors(draft, {'w': torch.ones(2)}, {**meta, 'data': {}})
    sha256 = ZooFolder(folder, draft).sha256
    draft.rename(folder / f'tiny-{sha256[:8]}.safetensors')
    for name in ('config.py', 'train.log'):
        (folder / name).write_text('')
    return read_published('tiny', folder.parent)


def results_of(model, tmp_path, **changes):
    path = make_results(tmp_path / 'r.json', model.weights, model.sha256, **changes)
    return read_results(path)


def reference():
    return load_config(CONFIG).to_dict()


def test_found_by_name_and_by_path(model):
    assert model.relative == f'zoo/tiny/{model.weights.name}'
    assert read_published(model.path, model.path.parent / 'none') == model
    assert not list(problems_of(model))


def test_no_such_model(model, tmp_path):
    with pytest.raises(
        FileNotFoundError,
        match=r"neither the work dir .*\(tiny\)\. Did you mean 'tiny'",
    ):
        read_published('tinny', model.path.parent)
    with pytest.raises(FileNotFoundError, match='none yet'):
        read_published(tmp_path, tmp_path)


def test_several_weights(model):
    (model.path / 'tiny-00000000.safetensors').write_bytes(b'')
    with pytest.raises(ValueError, match=r'several weights .*remove the old'):
        read_published('tiny', model.path.parent)


def test_its_results(model, tmp_path):
    check_results(results_of(model, tmp_path), model, reference())


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'checkpoint': {'path': 'a.pth', 'sha256': 'ff' * 32}},
         r'of a\.pth \(SHA-256 f{8}\.\.\.\), not of the published tiny-.*test .*tiny'),
        ({'options': {'subset': 'val'}}, r'its config says \(subset val\): test again'),
        ({'options': {'subset': 'test', 'fast_dev_run': True}}, '--fast-dev-run'),
        ({'broken': ['a', 'b']}, '2 left out'),
        ({'task': 'det'}, 'task det'),
        ({'config': {'model': {'type': 'X'}, 'task': 'rec'}}, r'model\.backbone'),
    ],
)  # fmt: skip
def test_other_results(model, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        check_results(results_of(model, tmp_path, **changes), model, reference())


@pytest.mark.parametrize(
    'text', ['{', '[]', '{"schema": 2}', '{"schema": 1, "runs": []}']
)
def test_no_results_file(tmp_path, text):
    path = tmp_path / 'a.json'
    with pytest.raises(FileNotFoundError, match='no results file'):
        read_results(path)
    path.write_text(text)
    with pytest.raises(ValueError, match='no results file of this version'):
        read_results(path)


@pytest.mark.parametrize(
    ('protocol', 'expected'),
    [
        ({'name': 'zeroshot', 'target': ['street', 'lab'], 'seed': 5}, 'results.json'),
        ({'name': 'zeroshot', 'target': ['street']}, 'results_zeroshot_street.json'),
        ({'name': 'indomain', 'domain': 'all'}, 'results_indomain.json'),
        ({'name': 'indomain', 'domain': 'lab'}, 'results_indomain_lab.json'),
        ({'name': 'fewshot', 'target': ['street'], 'shots': [1, 5]},
         'results_fewshot_street_1shot_5shot.json'),
    ],
)  # fmt: skip
def test_names_of_results(protocol, expected):
    own = {'name': 'zeroshot', 'target': ['street', 'lab'], 'seed': 0}
    assert results_name({'protocol': protocol}, own) == expected


def test_what_is_wrong_with_a_folder(model, tmp_path):
    results = results_of(model, tmp_path)
    results['checkpoint']['sha256'] = 'ff' * 32
    (model.path / 'results_b.json').write_text(json.dumps(results))
    (model.path / 'train.log').unlink()
    wrong = model.weights.rename(model.path / 'tiny-00000000.safetensors')
    write_safetensors(wrong, {'w': torch.ones(2)}, {'data': {}})
    found = '\n'.join(problems_of(read_published('tiny', model.path.parent)))
    for text in (
        'has SHA-256',
        'lacks classes',
        'train.log is missing',
        'other weights',
    ):
        assert text in found


def test_large_files(model):
    with (model.path / 'train.log').open('wb') as file:
        file.truncate(MAX_BYTES + 1)
    assert large_files(model.path) == ['train.log (8.4 MB)']
