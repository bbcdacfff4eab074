"""Pages of the model zoo: methods, their recipes, and our own weights with results."""

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import PurePosixPath
from typing import Any

from mmma.checkpoints.download import file_name
from mmma.evaluation.bootstrap import FEW_UNITS, coverage
from mmma.evaluation.recognition import metric_columns
from mmma.foreign import markdown
from mmma.reporting.paper import (
    Row,
    load_published,
    number,
    other_than_paper,
    paper_tables,
    published_rows,
    render,
    row_order,
)
from mmma.reporting.results import Results, check_comparable
from mmma.reporting.table import COLUMNS, Table
from mmma.reporting.zoo_results import Checkpoint, Method, task_of
from mmma.taxonomy import SUBSETS, own_table

PAGE = 'model_zoo.md'
PAGES = 'docs/zoo'
UNKNOWN = '–'
FULL_COLUMNS = metric_columns(lambda _, metric: metric.in_paper)
REC_COLUMNS = metric_columns(lambda _, metric: metric.in_paper and metric.shown)
"""Without micro F1, which is Top-1 where a clip has one action."""
_COUNTED = {'rec': ('clips',), 'det': ('videos', 'instances')}
_HEADLINES = ('action/top1', 'action/mAP', 'AVG')
_EACH = 'each'  # place and setting of a row that stands for all of them
_SUSPECT = '†'
_SHOWN = 60
_UP = '../../'
_TASKS = {'rec': 'recognition', 'det': 'detection'}
_WORDS = own_table('pages')['zoo']


def zoo_pages(
    methods: Sequence[Method], studies: Sequence[Results] = ()
) -> dict[str, str]:
    """Every page of the model zoo: files, relative to the root, to their text.

    Raises:
        ValueError: Results that must not stand in one table.
    """
    lines = [_WORDS['head'], '', '# Model zoo', '']
    told = {'source': load_published()['source'].partition(',')[0], 'unknown': UNKNOWN}
    own = [c.simulated for method in methods for c in method.checkpoints]
    known = [r['Metadata'] for method in methods for r in method.recipes]
    starts = [url for facts in known if (url := facts.get('Pretrained Weights'))]
    told |= {'simulated': sum(own), 'real': len(own) - sum(own) or 'none'}
    told |= {'recipes': len(known), 'start': len(starts), 'upstream': len({*starts})}
    lines += [line.format(**told) for line in _WORDS['introduction']]
    lines += ['## Methods', '', _WORDS['costs'], '', *_overview(methods)]
    lines += ['## Paper and ours, on real data', '', *_compared(methods)]
    lines += ['## Ours, on simulated data: no benchmark', '', *_simulated(methods)]
    if studies:
        lines += [*_WORDS['emotion'], render(paper_tables(studies), 'md'), '']
    lines += ['## Upstream weights that recipes start from', '']
    lines += ['The name downloads the file; the link is where it is published.', '']
    lines += _upstream(methods) or ['None.']
    pages = {PAGE: lines}
    for method in methods:
        pages[f'{PAGES}/{method.name}.md'] = _method_page(method)
    return {name: '\n'.join(text).rstrip('\n') + '\n' for name, text in pages.items()}


def _method_page(method: Method) -> list[str]:
    """Recipes and their costs, weights, every number."""
    collection = method.collection
    paper, code = collection.get('Paper'), collection.get('Code')
    found = [_link(paper['Title'], paper['URL'])] if paper else []
    if code:
        version = code.get('Version')
        found.append(_link('code', code['URL']) + (f' ({version})' if version else ''))
    licences = (collection.get('License') or {}).items()
    found += [f'{_WORDS["licensed"][what]}: {name}' for what, name in licences]
    lines = [_WORDS['head'], '', f'# {collection["Name"]}', '']
    lines += [f'{"; ".join(found)}.', ''] if found else ['']
    lines += [f'All methods: {_link("model zoo", _UP + "model_zoo.md")}.', '']
    lines += ['## Recipes', '', _WORDS['costs'], '', *_recipes(method, _UP)]
    upstream = _upstream([method], _UP)
    lines += ['## Upstream weights', '', *upstream] if upstream else []
    lines += _compared([method], on_its_page=True)
    for simulated in (False, True):
        own = [c for c in method.checkpoints if c.simulated is simulated]
        mark = f'{_WORDS["simulated"]}. ' if simulated else ''
        kind = ', on simulated data: no benchmark' if simulated else ', on real data'
        lines += [f'## Our weights{kind}', ''] if own else []
        for checkpoint in own:
            lines += _details(checkpoint, mark)
    return lines


