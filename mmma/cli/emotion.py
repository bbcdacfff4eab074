"""Relate micro-actions to the emotions of videos (docs/emotion.md).

Videos are those of det.json that have an emotion, else the sources of clips of rec.csv;
nobody is in two folds. It needs scikit-learn, and no torch."""

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict
from itertools import product
from typing import Any

from mmma.cli.arguments import declared, options_of
from mmma.data.emotions import emotion_videos, emotions_of, unit_names
from mmma.data.root import DataRoot
from mmma.evaluation import emotion, faces
from mmma.evaluation.reports import write_results
from mmma.evaluation.rows import SCHEMA
from mmma.evaluation.scores import SUFFIXES
from mmma.files import tell, write_file
from mmma.reporting.paired import fuse_inputs
from mmma.reporting.paper import load_published
from mmma.reporting.table import SIMULATED, Table, emotion_text, metric_cells
from mmma.taxonomy import own_table

_WORDS = own_table('emotion')


def study(args: argparse.Namespace) -> tuple[DataRoot, dict[str, Any], list[str]]:
    """Associate micro-actions with emotions, or leave some out."""
    root, options = DataRoot(args.root), options_of(emotion.StudyOptions, args)
    how = args.task, args.pred, args.threshold, options.features
    given, names, notes = emotion.read_study(root, *how)
    tell(notes)
    found = getattr(emotion, args.study)(given, names, options)
    rows = [
        [
            *(run['experiment'], run.get('model') or run['selection']),
            *metric_cells(run),
            '{emotion/mca:.1f}, {highest:.1f}'.format(**run['shuffled']),
            run.get('p_against_all'),
        ]
        for run in found['runs']
    ]
    for row in emotion.PAPER if args.study == 'ablate' else ():
        values = f'{100 * row["acc"]:.1f}', None, f'{100 * row["f1"]:.1f}'
        rows.append([row['experiment'], '[paper]', *values, None, None])
    told = args.study == 'associate'
    lines = _associated(root, found['association'], args) if told else []
    lines.append(_text(_WORDS['titles'], rows))
    facts = {**found, **found.get('controls', {})}
    facts |= {**found['runs'][0]['counts'], **emotion.chance(given[2])}
    lines += (line.format(**facts) for line in _WORDS[args.study] + _WORDS['size'])
    chosen = {'threshold': args.threshold, **asdict(options)}
    if args.pred and args.pred.suffix.lower() in SUFFIXES:
        chosen['features'] = 'scores'
    return root, {'classes': [*names[0]], 'options': chosen, **found}, lines


def _associated(
    root: DataRoot, association: Mapping[str, Any], args: argparse.Namespace
) -> list[str]:
    """Tables of the top actions and of emotions; all goes into a CSV and pictures."""
    planted, rows, told = (root.info.planted or {}).get('emotion_actions', {}), [], []
    for name, own in association.items():
        links = planted.get(name, {})
        five = sorted(links, key=lambda a: -links[a])[: emotion.TOP]
        own |= {'planted_found': len({*five} & {*own['top']})} if planted else {}
        told.append({'emotion': name, **own, 'top': '', 'actions': ''})
        for rank, cells in enumerate(own['actions'], 1):
            row = {'emotion': name, 'rank': rank, **cells}
            row |= {'planted': cells['action'] in five} if planted else {}
            rows.append({**row, 'simulated': root.info.simulated})
    if args.out:
        from mmma.reporting import plots

        table = Table([*rows[0]], [[*map(_cell, row.values())] for row in rows])
        write_file(args.out / 'association.csv', f'{table.csv()}\n')
        title = f'{root.info.name}{" (simulated data)" * root.info.simulated}'
        for suffix, name in product(('png', 'svg'), ('sankey', 'associations')):
            path = args.out / f'{name}.{suffix}'
            getattr(plots, f'draw_{name}')(association, path, title)
    tops = [[*row.values()][:-1] for row in rows if row['rank'] <= emotion.TOP]
    lines = [_text([*rows[0]][:-1], tops)]
    facts = [key for key in told[0] if key not in ('top', 'actions')]
    lines.append(_text(facts, ([own[key] for key in facts] for own in told)))
    if not any(own['findable'] for own in told):
        lines.append('too few videos: no pair can be found, whatever is true')
    if planted:
        hits = sum(own['planted_found'] for own in told)
        lines.append(f'planted and found: {hits} of {emotion.TOP * len(told)}')
    return lines


