"""Publishing: the files of a model, what they say, and what is refused."""

import json
import os
import shutil
from dataclasses import replace

import pytest
import torch
import yaml
from kill_points import kill_points, told_elsewhere
from mmengine.config import Config
from pack_roots import contents
from pose_backends import use_fake
from zoo_runs import HOME, LEAF, NAME, make_results, make_run

from mmma.apis import load_config
from mmma.checkpoints import file_sha256, load_weights_file, meta_of
from mmma.engine.infer import open_model
from mmma.files import only_writer
from mmma.hub.publish import (
    add_results,
    metafile_differences,
    metric_name,
    model_card,
    publish,
    publishable_meta,
    to_precision,
    update_metafile,
    write_hub_folder,
)
from mmma.hub.published import find_published, problems_of, read_published, read_run


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp('run')
    make_run(folder)
    return read_run(folder)


@pytest.fixture(scope='module')
def published(run, tmp_path_factory):
    return publish(run, tmp_path_factory.mktemp('pub') / 'zoo')


@pytest.fixture
def model(published, tmp_path):
    """A copy, for tests that change it."""
    zoo = shutil.copytree(published.path.parent, tmp_path / 'zoo')
    return read_published(NAME, zoo)


def results_of(model, folder, protocol=None, **changes):
    return make_results(
        folder / 'r.json', model.weights, model.sha256, protocol=protocol, **changes
    )


def test_files(published):
    names = {p.name for p in published.path.iterdir()}
    sha8 = file_sha256(published.weights)[:8]
    assert names == {f'{NAME}-{sha8}.safetensors', 'config.json', 'train.log'}
    assert not list(problems_of(published))


def test_weights_are_halves_and_all_there(run, published):
    state = load_weights_file(published.weights)['state_dict']
    assert state.keys() == run.weights.keys()
    kinds = {name.rpartition('.')[2]: value.dtype for name, value in state.items()}
    assert kinds['weight'] == kinds['running_var'] == torch.float16
    assert kinds['num_batches_tracked'] == torch.int64
    for name, value in run.weights.items():
        torch.testing.assert_close(state[name].to(value), value, rtol=1e-3, atol=1e-5)


def test_meta_is_what_others_need(published):
    meta = published.meta
    assert meta['metrics'] == {'val/action/top1': 12.5}
    assert meta['parameters'] == 789202
    assert meta['precision'] == 'float16'
    assert meta['config_name'] == LEAF.rpartition('/')[2]
    assert meta['data']['simulated'] is True
    assert len(meta['classes']) == 82
    assert not {'cfg', 'time', 'random_state', 'experiment_name'} & meta.keys()
    assert HOME not in json.dumps(meta)


def test_config_reruns_as_the_leaf(published):
    found = load_config(str(published.path / 'config.json')).to_dict()
    assert found == load_config(LEAF).to_dict()


def test_log_names_no_machine(published):
    log = (published.path / 'train.log').read_text()
    assert 'ada' not in log
    assert "data_root = 'data/mma82'" in log
    assert "work_dir = 'WORK_DIR'" in log
    assert 'saved to WORK_DIR.' in log


def test_the_same_run_is_the_same_file(run, model):
    results = results_of(model, model.path.parent)
    add_results(model, [results])
    again = publish(run, model.path.parent)
    assert again.weights.name == model.weights.name
    assert (model.path / 'results.json').is_file()


