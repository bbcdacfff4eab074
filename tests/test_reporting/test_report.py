"""Figures of reports: their numbers, their sentences, what is drawn where."""

import json

import numpy as np
import pytest
from result_files import write_fewshot, write_fusion, write_model

from mmma.reporting.paper import Cell
from mmma.reporting.report import Plot, build_report
from mmma.reporting.results import read_named

AXES = 'shots', 'Top-1 (%)', 'series'


def plots(*files, **options):
    """Title to figure of a report of one task."""
    ((_, (_, drawn)),) = build_report(read_named(map(str, files)), **options).items()
    return {plot.title.removesuffix(' (simulated data)'): plot for plot in drawn}


def test_sentences_are_of_the_numbers(tmp_path):
    cells = {('a', 1): Cell(10.0), ('a', 5): Cell(30.04, 3, 1.0, 28.0, 32.0)}
    cells |= {('b', 1): Cell(20.0), ('b', 5): Cell(20.0)}
    lines = Plot('lines', 't', AXES, cells)
    told = 'a: 10.0 % at 1; a: 30.0 % [28.0, 32.0] at 5; b: 20.0 % at 5.'
    assert lines.sentence() == told
    bars = Plot('bars', 't', AXES, cells, 'Two rows')
    told = 'Two rows; highest: 30.0 % [28.0, 32.0] (5; a); lowest: 10.0 % (1; a).'
    assert bars.sentence() == told
    heat = Plot('heat', 't', AXES, {('lab', 'street'): Cell(7.0)})
    assert heat.sentence().startswith('highest: 7.0 % (lab to street); lowest')
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
    series = found['Few-shot, street'].series
    assert {x for _, x in series} == {1, 5}
    labels = list(dict.fromkeys(label for label, _ in series))
    assert labels == [
        'm, zero-shot',
        "m, zero-shot, target's classes only",
        'm, zero-shot, class prior of the few-shot supports',
        'm, linear (proximity 0.1), few-shot',
    ]
    runs = json.loads(file.read_text())['runs']
    drawn = [r for r in runs if r['shots'] == 5 and 'control' not in r]
    at = [r['metrics']['action/top1'] for r in drawn]
    cell = series[labels[3], 5]
    assert cell.n == 3
    assert cell.value == pytest.approx(sum(at) / 3)
    assert cell.low < cell.value < cell.high
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
    found = plots(file)
    loss = found['m: loss while training'].series
    assert {x: c.value for (_, x), c in loss.items()} == {0.5: 4.0, 1.0: 2.5}
    top1 = found['m: action/top1 while training']
    assert top1.sentence() == 'm: 62.1 % at 1.'


def test_emotions_have_confusions(tmp_path):
    file = write_fusion(tmp_path / 'results.json')
    runs = json.loads(file.read_text())['runs']
    found = plots(file)
    for run in runs:
        plot = found[f'study, {run["input"]}, test, 210 videos: confusion']
        counts = np.ravel(run['confusion']['counts']).tolist()
        assert [cell.n for cell in plot.series.values()] == counts
    assert len(found['UAR by domain or input'].series) == len(runs)


def test_scores_that_are_missing_are_told(rec_root, tmp_path, capsys):
    file = write_model(tmp_path / 'm', rec_root, 'm', 0.7)
    (tmp_path / 'm' / 'scores.npz').unlink()
    assert 'm, all: confusion' not in plots(file, gt=rec_root.path)
    assert 'scores.npz is missing: test.py --dump writes it' in capsys.readouterr().err
