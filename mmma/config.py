"""Config files: finding, loading, changing values safely, tracing where one is set.

A Python file is run where the user typed its name, or where it comes with mmma. Configs
of published models are data: ``config.json``, or the ``config.py`` of older ones.
"""

import ast
import difflib
import math
import os
import re
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import mmma
from mmma.data.emotions import LABELS, MARK, labelled_root
from mmma.data.root import INFO_FILE
from mmma.files import leaves_root, read_json, read_text
from mmma.foreign import naming
from mmma.protocols import PROTOCOLS, make_protocol, write_protocol
from mmma.taxonomy import LABEL_SPACES, SUBSETS, check_choice, load_label_space, suggest

_PACKAGE = Path(mmma.__file__).parent
PUBLISHED = ('config.json', 'config.py')
"""Names of the config beside published weights; the latter is of older ones."""
_NAMES = {'inf': math.inf, 'nan': math.nan}
_GROUPS = (
    *('model', 'protocol', 'randomness', 'env_cfg', 'fewshot', 'optim_wrapper'),
    *('model.backbone', 'model.cls_head', 'model.head', 'model.data_preprocessor'),
    *(f'{s}_{end}' for s in SUBSETS for end in ('dataloader', 'dataloader.dataset')),
    *('test_evaluator', 'val_evaluator', 'test_cfg', 'val_cfg', 'train_cfg', 'adapt'),
)
_TUPLES = 'tuples'
_TOO_DEEP = (RecursionError, MemoryError)
_MOST_LETTERS = 1_000_000  # of a config of others; ours have 30,000
_NEEDED = ('model', 'protocol', 'test_dataloader.dataset')


def config_folders() -> list[Path]:
    """Folders of configs: that of the checkout first, then that of the wheel."""
    folders = (_PACKAGE.parent / 'configs', _PACKAGE / '.mim' / 'configs')
    return [f for f in folders if (f / '_base_').is_dir()]


def find_config(name: str, typed: bool = True) -> Path:
    """Find a config file by its path, or by its name in ``configs/``.

    Folders and ``.py`` may be left out: ``videomae_mma82_indomain``. The current folder
    counts only for what the user typed. None there: FileNotFoundError.
    """
    wanted = name if name.endswith(('.py', '.json')) else f'{name}.py'
    if typed and os.path.isfile(wanted):
        return Path(wanted)
    inside = wanted.removeprefix('configs/')
    for folder in config_folders():
        if not leaves_root(inside) and os.path.isfile(folder / inside):
            return folder / inside
    known = [p for f in config_folders() for p in sorted(f.glob('[!_]*/*.py'))]
    if found := next((p for p in known if p.name == inside), None):
        return found
    names = [str(Path(p.parent.name if '/' in inside else '', p.stem)) for p in known]
    near = difflib.get_close_matches(inside.removesuffix('.py'), names, 5, 0.5)
    folder = f' of {known[0].parents[1]}' if known else ''
    raise FileNotFoundError(
        f'no config {name!r}: give a path, or a name{folder}'
        + (f'. Did you mean {", ".join(map(repr, near))}?' if near else '.')
    )


def zoo_config(name: str) -> Path:
    """The config that an entry of the zoo names, beside it; FileNotFoundError: none."""
    folder = config_folders()[0]
    path = folder.parent / name
    own = path.parent.parent == folder or _is_published(path)
    if leaves_root(name) or not own or not path.is_file():
        raise FileNotFoundError(
            f'the zoo names the config {name!r}, which is not beside it in '
            f'{folder.parent}: give one (--config-recog, --config-det, or config=).'
        )
    return path


def _is_published(path: Path) -> bool:
    """True for a file that is data, whoever names it."""
    beside = path.name in PUBLISHED and any(path.parent.glob('*.safetensors'))
    return beside or path.suffix == '.json'


def read_config(path: Path) -> Any:
    """Read a config file as a ``mmengine.Config``; ValueError where it is none."""
    from mmengine.config import Config

    if not _is_published(path):
        with naming(path):
            origins(path)  # errors of syntax, with file and line
        try:
            return Config.fromfile(path)
        except (Exception, SystemExit) as error:  # whatever the user's code raises
            frames = traceback.extract_tb(error.__traceback__)
            own = [f'{f.filename}:{f.lineno}' for f in frames if f.name == '<module>']
            where = own[-1] if own else path
            raise ValueError(
                f'{where}: not readable as a config: {type(error).__name__}: {error}'
            ) from None
    from mmma.registry import as_data

    left: list[str] = []
    data = as_data(plain_config(path), str(path), left)
    if left:
        told = f'{path} loads and writes nothing: {", ".join(left)} left out'
        print(told, file=sys.stderr)
    try:
        return Config(data, read_text(path), str(path))
    except KeyError as error:
        raise ValueError(f'{path}: {error}') from None


