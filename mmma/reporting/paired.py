"""Rows of a table against a baseline's, on the same clips.

Results files hold no scores, so the score files that ``test.py --dump`` writes are
needed. Each is checked first: scored against the truth, it must give the very metrics
of its row. Of emotions, micro-actions and faces are fused and compared so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from glob import escape
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mmma.data.clips import Clip, body_map, read_rec
from mmma.data.emotions import groups_of
from mmma.data.root import DataRoot
from mmma.data.videos import Video
from mmma.evaluation import recognition, scores
from mmma.evaluation.bootstrap import holm, mcnemar_exact, paired_bootstrap
from mmma.evaluation.emotion import emotion_row
from mmma.evaluation.recognition import Outcomes, count_classes, recognition_metrics
from mmma.evaluation.rows import clip_outcomes, people, to_percent
from mmma.evaluation.scores import ScoreTable, first_of, join_tables, read_scores
from mmma.foreign import naming
from mmma.reporting.paper import LEVEL, Cell, PaperTable, Row
from mmma.reporting.results import Results, Sample, space_of
from mmma.structures.segments import FloatArray
from mmma.taxonomy import DOMAINS, LABEL_SPACES, SUBSETS, LabelSpace, suggest

_HITS = ('top1', 'micro_f1', 'top5')
"""Metrics that are a share of hits."""
_Test = tuple[float, float, str]
"""Difference in percent, p, and the test's name."""
INPUTS = 'micro-action', 'micro-expression', 'both'
MIN_VAL, _NOTHING = 20, 1e-9
"""Val videos that teach weights; a score that says nothing."""
Scored = tuple[list[Clip], dict[str, Outcomes]]
"""Clips of a row, sorted by name, and their outcomes at both levels, in that order."""


