"""The direction of imports, what importing costs, and the size of the house."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
PACKAGE = REPO / 'mmma'

# The floors, from the ground. A module imports from its own part and from floors below.
FLOORS = (
    ('taxonomy', 'files', 'foreign', 'packets', 'processes', 'pictures'),
    ('video', 'protocols', 'checkpoints', 'structures'),
    ('data', 'compat'),
    ('registry', 'simulation', 'convert'),
    ('datasets', 'models', 'evaluation', 'media', 'config'),
    ('hub',),
    ('engine',),
    ('reporting',),
    ('apis',),
    ('workflow',),
    ('estimates',),
    ('cli',),
)
RANK = {name: rank for rank, floor in enumerate(FLOORS) for name in floor}
BESIDE = {
    *(('files', 'taxonomy'), ('files', 'foreign'), ('packets', 'pictures')),
    ('taxonomy', 'foreign'),
}

# These may only fall; a feature that needs more says what it replaces.
BUDGET = {
    'lines': 46_270,
    'modules': 181,
    'record types': 96,
    'percent in the largest package': 12,
    'functions over 60 lines of code': 0,
    'files over 600 lines': 0,
}


def name_of(path):
    parts = path.relative_to(PACKAGE).with_suffix('').parts
    return '.'.join(parts).removesuffix('__init__').removesuffix('.')


SOURCES = {name_of(p): p for p in sorted(PACKAGE.rglob('*.py'))}
TREES = {name: ast.parse(path.read_text('utf-8')) for name, path in SOURCES.items()}


def imported(name):
    """Modules of the package that a module imports, at any depth of its code."""
    found = set()
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.ImportFrom) and node.module:
            base, _, rest = node.module.partition('.')
            if base != 'mmma':
                continue
            for alias in node.names:
                full = f'{rest}.{alias.name}'.lstrip('.')
                found.add(full if full in SOURCES else rest)
        elif isinstance(node, ast.Import):
            found |= {a.name[5:] for a in node.names if a.name.startswith('mmma.')}
    return found - {'', name}


def test_imports_run_down():
    wrong = []
    for name in SOURCES:
        own = name.split('.')[0]
        if own in ('', '__main__'):
            continue
        if own not in RANK:
            wrong.append(f'{own} has no floor: add it to FLOORS')
            continue
        for part in {target.split('.')[0] for target in imported(name)} - {own}:
            if RANK[part] >= RANK[own] and (own, part) not in BESIDE:
                wrong.append(f'{name} imports {part}')
    assert not wrong


def test_no_module_imports_itself_through_others():
    # An __init__ names its own modules to fill a registry; they may import beside it.
    edges = {
        name: imported(name)
        for name, path in SOURCES.items()
        if path.name != '__init__.py' or name == 'convert'
    }
    while leaves := [n for n, t in edges.items() if not t & edges.keys()]:
        for name in leaves:
            del edges[name]
    assert not edges, f'imports in a circle among {sorted(edges)}'


def code_lines(node, text):
    """Lines of a function that are neither docstring, comment nor blank."""
    own = text[node.lineno - 1 : node.end_lineno]
    doc = ast.get_docstring(node, clean=False)
    if doc is not None:
        first = node.body[0]
        del own[first.lineno - node.lineno : first.end_lineno - node.lineno + 1]
    return sum(not line.strip().startswith('#') for line in own if line.strip())


def measure():
    """Size of the package, with the keys of ``BUDGET``."""
    texts = {n: p.read_text('utf-8').splitlines() for n, p in SOURCES.items()}
    total = sum(map(len, texts.values()))
    by_package = {}
    for name, path in SOURCES.items():
        if path.parent != PACKAGE:
            part = name.split('.')[0]
            by_package[part] = by_package.get(part, 0) + len(texts[name])
    records = re.compile(r'^@dataclass|\(NamedTuple\)|\(TypedDict\)', re.M)
    return {
        'lines': total,
        'modules': len(SOURCES),
        'record types': sum(len(records.findall('\n'.join(t))) for t in texts.values()),
        'percent in the largest package': round(100 * max(by_package.values()) / total),
        'functions over 60 lines of code': sum(
            code_lines(node, texts[name]) > 60
            for name, tree in TREES.items()
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef)
        ),
        'files over 600 lines': sum(len(text) > 600 for text in texts.values()),
    }


def test_the_house_does_not_grow():
    size = measure()
    assert size.keys() == BUDGET.keys()
    over = {k: f'{size[k]}, budget {BUDGET[k]}' for k in BUDGET if size[k] > BUDGET[k]}
    assert not over


def loaded_by(statement):
    code = (
        f'import sys, time; t = time.process_time(); {statement}; '
        'print(time.process_time() - t, '
        "*sorted({m.split('.')[0] for m in sys.modules}))"
    )
    out = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=True
    ).stdout.split()
    return float(out[0]), set(out[1:])


HEAVY = {'torch', 'mmengine', 'mmaction', 'mmcv', 'cv2'}


def test_import_is_fast_and_light():
    seconds, modules = min(loaded_by('import mmma') for _ in range(3))
    assert seconds < 0.15
    assert not modules & (HEAVY | {'numpy'})


def test_these_need_no_torch():
    names = [
        'data.root', 'data.check', 'convert', 'protocols', 'checkpoints', 'video',
        'apis', 'structures.segments', 'evaluation.recognition', 'evaluation.detection',
        'evaluation.bootstrap', 'evaluation.scores', 'evaluation.rows', 'hub.zoo',
        'reporting.results', 'cli.evaluate', 'cli.train', 'cli.test', 'cli.fuse',
        'cli.submit', 'cli.download', 'cli.infer', 'cli.publish_model',
        'evaluation.agreement', 'evaluation.behaviour', 'cli.agree', 'cli.summarize',
        'evaluation.emotion', 'cli.emotion',
    ]  # fmt: skip
    heavy = {}
    for name in names:
        _, modules = loaded_by(f'import mmma.{name}')
        if modules & HEAVY:
            heavy[name] = modules & HEAVY
    assert not heavy


@pytest.mark.parametrize(
    'tool', ['train', 'test', 'evaluate', 'print_config', 'download', 'infer']
)
def test_help_is_fast(tool):
    code = (
        'import sys, time; t = time.process_time(); from mmma.cli import main\n'
        'try: main(sys.argv[1], ["--help"])\n'
        'except SystemExit: print(time.process_time() - t)'
    )
    runs = [
        subprocess.run(
            [sys.executable, '-c', code, tool],
            capture_output=True, text=True, check=True,
        ).stdout.split()[-1]
        for _ in range(2)
    ]  # fmt: skip
    assert min(map(float, runs)) < 1.0
