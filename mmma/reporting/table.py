"""Tables as text, Markdown, CSV and LaTeX; tables of results for the terminal."""

import csv
import functools
import html
import io
import re
import shutil
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, zip_longest
from typing import Any

from prettytable import PrettyTable

from mmma.evaluation import detection, recognition
from mmma.evaluation.bootstrap import FEW_UNITS, coverage, spread
from mmma.foreign import markdown, shown, spreadsheet
from mmma.reporting.results import Results, check_comparable, selection_of, source_of
from mmma.taxonomy import DOMAINS, own_table

_WORDS = own_table('pages')['table']
SIMULATED = 'SIMULATED DATA: these numbers exercise the toolbox, they are no benchmark.'
COLUMNS = {'rec': recognition.COLUMNS, 'det': detection.COLUMNS}
"""Task to titles and keys of its metrics."""
_SIZES = {
    'rec': {'clips': 'clips', 'classes': 'classes_present'},
    'det': {'videos': 'videos', 'instances': 'instances'},
}
CONTROLS = {None: 'zero-shot', **_WORDS['controls']}
"""Zero-shot and the controls that do without supports."""
MARK = 'ˢ'
"""Behind every number measured on simulated data."""
_BAR = re.compile(r'(?<!\\)\|')


def escape(text: str) -> str:
    """Text as LaTeX shows it, letter by letter; the marks of numbers become math."""
    return ''.join(_WORDS['latex'].get(letter, letter) for letter in shown(text))


class Bold(str):
    """Text of a cell that stands out."""


