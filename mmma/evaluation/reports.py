"""Files of evaluation: ``results.json``, reports of ``evaluate.py`` and ``fuse.py``."""

import json
import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from mmma.checkpoints import file_sha256
from mmma.data.clips import Clip, body_map, read_rec, scan_rec
from mmma.data.root import (
    DET_FILE,
    INFO_FILE,
    REC_FILE,
    DataRoot,
    DatasetInfo,
    missing_root,
    read_info,
    shares,
    table_domains,
)
from mmma.data.videos import (
    END_TOLERANCE_SEC,
    Video,
    read_detections,
    scan_det,
    true_segments,
)
from mmma.evaluation.detection import frame_average_precisions, unmatched_notes
from mmma.evaluation.errors import profile_levels
from mmma.evaluation.form import check_form
from mmma.evaluation.recognition import fuse_body_scores
from mmma.evaluation.rows import (
    DetectionOptions,
    EvaluationOptions,
    Found,
    domain_rows,
    match_levels,
    recognition_row,
    true_labels,
)
from mmma.evaluation.scores import (
    ScoreTable,
    align_tables,
    are_probabilities,
    check_weights,
    first_of,
    fuse_tables,
    learn_weights,
    read_frame_scores,
    read_scores,
    scale_notes,
    score_file,
    write_scores,
)
from mmma.files import OddEntries, read_text, tell, write_file
from mmma.foreign import naming, parse_json
from mmma.structures.segments import Segments
from mmma.taxonomy import LabelSpace, load_label_space, suggest

Entry = TypeVar('Entry', Clip, Video)
_AVERAGED = 'averaged as given, larger numbers weigh more'
ALIASES = {'UAR': 'action/mca', 'WAR': 'action/top1'}
"""Names of two metrics in the emotion literature."""


def write_results(results: Mapping[str, Any], path: Path) -> None:
    """Write ``results.json`` of plain types, without NaN, whole or not at all."""
    text = json.dumps(results, indent=1, ensure_ascii=False, allow_nan=False)
    write_file(path, text + '\n')