def _cell(value: Any, form: str = '.6g') -> str:
    """A value in a table; ``–`` where there is none."""
    if value is None or isinstance(value, bool):
        return '–' if value is None else str(value).lower()
    return format(value, form) if isinstance(value, float) else str(value)


def _text(titles: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    return Table(titles, [[_cell(c, '.3g') for c in row] for row in rows], 2).text()


def fuse(args: argparse.Namespace) -> tuple[DataRoot, dict[str, Any], list[str]]:
    """Fuse micro-actions with faces."""
    root, options = DataRoot(args.root), options_of(emotion.StudyOptions, args)
    sources, cfg = (args.pred, args.scores, args.config), dict[str, Any]()
    if sum(map(bool, sources)) > 1 or bool(args.config) != bool(args.checkpoint):
        told = 'micro-actions are of --pred, of --scores, or of --config'
        raise ValueError(f'{told} with --checkpoint: give one of them')
    videos, emotions = emotion_videos(root, args.task), emotions_of(root)
    if args.config:
        from mmma.engine.test import score_emotions
        from mmma.hub.zoo import checkpoint_path

        told = args.config, str(checkpoint_path(args.checkpoint)), str(args.root)
        with redirect_stdout(sys.stderr):
            args.scores, cfg = score_emotions(*told)
    file = args.face or args.root / cfg.get('face', {}).get('scores', 'faces.csv')
    if not file.exists():
        told = f'{file}: no scores of faces: make them with tools/data/face.py'
        raise FileNotFoundError(f'{told} {args.root}, or name others with --face')
    units = unit_names(root, videos)
    if args.scores:
        actions = faces.recognizer_scores(args.scores, units, emotions)
    else:
        how = args.task, args.pred, args.threshold, options.features
        (x, *_), _, notes = emotion.read_study(root, *how)
        if len(x) < len(videos):
            raise ValueError(f'{args.pred}: {notes[0]}: fuse needs them of all')
        model = emotion.make_model(options.model, options.seed)
        actions = faces.action_scores(x, videos, emotions, model)
    told = args.face_format, args.face_mapping
    scores, read = faces.read_faces(file, units, emotions, *told)
    how = args.space, options.resamples, options.seed
    found = fuse_inputs(videos, (actions, scores), emotions, *how) | {'faces': read}
    chosen = {'space': args.space, 'threshold': args.threshold, **asdict(options)}
    name = f'{"recognizer" if args.scores else options.model} + {file.stem}'
    told = {'name': name, 'classes': [*emotions], 'options': chosen}
    return root, told | found, [emotion_text(found, load_published()['emotion'])]


_STUDIES = {'associate': study, 'ablate': study, 'fuse': fuse}
"""What gives results and lines."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one sub-command per study."""
    studies = parser.add_subparsers(dest='study', metavar='STUDY', required=True)
    for name in _STUDIES:
        told = _WORDS['help'][name]
        keywords = {'help': told[0], 'description': '\n'.join(told)}
        own = studies.add_parser(
            name, **keywords, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        arguments = _WORDS['arguments']
        lines = arguments['root'] + arguments['fuse' if name == 'fuse' else 'study']
        declared('\n'.join(lines), emotion.StudyOptions)(own)


def run(args: argparse.Namespace) -> int:
    """Print and write the results of a study."""
    root, found, lines = _STUDIES[args.study](args)
    info = {key: getattr(root.info, key) for key in ('name', 'simulated', 'packed')}
    results = {
        'schema': SCHEMA,
        'task': 'emotion',
        'name': args.pred.stem if args.pred else 'micro-actions',
        'protocol': {'name': args.study},
        'checkpoint': {'simulated': root.info.simulated},
        'data': {**info, 'fingerprint': root.fingerprint()},
        **found,
    }
    if args.out:
        write_results(results, args.out / 'results.json')
        lines.append(f'written to {args.out}')
    if args.json:
        told = {'n': found['runs'][0]['counts']['videos'], 'study': args.study}
        if 'association' in found:
            told['emotions'] = found.pop('association')
        told |= {**found, 'simulated': root.info.simulated}
        print(json.dumps(told, ensure_ascii=False, allow_nan=False))
    else:
        print(*lines, *[SIMULATED] * root.info.simulated, sep='\n')
    return 0
