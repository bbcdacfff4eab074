"""Rows of a table against a baseline's, on the same clips.

Results files hold no scores, so the score files that ``test.py --dump`` writes are
needed. Each is checked first: scored against the truth, it must give the very metrics
of its row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmma.data.clips import Clip, body_map, read_rec
from mmma.data.root import DataRoot
from mmma.evaluation.bootstrap import (
    BootstrapOptions,
    holm,
    mcnemar_exact,
    paired_bootstrap,
)
from mmma.evaluation.recognition import (
    Outcomes,
    count_classes,
    rank_outcomes,
    recognition_metrics,
)
from mmma.evaluation.rows import Truth, body_variants, to_percent
from mmma.evaluation.scores import ScoreTable, join_tables, read_scores
from mmma.reporting.paper import LEVEL, CellTest, PaperTable, Row
from mmma.reporting.results import Entry, Sample, pooled_domains
from mmma.taxonomy import LABEL_SPACES, LabelSpace, load_label_space, suggest

_HITS = {'top1': 'top1', 'micro_f1': 'top1', 'top5': 'top5'}
"""Metrics that are a share of hits, and which hits."""


@dataclass(frozen=True)
class Scored:
    """What a row was made of, read anew.

    Attributes:
        truth: Its clips, sorted by name.
        outcomes: ``action`` and ``body``, in their order.
    """

    truth: Truth
    outcomes: dict[str, Outcomes]


class ScoreFiles:
    """Finds, reads and checks the scores behind rows.

    Args:
        clips: All clips of the truth file.
        space: Their label space, with the body groups of the run.
        given: Results file to its score file, where it does not lie beside it.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        space: LabelSpace,
        given: Mapping[Path, Path] | None = None,
    ) -> None:
        self._clips = clips
        self._space = space
        self._given = {k.resolve(): v for k, v in (given or {}).items()}
        self._tables: dict[Path, ScoreTable] = {}
        self._found: dict[int, Scored | None] = {}
        self.missing: set[Path] = set()

    def scored(self, sample: Sample) -> Scored | None:
        """Outcomes of a row; None where a score file is missing.

        Raises:
            ValueError: The scores do not give the metrics of the row.
        """
        key = id(sample.run)
        if key not in self._found:
            paths = self.paths(sample)
            absent = [path for path in paths if not path.is_file()]
            self.missing.update(absent)
            self._found[key] = None if absent else self._read(sample, paths)
        return self._found[key]

    def paths(self, sample: Sample) -> list[Path]:
        """Where the scores of a row are looked for.

        ``scores.npz`` beside ``results.json``, ``NAME.npz`` beside ``NAME.json``; of
        few-shot the files that ``--dump`` makes of that name.
        """
        paths = []
        for file in sample.entry.files:
            stem = 'scores' if file.name == 'results.json' else file.stem
            path = self._given.get(file.resolve(), file.with_name(f'{stem}.npz'))
            paths.append(path.with_name(f'{path.stem}{_part(sample)}{path.suffix}'))
        return paths

    def _read(self, sample: Sample, paths: Sequence[Path]) -> Scored:
        for path in paths:
            if path not in self._tables:
                self._tables[path] = read_scores(path, self._space)
        table = join_tables([self._tables[path] for path in paths])
        truth = self._truth(sample)
        options = sample.entry.results['options']
        try:
            table = table.select(truth.names)
        except ValueError as error:
            raise ValueError(f'{paths[0]}: {error}') from None
        bodies = body_variants(table, self._space, options['body_scores'])
        scored = Scored(
            truth,
            {
                'action': rank_outcomes(table.scores, truth.labels),
                'body': rank_outcomes(bodies[options['body_scores']], truth.bodies),
            },
        )
        _check_metrics(scored, sample, paths)
        return scored

    def _truth(self, sample: Sample) -> Truth:
        results, run = sample.entry.results, sample.run
        place = run.get('target') or run['domain']
        domains = pooled_domains(results) if place not in _domains(self._clips) else ()
        broken = set(results.get('broken') or ())
        wanted = [
            clip
            for clip in self._clips
            if clip.subset == sample.subset
            and clip.clip not in broken
            and (clip.domain == place or clip.domain in domains or place == 'all')
        ]
        if not wanted:
            raise ValueError(
                f'the truth file has no clip of {place}, subset {sample.subset!r}: '
                f'give --gt of the data {results["data"]["name"]!r}.'
            )
        return Truth.from_clips(sorted(wanted, key=lambda clip: clip.clip))