def _overview(methods: Sequence[Method]) -> list[str]:
    rows = []
    for method in methods:
        known = [recipe['Metadata'] for recipe in method.recipes]
        real = [c for c in method.checkpoints if not c.simulated]
        top1, average = (
            [
                f'{row.cells[key, "test"].value:.2f}'
                for row in compare(task, 'indomain', [method])
                if row.paper and row.place == 'all'
            ]
            for task, key in (('rec', 'action/top1'), ('det', 'AVG'))
        )
        unit = ' Top-1' if top1 else ' AVG' if average else ''
        tasks = [_TASKS[task_of(r)] for r in method.recipes]
        row = {
            'method': _link(method.collection['Name'], f'{PAGES}/{method.name}.md'),
            'task': '/'.join(dict.fromkeys(tasks)),
            'input': '/'.join(dict.fromkeys(r['Modality'] for r in method.recipes)),
            'recipes': str(len(method.recipes)),
            'params (M)': _span([millions(m.get('Parameters')) for m in known]),
            'GFLOPs': _span([billions(m.get('FLOPs')) for m in known]),
            'paper': _span(top1 or average) + unit,
            'ours, real': str(len(real) or UNKNOWN),
            'ours, simulated': str(len(method.checkpoints) - len(real) or UNKNOWN),
        }
        rows.append(row)
    return _table(rows, 3)


def _compared(methods: Sequence[Method], on_its_page: bool = False) -> list[str]:
    """One table per task and protocol; on a method's page with every column."""
    rec = FULL_COLUMNS if on_its_page else REC_COLUMNS
    columns = {'rec': rec, 'det': COLUMNS['det']}
    folder = '' if on_its_page else f'{PAGES}/'
    pages = {r['Name']: f'{folder}{m.name}.md' for m in methods for r in m.recipes}
    lines: list[str] = []
    for task, kind, title, note in _WORDS['tables']:
        rows = compare(task, kind, methods)
        if not rows:
            continue
        both = on_its_page and (task, kind) == ('rec', 'indomain')
        lines += [f'{"##" if on_its_page else "###"} {title}', '', note, '']
        subsets = ('val', 'test') if both else ('test',)
        lines += _compared_table(rows, columns[task], pages, subsets)
    return lines


def _simulated(methods: Sequence[Method]) -> list[str]:
    every = [c for m in methods for c in m.checkpoints if c.simulated]
    pages = {c.name: f'{PAGES}/{m.name}.md' for m in methods for c in m.checkpoints}
    if not every:
        return ['None yet.', '']
    lines = [_WORDS['demonstrations'], '', *_files(every, pages=pages)]
    for task, name in _TASKS.items():
        for data, group in _data_groups(c for c in every if c.task == task):
            lines += [f'### {name.capitalize()}, simulated', '']
            head = f'{_WORDS["simulated"]}: {data}. {_WORDS["intervals"]}'
            lines += [head, '', *_measured(group)]
    return lines


def _details(checkpoint: Checkpoint, mark: str) -> list[str]:
    entry, metadata = checkpoint.entry, checkpoint.entry['Metadata']
    name = checkpoint.name
    lines = [f'### {name}', '', '```', f'python tools/download.py {name}']
    lines += [f'python tools/test.py {entry["Config"]} {name} --data-root ROOT']
    lines += ['```', '', *_files([checkpoint], _UP)]
    keys = ('Training Data', 'Training Resources', 'Precision')
    facts = [f'{key}: {metadata[key]}' for key in keys if metadata.get(key)]
    facts += [f'{_megabytes(entry.get("Weights Size"))}']
    facts += [f'SHA-256 `{entry["Weights SHA256"]}`']
    tested = f'{mark}Tested on {_data_groups([checkpoint])[0][0]}.'
    lines += ['; '.join(facts) + '.', '', f'{tested} {_WORDS["intervals"]}', '']
    return [*lines, *_measured([checkpoint], every_interval=True)]


