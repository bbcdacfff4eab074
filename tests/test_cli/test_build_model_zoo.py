"""The command on this checkout, and on a small one."""

import shutil
from pathlib import Path

import pytest
import yaml

from mmma.cli import build_model_zoo, main
from mmma.hub import cost

REPO = Path(__file__).resolve().parents[2]
METAFILE = 'configs/metafiles/skeletontcn.yml'
NAME = 'skeletontcn-tiny_mma82'


def test_the_metafiles_are_up_to_date(capsys):
    status = main('build_model_zoo', ['--check'])
    assert status == 0, capsys.readouterr().err


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with one recipe and its metafile."""
    shutil.copytree(REPO / 'configs/_base_', tmp_path / 'configs/_base_')
    for folder, files in (('recog', f'{NAME}_*.py'), ('metafiles', 'skeletontcn.yml')):
        (tmp_path / 'configs' / folder).mkdir()
        for path in (REPO / 'configs' / folder).glob(files):
            shutil.copy(path, tmp_path / 'configs' / folder)
    monkeypatch.setattr(
        build_model_zoo, 'config_folders', lambda: [tmp_path / 'configs']
    )
    assert main('build_model_zoo', []) == 0
    return tmp_path


def edit(checkout, change):
    path = checkout / METAFILE
    data = yaml.safe_load(path.read_text('utf-8'))
    change(data['Models'][0])
    path.write_text(yaml.safe_dump(data, sort_keys=False), 'utf-8')


def test_one_row_per_recipe(checkout, capsys):
    assert main('build_model_zoo', ['--check']) == 0
    row = capsys.readouterr().out.splitlines()[-1].split()
    assert row == [NAME, '0.79', '0.0099', '1x1x48x31x4']


def test_a_hand_edited_number_is_named_and_repaired(checkout, capsys):
    before = (checkout / METAFILE).read_bytes()
    edit(checkout, lambda entry: entry['Metadata'].update(Parameters=1))
    assert main('build_model_zoo', ['--check']) == 1
    error = capsys.readouterr().err
    assert f'{METAFILE}: Models.{NAME}.Metadata.Parameters is 1, should be 7' in error
    assert main('build_model_zoo', []) == 0
    assert (checkout / METAFILE).read_bytes() == before


def test_layout_alone_is_out_of_date_too(checkout, capsys):
    with (checkout / 'model-index.yml').open('a') as file:
        file.write('\n')
    assert main('build_model_zoo', ['--check']) == 1
    assert 'model-index.yml: not as it is written' in capsys.readouterr().err


def test_a_recipe_without_an_entry_is_out_of_date_and_gets_one(checkout, capsys):
    edit(checkout, lambda entry: entry.update(Name='skeletontcn-gone_mma82'))
    assert main('build_model_zoo', ['--check']) == 1
    error = capsys.readouterr().err
    assert f'Models.{NAME} is missing' in error
    assert 'skeletontcn-gone_mma82 has no config' in error
    assert main('build_model_zoo', []) == 1  # the other one stays for a person
    models = yaml.safe_load((checkout / METAFILE).read_text('utf-8'))['Models']
    assert [entry['Name'] for entry in models] == ['skeletontcn-gone_mma82', NAME]


def test_a_recipe_that_does_not_build_is_named(checkout, capsys):
    model = checkout / 'configs/_base_/models/skeletontcn-tiny.py'
    model.write_text(model.read_text().replace("'SkeletonTCN'", "'SkeletonTNC'"))
    assert main('build_model_zoo', ['--check']) == 1
    assert f'{NAME}_indomain.py: KeyError' in capsys.readouterr().err


def test_costs_that_need_a_missing_package_stay(checkout, capsys, monkeypatch):
    def lacking(cfg):
        raise ImportError('pip install mmma[hub]')

    monkeypatch.setattr(cost, 'model_cost', lacking)
    assert main('build_model_zoo', ['--check']) == 0
    assert f'{NAME}: costs not recomputed: pip install' in capsys.readouterr().err


def test_without_configs(monkeypatch, capsys):
    monkeypatch.setattr(build_model_zoo, 'config_folders', lambda: [])
    assert main('build_model_zoo', []) == 2
    assert 'run this in a checkout' in capsys.readouterr().err
