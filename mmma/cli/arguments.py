"""Arguments that several commands share."""

import argparse
import inspect
import os
import re
from dataclasses import MISSING, fields
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from mmma.foreign import finite
from mmma.protocols import PROTOCOLS

Options = TypeVar('Options')
CKPT_HELP = 'path, work dir, URL, or name in the model zoo (download.py --list)'
LABEL_SPACE = {
    'metavar': 'NAME|FILE',
    'help': 'mma82, ma52, or a JSON file (docs/data_format.md; default: that of the '
    'root of --gt, else mma82)',
}
_FLAGS = (
    'protocol', 'source', 'domain', 'target', 'shots', 'runs', 'strict_shots', 'seed',
)  # fmt: skip
_WRITTEN = ('out', 'dump', 'json', 'plot', 'confusions', 'sheet', 'reliability')


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """CONFIG, the protocol flags, ``--data-root`` and ``--cfg-options``."""
    add = parser.add_argument
    add('config', help='config file, as configs/recog/videomae_mma82_indomain.py')
    group = parser.add_argument_group('protocol (what is not given: the config says)')
    flag = group.add_argument
    flag('--protocol', metavar='|'.join(PROTOCOLS))
    told = "zeroshot, fewshot: domain that trains (default: the root's); rest: all but "
    flag('--source', metavar='D|rest', help=f'{told}the one --target')
    flag('--domain', metavar='all|D', help='indomain: domain to train and test on')
    tested = 'zeroshot, fewshot: domains to test on (default: all but the source)'
    flag('--target', nargs='+', metavar='D', help=tested)
    shots = 'fewshot: supports per class'
    flag('--shots', nargs='+', type=int, metavar='K', help=shots)
    flag('--seed', type=int, metavar='S')
    add('--data-root', metavar='DIR', help='default: data/mma82')
    changed = 'change config values; +K=V adds a key'
    add('--cfg-options', nargs='+', default=[], metavar='K=V', help=changed)


