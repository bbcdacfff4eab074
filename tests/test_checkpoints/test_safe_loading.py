"""No line of the project reads a file in a way that could run code from it."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / 'mmma'
MODULES = {str(p.relative_to(PACKAGE)): p for p in sorted(PACKAGE.rglob('*.py'))}
# Where trust is the user's to give.
TRUSTING = {'checkpoints/files.py'}
RESTRICTED = {'convert/pyskl.py'}
FORBIDDEN = {
    *('torch.jit.load', 'torch.hub.load', 'torch.hub.load_state_dict_from_url'),
    *('torch.package.PackageImporter', 'joblib.load', 'dill.load', 'dill.loads'),
    *('pickle.load', 'pickle.loads', 'marshal.loads', 'shelve.open'),
    *('yaml.load', 'yaml.unsafe_load', 'yaml.full_load', 'mmengine.load'),
    *('mmengine.fileio.load', 'eval', 'exec'),
}
LOADERS = ('load_checkpoint', 'load_from_local', 'load_state_dict_from_url')


def imported(tree):
    """Meanings of the names of a module."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name] = alias.name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                names[alias.asname or alias.name] = f'{node.module}.{alias.name}'
    return names


def calls(source):
    """Full names and nodes of all calls."""
    tree = ast.parse(source)
    names = imported(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            first, dot, rest = ast.unparse(node.func).partition('.')
            yield f'{names.get(first, first)}{dot}{rest}', node


def unsafe(source, trusting=False, restricted=False):
    """Calls of a module that could run code from a file."""
    for name, node in calls(source):
        given = {k.arg: k.value for k in node.keywords}
        if name == 'torch.load':
            value = given.get('weights_only')
            fixed = isinstance(value, ast.Constant) and value.value is True
            if value is None or not (fixed or trusting):
                yield name
        elif name in ('numpy.load', 'np.load'):
            allowed = given.get('allow_pickle')
            if allowed is not None and ast.unparse(allowed) != 'False':
                yield name
        elif name == 'pickle.Unpickler' or name.endswith('._Unpickler'):
            if not restricted:
                yield name
        elif name in FORBIDDEN or name.split('.')[-1] in LOADERS:
            yield name


def test_files_are_read_without_running_them():
    found = {}
    for module, path in MODULES.items():
        source = path.read_text(encoding='utf-8')
        found[module] = list(unsafe(source, module in TRUSTING, module in RESTRICTED))
    wrong = {module: names for module, names in found.items() if names}
    assert not wrong, 'use mmma.checkpoints.load_weights_file'


def test_what_this_finds():
    missed = [
        line
        for line in (
            'import torch; torch.load(path)',
            'import torch as t; t.load(path, weights_only=False)',
            'from torch import load; load(path, weights_only=flag)',
            'import pickle; pickle.load(file)',
            'from pickle import loads as read; read(data)',
            'import pickle; pickle.Unpickler(file).load()',
            'import numpy as np; np.load(path, allow_pickle=True)',
            'from mmengine.runner import load_checkpoint; load_checkpoint(model, path)',
            'runner.load_checkpoint(path)',
            'from torch import hub; hub.load_state_dict_from_url(url)',
            'import mmengine; mmengine.load(path)',
            'eval(text)',
        )
        if not list(unsafe(line))
    ]
    assert not missed


def test_what_is_safe():
    line = 'import torch; torch.load(path, weights_only=True); model.eval()'
    assert not list(unsafe(line))
    assert not list(unsafe('import numpy as np; np.load(path, mmap_mode="r")'))