def add_tests(
    tables: Sequence[PaperTable],
    baseline: str,
    files: ScoreFiles,
    options: BootstrapOptions | None = None,
) -> None:
    """Test every row of our own against the baseline's row of its place and setting.

    Accuracies of single runs are tested by McNemar's exact test, all else by the
    paired bootstrap. P values are corrected by Holm over the rows of a column.

    Args:
        tables: From :func:`mmma.reporting.paper.paper_tables`; their cells and
            notes are changed.
        baseline: Name of its results, or of its rows.
        files: The scores.
        options: Of the bootstrap.

    Raises:
        ValueError: No such row, several of them, or detection.
    """
    if any(table.name.endswith('-detection') for table in tables):
        raise ValueError(
            '--baseline is for recognition: AP is no mean over clips, so its rows are '
            'compared by their intervals.'
        )
    _check_baseline(tables, baseline)
    options = options or BootstrapOptions(resamples=10000)
    cache: dict[tuple[str, ...], dict[str, CellTest] | None] = {}
    for table in tables:
        tested: set[str] = set()
        for row in table.rows:
            other = _baseline_row(table, row, baseline)
            if other is None:
                continue
            for subset in row.samples:
                key = (row.place, row.setting, row.model, subset)
                if key not in cache:
                    cache[key] = _compare(row, other, subset, files, options)
                tested |= _put(table, row, subset, cache[key])
        _correct(table)
        table.notes.extend(_notes(table, baseline, tested, files))
        if any(method.startswith('paired') for method in tested):
            table.notes.extend(_resolution(table, options.resamples))


def compare_with(
    tables: Sequence[PaperTable],
    baseline: str,
    entries: Sequence[Entry],
    gt: Path,
    scores: Sequence[str],
    options: BootstrapOptions,
) -> None:
    """Read truth and scores, and test every row of our own against a baseline's.

    Args:
        tables: From :func:`mmma.reporting.paper.paper_tables`; changed.
        baseline: Name of its results, or of its rows.
        entries: The results behind the tables.
        gt: ``rec.csv``, or the data root that was tested.
        scores: ``RESULTS=FILE``, where scores do not lie beside their results.
        options: Of the bootstrap.

    Raises:
        ValueError: As :func:`add_tests`; or other data, or scores of no results.
    """
    clips, space = [], load_label_space('mma82')
    if entries[0].results['task'] != 'det':  # which add_tests refuses
        clips, space = _read_truth(gt, entries[0].results)
    files = ScoreFiles(clips, space, _score_files(scores, entries))
    add_tests(tables, baseline, files, options)


def _read_truth(gt: Path, results: dict[str, Any]) -> tuple[list[Clip], LabelSpace]:
    groups = results['options']['body_groups']
    classes = tuple(results['classes'])
    spaces = [load_label_space(name, groups) for name in LABEL_SPACES]
    found = [space for space in spaces if space.actions == classes]
    if not found:
        raise ValueError(
            f'{results["name"]}: its {len(classes)} classes are of no label space '
            f'({", ".join(LABEL_SPACES)}), so its scores cannot be read.'
        )
    if gt.is_dir():
        root, fingerprint = DataRoot(gt), results['data'].get('fingerprint')
        if root.fingerprint() != fingerprint:
            raise ValueError(
                f'--gt {gt} has fingerprint {root.fingerprint()[:12]}, the results are '
                f'of data {str(fingerprint)[:12]}: give the root that was tested.'
            )
        gt = gt / 'rec.csv'
    clips = read_rec(gt, found[0])
    return clips, body_map(clips, found[0])


def _score_files(given: Sequence[str], entries: Sequence[Entry]) -> dict[Path, Path]:
    known = {path.resolve() for entry in entries for path in entry.files}
    files = {}
    for argument in given:
        results, _, scores = argument.partition('=')
        if not scores or Path(results).resolve() not in known:
            raise ValueError(
                f'--scores {argument}: write RESULTS=FILE, with a results file of '
                'this table.'
            )
        files[Path(results)] = Path(scores)
    return files


def _check_baseline(tables: Sequence[PaperTable], baseline: str) -> None:
    rows = [row for table in tables for row in table.rows if not row.paper]
    names = sorted({name for row in rows for name in (row.name, row.model)})
    if baseline not in names:
        raise ValueError(
            f'--baseline {baseline!r}: no such row; there are '
            f'{", ".join(map(repr, names))}.{suggest(baseline, names)}'
        )


def _baseline_row(table: PaperTable, row: Row, baseline: str) -> Row | None:
    """What a row is compared with; None for the baseline itself, or without one."""
    if row.paper or baseline in (row.name, row.model):
        return None
    found = [
        other
        for other in table.rows
        if baseline in (other.name, other.model)
        and (other.place, other.setting) == (row.place, row.setting)
    ]
    exact = [other for other in found if other.model == baseline] or found
    if len(exact) > 1:
        raise ValueError(
            f'--baseline {baseline!r} is several rows of {row.setting or row.place}: '
            f'{", ".join(repr(other.model) for other in exact)}. Name one of them.'
        )
    return exact[0] if exact else None


