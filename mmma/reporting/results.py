"""results.json: reading, writing, grouping by seed, pooling, auditing.

Counts per class add up over clips, so the metrics of pooled rows are exact. Intervals
need the clips themselves: pooled rows have none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmma.evaluation.detection import PRESETS
from mmma.evaluation.recognition import (
    CLASS_SET_KEYS,
    CLASS_SETS,
    LEVELS,
    ClassCounts,
    recognition_metrics,
)
from mmma.evaluation.rows import ALL_DOMAINS, SCHEMA, across_domains, to_percent
from mmma.files import atomic_write
from mmma.taxonomy import DOMAINS


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


def _named(results: dict[str, Any]) -> str:
    return f'{results["name"]} ({results["protocol"]["name"]})'


_RECIPE = (
    'model',
    'pretrained',
    'train_dataloader',
    'train_cfg',
    'optim_wrapper',
    'param_scheduler',
    'test_dataloader.dataset.pipeline',
)
_NO_RECIPE = (
    'data_root',
    'domains',
    'subset',
    'on_broken',
    'num_workers',
    'persistent_workers',
    'serialize_data',
    'seed',
)
_ABSENT = 'absent'


@dataclass(frozen=True)
class Sample:
    """One row of a results file.

    Attributes:
        entry: The results.
        run: The row, an item of their ``runs``.
    """

    entry: Entry
    run: dict[str, Any]

    @property
    def seed(self) -> int:
        """Seed of the training, or of the support draws."""
        return int(self.entry.results['protocol'].get('seed', 0))

    @property
    def subset(self) -> str:
        """``test`` or ``val``."""
        options = self.entry.results['options']
        return str(self.run.get('subset') or options.get('subset', 'test'))

    @property
    def checkpoint(self) -> str | None:
        """SHA-256 of the weights, if the results say."""
        found: str | None = self.entry.results['checkpoint'].get('sha256')
        return found


def take_samples(
    samples: Sequence[Sample], where: str, shared: bool
) -> dict[int, list[Sample]]:
    """Sort the rows of one cell by seed.

    Args:
        samples: Of one model, place, setting and subset.
        where: What they are, for messages.
        shared: Whether several results files may hold the same row of the same
            weights, as zero-shot rows beside few-shot rows; the first is kept.

    Returns:
        Seed to its rows: one, or one per support draw.

    Raises:
        ValueError: A seed in two results files, or weights under two seeds.
    """
    by_seed: dict[int, list[Sample]] = {}
    for sample in samples:
        kept = by_seed.setdefault(sample.seed, [])
        if not kept or kept[0].entry is sample.entry:
            kept.append(sample)
        elif not (shared and kept[0].checkpoint == sample.checkpoint is not None):
            raise ValueError(
                f'{where}: seed {sample.seed} is in {kept[0].entry.files[0]} and in '
                f'{sample.entry.files[0]}. Name one of them, or give their rows names '
                'of their own: NAME=results.json.'
            )
    owners: dict[str, int] = {}
    for seed, kept in by_seed.items():
        checkpoint = kept[0].checkpoint
        if checkpoint and owners.setdefault(checkpoint, seed) != seed:
            raise ValueError(
                f'{where}: seeds {owners[checkpoint]} and {seed} tested the same '
                'weights, so they say nothing of the spread over trainings. Train '
                'with each seed; for more support draws use --runs.'
            )
    return dict(sorted(by_seed.items()))


def check_weights(by_subset: Mapping[str, Sequence[Sample]], where: str) -> None:
    """Val and test of one seed are of the same weights.

    Args:
        by_subset: Subset to the rows of its cell.
        where: What they are, for messages.

    Raises:
        ValueError: They are not.
    """
    first: dict[int, Sample] = {}
    for sample in (s for samples in by_subset.values() for s in samples):
        other = first.setdefault(sample.seed, sample)
        left, right = other.checkpoint, sample.checkpoint
        if left and right and left != right:
            raise ValueError(
                f'{where}: seed {sample.seed} is of weights {left[:8]} in '
                f'{other.entry.files[0]}, of {right[:8]} in {sample.entry.files[0]}. '
                'Test val and test with one checkpoint.'
            )


def check_recipes(entries: Sequence[Entry]) -> None:
    """Results of one name and protocol come from one recipe.

    Args:
        entries: Results; those without a config are taken at their word.

    Raises:
        ValueError: Two configs of one name differ in what trains or tests a model.
    """
    first: dict[tuple[str, str], Entry] = {}
    for entry in entries:
        results = entry.results
        key = (results['name'], results['protocol']['name'])
        other = first.setdefault(key, entry)
        left, right = (_recipe(e.results.get('config') or {}) for e in (other, entry))
        if not left or not right:
            continue
        for name in sorted({*left, *right}):
            values = left.get(name, _ABSENT), right.get(name, _ABSENT)
            if values[0] != values[1]:
                raise ValueError(
                    f'{results["name"]}: config.{name} differs: {values[0]!r} in '
                    f'{other.files[0]}, {values[1]!r} in {entry.files[0]}. Seeds of '
                    'one recipe share it; give one of them another name: '
                    'NAME=results.json.'
                )


def _recipe(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in _leaves(config)
        if name.startswith(_RECIPE) and not {*name.split('.')} & {*_NO_RECIPE}
    }


def _leaves(value: Any, name: str = '') -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        items: Iterator[tuple[Any, Any]] = iter(value.items())
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    else:
        yield name, value
        return
    for key, item in items:
        yield from _leaves(item, f'{name}.{key}' if name else str(key))


_FIELDS = ('support', 'predicted', 'hits', 'top5_hits')


def pool_entries(entries: Sequence[Entry]) -> list[Entry]:
    """Pool in-domain results of single domains that share name, seed and subset.

    Args:
        entries: Results; those that are not of a single domain stay as they are.

    Returns:
        Fewer entries, each pooled one in the place of its first.

    Raises:
        ValueError: Nothing to pool, a domain twice, results that were not measured
            alike, or detection, whose AP ranks predictions over all videos.
    """
    if any(entry.results['task'] != 'rec' for entry in entries):
        raise ValueError(
            'rows of detection cannot be pooled, for AP ranks the predictions of all '
            'videos: join the detections and evaluate them.'
        )
    groups: dict[Any, list[Entry]] = {}
    for i, entry in enumerate(entries):
        results = entry.results
        key = (results['name'], _seed(results), results['options'].get('subset'))
        groups.setdefault(key if _domain(results) else i, []).append(entry)
    pooled = [_pool(group) if len(group) > 1 else group[0] for group in groups.values()]
    if len(pooled) == len(entries):
        raise ValueError(
            '--pool: no two results are in-domain results of single domains that share '
            'name, seed and subset; nothing to pool.'
        )
    return pooled


def pooled_domains(results: Mapping[str, Any]) -> list[str]:
    """Domains that a result was pooled of; none if it was not pooled."""
    return list(results['protocol'].get('pooled', ()))


def _domain(results: Mapping[str, Any]) -> str | None:
    """The one domain of an in-domain result, None for any other."""
    protocol = results['protocol']
    domain = protocol.get('domain', 'all')
    return domain if protocol['name'] == 'indomain' and domain != 'all' else None


def _seed(results: Mapping[str, Any]) -> int:
    return int(results['protocol'].get('seed', 0))


def _pool(entries: Sequence[Entry]) -> Entry:
    results = [entry.results for entry in entries]
    check_comparable(results)
    by_domain: dict[str, dict[str, Any]] = {}
    for r in results:
        domain = r['protocol']['domain']
        if domain in by_domain:
            raise ValueError(
                f'{r["name"]}: two results of domain {domain!r} with seed {_seed(r)}; '
                'pool one of each domain.'
            )
        by_domain[domain] = next(x for x in r['runs'] if x['domain'] == domain)
    first = results[0]
    known = first['protocol'].get('domains', DOMAINS)
    by_domain = {d: by_domain[d] for d in known if d in by_domain}
    place = 'all' if len(by_domain) == len(known) else '+'.join(by_domain)
    row = _pooled_row(list(by_domain.values()), first)
    row['across_domains'] = across_domains(
        {domain: run['metrics'] for domain, run in by_domain.items()}
    )
    own = next(iter(by_domain.values()))
    shared = {key: own[key] for key in ('seed', 'subset') if key in own}
    pooled = {
        **first,
        'protocol': {**first['protocol'], 'domain': place, 'pooled': [*by_domain]},
        'checkpoint': {'simulated': any(r['checkpoint']['simulated'] for r in results)},
        'broken': sorted({name for r in results for name in r.get('broken', ())}),
        'runs': [{'domain': place, **shared, **row}, *by_domain.values()],
    }
    return Entry(pooled, tuple(file for entry in entries for file in entry.files))


def _pooled_row(
    rows: Sequence[dict[str, Any]], results: dict[str, Any]
) -> dict[str, Any]:
    tables = {level: [row['per_class'][level] for row in rows] for level in LEVELS}
    for level, parts in tables.items():
        if any(part['name'] != parts[0]['name'] for part in parts):
            raise ValueError(
                f'{results["name"]}: the {level} classes of its results differ; rows '
                'of one label space can be pooled.'
            )
    counts = {
        level: ClassCounts(
            *(np.sum([part[f] for part in parts], axis=0, dtype=float) for f in _FIELDS)
        )
        for level, parts in tables.items()
    }
    by_set = {s: to_percent(recognition_metrics(counts, s)) for s in CLASS_SETS}
    present = {level: int((c.support > 0).sum()) for level, c in counts.items()}
    return {
        'counts': {
            'clips': sum(row['counts']['clips'] for row in rows),
            'classes_present': present['action'],
            'bodies_present': present['body'],
            'subjects': sum(row['counts']['subjects'] for row in rows),
        },
        'metrics': by_set[results['options']['class_set']],
        'class_sets': {
            name: {key: metrics[key] for key in CLASS_SET_KEYS}
            for name, metrics in by_set.items()
        },
        'per_class': {
            level: {
                'name': parts[0]['name'],
                **{f: [int(n) for n in getattr(counts[level], f)] for f in _FIELDS},
            }
            for level, parts in tables.items()
        },
    }


_EXACT, _ROUNDED = 1e-6, 1e-4  # percent; per-class rates have four digits
_Check = tuple[str, Any, Any, float]
"""Name of a number, as written, as computed, how far they may be apart."""


def audit_results(results: Mapping[str, Any], where: str) -> None:
    """Compute again what can be: metrics that were changed do not fit their counts.

    Args:
        results: Contents of a results file.
        where: Its name, for the message.

    Raises:
        ValueError: A number does not fit the others, or one that is needed is missing.
    """
    checks = _detection_checks if results['task'] == 'det' else _recognition_checks
    for run in results['runs']:
        label = _run_label(run)
        try:
            for what, found, expected, tolerance in checks(results, run):
                if not abs(found - expected) <= tolerance:
                    raise ValueError(
                        f'{where}: {label}: {what} is {found}, but the other numbers '
                        f'give {expected}. It was edited or is damaged: test again.'
                    )
        except (KeyError, TypeError, IndexError) as error:
            raise ValueError(
                f'{where}: {label}: {error!r} is missing or malformed: test again.'
            ) from None
    for problem in _unlike_their_sum(results):
        raise ValueError(f'{where}: {problem}')


def _run_label(run: Mapping[str, Any]) -> str:
    """Name of a row of a results file: ``street, shots 5, run 0``."""
    place = run.get('target') or run.get('domain') or '?'
    keys = ('shots', 'control', 'run')
    return ', '.join([place, *(f'{key} {run[key]}' for key in keys if key in run)])


def _recognition_checks(
    results: Mapping[str, Any], run: Mapping[str, Any]
) -> Iterator[_Check]:
    counts = {level: _class_counts(run, level) for level in LEVELS}
    for level, own in counts.items():
        yield f'{level} clips', run['counts']['clips'], int(own.support.sum()), 0
        yield f'{level} predictions', int(own.predicted.sum()), own.support.sum(), 0
        highest = np.minimum(np.minimum(own.predicted, own.top5_hits), own.hits)
        yield f'{level} hits', int(own.hits.sum()), int(highest.sum()), 0
        over = int((own.top5_hits > own.support).sum())
        yield f'{level} classes with more hits than clips', over, 0, 0
    present = [int((counts[level].support > 0).sum()) for level in LEVELS]
    yield 'classes present', run['counts']['classes_present'], present[0], 0
    yield 'bodies present', run['counts']['bodies_present'], present[1], 0
    metrics = recognition_metrics(counts, results['options']['class_set'])
    for key, value in metrics.items():
        yield key, run['metrics'][key], 100.0 * float(value), _EXACT


def _class_counts(run: Mapping[str, Any], level: str) -> ClassCounts:
    table = run['per_class'][level]
    return ClassCounts(*(np.array(table[key], np.float64) for key in _FIELDS))


def _detection_checks(
    results: Mapping[str, Any], run: Mapping[str, Any]
) -> Iterator[_Check]:
    metrics, preset = run['metrics'], results['options']['preset']
    for level in LEVELS:
        table = run['per_class'][level]
        yield f'{level} classes', run['counts']['classes'][level], len(table['AP']), 0
        for name, values in table.items():
            if name.startswith('AP') and name != 'AP_bounds':
                key = f'{level}/m{name}'
                yield key, metrics[key], float(np.mean(values)), _ROUNDED
        at = [metrics[f'{level}/mAP@{t:.2f}'] for t in PRESETS[preset]]
        yield f'{level}/mAP', metrics[f'{level}/mAP'], float(np.mean(at)), _EXACT
    mean = (metrics['action/mAP'] + metrics['body/mAP']) / 2
    yield 'AVG', metrics['AVG'], mean, _EXACT


def _unlike_their_sum(results: Mapping[str, Any]) -> Iterator[str]:
    """Clips or instances of the domains must add up to the row of all."""
    whole = [r for r in results['runs'] if r.get('domain') == ALL_DOMAINS]
    parts = [r for r in results['runs'] if r.get('domain', ALL_DOMAINS) != ALL_DOMAINS]
    if len(whole) != 1 or not parts:
        return
    key = 'instances' if results['task'] == 'det' else 'clips'
    total = whole[0]['counts'][key]
    found = sum(part['counts'][key] for part in parts)
    if total != found:
        yield f'all: {total} {key}, but those of the domains add up to {found}.'
    if results['task'] == 'det':
        return
    for level in LEVELS:
        for name in _FIELDS:
            summed = np.sum([part['per_class'][level][name] for part in parts], axis=0)
            if summed.tolist() != whole[0]['per_class'][level][name]:
                yield f'all: {level} {name} are not the sum of those of the domains.'
