import csv
import json
import re

import pytest
from emotion_roots import ACTIONS, EMOTIONS, make_emotion_root
from pages import commands

from mmma.cli import main
from mmma.evaluation.reports import read_results
from mmma.reporting.paper import load_published

FAST = ['--shuffles', '3', '--resamples', '20', '--folds', '3']


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return make_emotion_root(tmp_path_factory.mktemp('moods'))


def test_associate_writes_what_it_prints(root, tmp_path, capsys):
    out = tmp_path / 'out'
    assert main('emotion', ['associate', str(root), '--out', str(out), *FAST]) == 0
    told = capsys.readouterr().out
    assert 'planted and found: 1' in told
    assert '90 videos of 90 subjects: one video is 1.11 points, chance 33.3' in told
    assert 'SIMULATED DATA' in told
    names = [f'{n}.{s}' for n in ('associations', 'sankey') for s in ('png', 'svg')]
    assert sorted(p.name for p in out.iterdir()) == sorted(
        [*names, 'association.csv', 'results.json']
    )
    results = read_results(out / 'results.json')
    assert (results['task'], results['protocol']['name']) == ('emotion', 'associate')
    assert [run['model'] for run in results['runs']] == ['linear', 'tree']
    with (out / 'association.csv').open(newline='') as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(EMOTIONS) * len(ACTIONS)
    assert {row['simulated'] for row in rows} == {'true'}
    own = results['association']['calm']
    assert [row['action'] for row in rows[:5]] == own['top']
    assert float(rows[0]['p']) == pytest.approx(own['actions'][0]['p'], rel=1e-4)
    assert sum(row['planted'] == 'true' for row in rows) == 15


def test_associate_as_one_json_object(root, capsys):
    assert main('emotion', ['associate', str(root), '--json', *FAST]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told['n'] == 90
    assert told['simulated'] is True
    assert told['controls']['shuffles'] == 3
    assert [*told['emotions']] == [*EMOTIONS]
    for own in told['emotions'].values():
        assert len(own['top']) == 5
        assert own['top'] == [row['action'] for row in own['actions'][:5]]


def test_ablate_stands_beside_the_paper(root, tmp_path, capsys):
    argv = ['ablate', str(root), '--out', str(tmp_path), *FAST, '--task', 'rec']
    assert main('emotion', argv) == 0
    told = capsys.readouterr().out
    published = load_published()['emotion_top5_ablation']
    for row in published:
        line = next(
            x for x in told.splitlines() if '[paper]' in x and row['experiment'] in x
        )
        assert f'{100 * row["acc"]:.1f}' in line
    runs = read_results(tmp_path / 'results.json')['runs']
    assert [(run['experiment'], run['selection']) for run in runs] == [
        (row['experiment'], selection)
        for selection in ('nested', 'all videos')
        for row in published
    ]


def test_small_data_say_what_they_cannot_show(tmp_path, capsys):
    root = make_emotion_root(tmp_path, videos=12)
    assert main('emotion', ['associate', str(root), *FAST]) == 0
    told = capsys.readouterr().out
    assert 'one video is 8.33 points' in told
    assert 'too few videos: no pair can be found, whatever is true' in told
    assert re.search(r': 0 of \d\d pairs found', told)
    (calm,) = re.findall(r'\| calm .*', told)[5:]
    assert calm.split()[3:8] == ['4', '|', '0.00202', '|', '0']  # one in 495
    assert 'What is too small to show: a first discovery needs a p of 0.000' in told


def test_what_is_wrong_is_one_line(root, tmp_path, capsys):
    def told(*argv):
        assert main('emotion', [*argv]) == 2
        return capsys.readouterr().err

    assert '91 folds of 90 videos' in told('associate', str(root), '--folds', '91')
    assert '--shuffles 0: use 1 or more' in told('ablate', str(root), '--shuffles', '0')
    info = json.loads((root / 'dataset.json').read_text())
    database = json.loads((root / 'det.json').read_text())['database']
    cases = {
        'has an emotion': {'emotion': ''},
        'all of one emotion': {'emotion': 'sad'},
        'of 1 subject cannot be parted into 5 folds: it would': {'subject': 'anna'},
        "emotion 'glum': use one of calm, glad, sad": {'emotion': 'glum'},
    }
    (tmp_path / 'dataset.json').write_text(json.dumps(info))
    for text, change in cases.items():
        changed = {name: {**entry, **change} for name, entry in database.items()}
        (tmp_path / 'det.json').write_text(json.dumps({'database': changed}))
        assert text in told('associate', str(tmp_path)), text


def test_the_commands_of_the_page(root, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    ran = []
    for name, (study, *argv) in commands('emotion.md'):
        if study in ('associate', 'ablate'):
            argv = [str(root) if a == 'data/moods' else a for a in argv]
            ran.append((study, main(name, [study, *argv, *FAST])))
        elif name == 'table':
            assert main(name, [study, *argv]) == 0
    assert ran == [('associate', 0), ('ablate', 0)]
    assert main('table', ['moods/results.json', 'ablation/results.json']) == 0
    assert 'nested' in capsys.readouterr().out


def test_a_missing_library_is_named(root, monkeypatch, capsys):
    monkeypatch.setitem(__import__('sys').modules, 'sklearn', None)
    assert main('emotion', ['associate', str(root), *FAST]) == 2
    assert "pip install 'mmma[emotion]'" in capsys.readouterr().err