def compare(task: str, kind: str, methods: Sequence[Method]) -> list[Row]:
    """Published rows of the methods' recipes, and under each ours, all on real data.

    Returns:
        Rows by domain or target, setting and recipe, the paper first. Where ours lacks
        a row of the paper there is one without numbers; where it lacks all of a
        recipe's, one for all of them, the last.

    Raises:
        ValueError: Weights of ours were not measured alike.
    """
    recipes = [r['Name'] for method in methods for r in method.recipes]
    paper = [row for row in published_rows(task, kind) if row.recipe in recipes]
    real = [
        c
        for m in methods
        for c in m.checkpoints
        if c.task == task and not c.simulated and not other_than_paper(c.measured[0])
    ]
    if real:
        check_comparable([r for c in real for r in c.measured], besides=('subset',))
    ours = [
        replace(row, recipe=recipe['Name'])
        for method in methods
        for recipe in method.recipes
        for checkpoint in method.weights_of(recipe)
        if checkpoint in real
        for row in checkpoint.rows()
        if bool(row.setting) is (kind == 'crossdomain')
    ]
    order = list(dict.fromkeys([*(row.recipe for row in paper), *recipes]))
    return sorted(
        [*paper, *ours, *_lacking(paper, ours)],
        key=lambda row: (*row_order(row), order.index(row.recipe), not row.paper),
    )


def _lacking(paper: Sequence[Row], ours: Sequence[Row]) -> list[Row]:
    """Rows without numbers; one for all places where a recipe has none at all."""
    known = {(row.place, row.setting, row.recipe) for row in ours}
    measured = {row.recipe for row in ours}
    several = len({(row.place, row.setting) for row in paper}) > 1
    keys = {
        (row.place, row.setting, row.recipe)
        if row.recipe in measured or not several
        else (_EACH, _EACH if row.setting else '', row.recipe): None
        for row in paper
    }
    return [Row(*key, recipe=key[-1]) for key in keys if key not in known]


def _compared_table(
    rows: Sequence[Row],
    columns: Mapping[str, str],
    pages: Mapping[str, str],
    subsets: Sequence[str],
) -> list[str]:
    """The rows of :func:`compare` as a table, each of ours linked to its page."""
    settings, several = any(row.setting for row in rows), len(subsets) > 1
    cells = [
        {
            'target' if settings else 'domain': markdown(row.place),
            **({'setting': row.setting} if settings else {}),
            **({'subset': subset} if several else {}),
            'model': row.model if row.paper else _link(row.model, pages[row.recipe]),
            'source': 'paper' if row.paper else '**ours**',
            **_numbers(row, columns, subset),
        }
        for row in rows
        for subset in subsets
        if not row.paper or any(s == subset for _, s in row.cells)
    ]
    lines = _table(cells, 3 + settings + several)
    if any(row.suspect for row in rows):
        lines += [f'{_SUSPECT} Stands out; probably a misprint of the paper.', '']
    return lines


def _numbers(
    row: Row, columns: Mapping[str, str], subset: str, bracketed: Collection[str] = ()
) -> dict[str, str]:
    """Cells by title, some with their interval in brackets."""
    texts = {}
    for title, key in columns.items():
        cell = row.cells.get((key, subset))
        texts[title] = number(cell, row.simulated)
        if cell is not None and cell.interval == 'clips' and key in bracketed:
            units = row.samples[subset][0].run['intervals'].get('units', FEW_UNITS)
            few = f'; {100 * coverage(units):.0f} %' if units < FEW_UNITS else ''
            texts[title] += f' [{cell.low:.1f}, {cell.high:.1f}{few}]'
        if cell is not None and key in row.suspect:
            texts[title] += _SUSPECT
    return texts


