"""Tell what a data root holds: tables, and sentences on what they show.

Of actions, groups, domains, subjects and emotions: how many clips, or instances and
videos, there are per subset, and how long they last; which actions go on together, and
what chance would give; what is published of MMA-82, if it has the labels."""

import argparse
import json

from mmma.cli.arguments import check_workers

ARGUMENTS = """
root ROOT (path): any data root, with one table or both
--out DIR (folder): write each table as CSV, PNG and SVG
--json: print one JSON object with all rows instead
*workers"""


def run(args: argparse.Namespace) -> int:
    """Count, print, write."""
    from mmma.data.root import DataRoot
    from mmma.files import write_file
    from mmma.foreign import shown
    from mmma.reporting.plots import draw_statistics
    from mmma.reporting.statistics import statistics
    from mmma.reporting.table import SIMULATED, Table

    check_workers(args.workers)
    root = DataRoot(args.root)
    name, simulated = root.info.name, root.info.simulated
    if not root.has_rec and not root.has_det:
        raise ValueError(f'{root.path}: neither rec.csv nor det.json: nothing to count')
    content, lines = dict(name=name, simulated=simulated), [name, SIMULATED * simulated]
    for task in ['rec'] * root.has_rec + ['det'] * root.has_det:
        for key, table, told in statistics(root, task, args.workers):
            found = {'columns': table.titles, 'rows': table.rows, 'shows': told}
            content[f'{task}_{key}'] = found
            few = [[x[:20] if isinstance(x, str) else x for x in r] for r in table.rows]
            text = Table(table.titles[:9], [row[:9] for row in few[:10]]).text()
            lines += [f'\n{task}: {key}', text, *map(shown, told)]
            if args.out:
                cells = [(*row, str(simulated).lower()) for row in table.rows]
                text = Table((*table.titles, 'simulated'), cells).csv()
                write_file(file := args.out / f'{task}_{key}.csv', text + '\n')
                title = f'{name}{" (simulated data)" * simulated}, {task}: {told[0]}'
                for suffix in ('.png', '.svg'):
                    draw_statistics(table, file.with_suffix(suffix), title)
    more = f'{args.out} has' if args.out else '--out DIR writes'
    lines.append(f'\nthe first 10 rows and 9 columns; {more} all, and pictures')
    told = json.dumps(content, indent=1, ensure_ascii=False)
    print(told if args.json else '\n'.join(lines))
    return 0