@dataclass(frozen=True)
class Table:
    """Cells under titles, and four ways to write them.

    Attributes:
        titles: Of the columns; a pair is a title that several columns share, and what
            tells them apart.
        rows: Cells; fractions are shown with ``digits``.
        left: Columns that are aligned left, the first ones; the others are numbers.
        breaks: Rows with a line below them.
        digits: After the decimal point.
    """

    titles: Sequence[str | tuple[str, str]]
    rows: Sequence[Sequence[Any]]
    left: int = 1
    breaks: Collection[int] = ()
    digits: int = 2

    def text(self, fit: bool = True) -> str:
        """Lines for a terminal, bold cells as ``*12.34*``.

        ``fit`` a narrow terminal: a name that all rows share goes above, others wrap,
        and columns go on below.
        """
        titles, above = self._flat_titles(), []
        printed, keys = PrettyTable(titles), titles[: self.left]
        printed.align = 'r'
        printed.align.update(dict.fromkeys(keys, 'l'))
        rows = [self._texts(row, '*{}*', shown) for row in self.rows]
        for i, row in enumerate(rows):
            printed.add_row(row, divider=i in self.breaks)

        def wide(fields: list[str]) -> bool:
            most = shutil.get_terminal_size().columns
            return len(printed.get_string(fields=fields).partition('\n')[0]) > most

        if not (fit and sys.stdout.isatty() and wide(titles)):
            return str(printed.get_string())
        for title, *cells in list(zip(titles, *rows, strict=True))[: self.left]:
            if len({*cells}) == 1 < min(len(cells), len(keys)):
                keys.remove(title)
                above.append(f'{title}: {cells[0]}')
        printed.max_width.update(dict.fromkeys(keys, 60 // (len(keys) + 1)))
        blocks = [[*keys]]
        for title in titles[self.left :]:
            if blocks[-1] != keys and wide([*blocks[-1], title]):
                blocks.append([*keys])
            blocks[-1].append(title)
        return '\n'.join([*above, *(printed.get_string(fields=b) for b in blocks)])

    def markdown(self, foreign: bool = True) -> list[str]:
        """Lines, bold cells as ``**12.34**``; not ``foreign`` ones are Markdown."""
        rule = '|' + ':--|' * self.left + '--:|' * (len(self.titles) - self.left)
        escaped = markdown if foreign else functools.partial(_BAR.sub, r'\|')
        rows = [self._texts(row, '**{}**', escaped) for row in self.rows]
        first, *others = [f'| {" | ".join(r)} |' for r in (self._flat_titles(), *rows)]
        return [first, rule, *others]

    def csv(self) -> str:
        """Lines of cells between commas, a ``'`` before what spreadsheets would run."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator='\n')
        rows = [self._flat_titles(), *self.rows]
        writer.writerows(map(spreadsheet, row) for row in rows)
        return out.getvalue().rstrip('\n')

    def latex(self) -> list[str]:
        """Lines of a ``tabular`` with the rules of booktabs, bold cells in bold."""
        alignment = 'l' * self.left + 'r' * (len(self.titles) - self.left)
        lines = [rf'\begin{{tabular}}{{{alignment}}}', r'\toprule']
        lines += [*self._latex_titles(), r'\midrule']
        for i, row in enumerate(self.rows):
            lines.append(_latex_line(self._texts(row, r'\textbf{{{}}}', escape)))
            lines += [r'\midrule'] if i in self.breaks else []
        return [*lines, r'\bottomrule', r'\end{tabular}']

    def html(self, kinds: Sequence[str] = ()) -> str:
        """A ``table``; ``kinds`` are classes of its rows."""
        lines = ['<table><thead>']
        rows = [self._flat_titles(), *self.rows]
        for i, (row, kind) in enumerate(zip_longest(rows, ['', *kinds], fillvalue='')):
            cell, texts = 'td' if i else 'th', self._texts(row, '<b>{}</b>', html_text)
            cells = [f'<th class="name">{text}</th>' for text in texts[: self.left]]
            cells += [f'<{cell}>{text}</{cell}>' for text in texts[self.left :]]
            lines.append(f'<tr class="{kind}">{"".join(cells)}</tr>')
            lines += [] if i else ['</thead><tbody>']
        return '\n'.join([*lines, '</tbody></table>'])

    def _flat_titles(self) -> list[str]:
        return [t if isinstance(t, str) else ' '.join(t).strip() for t in self.titles]

    def _texts(
        self, row: Sequence[Any], bold: str, escaped: Callable[[str], str]
    ) -> list[str]:
        texts = []
        for cell in row:
            whole = not isinstance(cell, float)
            text = escaped(str(cell) if whole else f'{cell:.{self.digits}f}')
            texts.append(bold.format(text) if isinstance(cell, Bold) else text)
        return texts

    def _latex_titles(self) -> list[str]:
        """One line, or a second where columns share a title."""
        pairs = [(t, '') if isinstance(t, str) else t for t in self.titles]
        shared = [(title, len(list(g))) for title, g in groupby(p[0] for p in pairs)]
        if all(wide == 1 for _, wide in shared):
            return [_latex_line([escape(title) for title, _ in pairs])]
        spans, rules, at = [''] * len(shared), '', 1
        for i, (title, wide) in enumerate(shared):
            if wide > 1:
                spans[i] = rf'\multicolumn{{{wide}}}{{c}}{{{escape(title)}}}'
                rules += rf'\cmidrule(lr){{{at}-{at + wide - 1}}}'
            at += wide
        second = [escape(part or title) for title, part in pairs]
        return [_latex_line(spans), rules, _latex_line(second)]


def html_text(text: str) -> str:
    """Text as a page shows it, letter by letter."""
    return html.escape(shown(text))


def _latex_line(cells: Sequence[str]) -> str:
    line = ' & '.join(cells).strip()
    return '{}' * line.startswith(('[', '*')) + line + r' \\'  # no option of the last


def measured_columns(task: str, keys: Collection[str]) -> dict[str, str]:
    """Titles and keys of the metrics that were measured, frame mAP last."""
    columns = COLUMNS[task] | (detection.FRAME_COLUMNS if task == 'det' else {})
    return {title: key for title, key in columns.items() if key in keys}


def results_table(results: Sequence[Results], fit: bool = True) -> str:
    """One table over several results of one task, in percent.

    Few-shot rows are means over runs, Top-1 with half its 95 % t-interval.

    Raises:
        ValueError: The results were not measured alike.
    """
    check_comparable(results)
    task = results[0]['task']
    counted = next(iter(_SIZES[task]))
    known = {key for r in results for run in r['runs'] for key in run['metrics']}
    columns = measured_columns(task, known)
    rows = []
    for result in results:
        name = result['name'] + ' (simulated)' * bool(result['data']['simulated'])
        groups: dict[tuple, list[dict[str, Any]]] = {}
        for run in result['runs']:
            place = run.get('target') or run.get('domain')
            key = (place, *map(run.get, ('shots', 'control', 'method')))
            groups.setdefault(key, []).append(run)
        for (place, shots, control, method), runs in groups.items():
            label = result['protocol']['name']
            if control or method or shots == 0:
                label = setting_title(runs[0])
                label += f' ({len(runs)} runs)' if shots else ''
            elif shots:
                adaptation = adaptation_text(result)
                label = f'{shots}-shot ({len(runs)} runs)'
                label += f', {adaptation}' if adaptation else ''
            elif 'pooled' in result['protocol']:
                label += ', one model per domain'
            source = source_of(result)
            usual = result['protocol'].get('domains', DOMAINS)[0]
            label += '' if source in (None, usual) else f', from {source}'
            values = [
                [r['metrics'][key] for r in runs if key in r['metrics']]
                for key in columns.values()
            ]
            found = [spread(v) if v else (None, None, None) for v in values]
            cells = ['–' if mean is None else f'{mean:.2f}' for mean, _, _ in found]
            if (half_width := found[0][2]) is not None:
                cells[0] += f' ± {half_width:.2f}'
            rows.append([name, label, place, str(runs[0]['counts'][counted]), *cells])
    headings = ['model', 'protocol', 'domain', counted, *columns]
    table = Table(headings, rows, left=3).text(fit)
    return '\n'.join([*result_notes(results), table])


def result_notes(results: Sequence[Results]) -> list[str]:
    """Sentences that a reader of a table over results of one task needs."""
    task = results[0]['task']
    counted = next(iter(_SIZES.get(task, {'videos'})))
    notes = [SIMULATED] if results[0]['data']['simulated'] else []
    for result in results:
        if result['checkpoint']['simulated'] and not result['data']['simulated']:
            notes.append(f'{result["name"]} was trained on simulated data.')
        if told := result['data'].get('incomplete'):
            notes.append(f'Not all source videos could be had: {"; ".join(told)}.')
        elif told := result['checkpoint'].get('incomplete'):
            text = f'{result["name"]} was trained without all source videos'
            notes.append(f'{text}: {"; ".join(told)}.')
    if task == 'emotion':
        return list(dict.fromkeys(notes))
    if task == 'det':
        options = results[0]['options']
        grouped = 'body/mAP' in results[0]['runs'][0]['metrics']
        body = f'; body: {options["body_detections"]}' if grouped else ''
        notes.append(f'mAP: {_thresholds(options)}{body}')
        told = {r['name']: r['runs'][0].get('frames', {}).get('of') for r in results}
        notes += [f'{k}: frame mAP is of its {own}' for k, own in told.items() if own]
    if any(r['options'].get('fast_dev_run') for r in results):
        notes.append(f'FAST DEV RUN: a few {counted} only, no result.')
    if any(r['protocol']['name'] != 'indomain' for r in results):
        notes.append(_WORDS['zeroshot'].format(counted[:-1]))
    notes += [_WORDS['adapted'][r['options'].get('adapt.on', 'none')] for r in results]
    if any((run.get('run') or 0) > 0 for r in results for run in r['runs']):
        notes.append('±: half-width of the 95 % t-interval over support draws.')
    for result in results:
        name, seen = result['name'], result.get('target_seen', [])
        if told := _WORDS['selections'].get(selection_of(result)):
            notes.append(f'{name}: {told}')
        if seen is None or seen:
            words = _WORDS['perhaps_seen' if seen is None else 'seen']
            notes.append(words.format(name, ', '.join(seen or ())))
        told = result['checkpoint'].get('pretrain_data') or ''
        notes += [_WORDS['unlabelled'].format(name, told)] * ('(unlabelled' in told)
    on_val = [r['data']['name'] for r in results if r['options'].get('subset') == 'val']
    notes += [_WORDS['ma52']] if 'MA-52' in on_val else []
    return [note for note in dict.fromkeys(notes) if note]


def _thresholds(options: Mapping[str, Any]) -> str:
    values = options['thresholds']
    return f'mean over {len(values)} tIoU thresholds, {values[0]:g} to {values[-1]:g}'


def setting_title(run: Mapping[str, Any]) -> str:
    """Setting of a row: ``zero-shot``, a control of it, ``5-shot``, ``adapted, T3A``.

    In older files ``prior`` is what is now called ``oracle-prior``: that of 0 shots.
    """
    shots, control = run.get('shots'), run.get('control')
    if method := run.get('method'):
        return _WORDS['adapted'][control or ''].format(_WORDS['methods'][method])
    if control == 'prior' and shots:
        return f'zero-shot, class prior of the {shots}-shot supports'
    if shots:
        return f'{shots}-shot'
    return CONTROLS[{'prior': 'oracle-prior', 'zero-shot': None}.get(control, control)]


def adaptation_text(result: Mapping[str, Any]) -> str:
    """Method and options of few-shot rows, ``linear (proximity 0.1)``, or empty."""
    settings = dict(result.get('adaptation') or {})
    name = settings.pop('adapt', '')
    options = ', '.join(f'{key} {value}' for key, value in settings.items())
    return f'{name} ({options})' if options else name


def report_text(report: Mapping[str, Any], per_class: bool = False) -> str:
    """A report of ``evaluate.py``: options, a table of rows, further tables."""
    first = report['rows'][0]
    lines = [SIMULATED] if report['simulated'] else []
    lines += report.get('incomplete', ())
    domain = f' of {report["domain"]}' if 'domain' in report else ''
    note, *notes = (_rec_notes if report['task'] == 'rec' else _det_notes)(report)
    lines += [f'subset {report["subset"]}{domain}, percent; {note}', *notes]
    if 'intervals' in first:
        lines.append(f'{_intervals(first)}, seed {first["intervals"]["seed"]}')
    lines.append(_rows_table(report['task'], report['rows']))
    for level, found in report.get('profile', {}).items():
        lines += _profile_tables(level, found)
    if per_class and report['task'] == 'rec':
        groups, told = first['groups'], first['per_class']['action']
        keys = ('classes', 'clips', 'action/top1', 'action/mca', 'action/macro_f1')
        rows = [[g, *(groups[g].get(k, '–') for k in keys)] for g in recognition.GROUPS]
        lines.append(Table([f'by {groups["basis"]} counts', *keys], rows, 0).text())
        columns = ('name', 'group', 'support', 'predicted', 'recall', 'precision', 'f1')
        classes = list(zip(*(told[column] for column in columns), strict=True))
        lines.append(Table(columns, classes).text())
    elif per_class:
        for level, told in first['per_class'].items():
            shown = dict(told)
            if 'AP_bounds' in shown:
                shown['AP_bounds'] = list(map(_span, shown['AP_bounds']))
            titles = [f'{level} class', *list(shown)[1:]]
            lines.append(Table(titles, list(zip(*shown.values(), strict=True))).text())
    return '\n'.join(lines)


def _rec_notes(report: Mapping[str, Any]) -> list[str]:
    class_set, body_scores = map(report['options'].get, ('class_set', 'body_scores'))
    grouped = 'body/top1' in report['rows'][0]['metrics']
    body = f', body scores {body_scores!r}' if grouped else ''
    measured = f'MCA and macro F1 over class set {class_set!r}{body}'
    return [measured, 'Top-1 = micro F1 = WAR, MCA = UAR']


def _det_notes(report: Mapping[str, Any]) -> list[str]:
    options = report['options']
    lines = [f'mAP is the {_thresholds(options)}']
    if 'body/mAP' in report['rows'][0]['metrics']:
        lines.append(f'body: {options["body_detections"]}')
    for key, text in (
        ('merged_truths', 'duplicate truths merged'),
        ('without_truth', 'predictions of classes without truth ignored'),
    ):
        counts = report['counts'][key]
        found = ', '.join(f'{n} ({level})' for level, n in counts.items() if n)
        lines += [f'{text}: {found}'] if found else []
    for level in recognition.LEVELS:
        if (found := report.get(f'{level}/segment_mAP')) is not None:
            lines.append(f'{level} segment mAP: {found:.2f}')
    if told := report['rows'][0].get('frames'):
        rate = f'{told["rate"]:g} per second' if told['rate'] else '25 per video'
        lines.append(f'frame mAP is of segments, moments: {rate}')
    for level, recall in report['rows'][0].get('recall', {}).items():
        values = ', '.join(f'{value:.2f} of {n}' for n, value in recall.items())
        lines.append(f'{level} recall of the best N per video: {values}')
    return lines


def _intervals(row: Mapping[str, Any]) -> str:
    told = row['intervals']
    units = f'{told["resamples"]} resamples of {told["units"]} {told["unit"]}s'
    if told['units'] < FEW_UNITS:
        held = 100 * coverage(told['units'])
        units += f', with so few they hold the truth in about {held:.0f} %'
    return f'intervals: 95 %, {units}'


def _span(bounds: Sequence[float]) -> str:
    return '{:.2f}..{:.2f}'.format(*bounds)


def _rows_table(task: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Domains with their metrics; of recognition the mean and worst of them."""
    first, sizes = rows[0], _SIZES[task]
    columns = measured_columns(task, first['metrics'])

    def line(name: str, found: Mapping[str, Any], *counts: Any) -> list[Any]:
        cells = (found.get(key, '') for key in columns.values())
        return [name, *(counts or ('', '')), *cells]

    cells = [
        line(row['domain'], row['metrics'], *(row['counts'][n] for n in sizes.values()))
        for row in rows
    ]
    further = []
    if 'intervals' in first:
        bounds = first['intervals']['bounds']
        further.append(line('  interval', {key: _span(b) for key, b in bounds.items()}))
    if often := first.get('frequent'):
        further.append(line(f'  of {often["min_truths"]}+ truths', often['metrics']))
    if task == 'rec' and (across := first.get('across_domains')):
        cells.append(line('mean of domains', across['mean']))
        cells.append(line('worst domain', across['worst']))
    cells[1:1] = further
    return Table(['domain', *sizes, *columns], cells).text()


def _profile_tables(level: str, found: Mapping[str, Any]) -> list[str]:
    """Kinds of errors by rank, the gain without each, and misses."""
    titles = [f'{level}: predictions', 'number', *found['kinds']]
    rows: list[list[Any]] = []
    slices = zip(found['slices'], found['predictions'], strict=True)
    for i, (shares, size) in enumerate(slices):
        name = f'{i}G to {i + 1}G' if i else 'first G of a class'
        rows.append([name, size, *(f'{share:.1f}' for share in shares)])
    gains = [f'{gain:+.2f}' for gain in found['gain'].values()]
    rows.append(['mAP_N without it', found['mAP_N'], '', *gains])
    tables = [Table(titles, rows, left=0).text()]
    for name, bins in found['sensitivity'].items():
        titles = [f'{level}: {name}', *list(bins[0])[1:]]
        tables.append(Table(titles, [[*b.values()] for b in bins], 0, digits=1).text())
    return tables


_SHOWN = ('Top-1', 'MCA', 'macro F1', 'body Top-1', 'F1_mean')


def fusion_text(record: dict[str, Any]) -> str:
    """``fused.json`` as text: weights and their origin, and metrics if it has them."""
    learnt, inputs = record['learnt'], record['inputs']
    lines = [
        f'{record["clips"]} clips, {record["space"]} of {len(inputs)} score files, '
        f'{record["weights_from"]} weights:'
    ]
    for i, (entry, weight) in enumerate(zip(inputs, record['weights'], strict=True)):
        line = f'  {weight:.4f}  {entry["file"]}'
        if learnt:
            source = learnt['val_scores'][i]['file']
            line += f'  (val: {source}, alone {learnt["single_nll"][i]:.4f} nats)'
            if own := learnt.get('temperatures'):
                line += f', temperature {own[i]:.3f}'
        lines.append(line)
    if learnt:
        domains = ', '.join(f'{n} {domain}' for domain, n in learnt['domains'].items())
        lines.append(
            f'learnt on {learnt["clips"]} val clips ({domains}): {learnt["nll"]:.4f} '
            f'nats per clip, equal weights {learnt["equal_nll"]:.4f}; at most '
            f'{learnt["gap"]:.1e} above the best'
        )
    if record['body_fusion'] is not None:
        lines.append(f'then fused with body scores, weight {record["body_fusion"]:g}')
    metrics = _fusion_metrics(record) if record.get('metrics') else []
    return '\n'.join([*lines, *metrics])


def _fusion_metrics(record: dict[str, Any]) -> list[str]:
    report = record['metrics']
    options, fused = report['options'], report['fused']
    subsets = ', '.join(f'{n} {subset}' for subset, n in report['subsets'].items())
    lines = [SIMULATED] if record['simulated'] else []
    lines.append(
        f'{report["clips"]} clips ({subsets}), percent; class set '
        f'{options["class_set"]!r}, body scores {options["body_scores"]!r}'
    )
    if fused.get('intervals'):
        lines.append(_intervals(fused))
    if report['weights_fitted_on_them']:
        lines.append(
            f'the weights were fitted on {report["weights_fitted_on_them"]} of these '
            'clips: the fused row flatters'
        )
    keys = {t: COLUMNS['rec'][t] for t in _SHOWN}
    keys = {t: key for t, key in keys.items() if key in fused['metrics']}
    pairs = zip(record['inputs'], record['weights'], strict=True)
    rows = [[entry['file'], f'{weight:.4f}'] for entry, weight in pairs]
    own = {k: report[k] for k in ('mean', 'fused') if k in report}
    rows += [['plain mean' if k == 'mean' else k, ''] for k in own]
    for cells, row in zip(rows, [*report['inputs'], *own.values()], strict=True):
        bounds = row.get('intervals', {}).get('bounds', {})
        for key in keys.values():
            span = ' [{:.2f}, {:.2f}]'.format(*bounds[key]) if bounds else ''
            cells.append(f'{row["metrics"][key]:.2f}{span}')
    return [*lines, Table(['scores', 'weight', *keys], rows).text()]


def metric_cells(run: Mapping[str, Any]) -> list[str]:
    """Metrics of a row of emotions, with their intervals."""
    bounds, cells = run.get('intervals', {}).get('bounds', {}), []
    for key, value in run['metrics'].items():
        span = ' [{:.1f}, {:.1f}]'.format(*bounds[key]) if key in bounds else ''
        cells.append(f'{value:.2f}{span}')
    return cells


def emotion_text(found: Mapping[str, Any], paper: Sequence[Mapping[str, Any]]) -> str:
    """Rows of micro-actions, faces and both, published ones, and what they tell."""
    words, rows = own_table('face_scores')['words'], []
    for run in found['runs']:
        rows.append([run['input'], run['counts']['videos'], *metric_cells(run)])
    for own in paper:
        name = f'{own["input"]}, {own["method"]} [paper]'
        rows.append([name, '–', f'{own["top1"]:.2f}', '–', f'{own["f1"]:.2f}'])
    told, fusion, seen = run['confusion'], found['fusion'], found['visible']
    lines = [Table(('input', 'videos', 'WAR', 'UAR', 'macro F1'), rows).text()]
    rows = [[n, *own] for n, own in zip(told['labels'], told['counts'], strict=True)]
    lines.append(Table(('both: true', *told['labels']), rows).text())
    for kind, own in [*(('test', t) for t in found['tests']), ('visible', seen)]:
        least = own['least'] and f'{own["least"]:.2f} points'
        lines.append(words[kind].format(**{**own, 'least': least or 'nothing'}))
    faces = {
        k: ', '.join(v) or 'none' if type(v) is list else v
        for k, v in found['faces'].items()
    }
    without = fusion['test_videos_without_face']
    lines.append(words[fusion['weights_from']].format(**fusion))
    return '\n'.join([*lines, words['faces'].format(**faces, without=without)])