def _files(
    checkpoints: Sequence[Checkpoint],
    up: str = '',
    pages: Mapping[str, str] | None = None,
) -> list[str]:
    """Files of our own weights, each linked to the page with its details."""
    rows = []
    for checkpoint in checkpoints:
        entry, name = checkpoint.entry, checkpoint.name
        metadata, links = entry['Metadata'], [_link('log', f'{up}zoo/{name}/train.log')]
        for results in checkpoint.measured:
            file = results['files'][0]
            links.append(_link(file.stem.replace('_', ' '), up + file.as_posix()))
        shown = f'`{name}`'
        row = {
            'name': _link(shown, f'{pages[name]}#{name}') if pages else shown,
            'config': _link(PurePosixPath(entry['Config']).stem, up + entry['Config']),
            'protocol': metadata['Protocol'],
            'params (M)': millions(metadata.get('Parameters')),
            'size': _megabytes(entry.get('Weights Size')),
            'SHA-256': _link(f'`{entry["Weights SHA256"][:8]}`', up + entry['Weights']),
            'files': ', '.join(links),
        }
        rows.append(row)
    return _table(rows, 3)


def _measured(
    checkpoints: Sequence[Checkpoint], every_interval: bool = False
) -> list[str]:
    """Results of weights of ours, of one task and of real or simulated data alone."""
    check_comparable([r for c in checkpoints for r in c.measured], ('subset',))
    task = checkpoints[0].task
    columns = {'rec': REC_COLUMNS, 'det': COLUMNS['det']}[task]
    bracketed = tuple(columns.values()) if every_interval else _HEADLINES
    cells = []
    for row in (row for checkpoint in checkpoints for row in checkpoint.rows()):
        for subset in (s for s in SUBSETS if s in row.samples):
            counts = row.samples[subset][0].run['counts']
            place = f'{row.place}, {row.setting}' if row.setting else row.place
            place += '' if subset == 'test' else f', {subset}'
            told = {key: f'{counts[key]:,}' for key in _COUNTED[task]}
            numbers = _numbers(row, columns, subset, bracketed)
            named = {'name': f'`{row.name}`', 'tested on': markdown(place)}
            cells.append({**named, **told, **numbers})
    return _table(cells, 2)


def _data_groups(
    checkpoints: Iterable[Checkpoint],
) -> list[tuple[str, list[Checkpoint]]]:
    """Weights of ours by what they were tested on, which a sentence names."""

    def tested(checkpoint: Checkpoint) -> tuple[str, str, str, str]:
        data = checkpoint.measured[0]['data']
        told = '; '.join(data.get('incomplete', ()))
        return data['name'], data.get('source') or '', data['fingerprint'], told

    ordered = sorted(checkpoints, key=lambda c: (tested(c), c.name))
    return [
        (
            f'{markdown(name + (source and f" ({source})"))}, fingerprint '
            f'`{print_[:8]}`{markdown(told and f", {told}")}',
            list(group),
        )
        for (name, source, print_, told), group in groupby(ordered, key=tested)
    ]


def _upstream(methods: Sequence[Method], up: str = '') -> list[str]:
    """Pretrained weights that recipes start from; empty if none does."""
    found: dict[str, list[tuple[Method, Mapping[str, Any]]]] = {}
    for method in methods:
        for recipe in method.recipes:
            if url := recipe['Metadata'].get('Pretrained Weights'):
                found.setdefault(url, []).append((method, recipe))
    rows = []
    for url, users in sorted(found.items(), key=lambda f: file_name(f[0]).lower()):
        known = [recipe['Metadata'] for _, recipe in users]
        told = [
            {**(method.collection.get('License') or {}), **(r.get('License') or {})}
            for method, r in users
        ]
        terms = dict.fromkeys(str(t.get('Pretrained Weights') or UNKNOWN) for t in told)
        hashes = (m.get('Pretrained Weights SHA256') for m in known)
        sizes = (m.get('Pretrained Weights Size') for m in known)
        row = {
            'name': _link(f'`{PurePosixPath(file_name(url)).stem}`', url),
            'trained on': known[0].get('Pretrained') or UNKNOWN,
            'size': _megabytes(next(filter(None, sizes), None)),
            'SHA-256': next((f'`{h[:8]}`' for h in hashes if h), 'unknown'),
            'licence': ', '.join(t for t in terms if t != UNKNOWN) or UNKNOWN,
            'start of': ', '.join(_link(r['Name'], up + r['Config']) for _, r in users),
        }
        rows.append(row)
    return _table(rows, 6)


