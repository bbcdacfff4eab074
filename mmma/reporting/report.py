"""A page of results: tables beside the published ones, figures, and what was run.

Figures are drawn from the numbers that their CSV holds; so is the sentence of each.
"""

import re
import textwrap
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from operator import itemgetter
from pathlib import Path
from string import Template
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from mmma.data.root import DataRoot
from mmma.evaluation.detection import PRESETS
from mmma.evaluation.recognition import GROUPS, LEVELS, confusion_matrix
from mmma.evaluation.reports import detection_report
from mmma.evaluation.rows import DetectionOptions, true_labels
from mmma.files import tell, write_file
from mmma.reporting import paired, plots
from mmma.reporting import results as known
from mmma.reporting.paper import Cell, Row, grid, legend, paper_tables, row_order
from mmma.reporting.statistics import statistics
from mmma.reporting.table import SIMULATED, Table, html_text
from mmma.taxonomy import DOMAINS, LabelSpace, own_table

_WORDS = own_table('pages')['report']
_COLORS = _WORDS['colors']
_EPOCH, _VALUE = map(re.compile, _WORDS['log'])
_DIGITS = re.compile(r'(?<=\d\.\d\d)\d+(?=[ "\n])')
_PAGES = Path(__file__).parents[1] / 'pages'
_SHOWN = 12
_MARK = ' (simulated data)'
_PLAIN = '', 'zero-shot'  # settings without supports or knowledge of the target


@dataclass(frozen=True)
class Plot:
    """One figure: bars, lines or heat, or what draws it, given a path and its title.

    ``axes`` say what numbers are of, what they are, and what ``series`` are, numbers by
    series and what they are of, or a table; ``text`` says what it shows; ``blocks`` are
    body groups by their first place.
    """

    kind: Any
    title: str
    axes: Sequence[str]
    series: Any
    text: str = ''
    blocks: Any = ()
    colors: Sequence[str] = ()

    def numbers(self) -> Table:
        """What is drawn."""
        simulated = str(self.title.endswith(_MARK)).lower()
        if isinstance(t := self.series, Table):
            return Table((*t.titles, 'simulated'), [[*r, simulated] for r in t.rows])
        rows = []
        for key, c in self.series.items():
            values = ('' if v is None else f'{v:.6f}' for v in (c.value, c.low, c.high))
            rows.append([*map(str, key), *values, c.n, simulated])
        x, value, label = self.axes
        return Table((label, x, value, 'low', 'high', 'n', 'simulated'), rows, 2)

    def draw(self, path: Path) -> None:
        """Draw it into a PNG or SVG file."""
        from matplotlib import rcParams
        from matplotlib.figure import Figure

        if callable(kind := self.kind):
            return kind(path, self.title)
        keys = zip(*self.series, strict=True)
        labels, names = ([*dict.fromkeys(key)] for key in keys)
        kind = 'bars' if kind == 'lines' and len(names) == 1 else kind
        many, wide, ink = len(labels), 4.2, rcParams['text.color']
        numbers = np.full((many, len(names), 3), np.nan)
        for (label, x), c in self.series.items():
            numbers[labels.index(label), names.index(x)] = c.value, c.low, c.high
        high = {'lines': 2.6, 'heat': 1.5 + 0.15 * many}.get(kind, 0.9) + 0.3 * many
        high += max(0.17, 0.12 * many) * len(names) * (kind == 'bars')
        wide, high = (12, 12) if kind == 'heat' and many > 12 else (wide, high)
        figure = Figure(figsize=(wide, high), layout='constrained')
        figure.suptitle(textwrap.fill(plots.plain(self.title), int(wide * 13)))
        axes = figure.add_subplot(xlabel=self.axes[kind == 'bars'])
        axes.set_ylabel({'lines': self.axes[1], 'heat': self.axes[2]}.get(kind))
        if kind == 'heat':
            plots.draw_matrix(axes, numbers[..., 0], labels, names, dict(self.blocks))
            return plots.save(figure, path)
        for i, label in enumerate(labels):
            value, low, top = numbers[i].T
            again, shade = divmod(i, len(_COLORS))  # colours come again, marked
            color, told = _COLORS[shade], plots.plain(label)
            told = {'label': textwrap.fill(told, 48)}
            aside = (i + 0.5) / many - 0.5
            ends = np.maximum((value - low, top - value), 0)  # rounded numbers
            if kind == 'lines':  # intervals stand side by side
                aside *= 0.012 * many * np.ptp(names) * ~np.isnan(numbers[..., 1]).all()
                told |= {'yerr': ends, 'elinewidth': 0.8, 'capsize': 1.5}
                told |= {'ls': ('-', '--', ':')[again % 3], 'color': color}
                axes.errorbar(names + aside, value, marker='o', ms=3, **told)
                continue
            at = np.arange(len(names)) + 0.84 * aside
            told |= {'xerr': ends, 'ecolor': ink}
            told |= {'hatch': ('', '///', '...')[again % 3]}
            axes.barh(at, value, 0.75 / many, color=self.colors or color, **told)
        if kind == 'bars':
            axes.set_yticks(range(len(names)), map(plots.plain, names))
            axes.set_ylabel(self.axes[0] if self.kind == 'lines' else None)
            axes.set_ylim(len(names) - 0.5, -0.5)
        for place, name in dict(self.blocks).items():
            axes.axhline(place - 0.5, lw=0.5, color=ink)
            axes.text(axes.get_xlim()[1], place, plots.plain(name), va='center')
        if many > 1:
            figure.legend(loc='outside lower left')
        plots.save(figure, path)


