"""What a first user sees; the commands themselves are stubs here."""

import json
import os
from contextlib import redirect_stdout

import pytest

from mmma.cli import main, quickstart
from mmma.config import find_config
from mmma.taxonomy import own_table

PLACES = {'lab': 80.0, 'psychiatric': 50.0, 'street': 40.0, 'emotion': 45.0}


def rows(kind):
    """Rows of a results file, doubles and controls included."""
    det = kind.startswith('det')
    for place, top1 in PLACES.items():
        own = {'domain': place} if 'indomain' in kind else {'target': place}
        if ('indomain' in kind) != (place == 'lab'):
            continue
        metrics = {'action/mAP': top1 / 2} if det else {'action/top1': top1}
        row = {**own, 'counts': {'videos': 7, 'clips': 9}, 'metrics': metrics}
        metrics['body/top1'] = 90.0
        if 'indomain' in kind:
            yield {**row, 'domain': 'all'}
        if kind != 'fewshot':
            yield row
            continue
        yield {**row, 'shots': 0, 'control': 'prior'}
        for more, control in ((-5, 'prior'), (4, None), (6, None)):
            labels = {'shots': 5, 'control': control}
            yield {**row, **labels, 'metrics': {'action/top1': top1 + more}}


@pytest.fixture
def calls(monkeypatch):
    """Commands that were called; they write results and talk a lot."""
    found = []
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)

    def stub(command, argv):
        found.append((command, *argv))
        assert 'OMP_NUM_THREADS' not in os.environ
        print('many lines\n' * 400)
        if command == 'test':
            out = argv[argv.index('--work-dir') + 1]
            kind = 'det/' * ('/det/' in out) + out.rpartition('/')[2]
            folder = quickstart.Path(out)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / 'results.json').write_text(json.dumps({'runs': [*rows(kind)]}))
        return 2 * (command == 'train' and 'broken' in argv[2])

    def process(words, stdout, stderr):  # of its own: it limits its threads
        with redirect_stdout(stdout):
            return stub(words[3], words[4:])

    monkeypatch.setattr(quickstart, 'main', stub)
    monkeypatch.setattr(quickstart.subprocess, 'call', process)
    return found


def test_it_ends_with_one_narrow_table_and_what_to_try_next(tmp_path, calls, capsys):
    for _ in range(2):  # the second run does it anew
        argv = ['--data', str(tmp_path / 'a b'), '--out', str(tmp_path / 'out')]
        assert main('quickstart', argv) == 0
        text = capsys.readouterr().out
        lines = text.splitlines()
        table = [line for line in lines if line.startswith(('+-', '| '))]
        assert len(lines) <= 40
        assert max(map(len, table)) <= 76
        assert [line.split('|')[1].strip() for line in table[3:-1]] == [*PLACES]
        street = [cell.strip() for cell in table[5].split('|')[2:-1]]
        assert street == ['9', '40.0', '90.0', '45.0', '35.0', '7', '20.0']
        assert 'SIMULATED' in text
        assert '80 % of the clips' in text
        assert '40 to 50 % in the other' in text
        assert 'by +5.0 to\n+5.0 points' in text
        assert 'python -m mmma infer' in text
    assert len(calls) == 2 * len(own_table('workflow')['quickstart'])
    assert all(str(tmp_path / 'a b') in call for call in (calls[0], calls[2]))
    assert 'many lines' in (tmp_path / 'out' / 'quickstart' / '03.log').read_text()


def test_a_step_that_fails_shows_its_end_and_where_the_rest_is(tmp_path, calls, capsys):
    assert main('quickstart', ['--data', 'broken', '--out', str(tmp_path)]) == 2
    told = capsys.readouterr().out
    assert f'that is of {tmp_path}/quickstart/03.log' in told
    assert len(calls) == 3


def test_every_config_of_it_is_found_by_name():
    lines = [line.split() for _, line in own_table('workflow')['quickstart']]
    named = [words[1] for words in lines if words[0] in ('train', 'test')]
    assert len(named) == 7
    assert all(find_config(name, typed=False) for name in named)


def test_progress_is_rarer_the_longer_it_takes(tmp_path, monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(quickstart.time, 'monotonic', lambda: now[0])
    with quickstart._Log((tmp_path / 'a.log').open('wb'), 'utf-8') as file:
        for second in range(1800):  # of half an hour
            now[0] = float(second)
            file.write(f'epoch {second}\n')
    assert 6 <= len(capsys.readouterr().out.splitlines()) <= 12
    assert len((tmp_path / 'a.log').read_text().splitlines()) == 1800
