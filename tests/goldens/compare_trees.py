# ruff: noqa: E501
"""Does a refactored tree behave as the old one? Runs both, compares what they give.

    python compare_trees.py OLD_TREE NEW_TREE --out DIR [--parts a,b,...] [--refresh-old]

What OLD gives is kept under DIR/old/PART, so that repeats only run NEW (DIR/new/PART).
Exit status: 0 all alike, 1 differences. Lines marked "info" never fail.

Every tree runs with cwd=TREE, PYTHONPATH=TREE, an empty MMMA_HOME of its own and one
thread; byte code goes to DIR/pycache, so that no tree is written to. Most commands run
in children that are forked from one process per tree, which has imported torch and
``mmma.registry`` (this saves 6 s each); the recognition training is a real ``python
tools/train.py``. The data are simulated once, by OLD, and shared.
"""

import argparse
import ast
import contextlib
import hashlib
import inspect
import io
import json
import math
import os
import re
import shutil
import subprocess
import sys
import time
import traceback
from pathlib import Path

PARTS = ('surface', 'configs', 'help', 'simulate', 'runs', 'zoo', 'extras')
SHOWN = 40
PER_FILE = 4
TOLERANCE = 1e-6
PYTHON = os.environ.get('GOLDEN_PYTHON', sys.executable)
PROTOCOLS = ('indomain', 'zeroshot', 'fewshot')

# ---------------------------------------------------------------- what is ignored, why
# Dotted paths inside JSON and checkpoints, as regular expressions.
IGNORED = (
    r'^environment\b',  # results.json: versions of packages and the device
    r'(^|\.)(time|created|seconds|took|experiment_name|mmengine_version)$',  # clock; the
    # last holds the commit of the checkout, which a new tree changes by being new
    r'(^|[./])(data_time|time|eta|memory)(\.|$)',  # measured by the clock
    r'^meta\.mmma_version$|^mmma_version$',  # may be raised by a release
    r'(^|\.)protocol_overrides\b',  # was empty in every recipe, and is gone
    r'(^|[._])mtime',  # features and journals note when a file was written
)  # fmt: skip
# Checkpoints that the run itself wrote hold the time and the work dir, so their hash
# differs from run to run; it is compared for files that came from elsewhere (the zoo).
OWN_SHA = 'sha256'
# Folders and files that hold logs, or that are named by the clock.
SKIPPED = re.compile(
    r'(^|/)(\d{8}_\d{6}|vis_data|home|__pycache__|logs)(/|$)|\.log$|(^|/)scalars\.json$'
)
# Lines that are printed every so many seconds.
PROGRESS = re.compile(
    r'^(look at videos|decode|features of) \d|\d% *\)?, .* left$|more videos: about'
)
TEXTS = ('.txt', '.md', '.csv', '.tex', '.out', '.err', '.py', '.yml', '.html', '.sh')


class Diff(list):
    """Differences of a part: (path, old, new); ``notes`` never fail."""

    def __init__(self):
        super().__init__()
        self.notes = []

    def add(self, path, old, new):
        self.append((path, old, new))

    def note(self, path, old, new):
        self.notes.append((path, old, new))


def ignored(path):
    return any(re.search(pattern, path) for pattern in IGNORED)