def _plot(key: str, names: Any, series: Any, text: str = '', *more: Any) -> Plot:
    """A plot with the title, axes and, by default, sentence that pages.json has."""
    kind, title, *axes = (own.format(*names) for own in _WORDS['axes'][key])
    text = text or _sentence(key, axes[1], series)
    return Plot(kind, title, axes, series, text, *more)


def _sentence(key: str, value: str, series: Mapping[tuple[str, Any], Cell]) -> str:
    """What numbers show: the extremes, or the ends of the series with the highest.

    Of few shots what most of them reach, without any, and what the controls do.
    """
    cells, several = [], len({label for label, _ in series}) > 1
    for (label, x), c in series.items():
        span = '' if c.low is None else f' [{c.low:.1f}, {c.high:.1f}]'
        told = f'{c.value:.1f} %{span}' if value.endswith('(%)') else f'{c.value:.3g}'
        own = {'of': label, 'x': x, 'is': told, 'value': c.value}
        cells.append({**own, 'by': f' ({label})' * several})
    ranked = sorted(cells, key=itemgetter('value'))
    facts = {'value': value.removesuffix(' (%)'), 'low': ranked[0], 'high': ranked[-1]}
    if key == 'lines':
        most, parts = max(own['x'] for own in cells), []
        for kind, form in _WORDS['few'].items():
            own = [c for c in ranked if c['x'] == most and c['of'].endswith(kind)]
            ranked = [c for c in ranked if c not in own]
            ends = dict.fromkeys(c['is'] for c in (*own[:1], *own[-1:]))
            parts += [form.format(most, ' to '.join(ends), **facts)] * bool(own)
        return '; '.join(parts)
    drawn = [own for own in cells if own['of'] == ranked[-1]['of']]
    facts |= {'first': drawn[0], 'last': drawn[-1]}
    key = 'one' if len(cells) == 1 and key in ('bars', 'groups', 'heat') else key
    return _WORDS['sentence'][key].format(**facts)


def build_report(
    results: Sequence[known.Results],
    published: bool = True,
    gt: Path | None = None,
    scores: Sequence[str] = (),
    baseline: tuple[str, int] | None = None,
) -> dict[str, tuple[list[Any], list[Plot]]]:
    """Tables and figures of each task, and of the data.

    Args:
        gt: Truth of confusions and error profiles; of a root the data are shown.
        scores: ``RESULTS=FILE`` of ``test.py --dump``, where it is not beside results.
        baseline: Rows that the others of recognition are tested against, resamples.

    Raises:
        ValueError: Results of one task that were not measured alike, or files that do
            not belong to them; a baseline without truth.
    """
    sections: dict[str, tuple[list[Any], list[Plot]]] = {}
    given = paired.given_files(results, scores)
    if baseline and not (gt and any(r['task'] == 'rec' for r in results)):
        raise ValueError(_WORDS['baseline'].format(baseline[0]))
    for task in (t for t in _WORDS['tasks'] if any(r['task'] == t for r in results)):
        own = [r for r in results if r['task'] == task]
        if task != 'emotion':
            known.check_comparable(own, besides=('subset', 'protocol.source'))
        tables = []
        for source in dict.fromkeys(map(known.source_of, own)):
            part = [r for r in own if known.source_of(r) == source]
            tables += paper_tables(part, published=published)
        every = {id(row): row for t in tables for row in t.rows if not row.paper}
        rows = [row for row in every.values() if row.samples]  # both levels have them
        found = [*_by_rows(task, rows), *_by_class(rows)] if rows else []
        found += _of_results(own)
        if gt and task == 'rec':
            files = paired.ScoreFiles(*paired.read_truth(gt, own[0]), given)
            if baseline:
                paired.add_tests(tables, baseline[0], files, baseline[1])
            found += _confusions(rows, files)
        elif gt and task == 'det':
            found += _profiles(rows, gt, given)
        mark = _MARK * bool(own[0]['data']['simulated'])
        sections[task] = tables, [replace(p, title=p.title + mark) for p in found]
    if gt and gt.is_dir():
        sections['data'] = [], [*_statistics(DataRoot(gt))]
    return sections


