"""Pages of the zoo, and the audit of what they show.

Whether a results file is what it says: what can be computed again, is.

A results file holds the counts and per-class rates that its metrics follow from, so a
metric that was changed by hand does not fit them.

What the model zoo shows: methods, their recipes, and our own weights with results.

A number of ours is shown only if its results file was measured with the very file that
is published: its hash is the entry's, and the file's.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from mmma.checkpoints import file_sha256
from mmma.checkpoints.download import file_name
from mmma.evaluation.detection import LEVELS, PRESETS
from mmma.evaluation.recognition import ClassCounts, recognition_metrics
from mmma.evaluation.rows import ALL_DOMAINS
from mmma.reporting.paper import (
    Cell,
    Row,
    is_published_space,
    load_published,
    paper_tables,
    published_rows,
)
from mmma.reporting.render import number
from mmma.reporting.results import Entry, check_comparable, read_results
from mmma.reporting.table import CONTROLS, DETECTION_COLUMNS
from mmma.taxonomy import DOMAINS, SUBSETS

UNKNOWN = '–'
_SHOWN = 60


def table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1
) -> list[str]:
    """Lines of a table, and an empty one.

    Args:
        headings: Titles of the columns.
        rows: Cells.
        left: Columns that are aligned left, the first ones; the others are numbers.
    """
    rule = ':--|' * left + '--:|' * (len(headings) - left)
    lines = [_line(headings), f'|{rule}', *(_line(row) for row in rows)]
    return [*lines, '']


def link(text: str, target: str) -> str:
    """A link."""
    return f'[{text}]({target})'


def millions(number: int | None) -> str:
    """Parameters, in millions."""
    return f'{number / 1e6:.2f}' if number else UNKNOWN


def billions(number: int | None) -> str:
    """Multiply-adds, in billions; small ones with more digits."""
    if not number:
        return UNKNOWN
    return f'{number / 1e9:.{2 if number > 1e8 else 4}f}'


def megabytes(size: int | None) -> str:
    """Size of a file, in millions of bytes."""
    return f'{size / 1e6:.2f} MB' if size else 'unknown'


def span(texts: Sequence[str]) -> str:
    """Smallest and largest of several numbers: ``0.17–2.04``."""
    known = sorted({t for t in texts if t != UNKNOWN}, key=float)
    if not known:
        return UNKNOWN
    return known[0] if len(known) == 1 else f'{known[0]}–{known[-1]}'


def text_differences(old: str, new: str) -> Iterator[str]:
    """Say which lines of a generated text are not as they should be.

    Args:
        old: As it is.
        new: As it should be.

    Yields:
        ``line 12: '47.40' should be '46.20'``; of a row of a table only the cells.
    """
    left, right = old.splitlines(), new.splitlines()
    matcher = difflib.SequenceMatcher(None, left, right, autojunk=False)
    for kind, i, j, k, n in matcher.get_opcodes():
        if kind == 'replace' and j - i == n - k:
            for offset in range(j - i):
                pair = left[i + offset], right[k + offset]
                yield f'line {i + offset + 1}: {_changed(*pair)}'
        elif kind != 'equal':
            for number in range(i, j):
                yield f'line {number + 1}: {_short(left[number])} should not be there'
            for number in range(k, n):
                yield f'line {i + 1}: {_short(right[number])} is missing'
    if old != new and left == right:
        yield f'line {len(left)}: its end is not one line break'


def licence(method: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
    """Licence of the weights that a recipe starts from.

    Args:
        method: Collection of its metafile.
        entry: The recipe, which may say another one.
    """
    found = {**(method.get('License') or {}), **(entry.get('License') or {})}
    return str(found.get('Pretrained Weights') or UNKNOWN)


def _line(cells: Sequence[str]) -> str:
    return f'| {" | ".join(cell.replace("|", chr(92) + "|") for cell in cells)} |'


def _changed(old: str, new: str) -> str:
    cells = old.split('|'), new.split('|')
    if len(cells[0]) == len(cells[1]) > 2:
        pairs = [(a, b) for a, b in zip(*cells, strict=True) if a != b]
        texts = [f'{_short(a.strip())} should be {_short(b.strip())}' for a, b in pairs]
        return '; '.join(texts)
    return f'{_short(old)} should be {_short(new)}'


def _short(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f'{text[:_SHOWN]}...')


_EXACT, _ROUNDED = 1e-6, 1e-4  # percent; per-class rates have four digits
_COUNTS = ('support', 'predicted', 'hits', 'top5_hits')
Check = tuple[str, Any, Any, float]
"""What, as written, as computed, how far they may be apart."""


def check_results(results: Mapping[str, Any], where: str) -> None:
    """Compute again what the metrics of a results file follow from.

    Args:
        results: Contents of a results file.
        where: Its name, for the message.

    Raises:
        ValueError: A number does not fit the others, or one that is needed is missing.
    """
    checks = _detection_checks if results['task'] == 'det' else _recognition_checks
    for run in results['runs']:
        label = run_label(run)
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


def run_label(run: Mapping[str, Any]) -> str:
    """What a row of a results file is: ``street, shots 5, run 0``."""
    place = run.get('target') or run.get('domain') or '?'
    keys = ('shots', 'control', 'run')
    return ', '.join([place, *(f'{key} {run[key]}' for key in keys if key in run)])


def _recognition_checks(
    results: Mapping[str, Any], run: Mapping[str, Any]
) -> Iterator[Check]:
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
    return ClassCounts(*(np.array(table[key], np.float64) for key in _COUNTS))


def _detection_checks(
    results: Mapping[str, Any], run: Mapping[str, Any]
) -> Iterator[Check]:
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
    total, found = whole[0]['counts'][key], _total(parts, key)
    if total != found:
        yield f'all: {total} {key}, but those of the domains add up to {found}.'
    if results['task'] == 'det':
        return
    for level in LEVELS:
        for name in _COUNTS:
            summed = np.sum([part['per_class'][level][name] for part in parts], axis=0)
            if summed.tolist() != whole[0]['per_class'][level][name]:
                yield f'all: {level} {name} are not the sum of those of the domains.'


def _total(rows: Sequence[Mapping[str, Any]], key: str) -> int:
    return int(sum(row['counts'][key] for row in rows))


FOLDER = 'zoo'
RESULTS = 'results.json'
BESIDE = ('config.py', 'train.log', RESULTS)
"""What lies beside published weights."""
SUFFIX = '-simulated'
DETECTORS = 'configs/det/'


@dataclass(frozen=True)
class Checkpoint:
    """Our own weights, with what was measured with them.

    Attributes:
        entry: Of the metafile.
        measured: Its results, ``results.json`` first; files relative to the root.
    """

    entry: Mapping[str, Any]
    measured: tuple[Entry, ...]

    @property
    def name(self) -> str:
        """As in the metafile."""
        return str(self.entry['Name'])

    @property
    def task(self) -> str:
        """``rec`` or ``det``."""
        return str(self.measured[0].results['task'])

    @property
    def simulated(self) -> bool:
        """Whether it was trained, and so measured, on simulated data."""
        return bool(self.entry['Metadata']['Simulated'])

    def rows(self) -> list[Row]:
        """What was measured, in the order of the paper's tables.

        Raises:
            ValueError: Its results were not measured alike.
        """
        tables = paper_tables(self.measured, published=False, level='action')
        return [row for table in tables for row in table.rows]


@dataclass(frozen=True)
class Method:
    """One metafile.

    Attributes:
        name: Of the metafile: ``posec3d``.
        collection: Its collection.
        recipes: Entries without weights.
        checkpoints: Our own weights.
    """

    name: str
    collection: Mapping[str, Any]
    recipes: tuple[Mapping[str, Any], ...]
    checkpoints: tuple[Checkpoint, ...] = field(default=())

    def weights_of(self, recipe: Mapping[str, Any]) -> list[Checkpoint]:
        """Our weights of a recipe."""
        leaves = recipe['Configs']
        return [c for c in self.checkpoints if c.entry['Config'] in leaves]


def task_of(recipe: Mapping[str, Any]) -> str:
    """``rec`` or ``det``, of an entry of a metafile."""
    return 'det' if recipe['Config'].startswith(DETECTORS) else 'rec'


def read_zoo_checkpoint(root: Path, entry: Mapping[str, Any]) -> Checkpoint:
    """Read the results of our own weights, and check that they are theirs.

    Args:
        root: Folder of ``zoo/`` and ``configs/``.
        entry: With ``Weights``.

    Raises:
        FileNotFoundError: Weights, or a file that belongs beside them, are missing.
        ValueError: A hash, a protocol or ``Simulated`` differs between entry, weights
            and results, or the results contradict themselves.
    """
    name, simulated = entry['Name'], (entry.get('Metadata') or {}).get('Simulated')
    folder = root / FOLDER / name
    if not isinstance(simulated, bool) or name.endswith(SUFFIX) is not simulated:
        raise ValueError(
            f'{name}: Metadata.Simulated is {simulated!r}. Write true or false; names '
            f'of weights trained on simulated data, and no others, end in {SUFFIX}.'
        )
    _check_weights(root, entry)
    for file in BESIDE:
        if not (folder / file).is_file():
            raise FileNotFoundError(
                f'{name}: there is no {FOLDER}/{name}/{file}. '
                'Publish the weights again, or remove the entry.'
            )
    further = sorted(p.name for p in folder.glob('results_*.json'))
    paths = [PurePosixPath(FOLDER, name, file) for file in (RESULTS, *further)]
    measured = [(path, read_results(root / path)) for path in paths]
    for path, results in measured:
        _check_belongs(entry, results, str(path))
        check_results(results, str(path))
    protocol = measured[0][1]['protocol']['name']
    if protocol != entry['Metadata'].get('Protocol'):
        raise ValueError(
            f'{paths[0]} is of protocol {protocol}, the entry says '
            f'{entry["Metadata"].get("Protocol")}.'
        )
    named = [Entry({**results, 'name': name}, (Path(p),)) for p, results in measured]
    return Checkpoint(entry, tuple(named))


def _check_weights(root: Path, entry: Mapping[str, Any]) -> None:
    name, path = entry['Name'], root / entry['Weights']
    where = PurePosixPath(entry['Weights'])
    wanted = str(entry.get('Weights SHA256') or '')
    expected = f'{FOLDER}/{name}/{name}-{wanted[:8]}.safetensors'
    if len(wanted) != 64 or str(where) != expected:
        raise ValueError(
            f'{name}: Weights {where} with SHA-256 {wanted or "unknown"}: weights of '
            f'this hash are called {expected}, and the whole hash is needed.'
        )
    if not path.is_file():
        raise FileNotFoundError(
            f'{name}: there is no {where}. Publish the weights again, or remove the '
            'entry.'
        )
    found = file_sha256(path)
    if found != wanted:
        raise ValueError(
            f'{where} has SHA-256 {found}, the entry of {name} says {wanted}. Publish '
            'the weights again.'
        )


def _check_belongs(
    entry: Mapping[str, Any], results: Mapping[str, Any], where: str
) -> None:
    """Results are of these weights, on data of their kind, in full."""
    wanted, found = entry['Weights SHA256'], results['checkpoint'].get('sha256')
    if found != wanted:
        raise ValueError(
            f'{where} was measured with weights of SHA-256 {found}, the entry of '
            f'{entry["Name"]} is of {wanted}. Test the published file.'
        )
    simulated = entry['Metadata']['Simulated']
    for part in ('checkpoint', 'data'):
        kind = bool(results[part].get('simulated'))
        if kind != simulated:
            raise ValueError(
                f'{where}: {part}.simulated is {kind}, Simulated of the entry of '
                f'{entry["Name"]} is {simulated}. Numbers of real and of simulated '
                'data must not mix.'
            )
    if task_of(entry) != results['task']:
        raise ValueError(
            f'{where} is of task {results["task"]!r}, {entry["Config"]} is not.'
        )
    if results['options'].get('fast_dev_run') or results.get('broken'):
        raise ValueError(
            f'{where} is not over all clips or videos: test again without '
            '--fast-dev-run and --skip-broken.'
        )


SIMULATED = '**simulated data, no benchmark**'
SUSPECT = '†'
EACH = 'each'
"""Place and setting of a row that stands for all of them."""
DET_COLUMNS = {
    'Top-1': 'top1',
    'Top-5': 'top5',
    'MCA': 'mca',
    'macro F1': 'macro_f1',
    'micro F1': 'micro_f1',
}
FULL_COLUMNS = {
    **{title: f'action/{key}' for title, key in DET_COLUMNS.items()},
    **{f'body {title}': f'body/{key}' for title, key in DET_COLUMNS.items()},
}
"""The columns of the paper."""
REC_COLUMNS = {k: v for k, v in FULL_COLUMNS.items() if 'micro' not in k}
"""Without micro F1, which is Top-1 where a clip has one action."""
COLUMNS = {'rec': REC_COLUMNS, 'det': DETECTION_COLUMNS}
COUNTED = {'rec': ('clips',), 'det': ('videos', 'instances')}
_HEADLINES = ('action/top1', 'action/mAP', 'AVG')
_PRESET = 'mma82'


@dataclass(frozen=True)
class Compared:
    """A row of the paper or of ours, on real data.

    Attributes:
        row: Its numbers; without any where ours is not measured.
        recipe: Name of the recipe behind it.
    """

    row: Row
    recipe: str


def compare(task: str, kind: str, methods: Sequence[Method]) -> list[Compared]:
    """Published rows, and under each of them ours.

    Args:
        task: ``rec`` or ``det``.
        kind: ``indomain`` or ``crossdomain``.
        methods: Where ours are from; the paper's rows are of their recipes too.

    Returns:
        Rows by domain or target, setting and recipe, the paper first. Where ours lacks
        a row of the paper there is one without numbers; where it lacks all of a
        recipe's, one for all of them, the last.

    Raises:
        ValueError: Weights of ours were not measured alike.
    """
    recipes = [r['Name'] for method in methods for r in method.recipes]
    paper = [c for c in _paper(task, kind) if c.recipe in recipes]
    results = [entry.results for c in _real(methods, task) for entry in c.measured]
    if results:
        check_comparable(results, besides=('subset',))
    ours = [c for method in methods for c in _ours(method, task, kind)]
    lacking = _lacking(paper, ours)
    order = list(dict.fromkeys([*(c.recipe for c in paper), *recipes]))
    return sorted(
        [*paper, *ours, *lacking],
        key=lambda c: (*_order(c.row), order.index(c.recipe), not c.row.paper),
    )


def compared_table(
    rows: Sequence[Compared],
    columns: Mapping[str, str],
    pages: Mapping[str, str],
    subsets: Sequence[str] = ('test',),
) -> list[str]:
    """The rows of :func:`compare` as a table.

    Args:
        rows: All of them.
        columns: Title to metric.
        pages: Recipe to the page that a row of ours is linked to.
        subsets: Each a row of its own.
    """
    settings = any(c.row.setting for c in rows)
    cells = []
    for compared in rows:
        row = compared.row
        name = row.model if row.paper else link(row.model, pages[compared.recipe])
        for subset in subsets:
            if row.paper and not any(s == subset for _, s in row.cells):
                continue
            source = 'paper' if row.paper else '**ours**'
            setting = [row.setting] if settings else []
            place = [row.place, *setting, *([subset] if len(subsets) > 1 else [])]
            values = [_value(row, key, subset) for key in columns.values()]
            cells.append([*place, name, source, *values])
    titles = ['target', 'setting'] if settings else ['domain']
    titles += ['subset'] if len(subsets) > 1 else []
    titles += ['model', 'source']
    lines = table([*titles, *columns], cells, left=len(titles))
    if any(c.row.suspect for c in rows):
        lines += [f'{SUSPECT} Stands out; probably a misprint of the paper.', '']
    return lines


def checkpoints_table(
    checkpoints: Sequence[Checkpoint],
    up: str = '',
    pages: Mapping[str, str] | None = None,
) -> list[str]:
    """Files of our own weights.

    Args:
        checkpoints: To list.
        up: From the page to the root: ``../../``.
        pages: Name to the page with its details.
    """
    named = {c.name: f'`{c.name}`' for c in checkpoints}
    for name, page in (pages or {}).items():
        named[name] = link(f'`{name}`', f'{page}#{name}')
    titles = ['name', 'config', 'protocol', 'params (M)', 'size', 'SHA-256', 'files']
    rows = []
    for checkpoint in checkpoints:
        entry, metadata = checkpoint.entry, checkpoint.entry['Metadata']
        files = [link('log', f'{up}zoo/{checkpoint.name}/train.log')]
        files += [
            link(e.files[0].stem.replace('_', ' '), up + e.files[0].as_posix())
            for e in checkpoint.measured
        ]
        rows.append(
            [
                named[checkpoint.name],
                link(PurePosixPath(entry['Config']).stem, up + entry['Config']),
                metadata['Protocol'],
                millions(metadata.get('Parameters')),
                megabytes(entry.get('Weights Size')),
                link(f'`{entry["Weights SHA256"][:8]}`', up + entry['Weights']),
                ', '.join(files),
            ]
        )
    return table(titles, rows, left=3)


def measured_table(
    checkpoints: Sequence[Checkpoint], every_interval: bool = False
) -> list[str]:
    """What was measured with weights of ours, of one task, with counts.

    Args:
        checkpoints: Of one task, all on simulated data or all on real data.
        every_interval: Show every interval, not that of the main metrics alone.

    Raises:
        ValueError: Real and simulated data in one table.
    """
    if len({(c.task, c.simulated) for c in checkpoints}) > 1:
        raise ValueError(
            f'{", ".join(c.name for c in checkpoints)}: numbers of two tasks, or of '
            'real and of simulated data, must not stand in one table.'
        )
    task = checkpoints[0].task
    columns, counted = COLUMNS[task], COUNTED[task]
    cells = []
    for checkpoint in checkpoints:
        for row in checkpoint.rows():
            for subset in (s for s in SUBSETS if s in row.samples):
                counts = row.samples[subset][0].run['counts']
                place = f'{row.place}, {row.setting}' if row.setting else row.place
                place += '' if subset == 'test' else f', {subset}'
                values = [
                    _with_interval(row, key, subset, every_interval)
                    for key in columns.values()
                ]
                numbers = [f'{counts[key]:,}' for key in counted]
                cells.append([f'`{row.name}`', place, *numbers, *values])
    titles = ['name', 'tested on', *counted, *columns]
    return table(titles, cells, left=2)


def data_groups(
    checkpoints: Iterable[Checkpoint],
) -> list[tuple[str, list[Checkpoint]]]:
    """Weights of ours by what they were tested on, which a sentence names."""

    def tested(checkpoint: Checkpoint) -> tuple[str, str, str]:
        data = checkpoint.measured[0].results['data']
        return data['name'], data.get('source') or '', data['fingerprint']

    ordered = sorted(checkpoints, key=lambda c: (tested(c), c.name))
    return [
        (f'{name}{source and f" ({source})"}, fingerprint `{print_[:8]}`', list(group))
        for (name, source, print_), group in groupby(ordered, key=tested)
    ]


def upstream_table(methods: Sequence[Method], up: str = '') -> list[str]:
    """Pretrained weights that recipes start from; empty if none does.

    Args:
        methods: Whose recipes to look at.
        up: From the page to the root.
    """
    found: dict[str, list[tuple[Method, Mapping[str, Any]]]] = {}
    for method in methods:
        for recipe in method.recipes:
            if url := recipe['Metadata'].get('Pretrained Weights'):
                found.setdefault(url, []).append((method, recipe))
    rows = []
    for url, users in sorted(found.items(), key=_name_of):
        known = [recipe['Metadata'] for _, recipe in users]
        licences = dict.fromkeys(licence(m.collection, r) for m, r in users)
        licences = [text for text in licences if text != UNKNOWN] or [UNKNOWN]
        recipes = [link(recipe['Name'], up + recipe['Config']) for _, recipe in users]
        hashes = [m.get('Pretrained Weights SHA256') for m in known]
        sizes = [m.get('Pretrained Weights Size') for m in known]
        rows.append(
            [
                link(f'`{PurePosixPath(file_name(url)).stem}`', url),
                known[0].get('Pretrained') or UNKNOWN,
                megabytes(next(filter(None, sizes), None)),
                next((f'`{h[:8]}`' for h in hashes if h), 'unknown'),
                ', '.join(licences),
                ', '.join(recipes),
            ]
        )
    titles = ['name', 'trained on', 'size', 'SHA-256', 'licence', 'start of']
    return table(titles, rows, left=len(titles)) if rows else []


def recipes_table(method: Method, up: str) -> list[str]:
    """Recipes of a method with what they cost.

    Args:
        method: The method.
        up: From the page to the root.
    """
    windows = any(r['Metadata'].get('Window Seconds') for r in method.recipes)
    rows = []
    for recipe in method.recipes:
        known = recipe['Metadata']
        names = [f'`{c.name}`' for c in method.weights_of(recipe)]
        seconds = known.get('Window Seconds')
        rows.append(
            [
                recipe['Name'],
                _leaves(recipe, up),
                known.get('Architecture', UNKNOWN),
                known.get('Input', UNKNOWN),
                known.get('Pretrained') or 'scratch',
                ', '.join(names) or 'none yet: train it',
                millions(known.get('Parameters')),
                millions(known.get('Trainable Parameters') or known.get('Parameters')),
                billions(known.get('FLOPs')),
                *([f'{seconds:.2f}' if seconds else UNKNOWN] if windows else []),
            ]
        )
    titles = ['recipe', 'configs', 'architecture', 'input', 'starts from']
    titles += ['our weights', 'params (M)', 'trained (M)', 'GFLOPs']
    return table([*titles, *(['window (s)'] if windows else [])], rows, left=6)


def _name_of(item: tuple[str, Any]) -> str:
    return file_name(item[0]).lower()


def _leaves(recipe: Mapping[str, Any], up: str) -> str:
    stems = {leaf: PurePosixPath(leaf).stem for leaf in recipe['Configs']}
    if task_of(recipe) == 'det':
        return ' '.join(link('config', up + leaf) for leaf in stems)
    return ' '.join(
        link(stem.rpartition('_')[2], up + leaf) for leaf, stem in stems.items()
    )


def _paper(task: str, kind: str) -> list[Compared]:
    found = []
    for published in published_rows(task, kind):
        setting = '' if kind == 'indomain' else 'zero-shot'
        setting = f'{published.shots}-shot' if published.shots else setting
        cells = {
            (metric, subset): Cell(value)
            for subset, values in published.values.items()
            for metric, value in values.items()
        }
        row = Row(published.place, setting, published.method, paper=True, cells=cells)
        row.suspect = published.suspect
        found.append(Compared(row, published.recipe))
    return found


def _ours(method: Method, task: str, kind: str) -> list[Compared]:
    real = _real([method], task)
    return [
        Compared(row, recipe['Name'])
        for recipe in method.recipes
        for checkpoint in method.weights_of(recipe)
        if checkpoint in real
        for row in checkpoint.rows()
        if bool(row.setting) is (kind == 'crossdomain')
    ]


def _lacking(paper: Sequence[Compared], ours: Sequence[Compared]) -> list[Compared]:
    """Rows without numbers; one for all places where a recipe has none at all."""
    known = {(c.row.place, c.row.setting, c.recipe) for c in ours}
    measured = {c.recipe for c in ours}
    several = len({(c.row.place, c.row.setting) for c in paper}) > 1
    keys = {
        (c.row.place, c.row.setting, c.recipe)
        if c.recipe in measured or not several
        else (EACH, EACH if c.row.setting else '', c.recipe): None
        for c in paper
    }
    return [
        Compared(Row(place, setting, recipe), recipe)
        for place, setting, recipe in keys
        if (place, setting, recipe) not in known
    ]


def _real(methods: Iterable[Method], task: str) -> list[Checkpoint]:
    """Weights of ours that the paper's numbers can be put beside."""
    every = [c for method in methods for c in method.checkpoints]
    return [
        c
        for c in every
        if c.task == task
        and not c.simulated
        and is_published_space(c.measured[0].results.get('classes'))
        and c.measured[0].results['options'].get('preset', _PRESET) == _PRESET
    ]