def compare(old, new, path, diff, own_checkpoint=False):
    """Compare plain values; numbers to a tolerance."""
    if ignored(path):
        return
    if isinstance(old, dict) and isinstance(new, dict):
        own = own_checkpoint or str(old.get('path', '')).startswith('<OUT>')
        for key in {**old, **new}:
            where = f'{path}.{key}' if path else str(key)
            if ignored(where) or (own and key == OWN_SHA and 'path' in old):
                continue
            if key not in old or key not in new:
                diff.add(where, old.get(key, '<absent>'), new.get(key, '<absent>'))
            else:
                compare(old[key], new[key], where, diff, own_checkpoint)
    elif isinstance(old, (list, tuple)) and isinstance(new, (list, tuple)):
        if len(old) != len(new):
            diff.add(f'{path} (length)', f'{len(old)}: {old}', f'{len(new)}: {new}')
            return
        for i, (left, right) in enumerate(zip(old, new, strict=True)):
            compare(left, right, f'{path}[{i}]', diff, own_checkpoint)
    elif type(old).__module__ == 'torch' or type(new).__module__ == 'torch':
        compare_arrays(old, new, path, diff)
    elif is_number(old) and is_number(new):
        close = math.isclose(old, new, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
        if not close and not (math.isnan(old) and math.isnan(new)):
            diff.add(path, old, new)
    elif isinstance(old, str) and isinstance(new, str) and '\n' in old:
        compare_text(path, old, new, diff.add)
    elif old != new or type(old) is not type(new):
        diff.add(path, old, new)


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def compare_arrays(old, new, path, diff):
    import numpy as np

    try:
        a, b = np.asarray(old), np.asarray(new)
    except Exception:
        diff.add(path, type(old), type(new))
        return
    if a.shape != b.shape or a.dtype != b.dtype:
        diff.add(path, f'{a.dtype}{a.shape}', f'{b.dtype}{b.shape}')
    elif a.dtype.kind in 'fc':
        bad = ~np.isclose(a, b, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)
        if bad.any():
            at = tuple(int(i) for i in np.argwhere(bad)[0])
            many = f'{int(bad.sum())} of {a.size} differ, first at {at}: '
            diff.add(path, f'{many}{a[at]!r}', f'{b[at]!r}')
    elif not np.array_equal(a, b):
        bad = np.argwhere(np.atleast_1d(a != b))
        at = tuple(int(i) for i in bad[0])
        a, b = np.atleast_1d(a), np.atleast_1d(b)
        diff.add(
            path,
            f'{len(bad)} of {a.size} differ, first at {at}: {a[at]!r}',
            f'{b[at]!r}',
        )


# --------------------------------------------------------------------------- scrubbing
class Scrubber:
    """Takes out of texts what says where and when a tree ran."""

    def __init__(self, tree, *folders):
        self.names = [(str(f), '<OUT>') for f in folders] + [(str(tree), '<TREE>')]
        self.names.sort(key=lambda pair: -len(pair[0]))

    def __call__(self, text):
        for name, short in self.names:
            text = text.replace(name, short)
        text = re.sub(r'\d{8}_\d{6}', '<TIME>', text)
        return re.sub(r'\b\d[\d,.]*(?= (s|seconds|minutes|min|ms|MB/s)\b)', '<N>', text)

    def value(self, value):
        if isinstance(value, str):
            return self(value)
        if isinstance(value, dict):
            return {
                self(k) if isinstance(k, str) else k: self.value(v)
                for k, v in value.items()
            }
        if isinstance(value, (list, tuple)):
            return [self.value(v) for v in value]
        return value

    def output(self, text):
        """Lines of a command's output; of MMEngine's log only warnings and errors."""
        kept, logged = [], False
        for line in text.splitlines():
            line = line.rpartition('\r')[2]
            if PROGRESS.search(line):
                continue
            stamp = re.match(r'^\d[\d/]* [\d:]+ - \w+ - (\w+) - (.*)', line)
            if stamp:
                logged = True
                if stamp[1] in ('WARNING', 'ERROR', 'CRITICAL'):
                    kept.append(f'{stamp[1]}: {stamp[2]}')
                continue
            # What follows a log line belongs to it (the config, the environment) until
            # a table, or a line of ours.
            if re.match(
                r'^([+|]|written|error|note|warning|Simulated|\S+: (?!/))', line
            ):
                logged = logged and not line.startswith(('+', '|', 'written', 'error'))
            if not logged and line.strip():
                kept.append(self(line).rstrip())
        return '\n'.join(kept)


# ----------------------------------------------------------------------- file by file
def listed(folder):
    files = (p.relative_to(folder).as_posix() for p in folder.rglob('*') if p.is_file())
    return {
        f for f in files if not SKIPPED.search(f) and f not in ('done.json', 'complete')
    }


def without_time(name):
    return re.sub(r'\d{8}_\d{6}', '<TIME>', name)


def compare_folders(old, new, scrub_old, scrub_new, diff, only=None):
    left, right = listed(old), listed(new)
    if only is not None:
        left = {f for f in left if f.split('/')[0].split('.')[0] in only}
    plain, other = ({without_time(f): f for f in files} for files in (left, right))
    for name in sorted({*plain, *other}):
        if name not in plain or name not in other:
            diff.add(
                name, *('absent' if name not in x else 'file' for x in (plain, other))
            )
        else:
            compare_files(
                name, old / plain[name], new / other[name], scrub_old, scrub_new, diff
            )


def compare_files(name, old, new, scrub_old, scrub_new, diff):
    suffix = old.suffix
    if suffix == '.json':
        left, right = (json.loads(p.read_text(encoding='utf-8')) for p in (old, new))
        found = Diff()
        compare(scrub_old.value(left), scrub_new.value(right), '', found)
        merge(found, name, diff)
    elif suffix == '.npz':
        compare_npz(name, old, new, scrub_old, scrub_new, diff)
    elif suffix in ('.pth', '.pt'):
        import torch

        left, right = (
            torch.load(p, weights_only=True, map_location='cpu') for p in (old, new)
        )
        found = Diff()
        compare(scrub_old.value(left), scrub_new.value(right), '', found)
        merge(found, name, diff)
    elif suffix == '.safetensors':
        from safetensors.numpy import load_file

        left, right = load_file(old), load_file(new)
        for key in sorted({*left, *right}):
            if key in left and key in right:
                compare_arrays(left[key], right[key], f'{name}:{key}', diff)
            else:
                diff.add(f'{name}:{key}', key in left, key in right)
    elif suffix in TEXTS or old.name == 'last_checkpoint':
        left, right = (
            p.read_text(encoding='utf-8', errors='replace') for p in (old, new)
        )
        if suffix in ('.out', '.err'):
            left, right = scrub_old.output(left), scrub_new.output(right)
        else:
            left, right = scrub_old(left), scrub_new(right)
        compare_text(name, left, right, diff.add)
    elif old.read_bytes() != new.read_bytes():
        diff.add(name, f'sha256 {sha256(old)}', f'sha256 {sha256(new)}')


def merge(found, name, diff):
    for path, left, right in found:
        diff.add(f'{name}:{path}', left, right)


def compare_npz(name, old, new, scrub_old, scrub_new, diff):
    import numpy as np

    with np.load(old, allow_pickle=False) as a, np.load(new, allow_pickle=False) as b:
        for key in sorted({*a.files, *b.files}):
            if key in a.files and key in b.files:
                left, right = a[key], b[key]
                if left.dtype.kind == 'U' and left.ndim == 0:
                    left, right = scrub_old(str(left)), scrub_new(str(right))
                    compare(left, right, f'{name}:{key}', diff)
                else:
                    compare_arrays(left, right, f'{name}:{key}', diff)
            else:
                diff.add(f'{name}:{key}', key in a.files, key in b.files)


def compare_text(name, old, new, add):
    """Line by line; numbers inside of tables must print alike."""
    if old == new:
        return
    import difflib

    left, right = old.splitlines(), new.splitlines()
    matcher = difflib.SequenceMatcher(None, left, right, autojunk=False)
    for kind, a, b, c, d in matcher.get_opcodes():
        if kind != 'equal':
            add(f'{name} line {a + 1}', '\n'.join(left[a:b]), '\n'.join(right[c:d]))


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


# ------------------------------------------------------------ workers, one per tree
def capture(function, *args):
    """Exit status, standard output and standard error of a call."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = function(*args)
        except SystemExit as stop:
            status = stop.code
        except Exception:
            status = 'raised'
            err.write(traceback.format_exc())
    return status, out.getvalue(), err.getvalue()


def work_configs(tree, out, given):
    from mmma.cli import main

    found = {}
    leaves = sorted(
        [*Path('configs/recog').glob('*.py'), *Path('configs/det').glob('*.py')]
    )
    for leaf in leaves:
        name = leaf.as_posix()
        for protocol in (None, *PROTOCOLS):
            flags = ['--protocol', protocol] if protocol else []
            told = f'{name} {protocol or "(own)"}'
            status, text, err = capture(
                main, 'print_config', [name, *flags, '--origin']
            )
            keys, origin = {}, {}
            for line in text.splitlines():
                key, _, rest = line.partition(' = ')
                value, _, where = rest.rpartition('  # ')
                try:
                    keys[key] = ast.literal_eval(value)
                except (ValueError, SyntaxError):
                    keys[key] = value
                origin[key] = where
            found[told] = {
                'status': status, 'error': err.strip(), 'keys': keys, 'origin': origin,
            }  # fmt: skip
        # As print_config prints it without --origin, read as Python.
        status, text, err = capture(main, 'print_config', [name])
        names = {}
        exec(text, names)
        names.pop('__builtins__')
        found[f'{name} (printed)'] = {
            'status': status, 'error': err.strip(), 'keys': names, 'origin': {},
        }  # fmt: skip
    (out / 'configs.json').write_text(json.dumps(found, indent=1, default=repr))


def compare_configs(old, new, scrubs, diff):
    left, right = (json.loads((f / 'configs.json').read_text()) for f in (old, new))
    for name in sorted({*left, *right}):
        if name not in right:
            diff.add(name, 'a config', '<absent>')
        elif name not in left:
            diff.note(name, '<absent>', 'a new config')
        else:
            a, b = left[name], right[name]
            for key in ('status', 'error'):
                compare(
                    scrubs[0].value(a[key]),
                    scrubs[1].value(b[key]),
                    f'{name} {key}',
                    diff,
                )
            compare(a['keys'], b['keys'], f'{name} ', diff)
            found = Diff()
            compare(a['origin'], b['origin'], f'{name} origin ', found)
            diff.notes += found


def work_help(tree, out, given):
    import mmma.cli as cli

    parsers = {}
    plain = argparse.ArgumentParser.parse_args

    def grab(parser, *args, **kwargs):
        parsers['last'] = parser
        raise SystemExit(0)

    known = [tuple(k) for k in given.get('known', [])]
    found, asked = {}, list(known)
    for command in cli.COMMANDS:
        argparse.ArgumentParser.parse_args = grab
        capture(cli.main, command, [])
        argparse.ArgumentParser.parse_args = plain
        asked += walk(parsers.pop('last', None), (command,))
    for words in dict.fromkeys(asked):
        status, text, err = capture(cli.main, words[0], [*words[1:], '--help'])
        found[' '.join(words)] = {
            'words': words,
            'status': status,
            'text': text,
            'error': err,
        }
    status, text, err = capture(cli.entry, ['--help'])
    found['python -m mmma'] = {
        'words': [],
        'status': status,
        'text': text,
        'error': err,
    }
    (out / 'help.json').write_text(json.dumps(found, indent=1))


def walk(parser, words):
    """A parser's words and those of its sub-commands."""
    yield words
    for action in getattr(parser, '_actions', ()):
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                yield from walk(inner, (*words, name))


def compare_help(old, new, scrubs, diff):
    left, right = (json.loads((f / 'help.json').read_text()) for f in (old, new))
    for name in sorted({*left, *right}):
        if name not in left:
            diff.add(name, '<absent>', 'a new command')
            continue
        a, b = (
            left[name],
            right.get(name, {'status': '<absent>', 'text': '', 'error': ''}),
        )
        compare(a['status'], b['status'], f'{name} status', diff)
        for key in ('text', 'error'):
            compare_text(
                f'{name} --help', scrubs[0](a[key]), scrubs[1](b[key]), diff.add
            )


def work_surface(tree, out, given):
    """Registries, imports that users write, commands and tools of a tree."""
    imports = ['mmma.datasets', 'mmma.models', 'mmma.evaluation.metrics', 'mmma.engine']
    found = {'imports': {}, 'registries': {}, 'resolved': {}}
    for name in [
        *imports,
        'mmma.apis',
        'mmma.taxonomy',
        'mmma.protocols',
        'mmma.compat',
    ]:
        found['imports'][name] = in_child(out, lambda name=name: keys_after(name))
    status, _, err = capture(
        lambda: [__import__(n) for n in ['mmma.registry', *imports]]
    )
    found['together'] = 'imported' if status != 'raised' else err.splitlines()[-1]
    from mmengine.registry import Registry

    import mmma.registry as module

    registries = {k: v for k, v in vars(module).items() if isinstance(v, Registry)}
    used = set(given.get('used') or used_types(tree))
    for name, registry in sorted(registries.items()):
        found['registries'][name] = {
            key: signature(value)
            for key, value in sorted(registry._module_dict.items())
        }
        ok = []
        for key in sorted(used):
            with contextlib.suppress(Exception):
                ok += [key] if registry.get(key) is not None else []
        found['resolved'][name] = ok
    import mmma.apis as apis
    import mmma.cli as cli

    found['used'] = sorted(used)
    found['commands'] = sorted(cli.COMMANDS)
    found['tools'] = sorted(p.as_posix() for p in Path('tools').rglob('*.py'))
    found['apis'] = {
        name: signature(value)
        for name, value in sorted(vars(apis).items())
        if not name.startswith('_') and callable(value)
        and getattr(value, '__module__', '') == 'mmma.apis'
    }  # fmt: skip
    (out / 'surface.json').write_text(json.dumps(found, indent=1))


def keys_after(name):
    """Registered names after one import alone, as custom_imports does it."""
    __import__(name)
    from mmengine.registry import Registry

    import mmma.registry as module

    found = {k: v for k, v in vars(module).items() if isinstance(v, Registry)}
    return {
        k: sorted(v._module_dict) for k, v in sorted(found.items()) if v._module_dict
    }


def in_child(out, function):
    """JSON of what a function gives in a forked child, or its error."""
    file = out / 'child.json'
    pid = os.fork()
    if not pid:
        try:
            value = function()
        except BaseException as error:
            value = f'{type(error).__name__}: {error}'
        file.write_text(json.dumps(value))
        os._exit(0)
    os.waitpid(pid, 0)
    value = json.loads(file.read_text())
    file.unlink()
    return value


def signature(value):
    """Names and defaults of parameters; annotations may change freely."""
    try:
        parameters = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return '?'
    kinds = {inspect.Parameter.VAR_POSITIONAL: '*', inspect.Parameter.VAR_KEYWORD: '**'}
    texts = []
    for p in parameters:
        default = '' if p.default is p.empty else f'={p.default!r}'
        keyword = '(kw)' if p.kind is p.KEYWORD_ONLY else ''
        texts.append(
            kinds.get(p.kind, '') + p.name + keyword + re.sub(r' at 0x\w+', '', default)
        )
    return ', '.join(texts)


def used_types(tree):
    """Types that configs, published configs and the README name."""
    files = [
        *Path(tree, 'configs').rglob('*.py'),
        *Path(tree, 'zoo').glob('*/config.py'),
    ]
    text = '\n'.join(f.read_text() for f in files)
    quoted = re.findall(r"""\btype=['"]([\w.]+)['"]""", text)
    quoted += re.findall(r"""\bconstructor=['"]([\w.]+)['"]""", text)
    readme = Path(tree, 'README.md').read_text()
    return sorted({*quoted, *re.findall(r"""\btype=['"]?([\w.]+)""", readme),
                   'ClassBalancedFocalLoss'})  # fmt: skip


def compare_surface(old, new, scrubs, diff):
    a, b = (json.loads((f / 'surface.json').read_text()) for f in (old, new))
    used = {name.removeprefix('mmma.') for name in a['used']}
    for name, keys in a['imports'].items():
        now = b['imports'].get(name)
        if isinstance(now, str) and not isinstance(keys, str):
            diff.add(f'import {name}', 'works', now)
        elif keys != now:
            add = diff.add if lacks(keys, now, used) else diff.note
            add(f'registered after importing only {name}', keys, now)
    compare(a['together'], b['together'], 'importing all', diff)
    for name, keys in a['registries'].items():
        now = b['registries'].get(name)
        if now is None:
            (diff.add if keys else diff.note)(
                f'mmma.registry.{name}', 'a registry', '<absent>'
            )
            continue
        for key, text in keys.items():
            where = f'{name}: {key}'
            if key not in now:
                wanted = key in used or name == 'DATA_SAMPLERS'
                (diff.add if wanted else diff.note)(where, 'registered', '<absent>')
            elif text != now[key]:
                diff.note(f'{where} parameters', text, now[key])
        for key in sorted({*now} - {*keys}):
            diff.note(f'{name}: {key}', '<absent>', 'registered')
        for key in sorted({*a['resolved'][name]} - {*b['resolved'].get(name, ())}):
            diff.add(f'{name}.get({key!r})', 'found', None)
    for key in ('commands', 'tools'):
        for item in sorted({*a[key]} - {*b[key]}):
            diff.add(f'{key}: {item}', 'there', '<absent>')
        for item in sorted({*b[key]} - {*a[key]}):
            diff.note(f'{key}: {item}', '<absent>', 'new')
    for key, text in a['apis'].items():
        if key not in b['apis']:
            diff.note(f'mmma.apis.{key}', text, '<not defined there>')
        elif text != b['apis'][key]:
            diff.add(f'mmma.apis.{key} parameters', text, b['apis'][key])


def lacks(keys, now, used):
    if not isinstance(now, dict) or not isinstance(keys, dict):
        return True
    return any(used & ({*v} - {*now.get(k, ())}) for k, v in keys.items())


# --------------------------------------------------------------------- command lists
def options(epochs=None, val=None, workers=0, *subsets, more=()):
    """--cfg-options of a short run in one process."""
    found = (
        [f'train_cfg.max_epochs={epochs}', f'train_cfg.val_interval={val}']
        if epochs
        else []
    )
    for subset in subsets:
        found += [f'{subset}_dataloader.num_workers={workers}']
        found += [f'{subset}_dataloader.persistent_workers={bool(workers)}']
    return ['--cfg-options', *found, *more]


def step(name, command, *argv, real=False, copy=None):
    """One command; ``copy`` is (from, to) before it starts."""
    return {
        'name': name, 'command': command, 'argv': [str(a) for a in argv],
        'real': real, 'copy': [str(c) for c in copy] if copy else None,
    }  # fmt: skip


TEST = options(None, None, 0, 'test')
REC, DET = (
    'configs/recog/skeletontcn-tiny_mma82_zeroshot.py',
    'configs/det/skeletondet-tiny_mma82.py',
)
RESUME = options(3, 1, 0, 'train', 'val')


def steps_runs(out, data):
    skel, video = data / 'skel', data / 'video'
    rec, det = out / 'train', out / 'det_train'
    ckpt, det_ckpt = rec / 'epoch_2.pth', det / 'epoch_2.pth'

    def test(name, *flags, config=REC, weights=ckpt, dump='scores.npz', opts=TEST):
        folder = out / name
        return step(name, 'test', config, weights, '--data-root', skel, '--work-dir', folder,
                    '--dump', folder / dump, *flags, *opts)  # fmt: skip

    few = ('--protocol', 'fewshot', '--shots', 1)
    det_test = {'config': DET, 'weights': det_ckpt, 'dump': 'detections.json'}
    results = [out / n / 'results.json' for n in ('indomain', 'zeroshot', 'fewshot')]
    det_results = [out / n / 'results.json' for n in ('det_indomain', 'det_zeroshot')]
    scores = [out / n / 'scores.npz' for n in ('indomain', 'zeroshot')]
    return [
        step('train', 'train', REC, '--data-root', skel, '--work-dir', rec,
             *options(2, 1, 0, 'train', 'val'), real=True),
        step('resume', 'train', REC, '--data-root', skel, '--work-dir', out / 'resume',
             '--resume', *RESUME, copy=(rec, out / 'resume')),
        test('indomain', '--protocol', 'indomain', '--domain', 'lab'),
        test('zeroshot', '--protocol', 'zeroshot', opts=options(None, None, 1, 'test')),
        test('fewshot', *few, '--runs', 2),
        test('prototype', *few, '--runs', 1, '--adapt', 'prototype'),
        test('finetune', *few, '--runs', 1, '--adapt', 'finetune', '--target', 'street',
             opts=[*TEST, 'fewshot.iters=3', 'train_dataloader.num_workers=0',
                   'train_dataloader.persistent_workers=False']),
        step('det_train', 'train', DET, '--data-root', skel, '--work-dir', det,
             *options(2, 2, 0, 'train', 'val')),
        test('det_indomain', '--protocol', 'indomain', **det_test),
        test('det_zeroshot', '--protocol', 'zeroshot', **det_test),
        step('probe', 'probe', 'videomae-tiny', '--data-root', video, '--out', out / 'probe',
             '--no-pretrained', '--shots', 1, '--runs', 2, '--save-checkpoint', *TEST,
             'test_dataloader.batch_size=4'),
        step('attentive', 'probe', 'skeletontcn-tiny', '--data-root', skel, '--out',
             out / 'attentive', '--ckpt', ckpt, '--probe', 'attentive', '--protocols',
             'zeroshot', *TEST),
        *tables(results, det_results),
        step('evaluate_refuses', 'evaluate', 'rec', '--gt', skel / 'rec.csv', '--pred', scores[0],
             '--json'),
        step('evaluate_det', 'evaluate', 'det', '--gt', skel / 'det.json', '--pred',
             out / 'det_indomain' / 'detections.json', '--profile', '--per-class'),
    ]  # fmt: skip


def tables(results, det_results):
    found = [step('table', 'table', *results), step('table_det', 'table', *det_results)]
    for flag in ('paper', 'latex', 'csv', 'md'):
        found.append(step(f'table_{flag}', 'table', *results, f'--{flag}'))
    return [*found, step('table_det_paper', 'table', *det_results, '--paper')]


def steps_cross(old, out, data):
    """NEW reads what OLD wrote: checkpoints, a run to resume, results."""
    skel = data / 'skel'

    def test(name, config, weights, dump, *flags):
        folder = out / name
        return step(name, 'test', config, weights, '--data-root', skel, '--work-dir', folder,
                    '--dump', folder / dump, *flags, *TEST)  # fmt: skip

    results = [old / n / 'results.json' for n in ('indomain', 'zeroshot', 'fewshot')]
    det_results = [old / n / 'results.json' for n in ('det_indomain', 'det_zeroshot')]
    return [
        test('indomain', REC, old / 'train/epoch_2.pth', 'scores.npz', '--protocol',
             'indomain', '--domain', 'lab'),
        test('det_zeroshot', DET, old / 'det_train/epoch_2.pth', 'detections.json',
             '--protocol', 'zeroshot'),
        step('resume', 'train', REC, '--data-root', skel, '--work-dir', out / 'resume',
             '--resume', *RESUME, copy=(old / 'train', out / 'resume')),
        *tables(results, det_results),
    ]  # fmt: skip


def steps_zoo(out, data):
    def test(name, config, weights, root, *flags):
        return step(name, 'test', config, f'{weights}-simulated', '--data-root', data / root,
                    '--work-dir', out / name, '--out', out / name / 'results.json', *flags,
                    *TEST)  # fmt: skip

    tcn, det, gc = (
        'skeletontcn-tiny_mma82_zeroshot',
        'skeletondet-tiny_mma82',
        'gctsm-tiny_mma82_zeroshot',
    )
    return [
        step('check', 'build_model_zoo', '--check'),
        step('list', 'download', '--list'),
        step('list_json', 'download', '--list', '--json'),
        test('tcn_zeroshot', f'recog/{tcn}', tcn, 'skel', '--protocol', 'zeroshot'),
        test('tcn_indomain', f'recog/{tcn}', tcn, 'skel', '--protocol', 'indomain', '--domain', 'lab'),
        test('tcn_fewshot', f'recog/{tcn}', tcn, 'skel', '--protocol', 'fewshot', '--shots', 1,
             '--runs', 2),
        test('det_indomain', f'det/{det}', det, 'skel', '--protocol', 'indomain'),
        test('gctsm_zeroshot', f'recog/{gc}', gc, 'video', '--protocol', 'zeroshot'),
    ]  # fmt: skip


def steps_simulate(out, data):
    tiny = ('--scale', 'tiny', '--seed', 0, '--workers', 1)
    video = ('--modality', 'video', '--tasks', 'rec', '--videos', 8)
    both = ('--modality', 'both', '--tasks', 'det', '--videos', 2)
    return [
        step('skel', 'data/simulate', out / 'files_skel', *tiny, real=True),
        step('video', 'data/simulate', out / 'files_video', *tiny, *video),
        step('both', 'data/simulate', out / 'files_both', *tiny, *both),
    ]


def steps_extras(out, data):
    """Commands that no other part runs; zoo weights, so that this part stands alone."""
    skel, video = data / 'skel', data / 'video'
    tcn, det, gc = (f'{n}-simulated' for n in ('skeletontcn-tiny_mma82_zeroshot',
                    'skeletondet-tiny_mma82', 'gctsm-tiny_mma82_zeroshot'))  # fmt: skip
    clip = sorted((video / 'videos').rglob('*.mp4'))[0]
    dumps = []
    for number, flags in enumerate(([], ['--views', '2'])):
        name = f'dump{number}'
        dumps.append(out / name / 'scores.npz')
        yield step(name, 'test', 'recog/skeletontcn-tiny_mma82_indomain', tcn, '--data-root',
                   skel, '--protocol', 'indomain', '--work-dir', out / name, '--dump',
                   dumps[-1], *flags, *TEST)  # fmt: skip
    yield step('val', 'test', 'recog/skeletontcn-tiny_mma82_indomain', tcn, '--data-root', skel,
               '--subset', 'val', '--class-set', 'all', '--body-scores', 'top1', '--work-dir',
               out / 'val', '--dump', out / 'val/scores.npz', *TEST)  # fmt: skip
    yield step('fuse', 'fuse', *dumps, '--out', out / 'fused.npz', '--gt', skel)
    yield step('fuse_logit', 'fuse', *dumps, '--out', out / 'logit.npz', '--space', 'logit',
               '--weights', 1, 3)  # fmt: skip
    yield step('evaluate', 'evaluate', 'rec', '--gt', skel / 'rec.csv', '--pred', dumps[1],
               '--per-class', '--confusions', out / 'confusions.png')  # fmt: skip
    yield step('baseline', 'table', f'A={out}/dump0/results.json', f'B={out}/dump1/results.json',
               '--baseline', 'A', '--gt', skel, '--resamples', 200)  # fmt: skip
    yield step('check', 'data/check', skel)
    yield step('check_video', 'data/check', video, '--decode', '--leakage')
    yield step('pack', 'data/pack', video, out / 'packed')
    yield step('preview', 'data/preview', skel, '--out', out / 'sheet.png')
    yield step(
        'infer',
        'infer',
        clip,
        '--recog',
        gc,
        '--out',
        out / 'infer',
        '--allow-simulated',
    )
    yield step(
        'infer_refuses', 'infer', clip, '--recog', gc, '--out', out / 'infer_refuses'
    )
    yield step(
        'features', 'data/features', 'recog/videomae-tiny_mma82_indomain', '--help'
    )
    yield step('fast', 'train', DET, '--data-root', skel, '--work-dir', out / 'fast',
               '--fast-dev-run')  # fmt: skip
    for sampler in (
        'ClassBalancedSampler',
        'DomainBalancedSampler',
        'ClassBalancedWithinDomainSampler',
    ):
        more = [f'train_dataloader.sampler.type={sampler}']
        more += ['+model.cls_head.loss_cls.type=LogitAdjustedCrossEntropy']
        more += ['+model.cls_head.body.loss_weight=1.0']
        yield step(sampler, 'train', 'recog/skeletontcn-tiny_mma82_indomain', '--data-root',
                   skel, '--work-dir', out / sampler, *options(1, 1, 0, 'train', 'val',
                   more=more))  # fmt: skip
    wrong = ('--work-dir', out / 'wrong', '--data-root')  # nothing goes into a tree
    yield step('wrong_config', 'train', 'recog/nothing', *wrong, skel)
    yield step(
        'wrong_key', 'train', REC, *wrong, skel, '--cfg-options', 'train_cfg.epoch=1'
    )
    yield step('wrong_root', 'train', REC, *wrong, out / 'nowhere')
    yield step(
        'wrong_protocol', 'test', REC, tcn, *wrong, skel, '--protocol', 'fewshots'
    )
    yield step('wrong_domain', 'test', REC, tcn, *wrong, skel, '--protocol', 'zeroshot',
               '--domain', 'lab')  # fmt: skip
    yield step('wrong_ckpt', 'test', DET, tcn, '--data-root', skel, '--work-dir',
               out / 'wrong_ckpt', *TEST)  # fmt: skip
    yield step('wrong_det', 'test', DET, det, *wrong, skel, '--protocol', 'fewshot')
    yield step('wrong_modality', 'test', 'recog/gctsm-tiny_mma82_zeroshot', gc, '--data-root', skel,
               '--work-dir', out / 'wrong_modality', *TEST)  # fmt: skip


def work_steps(tree, out, given):
    """Run commands one after the other, in forked children where not told otherwise."""
    preload()
    times = {}
    for each in given['steps']:
        started = time.monotonic()
        if each['copy']:
            source, target = map(Path, each['copy'])
            shutil.copytree(source, target)
            relocate(source, target)
        texts = [out / f'{each["name"]}.{kind}' for kind in ('out', 'err')]
        status = (run_real if each['real'] else run_forked)(each, *texts)
        (out / f'{each["name"]}.status.txt').write_text(f'{status}\n')
        times[each['name']] = round(time.monotonic() - started, 1)
    given['times'].update(times)


def relocate(source, target):
    """A copied work dir names its own checkpoint as the last one."""
    note = target / 'last_checkpoint'
    note.write_text(note.read_text().replace(str(source), str(target)))


def preload():
    """What every command needs and no tree changes; not mmma's own components."""
    for name in ('torch', 'scipy.stats', 'mmma.registry', 'mmaction.datasets'):
        with contextlib.suppress(Exception):
            __import__(name)


def run_forked(each, out, err):
    pid = os.fork()
    if not pid:
        status = 70
        try:
            for path, stream in ((out, 1), (err, 2)):
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
            from mmma.cli import main

            status = main(each['command'], each['argv']) or 0
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def run_real(each, out, err):
    command = [sys.executable, f'tools/{each["command"]}.py', *each['argv']]
    with out.open('wb') as a, err.open('wb') as b:
        return subprocess.run(command, stdout=a, stderr=b).returncode


def worker(argv):
    """Run in the tree: PART OUT; what it needs is in OUT/given.json."""
    part, out = argv[0], Path(argv[1])
    tree = Path.cwd()
    import mmma

    assert Path(mmma.__file__).resolve().is_relative_to(tree.resolve()), mmma.__file__
    given = json.loads((out / 'given.json').read_text())
    (out / 'given.json').unlink()
    given['times'] = {}
    work = {'configs': work_configs, 'help': work_help, 'surface': work_surface}
    work.get(part, work_steps)(tree, out, given)
    (out / 'done.json').write_text(json.dumps({'times': given['times']}))


# -------------------------------------------------------------------------- the driver
class Side:
    """One of the two trees and the folder of what it gives."""

    def __init__(self, tree, top, label):
        self.tree, self.top, self.label = tree, top, label
        self.folder = top / label

    def run(self, part, given, name=None):
        """Run a part, from a clean folder; its seconds."""
        out = self.folder / (name or part)
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        (out / 'given.json').write_text(json.dumps(given))
        env = {
            k: v for k, v in os.environ.items() if not k.startswith(('MMMA_', 'PYTHON'))
        }
        env |= {
            'PYTHONPATH': str(self.tree), 'MMMA_HOME': str(out / 'home'), 'MMMA_OFFLINE': '1',
            'OMP_NUM_THREADS': '1', 'MKL_NUM_THREADS': '1', 'COLUMNS': '100', 'LINES': '40',
            'PYTHONPYCACHEPREFIX': str(self.top / 'pycache'), 'PYTHONHASHSEED': '0',
            'CUDA_VISIBLE_DEVICES': '', 'TERM': 'dumb', 'NO_COLOR': '1', 'MPLBACKEND': 'agg',
        }  # fmt: skip
        command = [
            PYTHON,
            '-W',
            'ignore',
            str(Path(__file__).resolve()),
            '--worker',
            part,
            str(out),
        ]
        started = time.monotonic()
        done = subprocess.run(
            command, cwd=self.tree, env=env, capture_output=True, text=True
        )
        seconds = time.monotonic() - started
        if done.returncode or not (out / 'done.json').is_file():
            tail = '\n'.join((done.stdout + done.stderr).splitlines()[-15:])
            raise RuntimeError(
                f'{self.label} {part}: worker stopped, {done.returncode}\n{tail}'
            )
        notes = json.loads((out / 'done.json').read_text())
        (out / 'done.json').write_text(
            json.dumps({**notes, 'seconds': seconds, 'tree': str(self.tree)})
        )
        return seconds


def make_data(old, top):
    """Roots that both trees read, written once by OLD."""
    data = top / 'data'
    if not (data / 'done').is_file():
        shutil.rmtree(data, ignore_errors=True)
        tiny = ('--scale', 'tiny', '--seed', 0, '--workers', 1)
        video = ('--modality', 'video', '--tasks', 'rec', '--videos', 24)
        steps = [
            step('skel', 'data/simulate', data / 'skel', *tiny),
            step('video', 'data/simulate', data / 'video', *tiny, *video),
        ]
        old.run('steps', {'steps': steps}, 'data_log')
        (data / 'done').touch()
    return data


STEPS = {
    'simulate': steps_simulate,
    'runs': steps_runs,
    'zoo': steps_zoo,
    'extras': steps_extras,
}
COMPARERS = {
    'configs': compare_configs,
    'help': compare_help,
    'surface': compare_surface,
}


def given_for(part, side, data, old):
    out = side.folder / part
    if part in STEPS:
        return {'steps': list(STEPS[part](out, data))}
    if part == 'help' and side is not old:
        known = json.loads((old.folder / part / 'help.json').read_text())
        return {'known': [v['words'] for v in known.values() if v['words']]}
    if part == 'surface':
        return {'used': used_types(old.tree)}
    return {}


def after(part, side):
    """Byte hashes instead of the simulated files, which are large; the zoo's pages."""
    out = side.folder / part
    if part == 'simulate':
        for folder in sorted(out.glob('files_*')):
            files = sorted(p for p in folder.rglob('*') if p.is_file())
            hashes = {p.relative_to(folder).as_posix(): sha256(p) for p in files}
            (out / f'{folder.name}.json').write_text(json.dumps(hashes, indent=1))
            shutil.rmtree(folder)
    if part == 'zoo':
        pages = [
            side.tree / 'model_zoo.md',
            *sorted((side.tree / 'docs/zoo').glob('*')),
        ]
        texts = {p.relative_to(side.tree).as_posix(): p.read_text() for p in pages}
        (out / 'pages.log').write_text(json.dumps(texts))  # a log: compared apart


def run_part(part, old, new, data, refresh):
    times = {}
    done = old.folder / part / 'done.json'
    if refresh or not done.is_file() or not (done.parent / 'complete').is_file():
        times['old'] = old.run(part, given_for(part, old, data, old))
        after(part, old)
        (done.parent / 'complete').touch()
    if not told_complete(new, part, data, old, times):
        raise RuntimeError(f'{part}: the new tree did not finish')
    diff = Diff()
    folders = old.folder / part, new.folder / part
    if part in COMPARERS:
        scrubs = [
            Scrubber(s.tree, f, data) for s, f in zip((old, new), folders, strict=True)
        ]
        COMPARERS[part](*folders, scrubs, diff)
        return diff, times
    cross = new.folder / 'runs_cross'
    scrubs = [Scrubber(old.tree, folders[0]), Scrubber(new.tree, folders[1])]
    compare_folders(*folders, *scrubs, with_pages(part, folders, diff))
    if part == 'runs':
        times['cross'] = new.run(
            'steps', {'steps': steps_cross(folders[0], cross, data)}, 'runs_cross'
        )
        (cross / 'complete').touch()
        names = {p.name.split('.')[0] for p in cross.glob('*.status.txt')}
        found = Diff()
        both = Scrubber(new.tree, cross, folders[0])
        compare_folders(folders[0], cross, scrubs[0], both, found, only=names)
        for path, left, right in found:
            diff.add(f'NEW on what OLD wrote: {path}', left, right)
        for name in ('indomain', 'det_zeroshot'):
            hashes = [
                json.loads((f / name / 'results.json').read_text())['checkpoint'].get(
                    'sha256'
                )
                for f in (folders[0], cross)
                if (f / name / 'results.json').is_file()
            ]
            if len({*hashes}) != 1 or not hashes[0]:
                diff.add(
                    f'NEW on what OLD wrote: {name} checkpoint.sha256',
                    *(hashes + [None] * 2)[:2],
                )
    return diff, times


def told_complete(new, part, data, old, times):
    times['new'] = new.run(part, given_for(part, new, data, old))
    after(part, new)
    (new.folder / part / 'complete').touch()
    return (new.folder / part / 'done.json').is_file()


def with_pages(part, folders, diff):
    """Pages of the zoo are compared as information; --check says whether they are due."""
    if part == 'zoo':
        left, right = (json.loads((f / 'pages.log').read_text()) for f in folders)
        for name in sorted({*left, *right}):
            compare_text(
                name, left.get(name, '<absent>'), right.get(name, '<absent>'), diff.note
            )
    return diff


def failures(side, part, name=None):
    """Commands that did not exit with 0: equal in both trees, they are still told."""
    found = []
    for path in sorted((side.folder / (name or part)).glob('*.status.txt')):
        if path.read_text().strip() != '0':
            found.append(f'{path.name.split(".")[0]} {path.read_text().strip()}')
    return found


def short(value):
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 300 else f'{text[:300]}... ({len(text)} characters)'


def show(rows, mark):
    """At most SHOWN rows, and of each file (what stands before the colon) PER_FILE."""
    groups = {}
    for row in rows:
        groups.setdefault(re.split(r'\.\w+:|$', row[0], maxsplit=1)[0], []).append(row)
    left = SHOWN
    for group in groups.values():
        for path, before, now in group[: min(PER_FILE, left)]:
            print(f'  {mark}{path}')
            print('      old: ' + short(before).replace('\n', '\n           '))
            print('      new: ' + short(now).replace('\n', '\n           '))
            left -= 1
        if len(group) > PER_FILE and left:
            print(f'  {mark}  and {len(group) - PER_FILE} more in this file')
    if not left and len(rows) > SHOWN:
        print(
            f'  {mark}{len(rows)} in all; files or keys with differences: {len(groups)}'
        )
        for name, group in list(groups.items())[:SHOWN]:
            print(f'  {mark}  {len(group):>5} {name}')


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('old', type=Path, metavar='OLD_TREE')
    parser.add_argument('new', type=Path, metavar='NEW_TREE')
    parser.add_argument('--out', type=Path, required=True, metavar='DIR')
    parser.add_argument('--parts', default=','.join(PARTS), help='default: all')
    parser.add_argument('--refresh-old', action='store_true', help='run OLD again')
    args = parser.parse_args()
    top = args.out.resolve()
    parts = args.parts.split(',')
    unknown = {*parts} - {*PARTS}
    if unknown:
        parser.error(
            f'no part {", ".join(sorted(unknown))}; there are {", ".join(PARTS)}'
        )
    old, new = (
        Side(args.old.resolve(), top, 'old'),
        Side(args.new.resolve(), top, 'new'),
    )
    if (
        Path(sys.executable).resolve() != Path(PYTHON).resolve()
        or sys.prefix == sys.base_prefix
    ):
        os.execv(PYTHON, [PYTHON, *sys.argv])  # comparing needs numpy and torch
    if args.refresh_old:
        shutil.rmtree(top / 'data', ignore_errors=True)
    data = make_data(old, top)
    bad = False
    for part in parts:
        try:
            diff, times = run_part(part, old, new, data, args.refresh_old)
        except RuntimeError as error:
            print(f'{part}: DIFFERENT, could not be run\n  {error}', flush=True)
            bad = True
            continue
        took = ', '.join(f'{k} {v:.0f} s' for k, v in times.items())
        state = f'{len(diff)} DIFFERENCES' if diff else 'OK'
        notes = f', {len(diff.notes)} informational' if diff.notes else ''
        print(f'{part}: {state}{notes} ({took})', flush=True)
        ended = failures(old, part)
        if ended:
            print(f'  exit status not 0 in OLD: {", ".join(ended)}')
        show(diff, '')
        show(diff.notes, 'info: ')
        bad = bad or bool(diff)
    return 1 if bad else 0


if __name__ == '__main__':
    if sys.argv[1:2] == ['--worker']:
        worker(sys.argv[2:])
    else:
        sys.exit(main())
