import csv
import io
import shutil

import pytest
from result_files import make_rec_root, write_ablation, write_fewshot, write_model

from mmma.cli import main
from mmma.taxonomy import DOMAINS


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return make_rec_root(tmp_path_factory.mktemp('root'))


@pytest.fixture(scope='module')
def models(root, tmp_path_factory):
    """Results files of two models, val and test, with scores beside them."""
    folder = tmp_path_factory.mktemp('models')
    return [
        str(write_model(folder / f'{name}{subset}', root, name, right, subset=subset))
        for name, right in (('base', 0.2), ('good', 0.9))
        for subset in ('val', 'test')
    ]


def test_results_side_by_side_printed_and_saved(models, tmp_path, capsys):
    out = tmp_path / 'table.txt'
    assert main('table', [models[1], models[3], '--out', str(out)]) == 0
    printed = capsys.readouterr().out
    assert printed == out.read_text()
    for name in ('base', 'good'):  # of all clips and of each domain
        assert printed.count(f'| {name} (simulated)') == 1 + len(DOMAINS)


def test_a_place_that_cannot_be_written_is_told_before_the_work(
    models, tmp_path, capsys
):
    (tmp_path / 'file').touch()
    for out, told in (
        (f'{tmp_path}/', f'error: {tmp_path}: Is a directory\n'),
        (f'{tmp_path}/file/x', f'error: {tmp_path}/file/x: Not a directory\n'),
    ):
        assert main('table', [models[1], '--out', out]) == 2
        assert capsys.readouterr() == ('', told)


@pytest.mark.parametrize(
    ('form', 'start', 'bold'),
    [
        ('--paper', 'Recognition, in-domain, action level', '*'),
        ('--md', '**Recognition, in-domain, action level**', '**'),
        ('--latex', r'% \usepackage{booktabs}', r'\textbf{'),
    ],
)
def test_the_layout_of_the_paper(root, models, tmp_path, capsys, form, start, bold):
    out = tmp_path / 'table'
    test = ['--baseline', 'base', '--gt', str(root.path), '--resamples', '1000']
    assert main('table', [*models, form, *test, '--out', str(out)]) == 0
    printed = capsys.readouterr().out
    assert printed == out.read_text()
    assert printed.startswith(start)
    assert 'GC-TSM [paper]' in printed
    (line, *_) = (line for line in printed.splitlines() if 'good (simulated)' in line)
    assert f' {bold}' in line
    assert main('table', [*models, form, *test]) == 0
    assert capsys.readouterr().out == printed


def test_csv_holds_val_and_test_of_both_models(models, capsys):
    assert main('table', [*models, '--csv', '--no-published', '--level', 'body']) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 2 * 2 * 5 * 5  # models, subsets, domains with all, metrics
    assert {row['source'] for row in rows} == {'ours'}


def test_separate_models_are_pooled(root, tmp_path, capsys):
    files = [
        str(write_model(tmp_path / d, root, 'sep', 0.5, domain=d)) for d in DOMAINS
    ]
    assert main('table', [*files, '--pool']) == 0
    text = capsys.readouterr().out
    assert 'indomain, one model per domain' in text
    assert main('table', [*files, '--pool', '--md']) == 0
    assert '| all | sep, one model per domain (simulated) |' in capsys.readouterr().out


def test_scores_may_lie_elsewhere(root, models, tmp_path, capsys):
    bare = tmp_path / 'bare.json'
    shutil.copy(models[3], bare)
    scores = models[3].replace('results.json', 'scores.npz')
    rec = str(root.path / 'rec.csv')
    command = [models[1], str(bare), '--baseline', 'base', '--gt', rec, '--csv']
    assert main('table', [*command, '--scores', f'{bare}={scores}']) == 0
    rows = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert all(row['test'] for row in rows if row['model'] == 'good')


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--baseline', 'base'], '--baseline needs --gt'),
        (['--gt', 'x'], '--gt and --scores are for --baseline NAME'),
        (['--resamples', '0'], '--resamples 0: use 1 or more'),
        (['--pool'], 'nothing to pool'),
        (['--baseline', 'best', '--gt', '{root}'], "'best': no such row; there are"),
        (
            ['--baseline', 'base', '--gt', '{root}', '--scores', 'x'],
            'write RESULTS=FILE',
        ),
        (['--baseline', 'base', '--gt', '{other}'], 'has fingerprint'),
        (['--baseline', 'base', '--gt', 'nowhere.csv'], 'nowhere.csv: no such file'),
    ],
)
def test_bad_usage_is_told(root, models, tmp_path, capsys, arguments, message):
    other = make_rec_root(tmp_path / 'other', clips=6)
    given = [a.format(root=root.path, other=other.path) for a in arguments]
    assert main('table', [models[1], models[3], *given]) == 2
    assert message in capsys.readouterr().err


def test_classes_of_no_label_space_have_no_scores(root, tmp_path, capsys):
    file = write_fewshot(tmp_path / 'f', root, 'a', 0.5, classes=['flying'])
    command = [str(file), '--baseline', 'a', '--gt', str(root.path)]
    assert main('table', command) == 2
    assert 'its 1 classes are of no label space' in capsys.readouterr().err


def test_results_of_emotions_have_the_layout_of_the_paper(models, tmp_path, capsys):
    study = str(write_ablation(tmp_path / 'results.json', videos=70))
    assert main('table', [study]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith('Emotions without and from the five micro-actions')
    assert printed.count('| – [paper] ') == 3
    assert main('table', [study, '--paper', '--no-published']) == 0
    assert '[paper]' not in capsys.readouterr().out
    assert main('table', [study, models[1]]) == 2
    assert 'task differs' in capsys.readouterr().err
    (tmp_path / 'rec.csv').touch()
    baseline = ['--baseline', 'study', '--gt', str(tmp_path / 'rec.csv')]
    assert main('table', [study, *baseline]) == 2
    assert '--baseline is for recognition' in capsys.readouterr().err
