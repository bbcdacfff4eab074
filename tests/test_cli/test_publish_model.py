"""From a work dir to the zoo and the Hub's folder, through the commands."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from zoo_runs import HOME, make_results, make_run

from mmma.cli import main

CONFIG = 'configs/det/skeletondet-tiny_mma82.py'
NAME = 'skeletondet-tiny_mma82_zeroshot-simulated'
STREET = ['--protocol', 'zeroshot', '--target', 'street']
SMALL = ['test_dataloader.num_workers=0', 'test_dataloader.persistent_workers=False']


@pytest.fixture(scope='module')
def work_dir(tmp_path_factory):
    """A detector that has learnt nothing, for the street."""
    folder = tmp_path_factory.mktemp('run')
    protocol = {'protocol': 'zeroshot', 'target': ['street']}
    make_run(folder, leaf=CONFIG, protocol=protocol)
    return folder


@pytest.fixture(scope='module')
def zoo(work_dir, tmp_path_factory):
    """A zoo outside the checkout with that detector."""
    folder = tmp_path_factory.mktemp('place') / 'zoo'
    assert main('publish_model', [str(work_dir), '--out', str(folder)]) == 0
    return folder


def run_test(det_root, weights, work_dir):
    argv = [CONFIG, str(weights), '--data-root', str(det_root), *STREET]
    argv += ['--work-dir', str(work_dir), '--cfg-options', *SMALL]
    assert main('test', argv) == 0
    return work_dir / 'results.json'


def weights_of(zoo):
    (path,) = (zoo / NAME).glob('*.safetensors')
    return path


def test_from_a_run_to_the_hub(det_root, zoo, tmp_path, capsys):
    place = shutil.copytree(zoo, tmp_path / 'zoo')
    name, weights = [NAME, '--out', str(place)], weights_of(place)
    options = {'thresholds': [0.5], 'body_detections': 'relabelled'}
    other = tmp_path / 'a.json'
    make_results(other, weights, 'ff' * 32, leaf=CONFIG, options=options)
    assert main('publish_model', [*name, '--results', str(other)]) == 2
    assert 'not of the published' in capsys.readouterr().err
    results = run_test(det_root, weights, tmp_path / 'published')
    assert main('publish_model', [*name, '--results', str(results)]) == 0
    assert 'next: tools/build_model_zoo.py' in capsys.readouterr().out
    assert main('publish_model', [*name, '--check']) == 0
    hub = tmp_path / 'hub'
    assert main('publish_model', [*name, '--hub', str(hub)]) == 0
    assert f'upload: hf upload USER/{NAME} {hub}' in capsys.readouterr().out
    # What test.py is given is the file that was measured.
    assert (hub / 'model.safetensors').read_bytes() == weights.read_bytes()
    measured = json.loads(results.read_text())['runs'][0]['metrics']['AVG']
    assert f'| {measured:.2f} |' in (hub / 'README.md').read_text()


def test_each_step_prints_the_next(work_dir, zoo, capsys):
    assert main('publish_model', [str(work_dir), '--out', str(zoo)]) == 0
    out = capsys.readouterr().out
    assert f'took {work_dir}/best' in out
    assert f'next: tools/test.py {CONFIG} {weights_of(zoo)} --protocol zeroshot' in out
    assert f'--target street --data-root {HOME}/data --work-dir {work_dir}/pub' in out
    assert f'then: tools/publish_model.py {NAME} --out {zoo} --results' in out


def test_the_checkout_is_left_alone(zoo):
    path = zoo.parent / 'configs' / 'metafiles' / 'skeletondet.yml'
    (entry,) = yaml.safe_load(path.read_text())['Models']
    assert entry['Name'] == NAME
    own = Path(CONFIG).resolve().parents[1] / 'metafiles' / 'skeletondet.yml'
    assert not own.is_file() or weights_of(zoo).name not in own.read_text()


def test_a_changed_number_is_found(zoo, tmp_path, capsys):
    place = shutil.copytree(zoo.parent, tmp_path / 'place')
    path = place / 'configs' / 'metafiles' / 'skeletondet.yml'
    path.write_text(path.read_text().replace('Precision: float16', 'Precision: exact'))
    assert main('publish_model', [NAME, '--out', str(place / 'zoo'), '--check']) == 1
    assert "Precision is 'exact', should be 'float16'" in capsys.readouterr().out


def test_what_goes_with_a_work_dir(zoo, capsys):
    argv = [str(zoo / NAME), '--out', str(zoo), '--name', 'x']
    assert main('publish_model', argv) == 2
    assert '--name goes with a work dir' in capsys.readouterr().err


def test_no_such_model(zoo, capsys):
    assert main('publish_model', ['skeletondett', '--out', str(zoo)]) == 2
    assert f'a model in {zoo} ({NAME})' in capsys.readouterr().err


def test_from_a_wheel(monkeypatch, capsys):
    monkeypatch.setattr('mmma.cli.publish_model._checkout_zoo', lambda: None)
    assert main('publish_model', ['x']) == 2
    assert 'say where the zoo is with --out' in capsys.readouterr().err
