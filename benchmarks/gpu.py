"""What ``gpu.sh`` found so far, as ``gpu.json`` and as tables, ``gpu.md``.

A folder has ``steps.tsv`` (name, exit status, seconds, limit) and for each step
``.log`` and ``.err`` of its name; another one the work dir of each training, by name.
Exit status 1 if a variant failed for another reason than memory.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

SKIPPED, NO_ROOM = 'skipped', 'out of memory'
NONE: dict[str, Any] = {'rows': ()}
GOALS = (
    ('times faster', 1.5, 'MMAction2 VisionTransformer, whole step: {} times or more'),
    ('memory', 0.5, 'its memory: {} of it or less'),
    ('share (%)', 40, 'measured matrix rate: {} % of it or more'),
)
"""Of VideoMAE-B in bfloat16; column, number, and text."""
NUMBERS = 'top1', 'mAP'
"""What a training is validated by, in recognition and in detection."""


def collect(folder: Path, runs: Path) -> dict[str, Any]:
    """All that the steps wrote, and where they ran."""
    lines = (folder / 'steps.tsv').read_text('utf-8').splitlines()
    steps = []
    for line in lines:
        name, status, seconds, limit = line.split('\t')
        step: dict[str, Any] = dict(step=name, exit=status, seconds=int(seconds))
        step['limit'] = int(limit)
        if status != SKIPPED:
            log, errors = (
                (folder / f'{name}.{end}').read_text('utf-8', 'replace').splitlines()
                for end in ('log', 'err')
            )
            step['found'] = last_json(log) or last_json(errors)
            if not step['found']:
                words = log if status == '0' else errors or log
                step['said'] = next((x for x in reversed(words) if x.strip()), '')
        if trained := read_training(runs / name):
            step['training'] = trained
        steps.append(step)
    found = [step['found'] for step in steps if step.get('found')]
    told = {key: next((f[key] for f in found if key in f), None) for key in CONDITIONS}
    when = time.strftime('%Y-%m-%d %H:%M', time.gmtime())
    where = dict(date=f'{when} UTC', commit=commit(), python=platform.python_version())
    return {**told, **where, 'goals': goals(steps), 'steps': steps}


CONDITIONS = 'machine', 'torch'


def commit() -> str | None:
    """The commit of this checkout, if it is one."""
    command = ['git', 'rev-parse', '--short=12', 'HEAD']
    try:
        where = Path(__file__).parent
        done = subprocess.run(command, cwd=where, capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.strip() or None


def last_json(lines: Sequence[str]) -> dict[str, Any] | None:
    """The object that a benchmark prints at its end."""
    for line in reversed(lines):
        if line.startswith('{'):
            try:
                found = json.loads(line)
            except ValueError:
                return None
            return found if isinstance(found, dict) and 'rows' in found else None
    return None


def read_training(folder: Path) -> dict[str, Any] | None:
    """The last validated numbers of a run, their epoch, and the time of a step."""
    rows: list[dict[str, Any]] = []
    for file in sorted(folder.glob('*/vis_data/scalars.json')):
        for line in file.read_text('utf-8').splitlines():
            rows.append(json.loads(line))
    trained = [row for row in rows if 'epoch' in row]
    for row in reversed(rows):
        for key in NUMBERS:
            if f'action/{key}' in row:
                found = {'metric': key, 'epoch': row['step']}
                for level in ('action', 'body'):
                    found[f'{level} (%)'] = row.get(f'{level}/{key}')
                if trained:
                    found['s per step'] = trained[-1]['time']
                    found['s of it for data'] = trained[-1]['data_time']
                return {**found, 'data': 'simulated'}
    return None


def goals(steps: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The goals, where VideoMAE-B was measured in bfloat16 on a GPU."""
    measured = [step['found'] for step in steps if step.get('found')]
    own = [
        row
        for found in measured
        for row in found['rows']
        if found.get('amp') and found['machine'] != 'CPU'
        if (row.get('recipe'), row.get('code')) == ('videomae', 'mmma')
    ]
    if not own:
        return []
    values = [(own[0][key], bound, text) for key, bound, text in GOALS]
    loaded = [
        row['clips per s']
        for found in measured
        for row in found['rows']
        if row.get('changed on') == 'device'
    ]
    if loaded and own[0]['clips per s']:
        values.append((max(loaded) / own[0]['clips per s'], 1, FED))
    return [
        {
            'goal': text.format(bound),
            'found': value,
            'reached': 'yes' if reached(value, bound) else 'no',
        }
        for value, bound, text in values
    ]


