"""``results.json``: the one record that tables, reports and the model zoo read."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from mmma.layout.paths import atomic_write

SCHEMA = 1
_PACKAGES = ('mmma', 'torch', 'mmengine', 'mmcv-lite', 'mmaction2', 'numpy')


@dataclass(frozen=True)
class Entry:
    """Results, and the files that they were read from.

    Attributes:
        results: Contents of a results file; ``name`` is what its rows are called.
        files: One file, or those that were pooled.
    """

    results: dict[str, Any]
    files: tuple[Path, ...]


def write_results(results: dict[str, Any], path: Path) -> None:
    """Write results as JSON; a run that is stopped leaves the old file whole.

    Args:
        results: Plain types only; NaN is refused.
        path: File to write; its folder is made.
    """
    text = json.dumps(results, indent=1, ensure_ascii=False, allow_nan=False)
    with atomic_write(path) as file:
        file.write(text + '\n')


def read_results(path: Path) -> dict[str, Any]:
    """Read a results file.

    Raises:
        FileNotFoundError: There is none.
        ValueError: It is no results file, or of a schema this version cannot read.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'no results file {str(path)!r}.')
    try:
        results = json.loads(Path(path).read_text(encoding='utf-8'))
        schema, _ = results['schema'], results['runs']
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f'{path} is no results file of tools/test.py ({error!r}).'
        ) from None
    if schema != SCHEMA:
        raise ValueError(
            f'{path} has schema {schema}, this version reads {SCHEMA}: test again.'
        )
    return results


def read_entries(arguments: Sequence[str]) -> list[Entry]:
    """Read results files as a command line names them.

    Args:
        arguments: ``results.json``, or ``NAME=results.json`` for rows of another name.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no results file, or the same results are named twice.
    """
    entries: list[Entry] = []
    seen: dict[str, Path] = {}
    for argument in arguments:
        label, _, rest = argument.partition('=')
        named = bool(rest) and not Path(argument).is_file()
        path = Path(rest if named else argument)
        results = read_results(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest in seen:
            raise ValueError(
                f'{seen[digest]} and {path} are the same results: name each once.'
            )
        seen[digest] = path
        entries.append(Entry({**results, 'name': label} if named else results, (path,)))
    return entries


def check_comparable(
    results: Sequence[dict[str, Any]], besides: Sequence[str] = ()
) -> None:
    """Refuse to put results side by side that were not measured alike.

    Args:
        results: Contents of results files.
        besides: Options that may differ, since the table shows them.

    Raises:
        ValueError: They differ in task, in an option, or in their data.
    """
    first = results[0]
    for other in results[1:]:
        pairs = [('task', first['task'], other['task'])]
        pairs += [
            (f'data.{key}', first['data'].get(key), other['data'].get(key))
            for key in ('name', 'fingerprint', 'simulated', 'packed')
        ]
        keys = sorted({*first['options'], *other['options']} - {*besides})
        pairs += [
            (f'options.{key}', first['options'].get(key), other['options'].get(key))
            for key in keys
        ]
        for name, left, right in pairs:
            if left != right:
                raise _differing(name, (left, first), (right, other))
    _check_layouts(results)


def _check_layouts(results: Sequence[dict[str, Any]]) -> None:
    """Results from skeletons share their extractor; those from videos have none."""
    key = 'skeleton_layout'
    posed = [r for r in results if key in r['data']]
    for other in posed[1:]:
        left, right = posed[0]['data'][key], other['data'][key]
        if left != right:
            raise _differing(f'data.{key}', (left, posed[0]), (right, other))


def _differing(
    name: str, left: tuple[Any, dict[str, Any]], right: tuple[Any, dict[str, Any]]
) -> ValueError:
    return ValueError(
        f'{name} differs: {left[0]!r} in {_named(left[1])}, {right[0]!r} in '
        f'{_named(right[1])}. Rows of one table must be measured alike: test again '
        'with the same options, or make two tables.'
    )


def environment(device: str) -> dict[str, str]:
    """Versions and device of a run; nothing that names a person or a machine."""
    versions = {name: _version(name) for name in _PACKAGES}
    return {'python': platform.python_version(), **versions, 'device': device}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return 'absent'


def _named(results: dict[str, Any]) -> str:
    return f'{results["name"]} ({results["protocol"]["name"]})'
