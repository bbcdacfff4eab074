"""results.json: reading several, grouping by seed, pooling, auditing.

Results are the contents of a file; those that stand in tables also have ``files``, the
paths that they were read from. Counts per class add up over clips, so the metrics of
pooled rows are exact. Intervals need the clips themselves: pooled rows have none.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmma.evaluation.form import FIELDS, PLACES, class_counts
from mmma.evaluation.reports import read_results
from mmma.evaluation.rows import across_domains, count_metrics, present_classes
from mmma.protocols import selected_by
from mmma.taxonomy import DOMAINS, LABEL_SPACES, LabelSpace, load_label_space

Results = dict[str, Any]


def read_named(arguments: Sequence[str]) -> list[Results]:
    """Read ``results.json``, or ``NAME=results.json`` for rows of another name.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no results file, or the same results are named twice.
    """
    found: list[Results] = []
    seen: dict[str, Path] = {}
    for argument in arguments:
        label, _, rest = argument.partition('=')
        named = bool(rest) and not Path(argument).is_file()
        path = Path(rest if named else argument)
        results = read_results(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if (other := seen.setdefault(digest, path)) is not path:
            raise ValueError(
                f'{other} and {path} are the same results: name each once.'
            )
        found.append({**results, **({'name': label} if named else {}), 'files': [path]})
    return found


def check_comparable(results: Sequence[Results], besides: Sequence[str] = ()) -> None:
    """Refuse to put results side by side that were not measured alike.

    ``besides`` names options that may differ, since the table shows them.

    Raises:
        ValueError: They differ in task, in an option, in their data, in their source,
            in what chose their checkpoints, or some are adapted without labels.
    """
    measured = [_measured_by(r) for r in results]
    first: dict[str, tuple[Any, Results]] = {}
    for own, facts in zip(results, measured, strict=True):
        for name in dict.fromkeys(name for told in measured for name in told):
            if name in _WHERE_TOLD and name not in facts:
                continue
            found = facts.get(name)
            value, other = first.setdefault(name, (found, own))
            if value != found and name.removeprefix('options.') not in besides:
                raise ValueError(
                    f'{name} differs: {value!r} in {_where(other)}, {found!r} in '
                    f'{_where(own)}. Rows of one table must be measured alike: '
                    f'{_WHERE_TOLD.get(name, _AGAIN)}, or make two tables.'
                )


_AGAIN = 'test again with the same options'
_WHERE_TOLD = {
    'adapted without labels': "compare with the zero-shot rows of adapt's own results",
    'data.skeleton_layout': 'find the skeletons with the same extractor',
    'data.incomplete': 'test again where the same files are there',
    'protocol.source': 'train and test with the same --source',
    'selected_on': 'test checkpoints chosen alike, all best_*.pth or all the last',
}
"""Facts that only some results have, and what to do where they differ."""


def _where(results: Results) -> str:
    files = ', '.join(map(str, results.get('files', ())))
    where = f'{results["name"]} ({results["protocol"]["name"]})'
    return f'{where}, {files}' if files else where


def _measured_by(results: Results) -> dict[str, Any]:
    """Facts that rows of one table share."""
    data, options = results['data'], results['options']
    shared = ('name', 'fingerprint', 'simulated', 'packed', 'incomplete')
    told = {
        'data.skeleton_layout': data.get('skeleton_layout'),
        'protocol.source': source_of(results),
        'selected_on': selection_of(results),
    }
    return {
        'task': results['task'],
        'adapted without labels': results['protocol']['name'] == 'adapt',
        **{f'data.{key}': data.get(key) for key in shared},
        **{f'options.{key}': options[key] for key in sorted(options)},
        **{k: v for k, v in told.items() if v not in (None, 'unknown')},
    }


def source_of(results: Results) -> str | None:
    """Source of zero-shot and few-shot results; None of in-domain ones."""
    told = results['protocol']
    return None if told['name'] == 'indomain' else told.get('source', DOMAINS[0])


def space_of(results: Results) -> LabelSpace | None:
    """Label space of the classes of results, with their body groups; None of others."""
    groups = results['options'].get('body_groups', 'taxonomy')
    told = results.get('config', {}).get('label_space')
    known = [*LABEL_SPACES, *([told] if isinstance(told, dict) else [])]
    spaces = (load_label_space(space, groups) for space in known)
    classes = tuple(results.get('classes') or ())
    return next((space for space in spaces if space.actions == classes), None)


def selection_of(results: Results) -> str:
    """What chose the checkpoint; ``unknown`` where older results do not say."""
    told = results.get('selected_on') or {}
    return selected_by(told, results['protocol'].get('target', ()))


_RECIPE = (
    'model', 'pretrained', 'train_dataloader', 'train_cfg', 'optim_wrapper',
    'param_scheduler', 'test_dataloader.dataset.pipeline',
)  # fmt: skip
_NO_RECIPE = {
    'data_root', 'domains', 'subset', 'on_broken', 'num_workers', 'persistent_workers',
    'serialize_data', 'seed',
}  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """One row of a results file: an item of the ``runs`` of its contents."""

    results: Results
    run: dict[str, Any]

    @property
    def seed(self) -> int:
        """Seed of the training, or of the support draws."""
        told = self.results['options'].get('seed', 0)  # of emotions
        return int(self.results['protocol'].get('seed', told))

    @property
    def place(self) -> str:
        """Target or domain, ``all``; experiment or input of emotions."""
        return str(next(filter(None, map(self.run.get, PLACES))))

    @property
    def subset(self) -> str:
        """``test`` or ``val``."""
        told = self.results['options'].get('subset', 'test')
        return str(self.run.get('subset') or told)

    @property
    def checkpoint(self) -> str | None:
        """SHA-256 of the weights, if the results say."""
        return self.results['checkpoint'].get('sha256')


def take_samples(
    samples: Sequence[Sample], where: str, shared: bool
) -> dict[int, list[Sample]]:
    """Sort the rows of one cell by seed.

    They are of one model, place, setting and subset, which ``where`` names. If
    ``shared``, several files may hold the same row of the same weights, as zero-shot
    rows beside few-shot rows; the first is kept.

    Returns:
        Seed to its rows: one, or one per support draw.

    Raises:
        ValueError: A seed in two results files, or weights under two seeds.
    """
    by_seed: dict[int, list[Sample]] = {}
    for sample in samples:
        kept = by_seed.setdefault(sample.seed, [])
        if not kept or kept[0].results is sample.results:
            kept.append(sample)
        elif not (shared and kept[0].checkpoint == sample.checkpoint is not None):
            raise ValueError(
                f'{where}: seed {sample.seed} is in {kept[0].results["files"][0]} and '
                f'in {sample.results["files"][0]}. Name one of them, or give their '
                'rows names of their own: NAME=results.json.'
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


def check_weights(samples: Sequence[Sample], where: str) -> None:
    """Refuse val and test rows of one seed that are of different weights.

    Raises:
        ValueError: They are.
    """
    first: dict[int, Sample] = {}
    for sample in samples:
        other = first.setdefault(sample.seed, sample)
        left, right = other.checkpoint, sample.checkpoint
        if left and right and left != right:
            raise ValueError(
                f'{where}: seed {sample.seed} is of weights {left[:8]} in '
                f'{other.results["files"][0]}, of {right[:8]} in '
                f'{sample.results["files"][0]}. Test val and test with one checkpoint.'
            )


def check_recipes(results: Sequence[Results]) -> None:
    """Refuse results of one name and protocol that come from several recipes.

    Those without a config are taken at their word.

    Raises:
        ValueError: Two configs of one name differ in what trains or tests a model.
    """
    first: dict[tuple[str, str], Results] = {}
    for own in results:
        other = first.setdefault((own['name'], own['protocol']['name']), own)
        left, right = (
            {
                name: value
                for name, value in _leaves(r.get('config') or {})
                if name.startswith(_RECIPE) and not _NO_RECIPE & {*name.split('.')}
            }
            for r in (other, own)
        )
        for name in sorted({*left, *right}) if left and right else ():
            values = left.get(name, 'absent'), right.get(name, 'absent')
            if values[0] != values[1]:
                raise ValueError(
                    f'{own["name"]}: config.{name} differs: {values[0]!r} in '
                    f'{other["files"][0]}, {values[1]!r} in {own["files"][0]}. Seeds '
                    'of one recipe share it; give one of them another name: '
                    'NAME=results.json.'
                )


def _leaves(value: Any, name: str = '') -> Iterator[tuple[str, Any]]:
    if not isinstance(value, Mapping | list | tuple):
        yield name, value
        return
    items = value.items() if isinstance(value, Mapping) else enumerate(value)
    for key, item in items:
        yield from _leaves(item, f'{name}.{key}' if name else str(key))


def pool_results(results: Sequence[Results]) -> list[Results]:
    """Pool in-domain results of single domains that share name, seed and subset.

    Each pooled one takes the place of its first; other results stay as they are.

    Raises:
        ValueError: Nothing to pool, a domain twice, results that were not measured
            alike, or detection, whose AP ranks predictions over all videos.
    """
    if any(r['task'] != 'rec' for r in results):
        raise ValueError(
            'rows of detection cannot be pooled, for AP ranks the predictions of all '
            'videos: join the detections and evaluate them. Emotions have no domains.'
        )
    groups: dict[Any, list[Results]] = {}
    for i, own in enumerate(results):
        protocol = own['protocol']
        alone = (
            protocol['name'] == 'indomain' and protocol.get('domain', 'all') != 'all'
        )
        key = own['name'], protocol.get('seed', 0), own['options'].get('subset')
        groups.setdefault(key if alone else i, []).append(own)
    pooled = [_pool(group) if len(group) > 1 else group[0] for group in groups.values()]
    if len(pooled) == len(results):
        raise ValueError(
            '--pool: no two results are in-domain results of single domains that share '
            'name, seed and subset; nothing to pool.'
        )
    return pooled


def _pool(results: Sequence[Results]) -> Results:
    check_comparable(results)
    found: dict[str, dict[str, Any]] = {}
    for r in results:
        domain, seed = r['protocol']['domain'], r['protocol'].get('seed', 0)
        if domain in found:
            told = f'{r["name"]}: two results of domain {domain!r} with seed {seed}'
            raise ValueError(f'{told}; pool one of each domain.')
        found[domain] = next(x for x in r['runs'] if x['domain'] == domain)
    first = results[0]
    known = first['protocol'].get('domains', DOMAINS)
    rows = {domain: found[domain] for domain in known if domain in found}
    place = 'all' if len(rows) == len(known) else '+'.join(rows)
    own = next(iter(rows.values()))
    row = {
        'domain': place,
        **{key: own[key] for key in ('seed', 'subset') if key in own},
        **_pooled_row(list(rows.values()), first),
        'across_domains': across_domains({d: r['metrics'] for d, r in rows.items()}),
    }
    return {
        **first,
        'protocol': {**first['protocol'], 'domain': place, 'pooled': [*rows]},
        'checkpoint': {'simulated': any(r['checkpoint']['simulated'] for r in results)},
        'broken': sorted({name for r in results for name in r.get('broken', ())}),
        'runs': [row, *rows.values()],
        'files': [file for r in results for file in r['files']],
    }


def _pooled_row(rows: Sequence[dict[str, Any]], results: Results) -> dict[str, Any]:
    names = {level: own['name'] for level, own in rows[0]['per_class'].items()}
    for level, own in names.items():
        if any(row['per_class'].get(level, {}).get('name') != own for row in rows):
            told = f'{results["name"]}: the {level} classes of its results differ'
            raise ValueError(f'{told}; rows of one label space can be pooled.')
    counts = {level: class_counts(rows, level) for level in names}
    return {
        'counts': {
            'clips': sum(row['counts']['clips'] for row in rows),
            **present_classes(counts),
            'subjects': sum(row['counts']['subjects'] for row in rows),
        },
        **count_metrics(counts, results['options']['class_set']),
        'per_class': {
            level: {
                'name': names[level],
                **{f: [int(n) for n in getattr(counts[level], f)] for f in FIELDS},
            }
            for level in names
        },
    }