def _order(row: Row) -> tuple[int, int, int]:
    places, controls = ['all', *DOMAINS], list(CONTROLS.values())
    place = places.index(row.place) if row.place in places else len(places)
    if row.setting in controls:
        return place, 0, controls.index(row.setting)
    shots, _, word = row.setting.partition('-')
    return place, int(shots) if word else 0, 0


def _value(row: Row, key: str, subset: str) -> str:
    text = number(row.cells.get((key, subset)), row.simulated)
    return text + (SUSPECT if key in row.suspect and text != UNKNOWN else '')


def _with_interval(row: Row, key: str, subset: str, always: bool) -> str:
    cell = row.cells.get((key, subset))
    text = number(cell, row.simulated)
    shown = always or key in _HEADLINES
    if shown and cell is not None and cell.interval == 'clips':
        return f'{text} [{cell.low:.1f}, {cell.high:.1f}]'
    return text


PAGE = 'model_zoo.md'
PAGES = 'docs/zoo'
_UP = '../../'
_HEAD = (
    '<!-- Generated by tools/build_model_zoo.py from configs/metafiles, '
    'zoo/*/results*.json and the published tables: edit none of it here. -->'
)
_TASKS = {'rec': 'recognition', 'det': 'detection'}
_KINDS = {
    'rec': {
        'indomain': 'Recognition, in-domain',
        'crossdomain': 'Recognition, from lab: zero-shot and few-shot',
    },
    'det': {
        'indomain': 'Detection, in-domain',
        'crossdomain': 'Detection, from lab: zero-shot',
    },
}
_LICENSED = {'Code': 'our code', 'Pretrained Weights': 'upstream weights'}
_INTRODUCTION = """\
| rows | what they are | weights |
|:--|:--|:--|
| **paper** | published for MMA-82 ({source}), on real data | none are public |
| **upstream** | trained by others; recipes start from them | fetched from where they \
are published |
| **ours** | trained and measured with this toolbox | in `zoo/`; those trained on \
simulated data are called so, have tables of their own, and are no benchmark |

{unknown} means that nobody has measured or told it. Numbers are percent, on the test \
subset unless a row says otherwise. Zero-shot: no clip of the target domain was \
trained on; its classes are not unseen.

```
python tools/download.py --list      # every name on this page
python tools/download.py NAME
python tools/test.py CONFIG NAME --data-root ROOT
```
"""
_INTERVALS = (
    'In brackets the 95 % bootstrap interval (by subject where there are at least five '
    'known ones, else by clip or video); ±: half the 95 % t-interval over support '
    'draws. ˢ: measured on simulated data.'
)
_COSTS = (
    'GFLOPs are billions of fused multiply-adds of one view of one clip; of a '
    'detector, of one window (what extracts features is not counted).'
)