def test_other_weights_need_force(run, model):
    add_results(model, [results_of(model, model.path.parent)])
    with pytest.raises(ValueError, match=rf'{NAME} is published with other .*--force'):
        publish(run, model.path.parent, precision='float32')
    assert find_published(model.path) == model
    other = publish(run, model.path.parent, precision='float32', force=True)
    assert [p.name for p in model.path.glob('*.safetensors')] == [other.weights.name]
    assert not (model.path / 'results.json').exists()
    assert other.meta['precision'] == 'float32'


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'name': 'a/b-simulated'}, r"--name 'a/b-simulated': use letters"),
        ({'name': '../x-simulated'}, 'use letters'),
        ({'name': 'tiny'}, 'trained on simulated data, so its name must end in -simul'),
        ({'precision': 'float8'}, "precision 'float8'"),
    ],
)
def test_options(run, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        publish(run, tmp_path / 'zoo', **options)
    assert not (tmp_path / 'zoo').exists()


def changed(run, meta=(), cfg=(), state=None):
    content = {**run.content, 'meta': {**run.meta, **dict(meta)}}
    content['state_dict'] = {**run.weights, **(state or {})}
    other = Config(run.cfg)
    other.merge_from_dict(dict(cfg))
    return type(run)(run.work_dir, run.checkpoint, content, other.to_dict(), run.log)


def test_options_that_the_config_lacks(run, tmp_path):
    other = changed(run, cfg={'model.backbone.joints': 'body13'})
    with pytest.raises(
        ValueError, match=rf'other options than {LEAF} .*\.joints.* own'
    ):
        publish(other, tmp_path)


def test_weights_of_another_model(run, tmp_path):
    for name, value in {
        'new': torch.ones(1),
        'cls_head.fc_cls.bias': torch.ones(3),
    }.items():
        with pytest.raises(ValueError, match=f'not fit the model .*{name}'):
            publish(changed(run, state={name: value}), tmp_path)


def test_a_config_of_the_users_own(run, tmp_path):
    other = changed(run, meta={'config_name': 'mine.py'})
    assert publishable_meta({'meta': {'epoch': 2, 'hostname': 'x'}}) == {'epoch': 2}
    model = publish(other, tmp_path / 'zoo')
    assert model.name == 'mine_zeroshot-simulated'
    assert update_metafile(model) is None
    assert metafile_differences(model) == []


def test_numbers_that_half_precision_cannot_hold():
    weights = {
        'a': torch.tensor([1.0, 1e6]),
        'b': torch.tensor([float('inf'), 1.0]),
        'c': torch.tensor([1.0]).double(),
        'd': torch.tensor([1.0]).bfloat16(),
        'n': torch.tensor(3),
    }
    kinds = {k: v.dtype for k, v in to_precision(weights, 'float16').items()}
    half = torch.float16
    assert kinds == dict(a=torch.float32, b=half, c=half, d=half, n=torch.int64)
    kinds = {k: v.dtype for k, v in to_precision(weights, 'float32').items()}
    assert set(kinds.values()) == {torch.float32, torch.int64}


def test_what_a_checkpoint_leaves_out_stays_out(run, tmp_path, monkeypatch):
    """Frozen weights come from the recipe's file again; their hash is kept."""
    frozen = {'sha256': 'ab' * 32, 'count': 2, 'source': 'vit.pth'}
    left_out = ['backbone.stem.0.weight', 'backbone.stem.1.bias']
    monkeypatch.setattr('mmma.hub.publish.frozen_names', lambda model: left_out)
    content = {k: v for k, v in run.weights.items() if k not in left_out}
    other = changed(run, meta={'frozen': frozen})
    other.content['state_dict'] = content
    model = publish(other, tmp_path / 'zoo')
    found = load_weights_file(model.weights)
    assert found['state_dict'].keys() == content.keys()
    assert found['meta']['frozen'] == frozen


def test_results_lie_beside_the_weights_without_their_machine(model, tmp_path):
    (path,) = add_results(model, [results_of(model, tmp_path)])
    assert path == model.path / 'results.json'
    text = path.read_text()
    assert HOME not in text
    found = json.loads(text)
    assert found['checkpoint']['path'] == model.relative
    assert found['config']['data_root'] == 'data/mma82'
    assert 'work_dir' not in found['config']
    assert found['runs'][0]['metrics']['action/top1'] == 12.345


def test_results_of_a_further_protocol(model, tmp_path):
    own = results_of(model, tmp_path / 'a')
    lab = {'protocol': 'indomain', 'domain': 'lab'}
    runs = [{'domain': 'lab', 'counts': {'clips': 2}, 'metrics': {'action/top1': 50.0}}]
    further = results_of(model, tmp_path / 'b', lab, runs=runs)
    written = add_results(model, [own, further])
    assert [p.name for p in written] == ['results.json', 'results_indomain_lab.json']
    with pytest.raises(
        ValueError, match=r'a second file of the protocol of results\.j'
    ):
        add_results(model, [own, own])


def test_metafile_beside_the_zoo(model, tmp_path):
    path = update_metafile(model)
    assert path == tmp_path / 'configs/metafiles/skeletontcn.yml'
    (entry,) = yaml.safe_load(path.read_text())['Models']
    assert entry['Name'] == NAME
    assert entry['In Collection'] == 'SkeletonTCN'
    assert entry['Config'] == LEAF
    assert entry['Weights'] == model.relative
    assert 'Results' not in entry
    assert entry['Metadata']['Architecture'].startswith('Residual temporal')
    assert not metafile_differences(model)


def test_one_of_two_that_write_a_metafile_or_a_folder_works(model, tmp_path):
    metafiles, hub = update_metafile(model).parent, tmp_path / 'hub'
    for place, work in (
        (metafiles, lambda: update_metafile(model)),
        (hub, lambda: write_hub_folder(model, hub)),
    ):
        with only_writer(place):
            told = told_elsewhere(work)
        assert f'{place}: another process is at work here' in told


def test_metafile_follows_the_results(model, tmp_path):
    path = update_metafile(model, resources='a laptop')
    path.write_text(path.read_text().replace('Apache-2.0\n  Weights', 'MIT\n  Weights'))
    add_results(model, [results_of(model, tmp_path)])
    assert any('Results' in line for line in metafile_differences(model))
    update_metafile(model)
    (entry,) = yaml.safe_load(path.read_text())['Models']
    assert len(entry['Results']) == 3
    assert entry['License'] == 'MIT'  # by hand, and so is this:
    assert entry['Metadata']['Training Resources'] == 'a laptop'
    text = path.read_text()
    assert update_metafile(model).read_text() == text


@pytest.fixture(scope='module')
def measured(published, tmp_path_factory):
    """A copy with results."""
    folder = tmp_path_factory.mktemp('measured')
    shutil.copytree(published.path.parent, folder / 'zoo')
    model = read_published(NAME, folder / 'zoo')
    add_results(model, [results_of(model, folder)])
    return model


def front_of(card):
    _, front, text = card.split('---\n', 2)
    return yaml.safe_load(front), text


def test_files_for_the_hub(measured, tmp_path):
    files = write_hub_folder(measured, tmp_path / 'hub')
    names = ['model.safetensors', 'config.json', 'README.md']
    assert [path.name for path in files] == names
    assert files[0].read_bytes() == measured.weights.read_bytes()
    assert meta_of(load_weights_file(files[0])) == measured.meta
    found, classes = json.loads(files[1].read_text()), measured.meta['classes']
    assert found['architectures'] == ['RecognizerGCN']
    assert [found['id2label'][str(i)] for i in range(82)] == classes
    assert found['label2id'] == {name: i for i, name in enumerate(classes)}
    told = json.loads(json.dumps(measured.cfg['model']))
    assert found['mmma_config']['model'] == told
    assert load_config(str(files[1])).model == load_config(LEAF).model
    write_hub_folder(measured, tmp_path / 'hub')
    files[0].write_bytes(b'other')
    with pytest.raises(ValueError, match=r'is of another model: --force replaces it'):
        write_hub_folder(measured, tmp_path / 'hub')
    write_hub_folder(measured, tmp_path / 'hub', force=True)


def test_calibration_goes_with_the_weights(tmp_path, monkeypatch):
    use_fake(monkeypatch)
    action = {'temperature': 2.0, 'ece': [0.2, 0.1]}
    told = {'on': 'val of lab of mma82, 200 clips', 'action': action}
    make_run(tmp_path / 'run', calibration=told)
    model = publish(read_run(tmp_path / 'run'), tmp_path / 'zoo')
    files = write_hub_folder(model, tmp_path / 'hub')
    assert json.loads(files[1].read_text())['calibration'] == told
    assert '- Scores are calibrated on val of lab of mma82' in files[2].read_text()
    for path in model.weights, files[0]:
        own = open_model(str(path), config=LEAF, allow_simulated=True)
        assert own.card.calibration == told


def test_killed_anywhere_a_folder_for_the_hub_is_of_one_model(measured, tmp_path):
    hub = tmp_path / 'hub'
    names = [path.name for path in write_hub_folder(measured, hub)]
    new, found = contents(hub), set()
    for name in names:
        (hub / name).write_bytes(b'old')
    for _ in kill_points(lambda: write_hub_folder(measured, hub, True), step=2):
        kept = [name for name in names if (hub / name).exists()]
        if 'model.safetensors' in kept:
            assert kept == names
            states = {(hub / name).read_bytes() == new[name] for name in names}
            assert len(states) == 1
            found |= states
        for name in names:
            (hub / name).write_bytes(b'old')
    assert found == {False, True}
    write_hub_folder(measured, hub, force=True)
    assert contents(hub) == new


def test_front_matter(measured):
    front, _ = front_of(model_card(measured, LEAF, 'CC-BY-NC-4.0'))
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


def test_text(measured):
    _, text = front_of(model_card(measured, LEAF, 'MIT'))
    assert '**Trained and measured on simulated data.**' in text
    assert 'its classes are not unseen' in text
    assert f'python tools/test.py {LEAF} model.safetensors --data-root DATA' in text
    assert measured.sha256 in text
    assert '- Scores are as the model gives them, not calibrated' in text
    assert '| tested on | action Top-1 | action Top-5 | body group Top-1 |' in text
    assert '| street | 12.35 | 40.00 | 50.00 | 9.00 |' in text


def test_without_results_and_on_real_data(measured, tmp_path):
    folder = shutil.copytree(measured.path, tmp_path / 'zoo' / NAME)
    (folder / 'results.json').unlink()
    other = read_published(folder, tmp_path)
    other.meta['data']['simulated'] = False
    front, text = front_of(model_card(other, LEAF, 'MIT'))
    assert 'model-index' not in front
    assert 'imulated' not in text.replace(NAME, '')


def test_the_hub_understands_it(measured):
    hub = pytest.importorskip('huggingface_hub')
    card = hub.ModelCard(model_card(measured, LEAF, 'Apache-2.0'))
    assert card.data.library_name == 'mmma'
    assert card.data.model_name == NAME
    assert len(card.data.eval_results) == 3 * 4
    found = {(r.dataset_config, r.metric_name): r for r in card.data.eval_results}
    result = found['zeroshot-street', 'body group Top-1 (%)']
    assert (result.metric_value, result.metric_type) == (50.0, 'accuracy')
    assert result.task_name == 'Action Recognition (simulated data)'
    assert len({r.unique_identifier for r in card.data.eval_results}) == 3


def test_metric_names():
    ap = 'mean_average_precision'
    names = {
        'body/macro_f1': ('f1', 'body group macro F1'),
        'action/mAP@0.50': (ap, 'action mAP at tIoU 0.50'),
        'body/mAP': (ap, 'body group mAP, mean of tIoU 0.1 to 0.9'),
        'F1_mean': ('f1', 'mean of four F1'),
        'AVG': (ap, 'AVG'),
        'other': ('other', 'other'),
    }
    assert {key: metric_name(key) for key in names} == names


def test_weights_are_replaced_last_and_a_killed_replacement_goes_on(
    run, model, monkeypatch
):
    old, other = model.weights, {k: v + 1 for k, v in run.weights.items()}
    state = {**run.content, 'state_dict': other}
    changed = replace(run, content=state)
    with monkeypatch.context() as patch:
        patch.setattr('mmma.hub.publish.write_file', lambda *_: os._exit(9))
        if not (child := os.fork()):
            publish(changed, model.path.parent, force=True)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert old.is_file()
    with pytest.raises(ValueError, match='several weights'):
        find_published(model.path)
    with pytest.raises(ValueError, match='is published with other weights'):
        publish(changed, model.path.parent)
    new = publish(changed, model.path.parent, force=True)
    assert len(list(new.path.glob('*.safetensors'))) == 1
    assert not list(problems_of(new))