def find_root(results: Sequence[known.Results]) -> Path | None:
    """The data root that results name, where it is there and still the same."""
    for own in results:
        path = Path(str((own.get('config') or {}).get('data_root') or ''))
        try:
            if DataRoot(path).fingerprint() == own['data'].get('fingerprint'):
                return path
        except (OSError, ValueError):
            continue
    return None


def _statistics(root: DataRoot) -> Iterator[Plot]:
    """What a root holds: how often, how long, and what goes on at once."""
    for task in ['rec'] * root.has_rec + ['det'] * root.has_det:
        for key, table, told in statistics(root, task):
            if title := _WORDS['data'].get(f'{task} {key}'):
                text = '; '.join(told[: 1 if key == 'together' else 2])
                text += _WORDS['key'] * ('frequency' in table.titles)
                title = f'{root.info.name}: {title}{_MARK * root.info.simulated}'
                draw = partial(plots.draw_statistics, table)
                yield Plot(draw, title, (), table, text)


def _samples(row: Row) -> list[known.Sample]:
    return row.samples.get('test') or next(iter(row.samples.values()))


def _by_rows(task: str, rows: Sequence[Row]) -> Iterator[Plot]:
    """Numbers of rows by place, by source and target, over shots and over tIoU."""
    key, unit = _WORDS['metrics'][task]
    found: Any = defaultdict(dict)
    shots = {(row.place, _samples(row)[0].run.get('shots') or 0) for row in rows}
    if task != 'emotion':
        domains = _samples(rows[0])[0].results['protocol'].get('domains', DOMAINS)
        rows = sorted(rows, key=partial(row_order, domains=domains))
    only = f'{rows[0].name}, ' if len({row.name for row in rows}) == 1 else ''
    for row in rows:
        result, own = _samples(row)[0].results, _samples(row)[0].run.get('shots')
        label, drawn = ', '.join(filter(None, (row.model, row.setting))), []
        title, label = only.replace(', ', ': '), label.removeprefix(only)
        if task == 'emotion' or not row.setting or 'adapt.on' in result['options']:
            where = 'input or experiment' if task == 'emotion' else 'domain'
            told = f'{title}{unit[:-4]} by {where}'
            drawn.append(('bars', told, label, row.place, key))
        for k in sorted(k for place, k in shots if k and place == row.place):
            few = re.sub(r'\d+-shot', 'few-shot', label)
            told = ('lines', f'{title}few-shot, {row.place}', few, k, key)
            drawn += [told] * bool(row.setting and own in (k, 0, None))
        if task != 'emotion' and row.place != 'all' and row.setting in _PLAIN:
            source = known.source_of(result) or result['protocol'].get('domain', 'all')
            drawn.append(('heat', f'{row.name}: {unit[:-4]}', source, row.place, key))
        for level, t in product(LEVELS, PRESETS['mma82'] * (task == 'det')):
            own, at = f'{label}, {row.place}'.removeprefix(only), round(t, 2)
            where = f'{title}{level} mAP', own, at, f'{level}/mAP@{t:.2f}'
            drawn.append(('tiou', *where))
        for kind, title, series, x, metric in drawn:
            cells = (row.cells.get((metric, subset)) for subset in ('test', 'val', ''))
            if cell := next(filter(None, cells), None):
                found[kind, title].setdefault((series, x), cell)
    for (kind, title), series in found.items():
        if kind != 'heat' or any(source not in ('all', x) for source, x in series):
            yield _plot(kind, (title, unit), series)


