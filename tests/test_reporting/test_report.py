"""Figures of reports: their numbers, their sentences, what is drawn where."""

import json

import numpy as np
import pytest
from result_files import write_fewshot, write_fusion, write_model

from mmma.reporting.paper import Cell, grid
from mmma.reporting.report import Plot, build_report, find_root
from mmma.reporting.results import read_named

AXES = 'shots', 'Top-1 (%)', 'series'


def plots(*files, **options):
    """Title to figure of a report."""
    sections = build_report(read_named(map(str, files)), **options).values()
    drawn = [plot for _, plots in sections for plot in plots]
    return {plot.title.removesuffix(' (simulated data)'): plot for plot in drawn}


def test_numbers_of_figures(tmp_path):
    cells = {('a', 1): Cell(10.0), ('a', 5): Cell(30.04, 3, 1.0, 28.0, 32.0)}
    cells |= {('b', 1): Cell(20.0), ('b', 5): Cell(20.0)}
    lines = Plot('lines', 't', AXES, cells)
    rounded = {('a', 1): Cell(44.44, 1, None, 44.440000000000005, 44.44)}
    Plot('bars', 't', AXES, rounded).draw(tmp_path / 'drawn.svg')
    assert (tmp_path / 'drawn.svg').stat().st_size > 1000
    table = lines.numbers().csv().splitlines()
    assert table[0] == 'series,shots,Top-1 (%),low,high,n,simulated'
    assert table[2] == 'a,5,30.040000,28.000000,32.000000,3,false'


def test_few_shots_stand_beside_both_controls(rec_root, tmp_path):
    file = write_fewshot(
        tmp_path / 'few', rec_root, 'm', 0.5, shots=(1, 5), supports=True
    )
    found = plots(file)
    series = found['m: few-shot, street'].series
    assert {x for _, x in series} == {1, 5}
    labels = list(dict.fromkeys(label for label, _ in series))
    assert labels == [
        'zero-shot',
        "zero-shot, target's classes only",
        'zero-shot, class prior of the few-shot supports',
        'linear (proximity 0.1), few-shot',
    ]
    runs = json.loads(file.read_text())['runs']
    drawn = [r for r in runs if r['shots'] == 5 and 'control' not in r]
    at = [r['metrics']['action/top1'] for r in drawn]
    cell = series[labels[3], 5]
    assert cell.n == 3
    assert cell.value == pytest.approx(sum(at) / 3)
    assert cell.low < cell.value < cell.high
    own = f'{cell.value:.1f} % [{cell.low:.1f}, {cell.high:.1f}]'
    none, *controls = (series[label, 5].value for label in labels[:3])
    told = found['m: few-shot, street'].text
    assert told.startswith(f'with 5 clips per class of the target Top-1 is {own}; with')
    assert f'; with none (zero-shot) {none:.1f} % [' in told
    assert told.endswith(f'] to {max(controls):.1f} %' + told.rpartition(' %')[2])
    assert list(found['m: Top-1 from domain to domain'].series) == [('lab', 'street')]


def test_classes_and_confusions_are_those_of_the_files(rec_root, tmp_path):
    file = write_model(tmp_path / 'm', rec_root, 'm', 0.7)
    found = plots(file, gt=rec_root.path)
    (row,) = [r for r in json.loads(file.read_text())['runs'] if r['domain'] == 'all']
    told = row['per_class']['action']
    recall = {
        f'{name} ({n})': value
        for name, n, value in zip(
            told['name'], told['support'], told['recall'], strict=True
        )
        if n
    }
    drawn = found['m, all: recall of action classes']
    assert {x: c.value for (_, x), c in drawn.series.items()} == recall
    assert f'recall of {len(recall)} action classes' in drawn.text
    confusion = found['m, all: confusion']
    wrong = sum(c.n for (true, taken), c in confusion.series.items() if true != taken)
    clips = sum(told['support'])
    assert wrong == clips - sum(told['hits'])
    assert confusion.text.startswith(f'{wrong} of {clips} are taken for another')
    assert 'm: Top-1 from domain to domain' not in found  # all domains were trained on


