"""The direction of imports, and what importing costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
PACKAGE = REPO / 'mmma'

# A module may import from its own layer's folder and from layers above its own.
LAYERS = (
    ('cache',),
    ('taxonomy', 'config', 'protocols', 'layout', 'compat', 'checkpoints'),
    ('registry',),
    ('structures',),
    ('datasets', 'models', 'evaluation', 'simulation', 'packing'),
    ('engine', 'pose'),
    ('hub', 'reporting'),
    ('apis',),
    ('cli',),
)
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
ALLOWED_BESIDE = {
    ('layout', 'taxonomy'),
    ('protocols', 'taxonomy'),
    ('config', 'taxonomy'),
    ('config', 'protocols'),
    ('checkpoints', 'taxonomy'),
    ('compat', 'checkpoints'),
}
MODULES = sorted(p for p in PACKAGE.rglob('*.py') if p.name != '__main__.py')


def imported_parts(path):
    """First-level parts of mmma that a module imports, at any depth of its code."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            full = node.module.split('.')
            names = [a.name for a in node.names]
            if full == ['mmma']:
                yield from names
            elif full[0] == 'mmma':
                yield full[1]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                full = alias.name.split('.')
                if full[0] == 'mmma' and len(full) > 1:
                    yield full[1]


@pytest.mark.parametrize('path', MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_run_one_way(path):
    own = path.relative_to(PACKAGE).parts[0].removesuffix('.py')
    if own == '__init__':
        return
    assert own in RANK, f'{own} has no layer: add it to LAYERS'
    for part in imported_parts(path):
        if part == own or part not in RANK:
            continue
        beside = (own, part) in ALLOWED_BESIDE
        assert RANK[part] < RANK[own] or beside, f'{own} imports {part}'


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


@pytest.mark.parametrize(
    'module',
    [
        'mmma.layout.root',
        'mmma.protocols',
        'mmma.evaluation.functional.recognition',
        'mmma.evaluation.scores',
        'mmma.cli.evaluate',
        'mmma.cli.train',
        'mmma.cli.test',
        'mmma.cli.fuse',
        'mmma.cli.submit',
        'mmma.cli.download',
        'mmma.cli.infer',
        'mmma.cli.publish_model',
        'mmma.evaluation.detection',
        'mmma.evaluation.fusion',
        'mmma.hub.index',
        'mmma.reporting.results',
        'mmma.structures.segments',
    ],
)
def test_these_need_no_torch(module):
    _, modules = loaded_by(f'import {module}')
    assert not modules & HEAVY


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