def plain_config(path: Path) -> dict[str, Any]:
    """The config of a published model as written, neither run nor built."""
    if path.suffix == '.json':
        content = read_json(path)
        if isinstance(content, dict):  # in a folder for the Hub it is beside the labels
            content = content.get('mmma_config', content)
            try:
                for key in content.pop(_TUPLES, []):
                    above, _, last = key.rpartition('.')
                    place = get_key(content, above) if above else content
                    name = int(last) if isinstance(place, list) else last
                    place[name] = tuple(place[name])
            except (LookupError, TypeError, ValueError, AttributeError):
                told = f'{_TUPLES} names keys that are no lists'
                raise ValueError(f'{path}: {told}') from None
    else:
        content = parse_config(read_text(path), str(path))
    return check_data(content, str(path))


def json_config(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """A config for JSON, which knows no tuples: ``tuples`` has their dotted keys."""
    return {**cfg, _TUPLES: list(_tuple_keys(cfg, ''))}


def _tuple_keys(value: Any, where: str) -> Iterator[str]:
    """Dotted keys of tuples, those within others first."""
    inner = value.items() if isinstance(value, Mapping) else ()
    for key, item in enumerate(value) if isinstance(value, (list, tuple)) else inner:
        yield from _tuple_keys(item, f'{where}.{key}'.lstrip('.'))
    if isinstance(value, tuple):
        yield where


def check_data(config: Any, source: str) -> dict[str, Any]:
    """Refuse a config of others that names more than it may, or lacks what it needs.

    It stays as it is. ValueError: as of ``registry.as_data``, or not to measure with.
    """
    from mmma.registry import as_data

    as_data(config, source)
    return check_groups(config, source, needed=True)


def check_groups(cfg: Any, source: str, needed: bool = False) -> Any:
    """Refuse a config whose groups of keys are something else; returns it.

    ``source`` is its owner, for the error; where it is ``needed`` to measure with, it
    has all that this takes.
    """
    for key in _GROUPS:
        value: Any = cfg
        for part in key.split('.'):
            value = None if value is None else value.get(part)
            if value is not None and not isinstance(value, Mapping):
                raise ValueError(
                    f'{source}: {key} is {str(value)[:40]!r}: it must be a group of '
                    'keys, dict(...)'
                )
        if value is None and needed and key in _NEEDED:
            raise ValueError(f'{source}: its config has no {key}')
    if (label := cfg.get('label')) is not None:
        check_choice(f'label of {source}', label, LABELS)
        if cfg.get('task') == 'det':
            raise ValueError(
                f'{source}: label = {label!r} is for recognition, and this is a '
                'detector: leave it out, and give its detections to tools/emotion.py'
            )
    for key, choices in (('label_space', LABEL_SPACES), ('task', ('rec', 'det'))):
        if key == 'label_space' and isinstance(cfg.get(key), Mapping):
            with naming(source):
                load_label_space(cfg[key])
        elif key in cfg or needed:
            check_choice(f'{key} of {source}', cfg.get(key), choices)
    if not isinstance(cfg.get('data_root', ''), str):
        raise ValueError(f'{source}: data_root is {cfg["data_root"]!r}: name a folder')
    return cfg


def model_name(file: str | None, label_space: Any, data: str) -> str:
    """Name of a config file without its protocol: ``videomae_mma82``.

    With the name of the ``data`` where they have another label space:
    ``videomae_ma52`` of MA-52; and ``-emotion`` where it has the emotions of the data.
    """
    stem = Path(file or 'config').stem
    for protocol in PROTOCOLS:
        stem = stem.removesuffix(f'_{protocol}')
    own = label_space if isinstance(label_space, str) else label_space['name']
    end = MARK * own.endswith(MARK)
    if own == f'mma82{end}' or not stem.endswith('_mma82'):
        return stem + end
    name = re.sub(r'(?<=[^\W\d])-(?=\d)', '', data.lower())
    name = re.sub(r'[^\w.]+', '-', name).strip('-.') or 'own'
    return f'{stem.removesuffix("mma82")}{name}{end}'


def load_config(
    config: str,
    protocol: Mapping[str, Any] | str | None = None,
    data_root: str | None = None,
    cfg_options: Iterable[str] = (),
    *,
    label_space: Any = None,
) -> Any:
    """Read a config and write a protocol into it, with the label space of its data.

    Args:
        config: As of :func:`mmma.config.find_config`.
        protocol: Its name, or flags of :func:`mmma.protocols.make_protocol`.
        data_root: Folder of the data; None keeps the config's.
        cfg_options: As of :func:`mmma.config.apply_options`.
        label_space: Name or object; None takes that of the data, if they are there.

    Returns a ``mmengine.Config`` that runs with no flag. An option that is not allowed,
    or that the protocol overwrites, raises ValueError.
    """
    protocol = {'protocol': protocol} if isinstance(protocol, str) else protocol
    path = find_config(config)
    cfg = read_config(path)
    applied = apply_options(cfg, cfg_options)
    check_groups(cfg, str(path))
    root = Path(data_root or cfg.get('data_root') or '')
    domains: tuple[Any, ...] = ()  # MMA-82's
    if (root / INFO_FILE).is_file():
        opened = labelled_root(root, cfg.get('label') if label_space is None else None)
        domains = opened.domains
        if label_space is None and 'label_space' not in applied:
            label_space = load_label_space(opened.info.label_space).plain()
    if label_space is not None and 'label_space' in cfg:
        cfg.label_space = label_space
    resolved = make_protocol(cfg.get('protocol', {}), protocol, *domains)
    write_protocol(cfg, resolved, data_root)
    for key, value in applied.items():
        if get_key(cfg, key) != value:
            raise ValueError(
                f'--cfg-options {key}={value}: this key is written by the protocol '
                f'({key} = {get_key(cfg, key)!r}); use --protocol, --domain, --target, '
                '--shots, --seed or --data-root.'
            )
    return cfg


def parse_config(text: str, source: str) -> dict[str, Any]:
    """A resolved config, as ``Config.pretty_text``: literals; nothing is run."""
    found = {}
    try:
        if len(text) > _MOST_LETTERS:
            raise ValueError('larger than any model needs')
        for node in _Literals().visit(ast.parse(text)).body:
            if not isinstance(node, ast.Assign) or len(node.targets) != 1:
                raise ValueError(ast.unparse(node)[:60])
            found[node.targets[0].id] = ast.literal_eval(node.value)
    except (SyntaxError, ValueError, TypeError, AttributeError, *_TOO_DEEP) as error:
        raise ValueError(
            f'{source}: its config is not one of plain values ({error}), and is not '
            'run. Train with a config of mmma.'
        ) from None
    return found


class _Literals(ast.NodeTransformer):
    """Calls of ``dict`` and names of numbers as literals."""

    def visit_Call(self, node: ast.Call) -> ast.Dict:
        # MMEngine prints names that are no keywords as dict({'.a': 1}, b=2).
        plain = all(isinstance(a, ast.Dict) for a in node.args) and len(node.args) < 2
        keys = [ast.Constant(k.arg) for k in node.keywords if k.arg]
        called = getattr(node.func, 'id', '')
        if called != 'dict' or not plain or len(keys) < len(node.keywords):
            raise ValueError(ast.unparse(node)[:60])
        self.generic_visit(node)
        first = node.args[0] if node.args else ast.Dict([], [])
        values = [keyword.value for keyword in node.keywords]
        return ast.Dict([*first.keys, *keys], [*first.values, *values])  # type: ignore

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Constant(_NAMES[node.id]) if node.id in _NAMES else node


def apply_options(cfg: Any, options: Iterable[str]) -> dict[str, Any]:
    """Apply ``--cfg-options K=V ...`` to a ``mmengine.Config``, in place.

    ``a.b.c=value`` changes a key that exists (list items by number), ``+a.b=value``
    adds one, ``+a.4.b=value`` a fifth item to a list of four, and ``+a=[1,2]`` two of
    them to a list. Values read like Python, ``[1,2]`` is a list.

    Returns the new value of each dotted key; what is not of that form: ValueError.
    """
    from mmengine.config import DictAction

    applied = {}
    for option in options:
        key, equals, text = option.partition('=')
        if not equals or not key.strip('+'):
            raise ValueError(
                f'--cfg-options {option!r}: write KEY=VALUE, or +KEY=VALUE to add one.'
            )
        try:
            value = DictAction._parse_iterable(text)
        except (AssertionError, LookupError, ValueError, RecursionError):
            raise ValueError(f'--cfg-options {option}: brackets do not match') from None
        tree = getattr(cfg, '_cfg_dict', cfg)
        _set(tree, key.lstrip('+').split('.'), value, add=key.startswith('+'))
        applied[key.lstrip('+')] = get_key(tree, key.lstrip('+'))
    return applied


def get_key(cfg: Any, key: str) -> Any:
    """Value of a dotted key; list items by number."""
    for part in key.split('.'):
        cfg = cfg[int(part)] if isinstance(cfg, (list, tuple)) else cfg[part]
    return cfg


def flatten(cfg: Any, prefix: str = '') -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of a nested config; lists stay whole."""
    for key, value in cfg.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f'{prefix}{key}.')
        else:
            yield f'{prefix}{key}', value


def origins(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Path]:
    """File of a config's chain of bases that sets each dotted key, as written there.

    The leaf wins over its bases. No Python, or a base that is missing: ValueError.
    """
    try:
        tree = ast.parse(read_text(path), str(path))
    except (SyntaxError, *_TOO_DEEP) as error:
        where = f'{path}:{getattr(error, "lineno", None) or 1}'
        what = getattr(error, 'msg', 'too deep')
        raise ValueError(f'{where}: not readable as a config: {what}') from None
    found: dict[str, Path] = {}
    own: dict[str, Path] = {}
    for node in tree.body:
        if not isinstance(node, ast.Assign):
            continue
        for target in node.targets:
            name = getattr(target, 'id', '')
            if name == '_base_':
                bases: Any = []
                with suppress(ValueError):
                    bases = ast.literal_eval(node.value)
                bases = bases if isinstance(bases, (list, tuple)) else [bases]
                # Those of other packages are left out.
                for base in (str(base) for base in bases if '::' not in str(base)):
                    file = Path(os.path.abspath(path.parent / base))
                    chain = (*above, Path(os.path.abspath(path)))
                    if not os.path.isfile(file) or file in chain:
                        why = 'comes again' if file in chain else 'no such file'
                        raise ValueError(f'{path}: _base_ {file}: {why}')
                    found.update(origins(file, chain))
            elif name:
                own.update(dict.fromkeys(_written_keys(node.value, name), path))
    return {**found, **own}


def origin_of(key: str, known: Mapping[str, Path]) -> Path | None:
    """The file that sets a key, or the nearest key above it."""
    while key not in known and '.' in key:
        key = key.rpartition('.')[0]
    return known.get(key)


def _written_keys(node: ast.expr, name: str) -> list[str]:
    if isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'dict':
        items = [(k.arg, k.value) for k in node.keywords if k.arg]
    elif isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        items = [(str(k.value), v) for k, v in pairs if isinstance(k, ast.Constant)]
    else:
        return [name]
    inner = [k for key, value in items for k in _written_keys(value, f'{name}.{key}')]
    return [name, *inner]


def _set(cfg: Any, parts: list[str], value: Any, add: bool) -> None:
    where = cfg
    for depth, part in enumerate(parts):
        last = depth == len(parts) - 1
        path = '.'.join(parts[: depth + 1])
        fresh = False
        if isinstance(where, (list, tuple)):
            if add and part == str(len(where)) and isinstance(where, list):
                fresh = True
                where.append(value if last else type(cfg)())
            if not part.isdigit() or int(part) >= len(where):
                raise ValueError(
                    f'--cfg-options {path}: a list of {len(where)} items; use a '
                    f'number from 0 to {len(where) - 1}, or +...{len(where)} to append.'
                )
            key: Any = int(part)
        elif not isinstance(where, Mapping):
            raise ValueError(
                f'--cfg-options {path}: {".".join(parts[:depth])} is '
                f'{where!r} and has no keys.'
            )
        else:
            key, fresh = part, part not in where
            if fresh and not add:
                raise ValueError(_unknown_key(cfg, parts, path, where))
            if fresh:
                where[key] = value if last else {}
        if last and add and not fresh and type(value) is type(where[key]) is list:
            value = [*where[key], *value]
        if last:
            where[key] = value
        where = where[key]


def _unknown_key(cfg: Any, parts: list[str], path: str, where: Mapping) -> str:
    full = '.'.join(parts)
    hint = suggest(path.rpartition('.')[2], list(where))
    hint = hint or suggest(full, [key for key, _ in flatten(cfg)])
    return (
        f'--cfg-options {full}: the config has no key {path!r}.{hint} '
        f'To add a new key write +{full}=VALUE.'
    )