def zoo_pages(methods: Sequence[Method]) -> dict[str, str]:
    """Every page of the model zoo.

    Args:
        methods: All of them, in the order that they are listed in.

    Returns:
        File, relative to the root, to its text.

    Raises:
        ValueError: Results that must not stand in one table.
    """
    pages = {f'{PAGES}/{method.name}.md': method_page(method) for method in methods}
    return {PAGE: main_page(methods), **pages}


def main_page(methods: Sequence[Method]) -> str:
    """``model_zoo.md``: an overview, then a section for each kind of row."""
    lines = [_HEAD, '', '# Model zoo', '']
    lines += _INTRODUCTION.format(
        source=load_published()['source'].partition(',')[0], unknown=UNKNOWN
    ).split('\n')
    lines += ['## Methods', '', _COSTS, '', *_overview(methods)]
    lines += ['## Paper and ours, on real data', '', *_compared(methods)]
    lines += ['## Ours, on simulated data: no benchmark', '', *_simulated(methods)]
    lines += ['## Upstream weights that recipes start from', '']
    lines += ['The name downloads the file; the link is where it is published.', '']
    lines += upstream_table(methods) or ['None.']
    return _text(lines)


def method_page(method: Method) -> str:
    """``docs/zoo/{method}.md``: recipes and their costs, weights, every number."""
    lines = [_HEAD, '', f'# {method.collection["Name"]}', '', *_sources(method), '']
    lines += [f'All methods: {link("model zoo", _UP + "model_zoo.md")}.', '']
    lines += ['## Recipes', '', _COSTS, '', *recipes_table(method, _UP)]
    upstream = upstream_table([method], _UP)
    lines += ['## Upstream weights', '', *upstream] if upstream else []
    lines += _compared([method], on_its_page=True)
    for simulated in (False, True):
        own = [c for c in method.checkpoints if c.simulated is simulated]
        mark = f'{SIMULATED}. ' if simulated else ''
        kind = ', on simulated data: no benchmark' if simulated else ', on real data'
        lines += [f'## Our weights{kind}', ''] if own else []
        for checkpoint in own:
            lines += _details(checkpoint, mark)
    return _text(lines)