def _compare(
    row: Row, other: Row, subset: str, files: ScoreFiles, options: BootstrapOptions
) -> dict[str, CellTest] | None:
    """Tests of every metric; None where scores of either are missing."""
    if subset not in other.samples:
        return None
    ours = [files.scored(sample) for sample in row.samples[subset]]
    theirs = [files.scored(sample) for sample in other.samples[subset]]
    runs = [scored for scored in (*ours, *theirs) if scored is not None]
    if len(runs) < len(ours) + len(theirs):
        return None
    truth = runs[0].truth
    if any(scored.truth.names != truth.names for scored in runs):
        raise ValueError(
            f'{row.model} and {other.model} were tested on different clips of '
            f'{row.place}, {subset}: test both without --skip-broken.'
        )
    class_set = row.samples[subset][0].entry.results['options']['class_set']
    outcomes = [scored.outcomes for scored in runs]
    model, base = outcomes[: len(ours)], outcomes[len(ours) :]
    unit, drawn = paired_bootstrap(model, base, truth.people(), class_set, options)
    tests = {
        key: CellTest(100 * d.value, d.p, d.p, f'paired bootstrap by {unit}')
        for key, d in drawn.items()
    }
    if len(model) == len(base) == 1:
        for level, own in model[0].items():
            for metric, hits in _HITS.items():
                key = f'{level}/{metric}'
                p = mcnemar_exact(_hits(own, hits), _hits(base[0][level], hits))
                tests[key] = replace(tests[key], p=p, p_holm=p, method='McNemar exact')
    return tests


def _hits(outcomes: Outcomes, kind: str) -> Any:
    if kind == 'top5':
        return outcomes.top5
    return outcomes.labels == outcomes.predictions


def _put(
    table: PaperTable, row: Row, subset: str, tests: Mapping[str, CellTest] | None
) -> set[str]:
    methods = set()
    for metric in table.columns.values() if tests else ():
        cell = row.cells.get((metric, subset))
        if cell is not None and tests is not None:
            row.cells[metric, subset] = replace(cell, test=tests[metric])
            methods.add(tests[metric].method)
    return methods


def _correct(table: PaperTable) -> None:
    """Holm over the rows of each column."""
    for metric in table.columns.values():
        for key in ((metric, subset) for subset in table.subsets):
            cells = [(row, row.cells[key]) for row in table.rows if key in row.cells]
            tests = [(row, cell, cell.test) for row, cell in cells if cell.test]
            corrected = holm([test.p for _, _, test in tests])
            for (row, cell, test), p in zip(tests, corrected, strict=True):
                row.cells[key] = replace(cell, test=replace(test, p_holm=p))


def _notes(
    table: PaperTable, baseline: str, methods: set[str], files: ScoreFiles
) -> list[str]:
    notes = []
    if methods:
        notes.append(
            f'Tested against {baseline} on the same clips ({", ".join(sorted(methods))}'
            f'; Holm over the rows of a column, p < {LEVEL:g}). The tests ask about '
            'other clips, not about training again.'
        )
    if 'McNemar exact' in methods:
        notes.append('McNemar takes the clips of one subject as independent.')
    untested = [
        row
        for row in table.rows
        if _baseline_row(table, row, baseline) is not None
        and not all(
            row.cells[k].test for k in row.cells if k[0] in table.columns.values()
        )
    ]
    if untested and files.missing:
        where = ', '.join(sorted(path.as_posix() for path in files.missing)[:3])
        notes.append(
            f'{len(untested)} rows are not tested, so nothing in them is bold, for '
            f'there are no scores {where}: write them with test.py --dump.'
        )
    return notes


def _resolution(table: PaperTable, resamples: int) -> list[str]:
    """A warning where no difference could be significant after the correction."""
    columns = {key for row in table.rows for key in row.cells}
    rows = max(sum(_is_tested(r, key) for r in table.rows) for key in columns)
    least = min(1.0, 2 * rows / (resamples + 1))
    if least < LEVEL:
        return []
    return [
        f'{resamples} resamples can show no p below {least:.2g} over {rows} rows, so '
        'no cell of the bootstrap can be bold: use more (--resamples).'
    ]


def _is_tested(row: Row, key: tuple[str, str]) -> bool:
    return key in row.cells and row.cells[key].test is not None


def _part(sample: Sample) -> str:
    """What ``test.py --dump`` adds to the name of a few-shot score file."""
    results, run = sample.entry.results, sample.run
    if results['protocol']['name'] != 'fewshot':
        return ''
    parts = [run['target'], f'{run["shots"]}shot']
    parts += [run['control']] if 'control' in run else []
    parts += [f'run{run["run"]}'] if 'run' in run else []
    return ''.join(f'_{part}' for part in parts)


def _domains(clips: Sequence[Clip]) -> set[str]:
    return {clip.domain for clip in clips}


def _check_metrics(scored: Scored, sample: Sample, paths: Sequence[Path]) -> None:
    results, metrics = sample.entry.results, sample.run['metrics']
    counts = {level: count_classes(o) for level, o in scored.outcomes.items()}
    found = to_percent(recognition_metrics(counts, results['options']['class_set']))
    for key, value in found.items():
        if key in metrics and abs(metrics[key] - value) > 1e-6:
            place = sample.run.get('target') or sample.run['domain']
            raise ValueError(
                f'{", ".join(map(str, paths))}: these scores give {key} {value:.4f} on '
                f'{place}, {_file(sample.entry)} says {metrics[key]:.4f}. They are not '
                'the scores of these results: test again with --dump.'
            )


def _file(entry: Entry) -> str:
    return ', '.join(map(str, entry.files))
