"""The page that report.py makes."""

import json
import re
import shutil
from glob import glob
from itertools import product
from xml.etree import ElementTree

import cv2
import pytest
from pages import commands
from result_files import make_rec_root, write_emotions, write_fewshot, write_model

from mmma.cli import main

HOSTILE = '1.23456 <img src=x onerror=alert(1)>$\\alpha$ "שלום" 😀 ' + 'long ' * 30


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    """Folder of a page with its figures, of results of two tasks and a hostile name."""
    folder = tmp_path_factory.mktemp('report')
    root = make_rec_root(folder / 'data' / 'mma82', clips=12)
    few = write_fewshot(
        folder / 'work_dirs/few/fewshot', root, 'few', 0.5, shots=(1,), runs=2
    )
    one = write_model(folder / 'work_dirs/one/lab', root, HOSTILE, 0.7, domain='lab')
    one.with_name('scores.npz').unlink()
    told = [{'input': 'both', 'subset': 'test'}]
    emotion = write_emotions(folder / 'emotion' / 'results.json', 'fuse', told)
    out = ['--out', folder / 'r.html', '--figures', folder / 'figures']
    out += ['--data-root', root.path]
    argv = map(str, (few, one, emotion, *out))
    assert main('report', [*argv]) == 0
    return folder


def test_one_page_without_network_and_all_its_figures(made):
    page = (made / 'r.html').read_text('utf-8')
    figures = re.findall(r'<figure.*?</figure>', page, re.S)
    files = sorted(path.name for path in (made / 'figures').iterdir())
    assert len(files) == 3 * len(figures) > 24
    for name in files[::3]:
        path = made / 'figures' / name
        assert cv2.imread(str(path.with_suffix('.png'))).std() > 5
        assert ElementTree.parse(path.with_suffix('.svg')).getroot().tag.endswith('svg')
        assert len(path.read_text('utf-8').splitlines()) > 1
    for figure in figures:
        assert re.search(r'<figcaption>[A-Z\d][^<]{9,}[.)]\.?</figcaption>', figure)
    assert not re.search(r'<script|<link|<iframe|\b(src|href)="(?!#|data:)', page)
    assert "default-src 'none'" in page
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert {'rec', 'emotion', 'data', 'runs'} <= {*ids}
    assert len(page) < 5e6


def test_commands_of_the_page(made, monkeypatch):
    monkeypatch.chdir(made)
    monkeypatch.setattr('mmma.reporting.report.write_report', lambda sections, *_: 1)
    for name, argv in commands('reports.md'):
        argv = [path for word in argv for path in glob(word) or [word]]
        assert main(name, argv) == 0


def test_simulated_numbers_are_marked_everywhere(made):
    page = (made / 'r.html').read_text('utf-8')
    for part in re.findall(r'<(?:figure|details).*?</(?:figure|details)>', page, re.S):
        assert '<span class="mark">simulated data</span>' in part
    assert 'SIMULATED DATA' in page
    for path in (made / 'figures').iterdir():
        assert 'simulated' in path.name
    for path in (made / 'figures').glob('*.csv'):
        head, *lines = path.read_text('utf-8').splitlines()
        assert head.endswith(',simulated')
        assert all(line.endswith(',true') for line in lines)


def test_names_of_others_are_letters(made):
    page = (made / 'r.html').read_text('utf-8')
    assert '<img' not in page
    assert '1.23456 &lt;img src=x onerror=alert(1)&gt;$\\alpha$' in page
    assert '1.23 &lt;' not in page


def test_what_was_measured_otherwise_is_refused(made, tmp_path, capsys):
    root = make_rec_root(tmp_path / 'root', clips=12)
    files = [
        write_model(tmp_path / n, root, n, 0.5, options__views=n)
        for n in ('one', 'two')
    ]
    assert main('report', [*map(str, files), '--out', f'{tmp_path}/r.html']) == 2
    told = capsys.readouterr().err
    assert told.startswith('error: options.views differs')
    assert told.count('\n') == 1
    assert not (tmp_path / 'r.html').exists()


def test_damaged_parts_are_refused(made, tmp_path, capsys):
    for key, value in (('groups', {'head': 3}), ('confusion', [])):
        content = json.loads((made / 'work_dirs/one/lab/results.json').read_text())
        content['runs'][0][key] = value
        (tmp_path / 'r.json').write_text(json.dumps(content))
        argv = [f'{tmp_path}/r.json', '--out', f'{tmp_path}/r.html']
        assert main('report', argv) == 2
        assert f'runs[0].{key}' in capsys.readouterr().err


def test_the_page_in_a_browser(made):
    sync_api = pytest.importorskip('playwright.sync_api')
    chromium = shutil.which('chromium') or shutil.which('google-chrome')
    if not chromium:
        pytest.skip('no browser')
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=['--no-sandbox'])
        for width, scheme in product((1280, 390), ('light', 'dark')):
            size = {'width': width, 'height': 900}
            page = browser.new_page(viewport=size, color_scheme=scheme)
            told = []
            page.on('console', lambda message, told=told: told.append(message.text))
            page.goto((made / 'r.html').as_uri())
            root = 'document.documentElement'
            assert page.evaluate(f'{root}.scrollWidth') == width
            assert not told
            letters = page.evaluate(
                'Math.min(...[...document.querySelectorAll("figure svg text")].map('
                't => t.getBoundingClientRect().height))'
            )
            assert letters >= 7
            inks = page.evaluate(
                '[document.body, ...document.querySelectorAll("figure svg text")].map('
                't => getComputedStyle(t).fill + getComputedStyle(t).color)'
            )
            light = [max(map(int, re.findall(r'\d+', ink)[:3])) for ink in inks[1:]]
            assert all(light) if scheme == 'dark' else min(light) < 60
        browser.close()
