"""The site of ``make docs``: whole, without warnings, without a network."""

import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pytest

import mmma
from mmma.cli import COMMANDS

REPO = Path(__file__).resolve().parents[1]
pytest.importorskip('myst_parser', reason="needs the extra: pip install 'mmma[docs]'")
pytest.importorskip('furo', reason="needs the extra: pip install 'mmma[docs]'")


@pytest.mark.slow
def test_the_site(tmp_path):
    # One test, so that parallel runs build once.
    site = build(tmp_path)
    for name, check in globals().items():
        if name.startswith('check_'):
            check(site)


def build(folder):
    """Pages by their place, as ``sphinx-build -W`` makes them."""
    command = (sys.executable, '-m', 'sphinx', '-W', '--keep-going', '-q')
    options = ('-d', folder / 'trees', REPO / 'docs', folder / 'html')
    env = os.environ | {'PYTHONPATH': str(REPO)}
    told = subprocess.run([*command, *options], env=env, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr[-3000:]
    pages = sorted((folder / 'html').rglob('*.html'))
    return {p.relative_to(folder / 'html'): p.read_text('utf-8') for p in pages}


def check_every_page_is_there(site):
    sources = [*REPO.glob('docs/**/*.md'), *REPO.glob('docs/**/*.ipynb')]
    sources += [REPO / f'{n}.md' for n in ('README', 'model_zoo', 'CHANGELOG')]
    places = {p.relative_to(REPO).with_suffix('.html') for p in sources}
    assert not {p for p in places if '_build' not in p.parts} - {*site}
    start = site[Path('docs/index.html')]
    assert all(word in start for word in ('video_pages', 'README', 'data_format'))
    assert 'url=docs/index.html' in site[Path('index.html')]


def check_names_of_the_package_and_what_configs_name(site):
    page = site[Path('docs/api/mmma.html')]
    assert not [name for name in mmma._NAMES if f'id="mmma.{name}"' not in page]
    evaluation = site[Path('docs/api/evaluation.html')]
    files = {p.stem for p in REPO.glob('mmma/evaluation/*.py')} - {'__init__'}
    assert not [
        n for n in files if f'id="module-mmma.evaluation.{n}"' not in evaluation
    ]
    rows = re.findall(
        '<tr class="row.*?</tr>', site[Path('docs/registries.html')], re.S
    )
    rows = [row for row in rows if '<th' not in row]
    assert len(rows) > 50
    assert not [row for row in rows if 'href="api/' not in row]


def check_every_command_with_its_options(site):
    page = site[Path('docs/commands.html')]
    found = re.findall(r'<h3>(.*?)<a', page)
    assert sorted(found) == sorted(COMMANDS)
    assert page.count('show this help message') == len(COMMANDS)


def check_links_of_the_site_lead_somewhere(site):
    wrong, seen = [], 0
    for place, page in site.items():
        for link in re.findall(r'<a [^>]*?href="(?!\w+:)([^"]+)"', page):
            seen += 1
            path, _, anchor = unquote(unescape(link)).partition('#')
            to = Path(os.path.normpath(place.parent / path)) if path else place
            known = to in site or '_downloads' in path
            if not known or (anchor and f'id="{anchor}"' not in site[to]):
                wrong.append(f'{place}: {link}')
    assert not wrong
    assert seen > 3000


def check_pages_load_nothing_and_tell_nothing_of_the_machine(site):
    tags = r'<(?:script|img|source|iframe|link)\b[^>]*?(?:src|href)="'
    loads = rf'(?:{tags}|url\(|@import ")(?:https?:)?//'
    places = (REPO, Path.home(), sys.prefix)
    for place, page in site.items():
        assert not re.search(loads, page), place
        assert not [own for own in places if f'{own}/' in page], place