def _main(rows: Sequence[Row]) -> Iterator[tuple[str, list[known.Sample]]]:
    """Rows with figures by class: in-domain ones of all, zero-shot ones, emotions."""
    whole = {row.model for row in rows if row.place == 'all'}
    for row in rows:
        own, alone = _samples(row), row.place == 'all' or row.model not in whole
        if 'emotions' in own[0].run['counts'] or (alone and row.setting in _PLAIN):
            yield ', '.join(filter(None, (row.model, row.place, row.setting))), own


def _by_class(rows: Sequence[Row]) -> Iterator[Plot]:
    """Recall or average precision of classes; of frequent and rare ones; confusions."""
    groups: dict[tuple[str, str], Cell] = {}
    for label, samples in _main(rows):
        runs = [sample.run for sample in samples]
        for level in runs[0].get('per_class', ()):
            yield from _classes(label, samples, level)
        for name, own in product(GROUPS, [run.get('groups', {}) for run in runs[:1]]):
            if 'action/mca' in own.get(name, ()):
                mean = np.mean([run['groups'][name]['action/mca'] for run in runs])
                groups[label, name] = Cell(float(mean), own[name]['classes_present'])
        if told := runs[0].get('confusion'):
            yield _confusion(label, np.array(told['counts']), told['labels'])
    if groups:
        yield _plot('groups', (), groups)


def _classes(label: str, samples: Sequence[known.Sample], level: str) -> Iterator[Plot]:
    tables = [sample.run['per_class'][level] for sample in samples]
    names, det = tables[0]['name'], 'AP' in tables[0]
    key, size = ('AP', 'truths') if det else ('recall', 'support')
    if any(t['name'] != names or {key, size} - t.keys() for t in tables):
        return
    values, sizes = (np.mean([t[k] for t in tables], axis=0) for k in (key, size))
    space = known.space_of(samples[0].results) if level == 'action' else None
    of = dict(zip(space.actions, space.body_of, strict=False)) if space else {}
    of = of if {*names} <= of.keys() else {}
    kept = sorted(np.flatnonzero(sizes), key=lambda i: of.get(names[i], 0))
    labels = [(level, f'{names[i]} ({sizes[i]:.0f})') for i in kept]
    cells = dict(zip(labels, map(Cell, values[kept].tolist()), strict=True))
    bodies = [of[names[i]] for i in kept] if of else []
    blocks = {bodies.index(b): space.bodies[b] for b in dict.fromkeys(bodies)}
    groups = tables[0].get('group') or [''] * len(names)
    colors = [_WORDS['groups'].get(groups[i], _COLORS[0]) for i in kept]
    if kept:
        text = np.median(values[kept]), int((values[kept] == 0).sum()), len(kept), level
        told = _WORDS['classes'].format(*text, key) + _WORDS['key'] * any(groups)
        yield _plot('classes', (label, key, level), cells, told, blocks, colors)


def _confusion(
    label: str, counts: Any, names: Sequence[str], space: LabelSpace | None = None
) -> Plot:
    """Shares of what each true class is taken for, ordered by body group."""
    bodies, of = (space.bodies, space.body_of) if space else ((), ())
    body_of = np.array(of or [0] * len(names))
    order = np.argsort(body_of, kind='stable')
    counts, body_of = counts[np.ix_(order, order)], body_of[order]
    names = [names[i] for i in order]
    wrong = counts - np.diag(np.diag(counts))
    true, taken = np.unravel_index(wrong.argmax(), wrong.shape)
    inside = 100 * wrong[body_of[:, None] == body_of].sum() / max(wrong.sum(), 1)
    told = wrong.sum(), counts.sum(), names[true], names[taken], wrong.max(), inside
    shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    cells = map(Cell, shares.ravel().tolist(), counts.ravel().tolist())
    series = dict(zip(product(names, names), cells, strict=True))
    blocks = {int(np.argmax(body_of == b)): body for b, body in enumerate(bodies)}
    key = 'right' if not wrong.any() else 'inside' if bodies else 'mistakes'
    text = _WORDS[key].format(*told)
    return _plot('confusion', (label,), series, text, blocks)