class ScoreFiles:
    """Finds, reads and checks the scores behind rows.

    By all clips of the truth file, their label space with the body groups of the run,
    and results file to its score file, where that does not lie beside it.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        space: LabelSpace,
        given: Mapping[Path, Path] | None = None,
    ) -> None:
        self._clips, self.space, self._given = clips, space, given or {}
        self._tables: dict[Path, ScoreTable] = {}
        self._found: dict[int, Scored | None] = {}
        self.missing: set[Path] = set()

    def scored(self, sample: Sample) -> Scored | None:
        """Clips and outcomes of a row; None where a score file is missing.

        Raises:
            ValueError: The scores do not give the metrics of the row.
        """
        key = id(sample.run)
        if key not in self._found:
            paths = self._paths(sample)
            absent = [path for path in paths if not path.is_file()]
            self.missing.update(absent)
            self._found[key] = None if absent else self._read(sample, paths)
        return self._found[key]

    def _paths(self, sample: Sample) -> list[Path]:
        """Places where the scores of a row are looked for.

        ``scores.npz`` beside ``results.json``, ``NAME.npz`` beside ``NAME.json``; of
        adapted models the files that ``--dump`` makes of that name.
        """
        several = sample.results['protocol']['name'] in ('fewshot', 'adapt')
        tag, paths = scores.file_tag(sample.run) if several else '', []
        for file in sample.results['files']:
            stem = 'scores' if file.name == 'results.json' else file.stem
            path = self._given.get(file.resolve(), file.with_name(f'{stem}.npz'))
            paths.append(path.with_name(f'{path.stem}{tag}{path.suffix}'))
        return paths

    def _read(self, sample: Sample, paths: Sequence[Path]) -> Scored:
        for path in paths:
            if path not in self._tables:
                self._tables[path] = read_scores(path, self.space)
        table = join_tables([self._tables[path] for path in paths])
        clips, options = self._own_clips(sample), sample.results['options']
        if sample.results['data'].get('incomplete'):
            scored = set(table.names)  # the metrics tell if these are all
            clips = [clip for clip in clips if clip.clip in scored]
        with naming(paths[0]):
            body_scores = options['body_scores']
            outcomes, _ = clip_outcomes(table, clips, self.space, body_scores)
        counts = {level: count_classes(o) for level, o in outcomes.items()}
        found = to_percent(recognition_metrics(counts, options['class_set']))
        metrics = sample.run['metrics']
        for key, value in found.items():
            if key in metrics and abs(metrics[key] - value) > 1e-6:
                files = ', '.join(map(str, sample.results['files']))
                raise ValueError(
                    f'{", ".join(map(str, paths))}: these scores give {key} '
                    f'{value:.4f} on {sample.place}, {files} says {metrics[key]:.4f}. '
                    'They are not the scores of these results: test again with --dump.'
                )
        return clips, outcomes

    def _own_clips(self, sample: Sample) -> list[Clip]:
        results, place = sample.results, sample.place
        known = {clip.domain for clip in self._clips}
        domains = results['protocol'].get('pooled', ()) if place not in known else ()
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
        return sorted(wanted, key=lambda clip: clip.clip)


def add_tests(
    tables: Sequence[PaperTable], baseline: str, files: ScoreFiles, resamples: int
) -> None:
    """Test every row of our own against the baseline's row of its place and setting.

    Accuracies of single runs are tested by McNemar's exact test, all else by the
    paired bootstrap. P values are corrected by Holm over the rows of a column. Cells
    and notes of the tables are changed.

    The baseline is the name of its results, or of its rows.

    Raises:
        ValueError: No such row, or several of them.
    """
    own = [row for table in tables for row in table.rows if not row.paper]
    names = sorted({name for row in own for name in (row.name, row.model)})
    if baseline not in names:
        raise ValueError(
            f'--baseline {baseline!r}: no such row; there are '
            f'{", ".join(map(repr, names))}.{suggest(baseline, names)}'
        )
    cache: dict[tuple[str, ...], dict[str, _Test]] = {}
    for table in tables:
        compared = []
        for row in table.rows:
            other = _baseline_row(table, row, baseline)
            if other is None:
                continue
            compared.append(row)
            for subset in row.samples:
                key = (row.place, row.setting, row.model, subset)
                if key not in cache:
                    cache[key] = _compare(row, other, subset, files, resamples)
                for metric in cache[key].keys() & table.columns.values():
                    if cell := row.cells.get((metric, subset)):
                        difference, p, test = cache[key][metric]
                        row.cells[metric, subset] = replace(
                            cell, difference=difference, p=p, test=test
                        )
        most, shown = 0, {*table.columns.values()}
        for key in product(table.columns.values(), table.subsets):
            rows = [r for r in table.rows if key in r.cells and r.cells[key].test]
            corrected = holm([row.cells[key].p for row in rows])
            for row, p in zip(rows, corrected, strict=True):
                row.cells[key] = replace(row.cells[key], p_holm=p)
            most = max(most, len(rows))
        cells = [[c for k, c in row.cells.items() if k[0] in shown] for row in compared]
        table.notes += _notes(cells, baseline, files, most, resamples)


def given_files(
    results: Sequence[Results], arguments: Sequence[str]
) -> dict[Path, Path]:
    """Results file to its file of scores or detections, of arguments RESULTS=FILE.

    Raises:
        FileNotFoundError: There is none, not even of few-shot's names.
        ValueError: No such argument, or of no results that are shown.
    """
    known = {path.resolve() for own in results for path in own['files']}
    given = {}
    for argument in arguments:
        told, _, name = argument.partition('=')
        if not name or Path(told).resolve() not in known:
            text = f'--scores {argument}: write RESULTS=FILE'
            raise ValueError(f'{text}, with a results file of this table.')
        given[Path(told).resolve()] = file = Path(name)
        if not file.is_file() and not any(file.parent.glob(f'{escape(file.stem)}_*')):
            raise FileNotFoundError(f'--scores {argument}: no such file {name!r}.')
    return given


def read_truth(gt: Path, results: Results) -> tuple[list[Clip], LabelSpace]:
    """Clips that results were measured on, by a ``rec.csv`` or a data root.

    Raises:
        ValueError: Other results than of recognition, or of other data.
    """
    if results['task'] != 'rec':
        told = '--baseline is for recognition of actions: AP is no mean over clips'
        raise ValueError(f'{told}, so its rows are compared by their intervals.')
    if not (space := space_of(results)):
        raise ValueError(
            f'{results["name"]}: its {len(results["classes"])} classes are of no label '
            f'space ({", ".join(LABEL_SPACES)}), so its scores cannot be read.'
        )
    if gt.is_dir():
        own, told = DataRoot(gt).fingerprint(), results['data'].get('fingerprint')
        if own != told:
            raise ValueError(
                f'--gt {gt} has fingerprint {own[:12]}, the results are of data '
                f'{str(told)[:12]}: give the root that was tested.'
            )
        gt = gt / 'rec.csv'
    domains = results['protocol'].get('domains', DOMAINS)
    clips = read_rec(gt, space, None, domains)
    return clips, body_map(clips, space)


def _baseline_row(table: PaperTable, row: Row, baseline: str) -> Row | None:
    """Row to compare with; None for the baseline itself, or without one."""
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
    row: Row, other: Row, subset: str, files: ScoreFiles, resamples: int
) -> dict[str, _Test]:
    """Tests of every metric; empty where scores are missing."""
    if subset not in other.samples:
        return {}
    ours = [files.scored(sample) for sample in row.samples[subset]]
    theirs = [files.scored(sample) for sample in other.samples[subset]]
    runs = [scored for scored in (*ours, *theirs) if scored is not None]
    if len(runs) < len(ours) + len(theirs):
        return {}
    clips = runs[0][0]
    if any(own != clips for own, _ in runs):
        raise ValueError(
            f'{row.model} and {other.model} were tested on different clips of '
            f'{row.place}, {subset}: test both without --skip-broken.'
        )
    class_set = row.samples[subset][0].results['options']['class_set']
    outcomes = [own for _, own in runs]
    model, base = outcomes[: len(ours)], outcomes[len(ours) :]
    unit, drawn = paired_bootstrap(model, base, people(clips), class_set, resamples)
    tests = {
        key: (100 * value, p, f'paired bootstrap by {unit}')
        for key, (value, _, _, p) in drawn.items()
    }
    if len(model) == len(base) == 1:
        for level, metric in product(model[0], _HITS):
            both = model[0][level], base[0][level]
            hits = [own.top5 if metric == 'top5' else own.hits for own in both]
            key = f'{level}/{metric}'
            tests[key] = (tests[key][0], mcnemar_exact(*hits), 'McNemar exact')
    return tests


def _notes(
    own: Sequence[Sequence[Cell]],
    baseline: str,
    files: ScoreFiles,
    most: int,
    resamples: int,
) -> list[str]:
    """Sentences on the tests of some rows, of which a column tests ``most``."""
    methods = sorted({cell.test for cells in own for cell in cells} - {''})
    notes = []
    if methods:
        notes.append(
            f'Tested against {baseline} on the same clips ({", ".join(methods)}; Holm '
            f'over the rows of a column, p < {LEVEL:g}). The tests ask about other '
            'clips, not about training again.'
        )
    if 'McNemar exact' in methods:
        notes.append('McNemar takes the clips of one subject as independent.')
    untested = sum(not all(cell.test for cell in cells) for cells in own)
    if untested and files.missing:
        where = ', '.join(sorted(path.as_posix() for path in files.missing)[:3])
        notes.append(
            f'{untested} rows are not tested, so nothing in them is bold, for there '
            f'are no scores {where}: write them with test.py --dump.'
        )
    least = min(1.0, 2 * most / (resamples + 1))
    if least >= LEVEL and any(method.startswith('paired') for method in methods):
        notes.append(
            f'{resamples} resamples can show no p below {least:.2g} over {most} rows, '
            'so no cell of the bootstrap can be bold: use more (--resamples).'
        )
    return notes


def fuse_inputs(
    videos: Sequence[Video],
    sides: Sequence[Mapping[str, FloatArray]],
    emotions: Sequence[str],
    space: str | None = None,
    *drawn: int,
) -> dict[str, Any]:
    """Fuse scores of micro-actions and of faces, with weights learnt on ``val`` alone.

    A video without a face, and in fusion an emotion that no class of the face is like,
    gets its share of ``train``. ``drawn`` are resamples and seed of intervals.

    Returns:
        ``runs`` of ``test``, ``fusion`` (what was learnt), and :func:`compare_inputs`.

    Raises:
        ValueError: Test videos have one emotion, or lack scores of micro-actions.
    """
    of = {video.video: emotions.index(video.emotion) for video in videos}
    train, val, test = ([v for v in videos if v.subset == s] for s in SUBSETS)
    names, n = [video.video for video in test], len(test)
    if missing := [name for name in names if name not in sides[0]]:
        told = f'{len(missing)} of {n} test videos have no scores of micro-actions'
        raise ValueError(f'{told} ({first_of(missing)}): other --task, or all of them')
    if (there := len({video.emotion for video in test})) < 2:
        raise ValueError(f'{n} test videos have {there} emotions: give two or more')
    known = [video.video for video in val if video.video in sides[0]]
    common, labels = [of[v.video] for v in train], [of[name] for name in known]
    prior, every = recognition.class_prior(common, len(emotions)), [*known, *names]
    actions, faces = (np.stack([s.get(name, prior) for name in every]) for s in sides)
    silent = prior * (np.stack([*sides[1].values()]).max(axis=0) < _NOTHING)
    own = faces * (silent == 0)
    own = silent + own * (1 - silent.sum()) / own.sum(axis=1, keepdims=True)
    tables = [ScoreTable((*every,), table) for table in (actions, own, faces)]
    lacks = ', '.join(emotions[i] for i in sorted({*common} - {*labels}))
    learnt = [table.select(known) for table in tables[:2]]
    # Weights of val videos; equal where these are few, as the record then says.
    fusion = {'space': space or 'mean', 'weights_from': 'equal', 'weights': [0.5, 0.5]}
    if lacks or len(labels) < MIN_VAL:
        told = f'{len(labels)} val videos' + f', none of {lacks}' * bool(lacks)
        fusion['why'] = f'{told}: learning needs {MIN_VAL}, and each emotion'
    for own in () if 'why' in fusion else (space,) if space else scores.SPACES:
        weights, told = scores.learn_weights(learnt, labels, own)
        told |= {'space': own, 'weights_from': 'val', 'weights': weights.tolist()}
        fusion = min(fusion, told, key=lambda known: known.get('nll', np.inf))
    fusion['val_videos'] = len(labels)
    fusion['test_videos_without_face'] = sum(name not in sides[1] for name in names)
    both = scores.fuse_tables(tables[:2], fusion['weights'], fusion['space'])
    found = [table.select(names).scores for table in (tables[0], tables[2], both)]
    truth, rest = np.array([of[name] for name in names]), (groups_of(test), emotions)
    rows = [emotion_row(truth, own, *rest, *drawn) for own in found]
    for name, row in zip(INPUTS, rows, strict=True):
        row |= {'input': name, 'subset': 'test'}
    tests = compare_inputs([own.argmax(axis=1) == truth for own in found], INPUTS)
    return {'runs': rows, 'fusion': fusion, **tests}


def compare_inputs(hits: Sequence[ArrayLike], names: Sequence[str]) -> dict[str, Any]:
    """Tests of the last columns of hits against the others, and what they would see.

    ``least`` is the smallest lead in points that is seen where so many videos differ,
    or at all; ``step`` is that of one video.
    """
    *others, both = map(np.asarray, hits)
    ps, tests, n = [mcnemar_exact(both, own) for own in others], [], len(both)
    for name, own, p, p_holm in zip(names, others, ps, holm(ps), strict=False):
        gained, lost = int((both & ~own).sum()), int((own & ~both).sum())
        verdict = f'{names[-1]} {"gains over" if gained > lost else "loses against"}'
        seen = least_difference(gained + lost)
        test = {'a': names[-1], 'b': name, 'videos': n, 'gained': gained, 'lost': lost}
        test |= {'difference': 100 * (gained - lost) / n, 'p': p, 'p_holm': p_holm}
        test['verdict'] = f'{verdict} {name}' if p_holm < LEVEL else 'no gain shown'
        tests.append({**test, 'least': seen and 100 * seen / n})
    seen = next(filter(None, map(least_difference, range(n + 1))), None)
    visible = {'videos': n, 'step': 100 / n, 'least': seen and 100 * seen / n}
    return {'tests': tests, 'visible': visible}


def least_difference(disagreeing: int) -> int | None:
    """Lead of one over another that McNemar's test sees if so many videos differ."""
    for lost in range(disagreeing // 2, -1, -1):
        hits = np.arange(disagreeing) < disagreeing - lost
        if mcnemar_exact(hits, ~hits) < LEVEL:
            return disagreeing - 2 * lost
    return None  # were all of them gained