def _overview(methods: Sequence[Method]) -> list[str]:
    rows = []
    for method in methods:
        known = [recipe['Metadata'] for recipe in method.recipes]
        real = [c for c in method.checkpoints if not c.simulated]
        rows.append(
            [
                link(method.collection['Name'], f'{PAGES}/{method.name}.md'),
                '/'.join(dict.fromkeys(_TASKS[task_of(r)] for r in method.recipes)),
                '/'.join(dict.fromkeys(r['Modality'] for r in method.recipes)),
                str(len(method.recipes)),
                span([millions(m.get('Parameters')) for m in known]),
                span([billions(m.get('FLOPs')) for m in known]),
                _headline(method),
                str(len(real) or UNKNOWN),
                str(len(method.checkpoints) - len(real) or UNKNOWN),
            ]
        )
    titles = ['method', 'task', 'input', 'recipes', 'params (M)', 'GFLOPs']
    titles += ['paper', 'ours, real', 'ours, simulated']
    return table(titles, rows, left=3)


def _headline(method: Method) -> str:
    """What the paper says of it in one number."""
    top1 = [
        c.row.cells['action/top1', 'test'].value
        for c in compare('rec', 'indomain', [method])
        if c.row.paper and c.row.place == 'all'
    ]
    average = [
        c.row.cells['AVG', 'test'].value
        for c in compare('det', 'indomain', [method])
        if c.row.paper
    ]
    text = span([f'{value:.2f}' for value in top1 or average])
    return text if text == UNKNOWN else f'{text} {"Top-1" if top1 else "AVG"}'