def _recipes(method: Method, up: str) -> list[str]:
    """Recipes of a method and their costs."""
    rows = []
    for recipe in method.recipes:
        known, detects = recipe['Metadata'], task_of(recipe) == 'det'
        kinds = {n: PurePosixPath(n).stem.rpartition('_')[2] for n in recipe['Configs']}
        kinds |= {leaf: 'emotion' for leaf in kinds if '/emotion/' in leaf}
        leaves = [_link('config' if detects else k, up + n) for n, k in kinds.items()]
        names = [f'`{c.name}`' for c in method.weights_of(recipe)]
        params, seconds = known.get('Parameters'), known.get('Window Seconds')
        row = {
            'recipe': recipe['Name'],
            'configs': ' '.join(leaves),
            'architecture': known.get('Architecture', UNKNOWN),
            'input': known.get('Input', UNKNOWN),
            'starts from': known.get('Pretrained') or 'scratch',
            'our weights': ', '.join(names) or 'none yet: train it',
            'params (M)': millions(params),
            'trained (M)': millions(known.get('Trainable Parameters') or params),
            'GFLOPs': billions(known.get('FLOPs')),
            'window (s)': f'{seconds:.2f}' if seconds else UNKNOWN,
        }
        rows.append(row)
    return _table(rows, 6)


def millions(number: int | None) -> str:
    """Parameters, in millions."""
    return f'{number / 1e6:.2f}' if number else UNKNOWN


def billions(number: int | None) -> str:
    """Multiply-adds, in billions; small ones with more digits."""
    if not number:
        return UNKNOWN
    return f'{number / 1e9:.{2 if number > 1e8 else 4}f}'


def _megabytes(size: int | None) -> str:
    return f'{size / 1e6:.2f} MB' if size else 'unknown'


def _span(texts: Sequence[str]) -> str:
    """Smallest and largest of several numbers: ``0.17–2.04``."""
    known = sorted({t for t in texts if t != UNKNOWN}, key=float)
    return '–'.join(dict.fromkeys([known[0], known[-1]])) if known else UNKNOWN


def _link(text: str, target: str) -> str:
    """A link, but to what is in an installed package."""
    if target.startswith('package://'):
        return f'{text} of the package `{target.split("/")[2].replace("_", "-")}`'
    return f'[{text}]({target})'


def _table(rows: Sequence[Mapping[str, str]], left: int) -> list[str]:
    """Lines of a table of cells by title, but numbers nobody knows; none of no rows."""
    if not rows:
        return []
    titles = list(rows[0])[:left]
    titles += [t for t in [*rows[0]][left:] if {row[t] for row in rows} != {UNKNOWN}]
    cells = [[row[title] for title in titles] for row in rows]
    return [*Table(titles, cells, left).markdown(foreign=False), '']


def text_differences(old: str, new: str) -> Iterator[str]:
    """Say which lines of an old text are not as in the new one.

    Yields:
        ``line 12: '47.40' should be '46.20'``; of a row of a table only the cells.
    """
    left, right = old.splitlines(), new.splitlines()
    matcher = difflib.SequenceMatcher(None, left, right, autojunk=False)
    for kind, i, j, k, n in matcher.get_opcodes():
        if kind == 'replace' and j - i == n - k:
            pairs = zip(left[i:j], right[k:n], strict=True)
            for number, pair in enumerate(pairs, start=i + 1):
                yield f'line {number}: {_changed(*pair)}'
        elif kind != 'equal':
            for number in range(i, j):
                yield f'line {number + 1}: {_short(left[number])} should not be there'
            for number in range(k, n):
                yield f'line {i + 1}: {_short(right[number])} is missing'
    if old != new and left == right:
        yield f'line {len(left)}: its end is not one line break'


def _changed(old: str, new: str) -> str:
    cells = old.split('|'), new.split('|')
    if not len(cells[0]) == len(cells[1]) > 2:
        return f'{_short(old)} should be {_short(new)}'
    pairs = [(a.strip(), b.strip()) for a, b in zip(*cells, strict=True) if a != b]
    return '; '.join(f'{_short(a)} should be {_short(b)}' for a, b in pairs)


def _short(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f'{text[:_SHOWN]}...')
