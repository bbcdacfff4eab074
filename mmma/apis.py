"""Names for tools and notebooks; those that need torch load when asked for."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from mmma.config import load_config as load_config
from mmma.data.root import read_root as read_root
from mmma.foreign import Shown
from mmma.taxonomy import SUBSETS, check_choice, read_label_space

_LANE = 'domain', 'target', 'input', 'experiment', 'shots', 'method', 'control', 'run'
_INFERENCE = ('detect', 'from_pretrained', 'look_at', 'open_model', 'recognize')


class Results(Shown, dict[str, Any]):
    """What ``results.json`` or an evaluation tells, as a dict; percent, unrounded.

    ``to_frame('body')`` has a row per class of a level; ``plot`` takes names of
    metrics. Columns ``... low`` and ``... high``, and thin lines, are intervals.
    """

    def _rows(self, level: str = '') -> Any:
        simulated = self.get('simulated') or self.get('data', {}).get('simulated')
        for row in self.get('runs') or self['rows']:
            cells = [{**row['counts'], **row['metrics']}]
            for key, ends in (row.get('intervals') or {}).get('bounds', {}).items():
                cells[0] |= zip((f'{key} low', f'{key} high'), ends, strict=True)
            if level:
                of = row['per_class'][check_choice('level', level, row['per_class'])]
                every = zip(*of.values(), strict=True)
                cells = [dict(zip(of, own, strict=True)) for own in every]
            for own in cells:
                yield {**row, **own, 'simulated': bool(simulated)}

    def _bars(self, *metrics: str) -> Any:
        rows = list(self._rows())
        known, first = rows[0]['metrics'], 'action/mAP'
        metrics = metrics or (first if first in known else next(iter(known)),)
        label = ', '.join(check_choice('metric', name, known) for name in metrics)
        yield f'{label} (%){", simulated data" * rows[0]["simulated"]}'
        for row in rows:
            lane = ' '.join(str(row[k]) for k in _LANE if row.get(k) is not None)
            for key in metrics:
                ends = [row[e] for e in (f'{key} low', f'{key} high') if e in row]
                name = f'{lane}, {key}' if len(metrics) > 1 else lane
                yield name, 0, row[key], f'{row[key]:.1f}', *ends


def build_dataset(cfg: Any, subset: str = 'train') -> Any:
    """The data set of a config, with the samples that training or testing sees.

    ``cfg`` is from :func:`mmma.load_config`, or what that takes. Data that are not
    there raise FileNotFoundError, those that do not fit the config ValueError.
    """
    from mmengine.registry import DefaultScope

    from mmma.registry import DATASETS

    cfg = load_config(str(cfg)) if isinstance(cfg, (str, Path)) else cfg
    loader = cfg[f'{check_choice("subset", subset, SUBSETS)}_dataloader']
    with DefaultScope.overwrite_default_scope('mmma'):
        return DATASETS.build(loader.dataset)


def train(config: Any, **options: Any) -> Path:
    """Train; the work dir, which is a CKPT. As :func:`test`, with ``TrainOptions``."""
    from mmma.engine import run, train

    return train.train(*_opened(run.TrainOptions, config, **options)).work_dir


def test(config: Any, checkpoint: Any, **options: Any) -> Any:
    """Test a CKPT as ``test.py`` does; :class:`Results`.

    Options: those of :func:`mmma.load_config`, if ``config`` is no config yet; fields
    of ``TestOptions``; ``dump``.
    """
    from mmma.engine.run import TestOptions

    dump = options.pop('dump', None)
    run, chosen = _opened(TestOptions, config, **options)
    return report(run, str(checkpoint), chosen, dump=dump)


def _opened(kind: Any, config: Any, **options: Any) -> Any:
    from mmma.engine.run import open_run

    names = 'protocol', 'data_root', 'cfg_options'
    flags, root, changes = (options.pop(name, None) for name in names)
    for name in options:
        check_choice('option', name, (*names, 'dump', *kind.__dataclass_fields__))
    chosen = kind(**options)
    return open_run(config, flags, root, changes or (), options=chosen), chosen


def evaluate(task: str, gt: Any, pred: Any, **options: Any) -> Results:
    """Metrics of anybody's scores (``rec``) or detections (``det``), without torch.

    Options are those of ``evaluate.py``: ``label_space``, ``body_groups``, ``subset``,
    ``domain``, ``strict``, for ``det`` also ``frames``, and fields of
    ``EvaluationOptions`` or ``DetectionOptions``.
    """
    from mmma.evaluation import reports, rows

    det = check_choice('task', task, ('rec', 'det')) == 'det'
    kind = rows.DetectionOptions if det else rows.EvaluationOptions
    own = 'subset', 'domain', 'strict', *(('frames',) if det else ())
    told = *own, 'label_space', 'body_groups', *kind.__dataclass_fields__
    for name in options:
        check_choice('option', name, told)
    kept = {k: options.pop(k) for k in own if k in options}
    space, groups = (options.pop(k, None) for k in ('label_space', 'body_groups'))
    space = space and read_label_space(space).plain()
    chosen = kind(**options)
    given = Path(gt), Path(pred), space, groups or 'taxonomy', chosen
    if det:
        return Results(reports.detection_report(*given, **kept))
    return Results(reports.recognition_report(*given, **kept)[0])


def command(*words: Any) -> None:
    """Run ``mmma WORDS``, as ``('data/stats', root)``; ValueError where it fails."""
    line = [sys.executable, '-m', 'mmma', *map(str, words)]
    told = subprocess.PIPE, subprocess.STDOUT
    with subprocess.Popen(line, -1, None, None, *told, text=True) as process:
        for text in process.stdout or ():
            print(text, end='')
    if process.returncode:
        raise ValueError(f'mmma {words[0]} failed: it says why above')


def _next(run: Any, dump: str) -> str:
    """What to do with predictions of what has no truth."""
    if run.space.name != 'ma52':
        return 'who holds the truth can: evaluate.py takes this file'
    listed = 'test.csv' if run.task == 'det' else 'test_list_videos.txt'
    command = f'python tools/submit.py mac2026 {dump} submission.zip'
    return f'next: {command} --expect {listed} (docs/challenge.md)'


def report(
    run: Any,
    checkpoint: str,
    options: Any,
    out: str | None = None,
    dump: str | None = None,
    drawn: Path | None = None,
) -> Any:
    """Test a checkpoint; the first rank writes, prints and returns :class:`Results`.

    ``options`` are those of the run. ``dump``, scores or detections, is all that there
    is where truth is withheld. ``drawn`` shows how often scores are right.
    """
    from mmengine.dist import is_main_process

    from mmma.engine.run import check_data
    from mmma.engine.test import score_checkpoint, scored_truth, summarize, write_dump
    from mmma.evaluation.reports import write_results
    from mmma.evaluation.scores import score_file
    from mmma.hub.zoo import checkpoint_path
    from mmma.reporting.plots import draw_reliability
    from mmma.reporting.table import results_table

    (tested,) = check_data(run, 'test')
    meta, noun = tested.metainfo, tested.noun
    truth = dict(zip(meta[f'{noun}s'], meta['labels'], strict=True))
    hidden = [name for name, label in truth.items() if label in (-1, [-1])]
    if hidden and not dump and len(hidden) < len(truth):
        raise ValueError(
            f'{run.root.path}: the truth of {len(hidden)} of {len(truth)} {noun}s is '
            f'withheld (the first: {hidden[0]!r}), so they cannot be scored here: give '
            '--dump FILE to predict all of them.'
        )
    named = 'detections.json' if run.task == 'det' else 'scores.npz'
    dump = dump or (str(run.work_dir / named) if hidden else None)
    if dump and run.task == 'rec':
        score_file(dump)  # known before the work
    if drawn and (hidden or run.protocol.name in ('fewshot', 'adapt')):
        raise ValueError(
            '--reliability takes scores of the checkpoint itself, which this protocol '
            'adapts, and truth that is known: leave it out.'
        )
    path, lines = Path(out or run.work_dir / 'results.json'), []
    with run.held(out, dump, drawn):
        weights = str(checkpoint_path(checkpoint))
        groups, origin = score_checkpoint(run, weights, options)
        if not is_main_process():
            return None
        if dump:
            write_dump(run, groups, Path(dump))
        if not hidden:
            results = summarize(run, groups, origin, options)
            write_results(results, path)
        if drawn:
            mark = ' (simulated data)' if run.root.info.simulated else ''
            about = origin['calibration'], drawn, f'{run.name}, {options.subset}{mark}'
            lines = draw_reliability(scored_truth(run, groups), *about)
    if hidden:
        print(
            f'written to {dump}\n{len(hidden)} of {len(truth)} {noun}s have no truth '
            f'(the first: {hidden[0]!r}): nothing is scored here; {_next(run, dump)}'
        )
        return None
    print(results_table([results]), *lines, f'written to {path}', sep='\n')
    return Results(results)


def __getattr__(name: str) -> object:
    if name in _INFERENCE:
        from mmma.engine import infer

        return getattr(infer, name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