FED = 'clips per second of all loaders, over those that it trains: {} or more'


def reached(value: float | None, bound: float) -> bool:
    """At least the bound; a bound below 1 is a share to stay within."""
    return value is not None and (value <= bound if bound < 1 else value >= bound)


def page(found: Mapping[str, Any]) -> str:
    """The tables in Markdown."""
    told = [f'{k} {found[k]}' for k in (*CONDITIONS, 'date', 'commit') if found[k]]
    parts = ['## A run of benchmarks/gpu.sh', ', '.join(told) + '.']
    if found['goals']:
        parts += ['VideoMAE-B, training step, bfloat16, goals:', table(found['goals'])]
    for step in found['steps']:
        own = step.get('found')
        if own:
            plain = {k: v for k, v in own.items() if k not in ('rows', *CONDITIONS)}
            plain = {k: v for k, v in plain.items() if v not in (None, False)}
            said = ', '.join(f'{k} {shown(v)}' for k, v in plain.items())
            parts += [f'### {step["step"]}', said, table(own['rows'])]
    rows = [
        {'recipe': step['step'], **step['training'], 'seconds': step['seconds']}
        for step in found['steps']
        if 'training' in step
    ]
    if rows:
        said = 'Recognition has 82 classes alike: chance is a top-1 of 1.2 %.'
        parts += ['### Training on simulated data, validated', said, table(rows)]
    keys = 'step', 'exit', 'seconds', 'limit'
    rows = [
        {**{key: step[key] for key in keys}, 'last words': step.get('said', '')[:60]}
        for step in found['steps']
    ]
    return '\n\n'.join([*parts, '### Steps', table(rows)]) + '\n'


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of the same keys; numbers to the right."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    keys = [k for k in keys if any(row.get(k) not in (None, '') for row in rows)]
    sides = [
        ':--' if any(isinstance(row.get(key), str) for row in rows) else '--:'
        for key in keys
    ]
    lines = [keys, sides]
    lines += [[shown(row.get(key)) for key in keys] for row in rows]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def shown(value: Any) -> str:
    """A cell: few digits, and no bar."""
    if value is None:
        return '–'
    if isinstance(value, float):
        digits = 0 if abs(value) >= 100 else 2
        return f'{value:.1e}' if 0 < abs(value) < 5e-3 else f'{value:,.{digits}f}'
    if isinstance(value, list):
        return ' '.join(map(str, value))
    return str(value).replace('|', '/')


def main(argv: Sequence[str] | None = None) -> int:
    """Write both files; ``--show`` prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folder', type=Path)
    parser.add_argument('--runs', type=Path, help='default: the same folder')
    parser.add_argument('--show', action='store_true')
    args = parser.parse_args(argv)
    found = collect(args.folder, args.runs or args.folder)
    text = page(found)
    (args.folder / 'gpu.json').write_text(json.dumps(found, indent=1), 'utf-8')
    (args.folder / 'gpu.md').write_text(text, 'utf-8')
    if args.show:
        print(text)
    rows = [
        row for step in found['steps'] for row in (step.get('found') or NONE)['rows']
    ]
    return int(any(row.get('told') not in (None, '', NO_ROOM) for row in rows))


if __name__ == '__main__':
    raise SystemExit(main())