def _compared(methods: Sequence[Method], on_its_page: bool = False) -> list[str]:
    """One table per task and protocol; on a method's page with every column."""
    rec = FULL_COLUMNS if on_its_page else REC_COLUMNS
    columns = {'rec': rec, 'det': DETECTION_COLUMNS}
    folder = '' if on_its_page else f'{PAGES}/'
    pages = {r['Name']: f'{folder}{m.name}.md' for m in methods for r in m.recipes}
    lines: list[str] = []
    for task, kinds in _KINDS.items():
        for kind, title in kinds.items():
            rows = compare(task, kind, methods)
            if not rows:
                continue
            both = on_its_page and (task, kind) == ('rec', 'indomain')
            lines += [f'{"##" if on_its_page else "###"} {title}', '']
            lines += _notes(task, kind)
            subsets = ('val', 'test') if both else ('test',)
            lines += compared_table(rows, columns[task], pages, subsets)
    return lines


def _notes(task: str, kind: str) -> list[str]:
    if task == 'det':
        note = 'mAP at tIoU 0.2, 0.5, 0.7 and the mean of 0.1:0.1:0.9, of actions and '
        return [note + 'of body groups; AVG is the mean of the two means.', '']
    if kind == 'indomain':
        note = 'Whether the paper trained one model or one per domain it does not say'
    else:
        note = 'How many support draws the few-shot rows of the paper are is not told'
    return [f'{note}. Micro F1 is Top-1, but for rounding.', '']


