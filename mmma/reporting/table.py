"""Tables as text, Markdown, CSV and LaTeX; tables of results for the terminal."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from prettytable import PrettyTable

from mmma.data.leakage import note_on_subjects
from mmma.evaluation import detection, recognition
from mmma.evaluation.bootstrap import spread
from mmma.reporting.results import check_comparable

SIMULATED = 'SIMULATED DATA: these numbers exercise the toolbox, they are no benchmark.'
COLUMNS = {'rec': recognition.COLUMNS, 'det': detection.COLUMNS}
"""Task to titles and keys of its metrics."""
_COUNTED = {'rec': 'clips', 'det': 'videos'}
CONTROLS = {
    None: 'zero-shot',
    'classes': "zero-shot, target's classes only",
    'prior': "zero-shot, target's class prior",
}
MARK = 'ˢ'
"""Behind every number measured on simulated data."""
_LATEX = {
    '\\': r'\textbackslash{}',
    '&': r'\&',
    '%': r'\%',
    '$': r'\$',
    '#': r'\#',
    '_': r'\_',
    '{': r'\{',
    '}': r'\}',
    '~': r'\textasciitilde{}',
    '^': r'\textasciicircum{}',
    '<': r'\textless{}',
    '>': r'\textgreater{}',
    '|': r'\textbar{}',
    '"': "''",
    '–': '--',
    '±': r'$\pm$',
    MARK: r'$^{\mathrm{s}}$',
}


def escape(text: str) -> str:
    """Text as LaTeX shows it, letter by letter; the marks of numbers become math."""
    return ''.join(_LATEX.get(letter, letter) for letter in text)


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

    def text(self) -> str:
        """Lines for a terminal, bold cells as ``*12.34*``."""
        titles = self._flat_titles()
        printed = PrettyTable(titles)
        printed.align = 'r'
        for title in titles[: self.left]:
            printed.align[title] = 'l'
        for i, row in enumerate(self.rows):
            cells = self._texts(row, '*{}*')
            printed.add_row(cells, divider=i in self.breaks)
        return str(printed.get_string())

    def markdown(self) -> list[str]:
        """Lines, bold cells as ``**12.34**``."""
        rule = '|' + ':--|' * self.left + '--:|' * (len(self.titles) - self.left)
        rows = [self._flat_titles(), *(self._texts(row, '**{}**') for row in self.rows)]
        escaped = [[cell.replace('|', r'\|') for cell in row] for row in rows]
        first, *others = [f'| {" | ".join(row)} |' for row in escaped]
        return [first, rule, *others]

    def csv(self) -> str:
        """Lines of cells between commas."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator='\n')
        writer.writerows([self._flat_titles(), *self.rows])
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

    def _flat_titles(self) -> list[str]:
        return [t if isinstance(t, str) else ' '.join(t) for t in self.titles]

    def _texts(
        self, row: Sequence[Any], bold: str, escaped: Callable[[str], str] = str
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
        spans, rules, at = [], '', 1
        for title, wide in shared:
            if wide > 1:
                spans.append(rf'\multicolumn{{{wide}}}{{c}}{{{escape(title)}}}')
                rules += rf'\cmidrule(lr){{{at}-{at + wide - 1}}}'
            else:
                spans.append('')
            at += wide
        second = [escape(part or title) for title, part in pairs]
        return [_latex_line(spans), rules, _latex_line(second)]


def _latex_line(cells: Sequence[str]) -> str:
    return ' & '.join(cells).strip() + r' \\'


def results_table(results: Sequence[dict[str, Any]]) -> str:
    """One table over several results of one task, in percent.

    Few-shot rows are means over runs, Top-1 with half its 95 % t-interval. For
    detection: mAP at three thresholds and averaged, at both levels, and the mean of
    the two averages.

    Args:
        results: Contents of results files.

    Returns:
        The table, under a line that says so if the data are simulated.

    Raises:
        ValueError: The results were not measured alike.
    """
    check_comparable(results)
    task = results[0]['task']
    counted = _COUNTED[task]
    headings = ['model', 'protocol', 'domain', counted, *COLUMNS[task]]
    rows = [row for result in results for row in _rows(result)]
    return '\n'.join([*result_notes(results), Table(headings, rows, left=3).text()])


def result_notes(results: Sequence[dict[str, Any]]) -> list[str]:
    """What a reader of a table over these results must know.

    Args:
        results: Contents of results files of one task, measured alike.
    """
    task = results[0]['task']
    counted = _COUNTED[task]
    notes = []
    if results[0]['data']['simulated']:
        notes.append(SIMULATED)
    notes += [
        f'{r["name"]} was trained on simulated data.'
        for r in results
        if r['checkpoint']['simulated'] and not r['data']['simulated']
    ]
    if task == 'det':
        thresholds = results[0]['options']['thresholds']
        notes.append(
            f'mAP: mean over {len(thresholds)} tIoU thresholds, {thresholds[0]:g} to '
            f'{thresholds[-1]:g}; body: {results[0]["options"]["body_detections"]}'
        )
    if any(r['options'].get('fast_dev_run') for r in results):
        notes.append(f'FAST DEV RUN: a few {counted} only, no result.')
    if any(r['protocol']['name'] != 'indomain' for r in results):
        notes.append(
            f'zero-shot: no {counted[:-1]} of the target domain was trained on; its '
            'classes are not unseen.'
        )
    if any((run.get('run') or 0) > 0 for r in results for run in r['runs']):
        notes.append('±: half-width of the 95 % t-interval over support draws.')
    notes += [
        f'{r["name"]} was trained on {", ".join(r["target_seen"])}: its rows for '
        'these domains are not zero-shot.'
        for r in results
        if r.get('target_seen')
    ]
    notes += [
        f'{r["name"]} does not say which domains it was trained on: whether its rows '
        'are zero-shot is unknown.'
        for r in results
        if r.get('target_seen', []) is None
    ]
    notes += [
        note_on_subjects(r['data']['name'], r['options'].get('subset', ''))
        for r in results
    ]
    return [note for note in dict.fromkeys(notes) if note]


def adaptation_text(result: Mapping[str, Any]) -> str:
    """How few-shot rows were adapted: ``linear (proximity 0.1)``, or empty.

    Args:
        result: Contents of a results file.
    """
    settings = dict(result.get('adaptation') or {})
    name = settings.pop('adapt', '')
    options = ', '.join(f'{key} {value}' for key, value in settings.items())
    return f'{name} ({options})' if options else name


def _rows(result: dict[str, Any]) -> Iterator[list[str]]:
    protocol = result['protocol']['name']
    if 'pooled' in result['protocol']:
        protocol += ', one model per domain'
    adapt = adaptation_text(result)
    adapt = adapt and f', {adapt}'
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for run in result['runs']:
        key = (
            run.get('target') or run.get('domain'),
            run.get('shots'),
            run.get('control'),
        )
        groups.setdefault(key, []).append(run)
    for (domain, shots, control), runs in groups.items():
        label = protocol
        if shots:
            label = f'{shots}-shot ({len(runs)} runs){adapt}'
        elif shots == 0:
            label = CONTROLS[control]
        values = [
            [r['metrics'][key] for r in runs if key in r['metrics']]
            for key in COLUMNS[result['task']].values()
        ]
        found = [spread(v) if v else None for v in values]
        cells = [f'{s.mean:.2f}' if s else '–' for s in found]
        if found[0] and found[0].half_width is not None:
            cells[0] += f' ± {found[0].half_width:.2f}'
        simulated = ' (simulated)' if result['data']['simulated'] else ''
        count = str(runs[0]['counts'][_COUNTED[result['task']]])
        yield [result['name'] + simulated, label, domain, count, *cells]


def recognition_summary(report: Mapping[str, Any]) -> str:
    """What the numbers below are, in a few lines.

    Args:
        report: What ``evaluate.py rec --json`` prints.
    """
    options = report['options']
    lines = [SIMULATED] if report['simulated'] else []
    place = f'subset {report["subset"]}'
    place += f' of {report["domain"]}' if 'domain' in report else ''
    lines.append(
        f'{place}, percent; MCA and macro F1 over class set '
        f'{options["class_set"]!r}, body scores {options["body_scores"]!r}'
    )
    lines.append('Top-1 = micro F1 = WAR, MCA = UAR')
    intervals = report['rows'][0].get('intervals')
    if intervals:
        lines.append(
            f'intervals: 95 %, {intervals["resamples"]} resamples of '
            f'{intervals["units"]} {intervals["unit"]}s, seed {intervals["seed"]}'
        )
    return '\n'.join(lines)


def recognition_rows_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Domains with their metrics, and the mean and worst of them.

    Args:
        rows: Of ``recognition_rows``.
    """
    columns, first = COLUMNS['rec'], rows[0]
    cells: list[list[Any]] = []
    for row in rows:
        sizes = [row['counts']['clips'], row['counts']['classes_present']]
        values = [row['metrics'][key] for key in columns.values()]
        cells.append([row['domain'], *sizes, *values])
        if row is first and 'intervals' in row:
            bounds = row['intervals']['bounds']
            spans = ['{:.2f}..{:.2f}'.format(*bounds[key]) for key in columns.values()]
            cells.append(['  interval', '', '', *spans])
    for name, title in (('mean', 'mean of domains'), ('worst', 'worst domain')):
        if 'across_domains' in first:
            values = [first['across_domains'][name][key] for key in columns.values()]
            cells.append([title, '', '', *values])
    return Table(['domain', 'clips', 'classes', *columns], cells).text()


def groups_table(groups: Mapping[str, Any]) -> str:
    """Metrics of head, medium and tail classes.

    Args:
        groups: Of a row.
    """
    keys = ('classes', 'clips', 'action/top1', 'action/mca', 'action/macro_f1')
    rows = [
        [group, *(groups[group].get(key, '–') for key in keys)]
        for group in recognition.GROUPS
    ]
    return Table([f'by {groups["basis"]} counts', *keys], rows, left=0).text()


def per_class_table(per_class: Mapping[str, list[Any]]) -> str:
    """A row per class of one level of recognition.

    Args:
        per_class: Of a row and level.
    """
    columns = ('name', 'group', 'support', 'predicted', 'recall', 'precision', 'f1')
    rows = list(zip(*(per_class[column] for column in columns), strict=True))
    return Table(columns, rows).text()


def summary(report: Mapping[str, Any]) -> str:
    """What the numbers below are, in a few lines.

    Args:
        report: What ``evaluate.py det --json`` prints.
    """
    options, counts = report['options'], report['counts']
    lines = [SIMULATED] if report['simulated'] else []
    first, *_, last = options['thresholds']
    lines.append(
        f'subset {report["subset"]}, percent; mAP is the mean over '
        f'{len(options["thresholds"])} tIoU thresholds, {first:g} to {last:g}'
    )
    if options['level'] != 'action':
        lines.append(f'body: {options["body_detections"]}')
    for key, text in (
        ('merged_truths', 'duplicate truths merged'),
        ('without_truth', 'predictions of classes without truth ignored'),
    ):
        found = ', '.join(f'{n} ({level})' for level, n in counts[key].items() if n)
        lines += [f'{text}: {found}'] if found else []
    for level in ('action', 'body'):
        if f'{level}/segment_mAP' in report:
            value = report[f'{level}/segment_mAP']
            lines.append(f'{level} segment mAP: {value:.2f}')
    for level, recall in report['rows'][0].get('recall', {}).items():
        values = ', '.join(f'{value:.2f} of {n}' for n, value in recall.items())
        lines.append(f'{level} recall of the best N per video: {values}')
    intervals = report['rows'][0].get('intervals')
    if intervals:
        lines.append(
            f'intervals: 95 %, {intervals["resamples"]} resamples of '
            f'{intervals["units"]} {intervals["unit"]}s, seed {intervals["seed"]}'
        )
    return '\n'.join(lines)


def rows_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Domains with their mAP at 0.2, 0.5, 0.7 and averaged.

    Args:
        rows: Of ``evaluate_rows``.
    """
    measured = rows[0]['metrics']
    columns = {title: k for title, k in COLUMNS['det'].items() if k in measured}
    headings, keys = list(columns), list(columns.values())
    cells: list[list[Any]] = []
    for row in rows:
        sizes = [row['counts']['videos'], row['counts']['instances']]
        cells.append([row['domain'], *sizes, *(row['metrics'][key] for key in keys)])
        if row is rows[0]:
            if 'intervals' in row:
                bounds = row['intervals']['bounds']
                spans = ['{:.2f}..{:.2f}'.format(*bounds[key]) for key in keys]
                cells.append(['  interval', '', '', *spans])
            often = row['frequent']
            name = f'  of {often["min_truths"]}+ truths'
            cells.append([name, '', '', *(often['metrics'][key] for key in keys)])
    return Table(['domain', 'videos', 'instances', *headings], cells).text()


def per_class_tables(per_class: Mapping[str, Mapping[str, list[Any]]]) -> str:
    """One table per level, a row per class with truth.

    Args:
        per_class: Of a row.
    """
    texts = []
    for level, columns in per_class.items():
        shown = dict(columns)
        if 'AP_bounds' in shown:
            shown['AP_bounds'] = [
                '{:.2f}..{:.2f}'.format(*b) for b in shown['AP_bounds']
            ]
        names = list(shown)
        rows = list(zip(*shown.values(), strict=True))
        texts.append(Table([f'{level} class', *names[1:]], rows).text())
    return '\n'.join(texts)


def profile_tables(profile: Mapping[str, Mapping[str, Any]]) -> str:
    """Kinds of errors by rank, what removing them gains, and what is missed.

    Args:
        profile: Level to what ``profile_levels`` gives.
    """
    texts = []
    for level, found in profile.items():
        titles = [f'{level}: predictions', 'number', *found['kinds']]
        rows: list[list[Any]] = []
        slices = zip(found['slices'], found['predictions'], strict=True)
        for i, (shares, size) in enumerate(slices):
            name = f'{i}G to {i + 1}G' if i else 'first G of a class'
            rows.append([name, size, *(f'{share:.1f}' for share in shares)])
        gains = [f'{gain:+.2f}' for gain in found['gain'].values()]
        rows.append(['mAP_N without it', found['mAP_N'], '', *gains])
        texts.append(Table(titles, rows, left=0).text())
        for name, bins in found['sensitivity'].items():
            titles = [f'{level}: {name}', *list(bins[0])[1:]]
            rows = [list(row.values()) for row in bins]
            texts.append(Table(titles, rows, left=0, digits=1).text())
    return '\n'.join(texts)


_SHOWN = ('Top-1', 'MCA', 'macro F1', 'body Top-1', 'F1_mean')


def fusion_summary(record: dict[str, Any]) -> str:
    """Weights of the inputs and how they came about.

    Args:
        record: Content of the ``fused.json`` that ``fuse.py`` writes.
    """
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
    return '\n'.join(lines)


def fusion_table(record: dict[str, Any]) -> str:
    """Metrics of each input and of the fused scores, in percent.

    Args:
        record: As for :func:`fusion_summary`, with ``metrics``.
    """
    report = record['metrics']
    given = zip(record['inputs'], record['weights'], report['inputs'], strict=True)
    rows = [[e['file'], f'{weight:.4f}', *_cells(row)] for e, weight, row in given]
    rows.append(['fused', '', *_cells(report['fused'])])
    notes = [SIMULATED] if record['simulated'] else []
    table = Table(['scores', 'weight', *_SHOWN], rows).text()
    return '\n'.join([*notes, *_notes(report), table])


def _notes(report: dict[str, Any]) -> list[str]:
    subsets = ', '.join(f'{n} {subset}' for subset, n in report['subsets'].items())
    options, intervals = report['options'], report['fused'].get('intervals')
    notes = [
        f'{report["clips"]} clips ({subsets}), percent; class set '
        f'{options["class_set"]!r}, body scores {options["body_scores"]!r}'
    ]
    if intervals:
        notes.append(
            f'intervals: 95 %, {intervals["resamples"]} resamples of '
            f'{intervals["units"]} {intervals["unit"]}s'
        )
    if report['weights_fitted_on_them']:
        notes.append(
            f'the weights were fitted on {report["weights_fitted_on_them"]} of these '
            'clips: the fused row flatters'
        )
    return notes


def _cells(row: dict[str, Any]) -> list[str]:
    cells = []
    for name in _SHOWN:
        key = COLUMNS['rec'][name]
        cell = f'{row["metrics"][key]:.2f}'
        if 'intervals' in row:
            cell += ' [{:.2f}, {:.2f}]'.format(*row['intervals']['bounds'][key])
        cells.append(cell)
    return cells