def draw_confusions(
    table: Any, clips: Sequence[Any], space: LabelSpace, path: Path, title: str
) -> list[str]:
    """Draw the confusion of actions; ``title`` says if the clips are simulated.

    Returns:
        Lines on the share of mistakes within the true body group, and on the most
        frequent mistakes; of equal ones the lower indices come first.
    """
    predicted = table.select([clip.clip for clip in clips]).scores.argmax(axis=1)
    counts = confusion_matrix(true_labels(clips)[0], predicted, space.num_actions)
    plot = _confusion(title, counts, space.actions, space)
    plot.draw(path)
    lines = [plot.text] * bool(space.bodies)
    wrong = counts - np.diag(np.diag(counts))
    for cell in np.argsort(-wrong, axis=None, kind='stable')[:_SHOWN]:
        true, taken = divmod(int(cell), len(counts))
        if number := int(wrong[true, taken]):
            actions = f'{space.actions[true]} taken for {space.actions[taken]}'
            lines.append(f'{number:5d}  {actions}')
    return lines


def _confusions(rows: Sequence[Row], files: paired.ScoreFiles) -> Iterator[Plot]:
    """Confusions of the scores of rows; those that are missing are told."""
    for label, samples in _main(rows):
        if found := [own[1]['action'] for s in samples if (own := files.scored(s))]:
            space = files.space
            pairs = ((o.labels, o.predictions, space.num_actions) for o in found)
            counts = sum(confusion_matrix(*own) for own in pairs)
            yield _confusion(label, counts, space.actions, space)
    tell(_WORDS['missing'].format(path, 'confusion') for path in sorted(files.missing))


def _profiles(rows: Sequence[Row], gt: Path, given: Any) -> Iterator[Plot]:
    """Error profiles of the detections of rows; those that are missing are told."""
    for label, sample in ((k, s) for k, own in _main(rows) for s in own):
        file, told = sample.results['files'][0], sample.results['options']
        pred = given.get(file.resolve(), file.with_name('detections.json'))
        if not pred.is_file():
            tell([_WORDS['missing'].format(pred, 'error profile')])
            continue
        how = DetectionOptions(level='action', preset=told['preset'], resamples=0)
        space = (own := known.space_of(sample.results)) and own.plain()
        place = None if sample.place == 'all' else sample.place
        where = told['body_groups'], how, sample.subset, place
        report = detection_report(gt, pred, space, *where, profile=True)
        key = 'action/mAP'
        if abs(report[key] - (value := sample.run['metrics'][key])) > 0.01:
            raise ValueError(_WORDS['other'].format(pred, report[key], file, value))
        found = report['profile']['action']
        series = {('action', kind): Cell(gain) for kind, gain in found['gain'].items()}
        most = max(found['gain'].items(), key=itemgetter(1))
        text = _WORDS['profile'].format(*most, found['mAP_N'])
        draw = partial(plots.draw_profile, report['profile'])
        yield replace(_plot('profile', (label,), series, text), kind=draw)


def _of_results(results: Sequence[known.Results]) -> Iterator[Plot]:
    """Associations of emotions; training, by logs beside results or their weights."""
    seen: set[Path] = set()
    curves: Any = defaultdict(dict)
    for own in results:
        told: Any = own.get('association') or {}
        rows = [(e, a) for e, one in told.items() for a in one['actions']]
        series = {(e, a['action']): Cell(a['importance']) for e, a in rows}
        q = [a['q'] for _, a in rows if a.get('q') is not None]
        text = _WORDS['association'].format(sum(v < 0.05 for v in q), len(q))
        for draw in (plots.draw_sankey, plots.draw_associations) if rows else ():
            plot = _plot('association', (own['name'],), series, text)
            yield replace(plot, kind=partial(draw, told))
        near = [file.parent for file in own['files']]
        if path := own['checkpoint'].get('path'):
            moved = [p for file in own['files'] for p in file.absolute().parents[:2]]
            near += [p for p in moved if (p / Path(path).name).is_file()]
            near.append(Path(path).parent)
        for folder in (f for p in near if (f := p.resolve()) not in seen):
            seen.add(folder)
            for key, curve in _curves(folder).items():
                curves[own['name'], key] |= curve
    for (name, key), curve in curves.items():
        yield _plot('loss' if key == 'loss' else 'training', (name, key), curve)


def _curves(folder: Path) -> dict[str, dict[tuple[str, float], Cell]]:
    """Loss of training and metrics of val, by epoch or iteration, of logs."""
    found: Any = defaultdict(dict)
    runs = (f for f in folder.glob('*/*.log') if f.stem == f.parent.name)
    for log in sorted([*folder.glob('*.log'), *runs]):
        for line in _EPOCH.findall(log.read_text('utf-8', 'replace')):
            phase, epoch, step, steps, rest = line
            at = float(epoch) + (float(step) / float(steps) - 1 if step else 0)
            for key, value in _VALUE.findall(rest):
                if (key == 'loss') == (phase == 'train'):
                    found[key][folder.name, round(at, 3)] = Cell(float(value))
    return found


