"""The Hub's folder: what its config and its card say."""

import json
import shutil

import pytest
import yaml
from zoo_runs import LEAF, NAME, make_results, make_run

from mmma.checkpoints import load_weights_file, meta_of
from mmma.hub.model_card import metric_name, model_card, write_hub_folder
from mmma.hub.publishing import add_results, publish
from mmma.hub.training_run import read_run
from mmma.hub.zoo_folder import read_published


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp('run')
    make_run(folder)
    model = publish(read_run(folder), folder / 'zoo')
    add_results(model, [make_results(folder / 'r.json', model.weights, model.sha256)])
    return model


def front_of(card):
    _, front, text = card.split('---\n', 2)
    return yaml.safe_load(front), text


def test_files(model, tmp_path):
    files = write_hub_folder(model, tmp_path / 'hub', LEAF, 'Apache-2.0')
    names = ['model.safetensors', 'config.json', 'config.py', 'README.md']
    assert [path.name for path in files] == names
    assert files[0].read_bytes() == model.weights.read_bytes()
    assert meta_of(load_weights_file(files[0])) == model.meta
    write_hub_folder(model, tmp_path / 'hub', LEAF, 'Apache-2.0')


def test_another_model_there(model, tmp_path):
    (tmp_path / 'model.safetensors').write_bytes(b'other')
    with pytest.raises(ValueError, match=r'is of another model: --force replaces it'):
        write_hub_folder(model, tmp_path, LEAF, 'MIT')
    write_hub_folder(model, tmp_path, LEAF, 'MIT', force=True)


def test_config(model, tmp_path):
    write_hub_folder(model, tmp_path, LEAF, 'MIT')
    found = json.loads((tmp_path / 'config.json').read_text())
    classes = model.meta['classes']
    assert found['architectures'] == ['RecognizerGCN']
    assert [found['id2label'][str(i)] for i in range(82)] == classes
    assert found['label2id'] == {name: i for i, name in enumerate(classes)}
    assert found['mmma_config']['model'] == model.cfg['model']


def test_front_matter(model):
    front, _ = front_of(model_card(model, LEAF, 'CC-BY-NC-4.0'))
    assert front['license'] == 'cc-by-nc-4.0'
    assert front['library_name'] == 'mmma'
    assert {'mma82', 'skeleton', 'simulated-data'} <= {*front['tags']}
    (index,) = front['model-index']
    assert index['name'] == NAME
    assert len(index['results']) == 3
    first = index['results'][0]
    assert first['task']['type'] == 'video-classification'
    assert first['dataset'] == {
        'type': 'mma82',
        'name': 'simulated MMA-82, psychiatric',
        'config': 'zeroshot-psychiatric',
        'split': 'test',
        'revision': 'abababab',
    }
    top1 = {'type': 'accuracy', 'value': 12.35, 'name': 'action Top-1 (%)'}
    assert first['metrics'][0] == top1


def test_text(model):
    _, text = front_of(model_card(model, LEAF, 'MIT'))
    assert '**Trained and measured on simulated data.**' in text
    assert 'its classes are not unseen' in text
    assert f'python tools/test.py {LEAF} model.safetensors --data-root DATA' in text
    assert model.sha256 in text
    assert '| tested on | action Top-1 | action Top-5 | body group Top-1 |' in text
    assert '| street | 12.35 | 40.00 | 50.00 | 9.00 |' in text


def test_without_results_and_on_real_data(model, tmp_path):
    folder = shutil.copytree(model.path, tmp_path / 'zoo' / NAME)
    (folder / 'results.json').unlink()
    other = read_published(folder, tmp_path)
    other.meta['data']['simulated'] = False
    front, text = front_of(model_card(other, LEAF, 'MIT'))
    assert 'model-index' not in front
    assert 'imulated' not in text.replace(NAME, '')


def test_the_hub_understands_it(model):
    hub = pytest.importorskip('huggingface_hub')
    card = hub.ModelCard(model_card(model, LEAF, 'Apache-2.0'))
    assert card.data.library_name == 'mmma'
    assert card.data.model_name == NAME
    assert len(card.data.eval_results) == 3 * 4
    found = {(r.dataset_config, r.metric_name): r for r in card.data.eval_results}
    result = found['zeroshot-street', 'body group Top-1 (%)']
    assert (result.metric_value, result.metric_type) == (50.0, 'accuracy')
    assert result.task_name == 'Action Recognition (simulated data)'
    assert len({r.unique_identifier for r in card.data.eval_results}) == 3


@pytest.mark.parametrize(
    ('key', 'kind', 'name'),
    [
        ('body/macro_f1', 'f1', 'body group macro F1'),
        ('action/mAP@0.50', 'mean_average_precision', 'action mAP at tIoU 0.50'),
        ('body/mAP', 'mean_average_precision',
         'body group mAP, mean of tIoU 0.1 to 0.9'),
        ('F1_mean', 'f1', 'mean of four F1'),
        ('AVG', 'mean_average_precision', 'AVG'),
        ('other', 'other', 'other'),
    ],
)  # fmt: skip
def test_metric_names(key, kind, name):
    assert metric_name(key) == (kind, name)