def _simulated(methods: Sequence[Method]) -> list[str]:
    every = [c for m in methods for c in m.checkpoints if c.simulated]
    pages = {c.name: f'{PAGES}/{m.name}.md' for m in methods for c in m.checkpoints}
    if not every:
        return ['None yet.', '']
    lines = [
        'Demonstrations: they show that training, testing and inference run, and say '
        'nothing of people. On real video they refuse without `--allow-simulated`.',
        '',
        *checkpoints_table(every, pages=pages),
    ]
    for task, name in _TASKS.items():
        for data, group in data_groups(c for c in every if c.task == task):
            lines += [f'### {name.capitalize()}, simulated', '']
            lines += [f'{SIMULATED}: {data}. {_INTERVALS}', '', *measured_table(group)]
    return lines


def _sources(method: Method) -> list[str]:
    collection = method.collection
    paper, code = collection.get('Paper'), collection.get('Code')
    found = [link(paper['Title'], paper['URL'])] if paper else []
    if code:
        version = f' ({code["Version"]})' if code.get('Version') else ''
        found.append(f'{link("code", code["URL"])}{version}')
    licences = (collection.get('License') or {}).items()
    found += [f'{_LICENSED[what]}: {name}' for what, name in licences]
    return [f'{"; ".join(found)}.'] if found else []


def _details(checkpoint: Checkpoint, mark: str) -> list[str]:
    entry, metadata = checkpoint.entry, checkpoint.entry['Metadata']
    options = ' --data-root ROOT'
    lines = [f'### {checkpoint.name}', '', '```']
    lines += [f'python tools/download.py {checkpoint.name}']
    lines += [f'python tools/test.py {entry["Config"]} {checkpoint.name}{options}']
    lines += ['```', '', *checkpoints_table([checkpoint], _UP)]
    keys = ('Training Data', 'Training Resources', 'Precision')
    facts = [f'{key}: {metadata[key]}' for key in keys if metadata.get(key)]
    facts += [f'{megabytes(entry.get("Weights Size"))}']
    facts += [f'SHA-256 `{entry["Weights SHA256"]}`']
    data = data_groups([checkpoint])[0][0]
    lines += ['; '.join(facts) + '.', '', f'{mark}Tested on {data}. {_INTERVALS}', '']
    return [*lines, *measured_table([checkpoint], every_interval=True)]


def _text(lines: Sequence[str]) -> str:
    return '\n'.join(lines).rstrip('\n') + '\n'