def test_curves_are_of_the_logs_beside_results(rec_root, tmp_path):
    file = write_model(tmp_path / 'm', rec_root, 'm', 0.7)
    (tmp_path / 'm' / '1').mkdir()
    (tmp_path / 'm' / '1' / '1.log').write_text(
        '- mmengine - INFO - Epoch(train)  [1][ 5/10]  loss: 4.0  loss_cls: 3\n'
        '- mmengine - INFO - Epoch(train)  [1][10/10]  lr: 1e-3  loss: 2.5000\n'
        '- mmengine - INFO - Epoch(val) [1][6/6]    action/top1: 62.07  time: 1\n'
    )
    (tmp_path / 'm' / 'consoles').mkdir()  # what another training told
    (tmp_path / 'm' / 'consoles' / '07.log').write_text(
        '- mmengine - INFO - Epoch(train)  [1][ 2/10]  loss: 9.0  loss_cls: 3\n'
    )
    found = plots(file)
    loss = found['m: loss while training'].series
    assert {x: c.value for (_, x), c in loss.items()} == {0.5: 4.0, 1.0: 2.5}
    assert found['m: loss while training'].text.startswith(
        'the loss goes from 4 to 2.5'
    )
    top1 = found['m: action/top1 on val while training']
    told = 'the highest action/top1 on val, 62.1 %, comes at epoch or iteration 1'
    assert top1.text == told
    moved = write_model(tmp_path / 'run' / 'test', rec_root, 'm', 0.7)
    (tmp_path / 'run' / 'best.pth').touch()
    (tmp_path / 'm' / '1').rename(tmp_path / 'run' / '1')
    content = json.loads(moved.read_text())
    content['checkpoint']['path'] = 'elsewhere/best.pth'
    moved.write_text(json.dumps(content))
    assert plots(moved)['m: loss while training'].series.keys() == {
        ('run', 0.5),
        ('run', 1.0),
    }


def test_emotions_have_confusions(tmp_path):
    file = write_fusion(tmp_path / 'results.json')
    runs = json.loads(file.read_text())['runs']
    found = plots(file)
    for run in runs:
        plot = found[f'study, {run["input"]}, test, 210 videos: confusion']
        counts = np.ravel(run['confusion']['counts']).tolist()
        assert [cell.n for cell in plot.series.values()] == counts
    assert len(found['study: UAR by input or experiment'].series) == len(runs)


def test_scores_that_are_missing_are_told(rec_root, tmp_path, capsys):
    file = write_model(tmp_path / 'm', rec_root, 'm', 0.7)
    (tmp_path / 'm' / 'scores.npz').unlink()
    assert 'm, all: confusion' not in plots(file, gt=rec_root.path)
    assert 'scores.npz is missing: test.py --dump writes it' in capsys.readouterr().err


def test_sentences_name_the_highest_and_the_lowest(rec_root, tmp_path):
    file = write_model(tmp_path / 'm', rec_root, 'm', 0.7)
    drawn = plots(file)['m: Top-1 by domain']
    ranked = sorted(drawn.series.items(), key=lambda own: own[1].value)
    for (_, place), cell in (ranked[0], ranked[-1]):
        span = f'[{cell.low:.1f}, {cell.high:.1f}]'
        assert f'est for {place}, {cell.value:.1f} % {span}' in drawn.text
    file = write_model(tmp_path / 'lab', rec_root, 'm', 0.7, domain='lab')
    assert plots(file)['m: Top-1 by domain'].text.startswith('Top-1 of lab is ')


def test_the_root_that_results_name_is_shown(rec_root, tmp_path):
    file = write_model(tmp_path / 'm', rec_root, 'm', 0.7, data_root=str(rec_root.path))
    results = read_named([str(file)])
    assert find_root(results) is None  # its config does not name one
    results[0]['config']['data_root'] = str(rec_root.path)
    assert find_root(results) == rec_root.path
    results[0]['data']['fingerprint'] = 'of other data'
    assert find_root(results) is None
    found = plots(file, gt=rec_root.path)
    actions = found['tiny_set: clips by action']
    assert actions.text.startswith('3 of 82 actions have half of all 192: ')
    assert actions.text.endswith('(blue: head, orange: medium, green: tail)')
    head, first, *_ = actions.numbers().csv().splitlines()
    assert head.startswith('action,train,val,test,all')
    assert first.endswith(',true')


def test_rows_are_tested_against_a_baseline(rec_root, tmp_path):
    chances = {'base': 0.2, 'good': 0.9}
    files = [write_model(tmp_path / n, rec_root, n, c) for n, c in chances.items()]
    elsewhere = tmp_path / 'elsewhere.npz'
    (tmp_path / 'good' / 'scores.npz').rename(elsewhere)
    results = read_named(map(str, files))
    given = [f'{files[1]}={elsewhere}']
    how = {'gt': rec_root.path, 'scores': given, 'baseline': ('base', 1000)}
    tables, drawn = build_report(results, **how)['rec']
    good = [row for row in tables[0].rows if row.name == 'good']
    assert all(row.cells['action/top1', 'test'].is_bold() for row in good)
    assert '<b>' in grid(tables[0]).html()
    assert {plot.title for plot in drawn} > {
        f'{name}, all: confusion (simulated data)' for name in chances
    }
    with pytest.raises(ValueError, match="'best': no such row"):
        build_report(results, **{**how, 'baseline': ('best', 1000)})
    with pytest.raises(ValueError, match='no truth: give --gt'):
        build_report(results, baseline=('base', 1000))
    with pytest.raises(FileNotFoundError, match='no such file'):
        build_report(results, scores=[f'{files[1]}=nowhere.npz'])
