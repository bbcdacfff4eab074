"""One result out of several models, each trained and tested on its own domain.

Counts per class add up over clips, so the pooled metrics are exact. Intervals need the
clips themselves: pooled rows have none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mmma.evaluation.functional.recognition import (
    CLASS_SET_KEYS,
    CLASS_SETS,
    LEVELS,
    ClassCounts,
    recognition_metrics,
)
from mmma.evaluation.recognition import across_domains, to_percent
from mmma.reporting.results import Entry, check_comparable
from mmma.taxonomy import DOMAINS

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
    by_domain = {d: by_domain[d] for d in DOMAINS if d in by_domain}
    first = results[0]
    place = 'all' if len(by_domain) == len(DOMAINS) else '+'.join(by_domain)
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