def add_annotation_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``read_annotation``."""
    add = parser.add_argument
    told = 'whose labels alone there may be, and their groups (default: what is there)'
    add('--label-space', metavar='NAME|FILE', help=told)
    told = 'lowest score of events that have one (default: all are taken)'
    add('--threshold', type=finite, metavar='T', help=told)
    told = 'CSV with the columns video, and subject, condition or both'
    add('--table', type=Path, metavar='FILE', help=told)


def add_view_arguments(parser: argparse.ArgumentParser) -> None:
    """``--views`` and ``--crops``."""
    views = 'sets of times per clip, whose scores are averaged; memory grows with '
    views += 'them: --cfg-options test_dataloader.batch_size=1'
    parser.add_argument('--views', type=int, metavar='V', help=views)
    crops = 'of RGB: the middle of the picture, or three crops that cover it'
    parser.add_argument('--crops', type=int, choices=(1, 3), help=crops)


def add_metric_arguments(parser: argparse.ArgumentParser, *further: str) -> None:
    """Options of recognition and ``--as``, which must see what was not given."""
    from mmma.evaluation.rows import EvaluationOptions

    unset = {k: {'default': argparse.SUPPRESS} for k in ('class_set', 'body_scores')}
    add_options(parser, EvaluationOptions, *unset, 'resamples', *further, **unset)
    add_preset_argument(parser)


def add_preset_argument(parser: argparse.ArgumentParser) -> None:
    """``--as mac``, applied by :func:`apply_preset`."""
    told = 'as the MAC challenge ranks: --class-set union --body-scores top1'
    parser.add_argument('--as', '--preset', dest='preset', choices=('mac',), help=told)


def apply_preset(args: argparse.Namespace) -> None:
    """Set what ``--as mac`` stands for; refuse another ``--class-set`` beside it."""
    from mmma.evaluation.recognition import as_mac

    vars(args).update(as_mac(vars(args)) if args.preset else {})


def protocol_flags(args: argparse.Namespace) -> dict[str, Any]:
    """The protocol flags that the user gave; None where not given."""
    return {flag: getattr(args, flag, None) for flag in _FLAGS}


def run_arguments(args: argparse.Namespace) -> tuple[Any, ...]:
    """Shared arguments of ``open_run`` and ``load_config``, in order."""
    return args.config, protocol_flags(args), args.data_root, args.cfg_options


def add_options(
    parser: argparse._ActionsContainer, kind: type, *names: str, **changes: Any
) -> None:
    """Add a flag for each field of a dataclass of options, as its docstring tells.

    ``name (METAVAR): help`` stands there under ``Attributes:``. A ``Literal`` is a
    choice, a tuple takes several values, and a bool that is true by default becomes
    ``--no-NAME``; a field without a default must be given.

    Args:
        parser: A parser, or a group of its arguments.
        kind: The dataclass; :func:`options_of` makes one of what was given.
        *names: Fields in the order of ``--help``; by default all, in their order.
        **changes: ``field=dict(...)``: keywords of ``add_argument`` instead of these,
            and ``flag``, several parted by a space.
    """
    known, types = {field.name: field for field in fields(kind)}, get_type_hints(kind)
    told = inspect.getdoc(kind).partition('Attributes:\n')[2]
    entries = re.findall(
        r'^    (\w+)(?: \((.+)\))?: (.+(?:\n     +.+)*)', told, re.MULTILINE
    )
    texts = {name: (metavar, ' '.join(text.split())) for name, metavar, text in entries}
    for name in names or known:
        default, hint = known[name].default, types[name]
        metavar, text = texts[name]
        keywords = {'dest': name, 'default': default, 'help': text.replace('%', '%%')}
        if get_origin(hint) in (Union, UnionType):  # None is what was not given
            hint = get_args(hint)[0]
        flag = f'--no_{name}' if default is True else f'--{name}'
        if hint is bool:
            keywords['action'] = 'store_false' if default else 'store_true'
        elif get_origin(hint) is Literal:
            keywords |= {'metavar': metavar or None, 'choices': get_args(hint)}
        elif get_origin(hint) is tuple:
            keywords |= {'metavar': metavar, 'type': get_args(hint)[0], 'nargs': '+'}
        else:
            keywords |= {'metavar': metavar or None, 'type': hint}
        if default is MISSING:
            keywords |= {'default': None, 'required': True}
        keywords = {'flag': flag.replace('_', '-'), **keywords, **changes.get(name, {})}
        parser.add_argument(*keywords.pop('flag').split(), **keywords)


def keep_inputs(args: argparse.Namespace) -> None:
    """Refuse to write, but by --force, what is read or is a table of the data root."""
    from mmma.data.root import DET_FILE, INFO_FILE, MISSING_FILE, REC_FILE

    given = {name: value for name, value in vars(args).items() if value is not None}
    forced = given.get('force')
    written = [Path(str(given.pop(n))) for n in _WRITTEN if n in given and not forced]
    lists = (own if type(own) is list else [own] for own in given.values())
    texts = {str(v) for own in lists for v in own if isinstance(v, (str, Path))}
    texts |= {text.partition('=')[2] for text in texts}  # NAME=FILE
    tables = INFO_FILE, REC_FILE, DET_FILE, MISSING_FILE
    read = {*texts, *(f'{root}/{name}' for root in texts - {''} for name in tables)}
    for path in filter(Path.is_file, written):  # texts may be too long for a path
        if any(os.path.isfile(file) and path.samefile(file) for file in read):
            raise ValueError(f'{path} is one of the inputs: write under another name')


def options_of(kind: type[Options], args: argparse.Namespace, **values: Any) -> Options:
    """Options of an engine, from the arguments that have the names of its fields.

    Several values become a tuple; ``values`` are of fields that are no arguments, or
    not as they were given.
    """
    known = [field.name for field in fields(kind)]
    given = {name: getattr(args, name) for name in known if hasattr(args, name)}
    lists = {k: tuple(v) for k, v in given.items() if isinstance(v, list)}
    return kind(**{**given, **lists, **values})


def add_workers(parser: argparse.ArgumentParser) -> None:
    """``--workers``."""
    told = 'processes (default: one per core)'
    parser.add_argument('--workers', type=int, metavar='N', help=told)


def check_workers(workers: int | None) -> None:
    """Refuse a negative number of ``--workers``."""
    if workers is not None and workers < 0:
        raise ValueError(f'--workers {workers}: must be 0 or more')


def find_recipe(name: str) -> str:
    """Find a config by its name, or by that of its recipe, as ``videomae-s``.

    Raises:
        FileNotFoundError: There is no such config.
    """
    from mmma.config import find_config

    try:
        return str(find_config(f'recog/{name}_mma82_indomain', typed=False))
    except FileNotFoundError:
        return str(find_config(name))


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
) -> None:
    """Test a checkpoint; the first rank writes the results and prints their table.

    Where truth is withheld nothing can be scored, and only ``dump`` is written; where
    all of it is, by default into the work dir.

    Args:
        options: ``mmma.engine.run.TestOptions``, those of the run.
        out: Results file; None writes ``results.json`` in the work dir.
        dump: Score file or detections to write as well; few-shot writes several score
            files, as ``scores_street_5shot_run0.npz``.
        drawn: Picture of how often scores are right to write as well.

    Raises:
        ValueError: Some truth is withheld, and there is no ``dump``; ``drawn`` then, or
            of few-shot, which adapts the checkpoint.
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
    if hidden and not dump:
        named = 'detections.json' if run.task == 'det' else 'scores.npz'
        dump = str(run.work_dir / named)
    if dump and run.task == 'rec':
        score_file(dump)  # known before the work
    if drawn and (hidden or run.protocol.name == 'fewshot'):
        raise ValueError(
            '--reliability takes scores of the checkpoint itself, which few-shot '
            'adapts, and truth that is known: leave it out.'
        )
    path, lines = Path(out or run.work_dir / 'results.json'), []
    with run.held(out, dump, drawn):
        weights = str(checkpoint_path(checkpoint))
        groups, origin = score_checkpoint(run, weights, options)
        if not is_main_process():
            return
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
        return
    print(results_table([results]))
    print(*lines, f'written to {path}', sep='\n')
