"""Config files: finding, loading, changing values safely, tracing where one is set."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import mmma
from mmma.data.root import INFO_FILE, read_root
from mmma.protocols import PROTOCOLS, make_protocol, write_protocol
from mmma.taxonomy import suggest

_PACKAGE = Path(mmma.__file__).parent


def config_folders() -> list[Path]:
    """Folders of configs: that of the checkout first, then that of the wheel."""
    folders = (_PACKAGE.parent / 'configs', _PACKAGE / '.mim' / 'configs')
    return [f for f in folders if (f / '_base_').is_dir()]


def find_config(name: str) -> Path:
    """Find a config file by its path, or by its name in ``configs/``.

    Folders and ``.py`` may be left out: ``videomae_mma82_indomain``.

    Raises:
        FileNotFoundError: There is no such file.
    """
    wanted = name if name.endswith('.py') else f'{name}.py'
    if Path(wanted).is_file():
        return Path(wanted)
    inside = wanted.removeprefix('configs/')
    for folder in config_folders():
        if (folder / inside).is_file():
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


def model_name(cfg: Any) -> str:
    """Name of a config without its protocol: ``videomae_mma82``."""
    stem = Path(cfg.filename or 'config').stem
    for protocol in PROTOCOLS:
        stem = stem.removesuffix(f'_{protocol}')
    return stem


def load_config(
    config: str,
    protocol: Mapping[str, Any] | None = None,
    *,
    data_root: str | None = None,
    cfg_options: Iterable[str] = (),
) -> Any:
    """Read a config and write a protocol into it, with the label space of its data.

    Args:
        config: Path or name of a config file.
        protocol: Flags of :func:`mmma.protocols.make_protocol`.
        data_root: Folder of the data; None keeps the config's.
        cfg_options: As of :func:`apply_options`.

    Returns:
        A ``mmengine.Config`` that runs as it is, with no flag.

    Raises:
        FileNotFoundError: No such config.
        ValueError: A flag, option or value that is not allowed, or an option that
            the protocol overwrites.
    """
    from mmengine.config import Config

    cfg = Config.fromfile(find_config(config))
    applied = apply_options(cfg, cfg_options)
    root = Path(data_root or cfg.get('data_root') or '')
    domains: tuple[Any, ...] = ()  # MMA-82's
    if (root / INFO_FILE).is_file():
        domains = read_root(root).domains
        if 'label_space' in cfg and 'label_space' not in applied:
            cfg.label_space = read_root(root).info.label_space
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


def apply_options(cfg: Any, options: Iterable[str]) -> dict[str, Any]:
    """Apply ``--cfg-options K=V ...`` to a ``mmengine.Config``, in place.

    ``a.b.c=value`` changes a key that exists (list items by number), ``+a.b=value``
    adds one. Values read like Python, ``[1,2]`` is a list.

    Returns:
        The new value of each dotted key.

    Raises:
        ValueError: Not of that form, or the config lacks the key.
    """
    from mmengine.config import DictAction

    applied = {}
    for option in options:
        key, equals, text = option.partition('=')
        if not equals or not key.strip('+'):
            raise ValueError(
                f'--cfg-options {option!r}: write KEY=VALUE, or +KEY=VALUE to add one.'
            )
        value = DictAction._parse_iterable(text)
        tree = getattr(cfg, '_cfg_dict', cfg)
        _set(tree, key.lstrip('+').split('.'), value, add=key.startswith('+'))
        applied[key.lstrip('+')] = value
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


def origins(path: Path) -> dict[str, Path]:
    """File of a config's chain of bases that sets each dotted key, as written there.

    The leaf wins over its bases, as it does when the config is loaded.
    """
    tree = ast.parse(path.read_text(encoding='utf-8'))
    found: dict[str, Path] = {}
    own: dict[str, Path] = {}
    for node in tree.body:
        if not isinstance(node, ast.Assign):
            continue
        for target in node.targets:
            name = getattr(target, 'id', '')
            if name == '_base_':
                bases = ast.literal_eval(node.value)
                for base in [bases] if isinstance(bases, str) else bases:
                    found.update(origins((path.parent / base).resolve()))
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
        items = [
            (str(k.value), v)
            for k, v in zip(node.keys, node.values, strict=True)
            if isinstance(k, ast.Constant)
        ]
    else:
        return [name]
    inner = [k for key, value in items for k in _written_keys(value, f'{name}.{key}')]
    return [name, *inner]


def _set(cfg: Any, parts: list[str], value: Any, add: bool) -> None:
    where = cfg
    for depth, part in enumerate(parts):
        last = depth == len(parts) - 1
        path = '.'.join(parts[: depth + 1])
        if isinstance(where, (list, tuple)):
            if not part.isdigit() or int(part) >= len(where):
                raise ValueError(
                    f'--cfg-options {path}: a list of {len(where)} items; '
                    f'use a number from 0 to {len(where) - 1}.'
                )
            key: Any = int(part)
        elif not isinstance(where, Mapping):
            raise ValueError(
                f'--cfg-options {path}: {".".join(parts[:depth])} is '
                f'{where!r} and has no keys.'
            )
        else:
            key = part
            if key not in where:
                if not add:
                    raise ValueError(_unknown_key(cfg, parts, path, where))
                where[key] = value if last else {}
        if last:
            where[key] = value
        else:
            where = where[key]


def _unknown_key(cfg: Any, parts: list[str], path: str, where: Mapping) -> str:
    full = '.'.join(parts)
    hint = suggest(path.rpartition('.')[2], list(where))
    if not hint:
        hint = suggest(full, [key for key, _ in flatten(cfg)])
    return (
        f'--cfg-options {full}: the config has no key {path!r}.{hint} '
        f'To add a new key write +{full}=VALUE.'
    )