def read_results(path: Path) -> dict[str, Any]:
    """Read a ``results.json``.

    Raises:
        FileNotFoundError: There is none.
        ValueError: It is no results file, or of a schema this version cannot read.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'no results file {str(path)!r}.')
    results, repeated = parse_json(read_text(Path(path)), Path(path))
    check_form(results, repeated, path)
    return results


def recognition_report(
    gt: Path,
    pred: Path,
    label_space: str | Mapping[str, Any] | None,
    body_groups: str,
    options: EvaluationOptions,
    subset: str | None = None,
    domain: str | None = None,
    strict: bool = False,
) -> tuple[dict[str, Any], tuple[ScoreTable, list[Clip], LabelSpace]]:
    """Metrics of scores against the truth, a ``rec.csv`` or that of a data root.

    Args:
        label_space: Of the scores; None takes that of the root, or MMA-82's.
        body_groups: Of actions to which the truth gives no group.
        subset, domain: As for :func:`choose`.
        strict: Refuse files with anything odd, which is left out and told otherwise.

    Returns:
        The report (metrics of all clips on top, then all rows), and what was scored.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: Files that are not valid or do not belong together.
    """
    gt, info, space = _truth_file(gt, REC_FILE, label_space, body_groups)
    clips, odd = scan_rec(gt, space, None, info.domains)
    tell(odd.notes(strict))
    space = body_map(clips, space)
    subset, chosen = choose(gt, clips, 'clips', subset, domain)
    with naming(gt):
        true_labels(chosen)  # refuses withheld ones before anything else is read
    scores = read_scores(pred, space)
    chosen, told = _without_missing(gt, info, chosen, scores.names)
    with naming(pred):
        table = _match_scores(scores, clips, chosen, subset, odd)
        trained = Counter(c.action for c in clips if c.subset == 'train')
        trained.pop(None, None)
        counts = [trained[action] for action in range(space.num_actions)]
        options = replace(options, train_counts=counts if trained else None)
        rows = domain_rows(table, chosen, space, options, info.domains)
    tell(scale_notes(table.scores, pred, 'body scores of sums mean nothing'))
    ignored = len(scores.names) - len(table.names)
    report = {
        **rows[0]['metrics'],
        'task': 'rec',
        'subset': subset,
        **({'domain': domain} if domain else {}),
        'simulated': info.simulated,
        'counts': {**rows[0]['counts'], 'ignored': ignored},
        'probabilities': are_probabilities(table.scores),
        'incomplete': told,
        'options': {
            'label_space': space.name,
            'body_groups': body_groups,
            'class_set': options.class_set,
            'body_scores': options.body_scores,
        },
        'aliases': ALIASES,
        'rows': rows,
    }
    return report, (table, chosen, space)


def detection_report(
    gt: Path,
    pred: Path,
    label_space: str | Mapping[str, Any] | None,
    body_groups: str,
    options: DetectionOptions,
    subset: str | None = None,
    domain: str | None = None,
    profile: bool = False,
    segment_map: bool = False,
    strict: bool = False,
    frames: Path | None = None,
) -> dict[str, Any]:
    """Metrics of detections against a ``det.json``, or a truth file of anybody.

    Arguments, errors and report are those of :func:`recognition_report`; ``profile``
    adds the error profile, ``segment_map`` frame mAP at 10 per second. Frame mAP is of
    the score file ``frames``, if one is given. True segments are cut to their video, as
    when a data root is read, but not for ``legacy``.
    """
    gt, info, space = _truth_file(gt, DET_FILE, label_space, body_groups)
    videos, *odd = scan_det(gt, space, of_root=False, cut=not options.legacy)
    tell(note for own in odd for note in own.notes(strict))
    subset, chosen = choose(gt, videos, 'videos', subset, domain)
    _check_truth(gt, chosen, videos, subset)
    given = read_detections(pred, space, strict)
    chosen, told = _without_missing(gt, info, chosen, given.names)
    found, counts = place_detections(pred, given, videos, chosen, odd[0].items())
    scored: Found = found
    if frames:
        levels = {'action': found, 'body': found.relabel(space.body_of)}
        levels = levels if space.bodies else {'action': found}
        own = read_frame_scores(frames, space, [video.video for video in chosen])
        scored = {**levels, 'frames': own}
    rows = domain_rows(scored, chosen, space, options, info.domains)
    if unknown := [v.video for v in chosen if not 0 < v.duration < np.inf]:
        told = f'{len(unknown)} videos have no duration'
        tell([f'{gt}: no frame mAP, as {told}: {first_of(unknown)}'])
    tell(unmatched_notes(pred.name, found, true_segments(chosen)))
    extras: dict[str, Any] = {}
    if profile or segment_map:
        durations = np.array([video.duration for video in chosen])
        levels = match_levels(found, true_segments(chosen), space, options)
        for level, own in levels.items() if segment_map else ():
            _, values = frame_average_precisions(own.truth, own.found, durations, 10.0)
            extras[f'{level}/segment_mAP'] = 100.0 * float(values.mean())
        if profile:
            extras['profile'] = profile_levels(levels, durations, options.legacy)
    return {
        **rows[0]['metrics'],
        'task': 'det',
        'subset': subset,
        **({'domain': domain} if domain else {}),
        'simulated': info.simulated,
        'counts': {**rows[0]['counts'], **counts},
        'incomplete': told,
        'options': {
            'label_space': space.name,
            'body_groups': body_groups,
            **options.record(),
        },
        **extras,
        'rows': rows,
    }


def _truth_file(
    path: Path,
    name: str,
    label_space: str | Mapping[str, Any] | None,
    body_groups: str = 'taxonomy',
) -> tuple[Path, DatasetInfo, LabelSpace]:
    """A truth file, or that of a data root, what its root says, and its label space.

    Of a file on its own the label space is the given one, or MMA-82's, the domains are
    the label space's, or else those in it, and ``simulated`` is None. A
    ``dataset.json`` beside it must be good: it may say that the data are simulated.

    Raises:
        FileNotFoundError: A folder that is no data root.
        ValueError: A bad ``dataset.json``, or the root is of another label space.
    """
    root = path if path.is_dir() else path.parent
    if path.is_dir() and not (root / INFO_FILE).is_file():
        raise FileNotFoundError(missing_root(root))
    if not os.path.lexists(root / INFO_FILE):
        info = DatasetInfo('', label_space or 'mma82', None)  # type: ignore[arg-type]
        info = info if info.domains else info.with_domains(table_domains(path))
        return path, info, load_label_space(info.label_space, body_groups)
    info = read_info(root)
    own = load_label_space(info.label_space, body_groups)
    space = load_label_space(label_space) if label_space else own
    if (own.name, own.actions) != (space.name, space.actions):
        told = f'{root} is of label space {own.name!r}, not {space.name!r}'
        raise ValueError(f'{told}: give --label-space {own.name}, or none')
    return root / name if path.is_dir() else path, info, own


def _without_missing(
    gt: Path, info: DatasetInfo, chosen: list[Entry], scored: Collection[str]
) -> tuple[list[Entry], list[str]]:
    """Those of a root that are there or have scores, and what share of all they are."""
    if not info.name:
        return chosen, []
    there, scored = {*DataRoot(gt.parent).there(chosen)}, {*scored}
    kept = [e for e in chosen if e in there or e.name in scored]
    return kept or chosen, shares(kept or chosen, chosen)


def choose(
    gt: Path,
    entries: Sequence[Entry],
    noun: str,
    subset: str | None,
    domain: str | None = None,
) -> tuple[str, list[Entry]]:
    """A subset of a truth file and its clips or videos, of one domain or of all.

    The default is the only subset there is, or ``test``; ``all`` takes every one.

    Raises:
        ValueError: There are none.
    """
    counts = Counter(entry.subset for entry in entries)
    subset = subset or (next(iter(counts)) if len(counts) == 1 else 'test')
    chosen = [entry for entry in entries if subset in ('all', entry.subset)]
    if not chosen:
        told = f'{gt}: no {noun} of subset {subset!r}; it has {_sizes(counts, noun)}'
        raise ValueError(f'{told}: choose one with --subset')
    own = [entry for entry in chosen if domain in (None, entry.domain)]
    if domain and not own:
        counts = Counter(entry.domain for entry in chosen)
        raise ValueError(
            f'{gt}: no {noun} of domain {domain!r} in subset {subset!r}; it has '
            f'{_sizes(counts, noun)}.{suggest(domain, list(counts))}'
        )
    return subset, own


def _sizes(counts: Mapping[str, int], noun: str) -> str:
    return ', '.join(f'{name} ({n} {noun})' for name, n in counts.items())


def _match_scores(
    table: ScoreTable,
    clips: Sequence[Clip],
    chosen: Sequence[Clip],
    subset: str,
    odd: OddEntries,
) -> ScoreTable:
    """Scores of the chosen clips, once none is missing and none of an unknown clip."""
    scored = set(table.names)
    subsets = {clip.subset for clip in clips if clip.clip in scored}
    if subsets and subset != 'all' and subset not in subsets:
        raise ValueError(
            f'no score is of a clip of subset {subset!r}, they are of '
            f'{", ".join(sorted(subsets))}: choose with --subset'
        )
    there = {clip.domain for clip in chosen}
    domains = sorted({clip.domain for clip in chosen if clip.clip in scored})
    if domains and len(domains) < len(there):
        raise ValueError(
            f'no score is of a clip of {", ".join(sorted(there - set(domains)))}, all '
            f'are of {", ".join(domains)}: choose with --domain'
        )
    wanted, known = [clip.clip for clip in chosen], {clip.clip for clip in clips}
    known |= odd.items()
    missing = [name for name in wanted if name not in scored]
    unknown = [name for name in table.names if name not in known]
    count = f'{len(missing)} of {len(wanted)} clips'
    errors = [f'{count} have no scores: {first_of(missing)}'] if missing else []
    if unknown:
        noun = 'unknown clip' + 's' * (len(unknown) > 1)
        told = f'scores of {len(unknown)} {noun}, not in the truth file'
        errors.append(f'{told}: {first_of(unknown)}; use its names, letter by letter')
    if errors:
        raise ValueError('; '.join(errors))
    return table.select(wanted)


def _check_truth(
    gt: Path, chosen: Sequence[Video], videos: Sequence[Video], subset: str
) -> None:
    """Refuse videos whose truth is withheld, and those in which nothing happens."""
    if hidden := [video.video for video in chosen if video.withheld]:
        raise ValueError(
            f'{gt}: {len(hidden)} of {len(chosen)} videos of subset {subset!r} have no '
            f'annotations: {first_of(hidden)}; their truth is withheld, so they '
            f'cannot be scored here (an empty list says that nothing happens)'
        )
    if not any(video.instances for video in chosen):
        there = _sizes(Counter(video.subset for video in videos), 'videos')
        told = f'{gt}: no instance in the {len(chosen)} videos of subset {subset!r}'
        raise ValueError(f'{told}: nothing can be measured; there are {there}')


def place_detections(
    pred: Path,
    found: Segments,
    videos: Sequence[Video],
    chosen: Sequence[Video],
    left_out: Collection[str] = (),
) -> tuple[Segments, dict[str, int]]:
    """Detections of the chosen of the videos of a truth file, without those left out.

    Returns:
        The detections, and counts: ``ignored`` ones of videos outside the chosen,
        ``outside`` ones that leave their video by more than half a second,
        ``without_prediction`` chosen videos.

    Raises:
        ValueError: Videos that the truth file lacks, or most detections start after
            their video has ended.
    """
    known = {video.video for video in videos} | {*left_out}
    if unknown := [name for name in found.names if name not in known]:
        raise ValueError(
            f'{pred}: predictions for {len(unknown)} unknown videos, not in the truth '
            f'file: {first_of(unknown)}; use its names, letter by letter.'
            f'{suggest(unknown[0], [video.video for video in videos])}'
        )
    kept = found.of([video.video for video in chosen])
    # A video of unknown length has no end.
    ends = np.array([video.duration for video in chosen])[kept.videos]
    ends += END_TOLERANCE_SEC
    after = np.flatnonzero(kept.segments_sec[:, 0] > ends)
    if 2 * len(after) > len(kept):
        video = chosen[kept.videos[after[0]]]
        first = kept.segments_sec[after[0]].tolist()
        raise ValueError(
            f'{pred}: {len(after)} predictions start after the end of their video, '
            f'the first {first} of {video.video!r} ({video.duration:g} s); '
            'frames taken for seconds, or another fps?'
        )
    early = kept.segments_sec[:, 0] < -END_TOLERANCE_SEC
    return kept, {
        'ignored': len(found) - len(kept),
        'outside': int((early | (kept.segments_sec[:, 1] > ends)).sum()),
        'without_prediction': len(chosen) - len(np.unique(kept.videos)),
    }


def fuse_files(
    scores: Sequence[Path],
    out: Path,
    *,
    weights: Sequence[float] | None = None,
    learn: bool = False,
    val_scores: Sequence[Path] | None = None,
    temperature: bool = False,
    gt: Path | None = None,
    space: str = 'mean',
    body_fusion: float | None = None,
    label_space: str | Mapping[str, Any] | None = None,
    class_set: str = 'present',
    body_scores: str = 'sum',
    resamples: int = 1000,
) -> tuple[dict[str, Any], list[str]]:
    """Average score files, and write the scores and a record of how they came about.

    Args:
        out: Score file to write; the record beside it ends in ``.json``.
        weights: One per file; by default they are equal.
        learn: Learn the weights on val; needs ``val_scores`` and ``gt``.
        val_scores: Files of the same models on val clips.
        temperature: Learn there first how soft the scores of each model are to be.
        gt: A ``rec.csv`` or data root; with it, metrics are recorded.
        label_space: Of the scores; None takes that of the root of ``gt``, or MMA-82's.
        body_fusion: Weight of the fused body scores that then multiply the actions.

    Returns:
        The record, and notes for the user.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: Files that are not valid or do not belong together.
    """
    told = score_file(out).with_suffix('.json')
    labels, clips, simulated = load_label_space(label_space or 'mma82'), {}, None
    if gt:
        gt, info, labels = _truth_file(gt, REC_FILE, label_space)
        clips = {c.clip: c for c in read_rec(gt, labels, None, info.domains)}
        simulated, labels = info.simulated, body_map(clips.values(), labels)
    tables, notes = _read_tables(scores, labels), []
    learnt, fitted, metrics, own = None, (), None, []
    found = check_weights(weights or [1.0] * len(scores), len(scores))
    if learn and gt and val_scores:
        fitted = (own := _read_tables(val_scores, labels))[0].names
        found, learnt = _learn(own, clips, gt, space, notes, temperature)
        learnt['val_scores'] = _files(val_scores)
    notes += _notes_on_scales(tables, scores, space)
    how = found, space, labels, body_fusion, (learnt or {}).get('temperatures')
    *_, fused = scored = _with_fused(tables, *how)
    known = [c for c in map(clips.get, fused.names) if c and c.action is not None]
    if gt and len(known) < len(fused.names):
        which = 'these alone' if known else 'the val clips' if own else 'none'
        count = f'{len(known)} of {len(fused.names)} clips'
        notes.append(f'{gt} has the truth of {count}: metrics are of {which}')
    if own and not known:
        known = [clips[name] for name in fitted]
        scored = _with_fused(own, *how)
    if known:
        options = EvaluationOptions(class_set, body_scores, resamples)
        metrics = _fusion_metrics(scored, known, fitted, labels, options, len(scores))
    told.unlink(missing_ok=True)  # of other scores than those that come
    write_scores(out, fused, labels)
    record = {
        'schema': 1,
        'weights': found.tolist(),
        'weights_from': 'learnt' if learn else 'given' if weights else 'equal',
        'space': space,
        'label_space': labels.name,
        'clips': len(fused.names),
        'probabilities': all(are_probabilities(table.scores) for table in tables),
        'body_scores': fused.body_scores is not None,
        'body_fusion': body_fusion,
        'inputs': _files(scores),
        **dict(learnt=learnt, metrics=metrics, simulated=simulated),
    }
    write_results(record, told)
    return record, notes


def _read_tables(paths: Sequence[Path], space: LabelSpace) -> list[ScoreTable]:
    tables = [read_scores(path, space) for path in paths]
    return align_tables(tables, [str(path) for path in paths])


def _learn(
    tables: Sequence[ScoreTable],
    clips: Mapping[str, Clip],
    gt: Path,
    space: str,
    notes: list[str],
    temperature: bool,
) -> tuple[np.ndarray, dict[str, Any]]:
    """Weights learnt on clips of subset val alone, and how they came about."""
    names = tables[0].names
    if unknown := [name for name in names if name not in clips]:
        count = f'{len(unknown)} of {len(names)} clips'
        raise ValueError(f'--val-scores: {count} are not in {gt}: {first_of(unknown)}')
    if others := [name for name in names if clips[name].subset != 'val']:
        subsets = Counter(clips[name].subset for name in others)
        counts = ', '.join(f'{n} of {subset}' for subset, n in sorted(subsets.items()))
        raise ValueError(
            f'--val-scores: {len(others)} of {len(names)} clips are not of subset val '
            f'({counts}): {first_of(others)}; weights are learnt on val alone'
        )
    own = [clips[name] for name in names]
    truth, temperatures = true_labels(own)[0], None
    if temperature:
        from mmma.evaluation.calibration import fit_temperature, softened  # by scipy

        temperatures = [fit_temperature(t.scores, truth) for t in tables]
        tables = softened(tables, temperatures)
    weights, found = learn_weights(tables, truth, space)
    listed = sum(clip.subset == 'val' for clip in clips.values())
    if listed > len(own):
        count = f'{listed - len(own)} of {listed} val clips of {gt}'
        notes.append(f'{count} have no scores: weights are learnt on the others')
    return weights, {
        'objective': 'negative log likelihood of the true action, nats per clip',
        'subset': 'val',
        'clips': len(own),
        'domains': dict(Counter(clip.domain for clip in own)),
        'truth': _files([gt])[0],
        'val_scores': [],
        'temperatures': temperatures,
        **found,
    }


def _with_fused(
    tables: Sequence[ScoreTable],
    weights: np.ndarray,
    space: str,
    labels: LabelSpace,
    body_fusion: float | None,
    temperatures: Sequence[float] | None,
) -> list[ScoreTable]:
    """The tables, their plain mean unless that is the fused one, and the fused one."""
    equal = check_weights([1.0] * len(tables), len(tables))
    soft = tables
    if temperatures:
        from mmma.evaluation.calibration import softened  # by scipy

        soft = softened(tables, temperatures)
    fused = [fuse_tables(tables, equal), fuse_tables(soft, weights, space)]
    if space == 'mean' and not temperatures and (weights == equal).all():
        del fused[0]
    if body_fusion is not None and fused[0].body_scores is None:
        told = '--body-fusion needs body_scores in every score file'
        raise ValueError(f'{told}; test a model with a body head, or leave it out')
    for place, own in enumerate(fused if body_fusion is not None else ()):
        given = own.scores, own.body_scores, labels.body_of, body_fusion
        fused[place] = replace(own, scores=fuse_body_scores(*given))
    return [*tables, *fused]


def _notes_on_scales(
    tables: Sequence[ScoreTable], files: Sequence[Path], space: str
) -> list[str]:
    """The arithmetic mean follows whoever writes the larger numbers."""
    notes = [
        note
        for path, table in zip(files, tables, strict=True)
        for note in scale_notes(table.scores, path, _AVERAGED)
        if space == 'mean'
    ]
    heads = [table.body_scores is not None for table in tables]
    if any(heads) and not all(heads):
        count = f'{sum(heads)} of {len(heads)} files'
        notes.append(f'{count} have body_scores: none are written')
    return notes


def _fusion_metrics(
    tables: Sequence[ScoreTable],
    clips: Sequence[Clip],
    fitted: Sequence[str],
    space: LabelSpace,
    options: EvaluationOptions,
    number: int,
) -> dict[str, Any]:
    """Metrics of the tables of so many inputs, perhaps their mean, the fused one."""
    rows = [recognition_row(table, clips, space, options) for table in tables]
    kept = ('metrics', 'intervals')
    *inputs, fused = ({k: row[k] for k in kept if k in row} for row in rows)
    mean = {'mean': inputs.pop()} if len(inputs) > number else {}
    return {
        'clips': len(clips),
        'subsets': dict(sorted(Counter(clip.subset for clip in clips).items())),
        'weights_fitted_on_them': len({clip.clip for clip in clips} & set(fitted)),
        'options': {'class_set': options.class_set, 'body_scores': options.body_scores},
        'inputs': inputs,
        **mean,
        'fused': fused,
    }


def _files(paths: Sequence[Path]) -> list[dict[str, str]]:
    return [{'file': p.as_posix(), 'sha256': file_sha256(p)} for p in paths]
