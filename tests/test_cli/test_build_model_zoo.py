"""The command on this checkout, and on a small one."""

from pathlib import Path

import pytest
from zoo_folders import (
    add_weights,
    edit_metafile,
    edit_results,
    make_checkout,
    save_metafile,
)

from mmma.cli import build_model_zoo, main
from mmma.hub import metafiles
from mmma.hub.zoo import read_metafiles

METAFILE = 'configs/metafiles/skeletontcn.yml'
PAGE = 'docs/zoo/skeletontcn.md'
NAME = 'skeletontcn-tiny_mma82'
OURS = f'{NAME}_indomain-simulated'


def test_the_zoo_is_up_to_date(capsys):
    status = main('build_model_zoo', ['--check'])
    assert status == 0, capsys.readouterr().err


def use(monkeypatch, root):
    monkeypatch.setattr(build_model_zoo, 'config_folders', lambda: [root / 'configs'])
    return root


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with one recipe, its metafile and its pages."""
    root = use(monkeypatch, make_checkout(tmp_path))
    for path in ('configs/metafiles/skeletondet.yml', 'configs/det'):
        (root / path).rename(root / path.rpartition('/')[2])
    assert main('build_model_zoo', []) == 0
    return root


@pytest.fixture
def published(checkout, capsys):
    """The same with weights of ours."""
    add_weights(checkout)
    assert main('build_model_zoo', []) == 0
    capsys.readouterr()
    return checkout


def edit(checkout, change):
    edit_metafile(checkout, 'skeletontcn', lambda entries: change(entries[NAME]))


def contents(root):
    files = [*root.glob('*.md'), *root.glob('docs/zoo/*'), *root.glob('*.yml')]
    files += root.glob('configs/metafiles/*')
    return {path: path.read_bytes() for path in files}


def test_one_row_per_recipe(checkout, capsys):
    assert main('build_model_zoo', ['--check']) == 0
    row = capsys.readouterr().out.splitlines()[-1].split()
    assert row == [NAME, '0.79', '0.0099', '1x1x48x31x4']


def test_a_hand_edited_cost_is_named_and_repaired(checkout, capsys):
    before = contents(checkout)
    edit(checkout, lambda entry: entry['Metadata'].update(Parameters=1))
    assert main('build_model_zoo', ['--check']) == 1
    error = capsys.readouterr().err
    assert f'{METAFILE}: Models.{NAME}.Metadata.Parameters is 1, should be 7' in error
    assert main('build_model_zoo', []) == 0
    assert contents(checkout) == before


def test_a_hand_edited_result_is_named_and_repaired(published, capsys):
    before = contents(published)
    edit_metafile(
        published,
        'skeletontcn',
        lambda entries: entries[OURS]['Results'][1]['Metrics'].update(F1_mean=99.0),
    )
    assert main('build_model_zoo', ['--check']) == 1
    key = f'Models.{OURS}.Results.simulated MMA-82, lab, test.Metrics.F1_mean'
    assert f'{METAFILE}: {key} is 99.0, should be ' in capsys.readouterr().err
    assert main('build_model_zoo', []) == 0
    assert contents(published) == before


@pytest.mark.parametrize('page', ['model_zoo.md', PAGE])
def test_a_hand_edited_number_on_a_page_is_named_and_repaired(published, page, capsys):
    before = contents(published)
    text = (published / page).read_text('utf-8')
    number = text.partition('| lab | 12 | ')[2].partition('ˢ')[0]
    line = text.partition('| lab | 12 | ')[0].count('\n') + 1
    edited = text.replace(f'| lab | 12 | {number}ˢ', '| lab | 12 | 99.00ˢ')
    (published / page).write_text(edited, 'utf-8')
    assert main('build_model_zoo', ['--check']) == 1
    error = capsys.readouterr().err
    assert f"{page}: line {line}: '99.00ˢ [" in error
    assert f"should be '{number}ˢ [" in error
    assert main('build_model_zoo', []) == 0
    assert contents(published) == before


def test_results_edited_by_hand_are_refused_and_nothing_is_written(published, capsys):
    before = contents(published)

    def better(results):
        results['runs'][0]['metrics']['action/top1'] = 99.0

    edit_results(published, OURS, better)
    for arguments in (['--check'], []):
        assert main('build_model_zoo', arguments) == 1
        error = capsys.readouterr().err
        assert f'zoo/{OURS}/results.json: all: action/top1 is 99.0, but' in error
        assert contents(published) == before


def test_layout_alone_is_out_of_date_too(checkout, capsys):
    with (checkout / 'model-index.yml').open('a') as file:
        file.write('\n')
    assert main('build_model_zoo', ['--check']) == 1
    assert "model-index.yml: line 3: '' should not be there" in capsys.readouterr().err


def test_many_differences_are_cut_and_a_missing_page_is_named(published, capsys):
    (published / 'model_zoo.md').write_text('none of it\n')
    (published / PAGE).unlink()
    assert main('build_model_zoo', ['--check']) == 1
    error = capsys.readouterr().err
    assert f'{PAGE}: is missing' in error
    assert 'model_zoo.md: and ' in error
    assert error.count('model_zoo.md: ') == 11


@pytest.mark.parametrize('arguments', [['--check'], []])
def test_a_page_of_no_method_is_named(checkout, arguments, capsys):
    (checkout / 'docs/zoo/gone.md').touch()
    assert main('build_model_zoo', arguments) == 1
    assert 'docs/zoo/gone.md: there is no such method' in capsys.readouterr().err


def test_a_recipe_without_an_entry_is_out_of_date_and_gets_one(checkout, capsys):
    edit(checkout, lambda entry: entry.update(Name='skeletontcn-gone_mma82'))
    assert main('build_model_zoo', ['--check']) == 1
    error = capsys.readouterr().err
    assert f'Models.{NAME} is missing' in error
    assert 'skeletontcn-gone_mma82 has no config' in error
    assert main('build_model_zoo', []) == 1  # the other one stays for a person
    assert "Metadata.Input is '': state the shape" in capsys.readouterr().err
    models = read_metafiles(checkout)['skeletontcn']['Models']
    assert [entry['Name'] for entry in models] == ['skeletontcn-gone_mma82', NAME]


def test_a_recipe_of_a_method_without_a_metafile_is_named(checkout, capsys):
    (checkout / 'det').rename(checkout / 'configs/det')
    assert main('build_model_zoo', ['--check']) == 1
    told = 'mma82.py: there is no configs/metafiles/skeletondet.yml. Write one'
    assert told in capsys.readouterr().err


def test_a_method_without_recipes_yet(checkout):
    collection = {'Name': 'New', 'Paper': {'Title': 'T', 'URL': 'https://x'}}
    save_metafile(checkout, 'new', {'Collections': [collection]})
    assert main('build_model_zoo', []) == 0
    assert '# New' in (checkout / 'docs/zoo/new.md').read_text('utf-8')


def test_a_recipe_that_does_not_build_is_named(checkout, capsys):
    model = checkout / f'configs/recog/{NAME}_indomain.py'
    model.write_text(model.read_text().replace("'SkeletonTCN'", "'SkeletonTNC'"))
    assert main('build_model_zoo', ['--check']) == 1
    assert f'{NAME}_indomain.py: KeyError' in capsys.readouterr().err


def test_costs_that_need_a_missing_package_stay(checkout, capsys, monkeypatch):
    def lacking(cfg, shape):
        raise ImportError('pip install mmma[hub]')

    monkeypatch.setattr(metafiles, 'model_cost', lacking)
    assert main('build_model_zoo', ['--check']) == 0
    assert f'{NAME}: costs not recomputed: pip install' in capsys.readouterr().err


@pytest.mark.parametrize('folders', [[], [Path('site-packages/mmma/.mim/configs')]])
def test_outside_a_checkout(folders, monkeypatch, capsys):
    monkeypatch.setattr(build_model_zoo, 'config_folders', lambda: folders)
    assert main('build_model_zoo', []) == 2
    assert 'run this in a checkout' in capsys.readouterr().err