def write_report(
    sections: Any, results: Sequence[known.Results], out: Path, folder: Path | None
) -> int:
    """Write the page, and all figures as PNG, SVG and CSV; returns their number."""
    from matplotlib import rc_context

    page, css = ((_PAGES / f'report.{s}').read_text('utf-8') for s in ('html', 'css'))
    parts = dict(re.findall(r'<!-- (\w+) -->\n(.*?)(?=<!-- \w+ -->|\Z)', page, re.S))
    fill = {name: Template(part).substitute for name, part in parts.items()}
    simulated, names = any(r['data']['simulated'] for r in results), list[str]()
    told = {'style': css, 'links': '', 'body': '', 'runs': _runs(results).html()}
    told['warning'] = fill['warning'](text=html_text(SIMULATED)) * simulated
    for task, (tables, drawn) in sections.items():
        shown, figures = '', ''
        for table in tables:
            texts = table.title, ' '.join([*legend(table), *table.notes])
            title, notes = map(html_text, texts)
            mark = parts['mark'] * bool(table.data['simulated'])
            cells = grid(table).html([row.paper * 'paper' for row in table.rows])
            shown += fill['table'](title=title, mark=mark, cells=cells, notes=notes)
        for plot in drawn:
            marked, title = plot.title.endswith(_MARK), plot.title.removesuffix(_MARK)
            name = f'{task}{" simulated" * marked} {title}'.lower()
            name = re.sub('[^a-z0-9]+', '-', name)[:120]
            names.append(name + f'-{len(names)}' * (name in names))
            with rc_context(_WORDS['look']), TemporaryDirectory() as scratch:
                for suffix in ('png', 'svg') if folder else ():
                    plot.draw(folder / f'{names[-1]}.{suffix}')
                with rc_context(_WORDS['on_page']):
                    replace(plot, title='').draw(drawing := Path(scratch) / 'd.svg')
                svg = _inline(drawing.read_text('utf-8'), f'f{len(names)}')
            if folder:
                write_file(folder / f'{names[-1]}.csv', f'{plot.numbers().csv()}\n')
            title, text = map(html_text, (title, plot.text[:1].upper() + plot.text[1:]))
            wide, mark = 'large' * ('min-width:3' not in svg), parts['mark'] * marked
            told |= {'title': title, 'svg': svg, 'size': wide, 'sentence': f'{text}.'}
            figures += fill['figure'](told, mark=mark)
        about = {'task': task, 'title': _WORDS['tasks'][task]}
        told['links'] += fill['link'](about)
        told['body'] += fill['section'](about, tables=shown, figures=figures)
    write_file(out, fill['page'](told))
    return len(names)


def _inline(svg: str, name: str) -> str:
    """A drawing with ids of its own, in the colour of the page's text."""
    svg = re.sub(r'<metadata>.*?</metadata>', '', svg[svg.index('<svg') :], flags=re.S)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf'\1{name}-', svg)
    svg = re.sub('<[^>]+>', lambda tag: _DIGITS.sub('', tag[0]), svg)  # not in texts
    wide = float(re.search(r'width="([\d.]+)pt"', svg)[1]) * 4 / 3
    size = f'<svg style="width:{wide:.0f}px;min-width:{0.75 * wide:.0f}px"'
    svg = re.sub(r' (width|height)="[\d.]+pt"', '', svg, count=2)
    return svg.replace('<svg', size, 1).replace(_WORDS['ink'], 'currentColor')


def _runs(results: Sequence[known.Results]) -> Table:
    """What was run: files, protocols, data, weights, software."""
    rows = []
    for own in results:
        texts = [', '.join(map(str, own['files']))]
        for part in (own['protocol'], own.get('environment') or {}):
            lists = (v if type(v) is list else [v] for v in part.values())
            values = (', '.join(map(str, each)) for each in lists)
            texts.append('; '.join(map(' '.join, zip(part, values, strict=True))))
        marks = own['data'].get('fingerprint'), own['checkpoint'].get('sha256')
        told = own['name'], own['data'].get('name'), *(str(m)[:12] for m in marks)
        rows.append([*told, known.selection_of(own), *texts])
    return Table(_WORDS['runs'], rows, len(_WORDS['runs']))
