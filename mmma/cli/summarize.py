"""Summarize behaviour as CSV tables, for statistics programs and spreadsheets.

What is read is a data root, a det.json, detections, what infer.py wrote, or files of
ELAN, BORIS, Praat, Label Studio, FiftyOne or CSV: of people or of a model.

  behaviour.csv      per label: how often, rate per minute, time, share of the time,
                     mean, sd and median length, latency to the first
  cooccurrence.csv   per two labels: time together, Jaccard, observed over expected
  transitions.csv    per two labels: how often the one starts next after the other

Rows are of a condition (the domain of a data root, or a column of --table), a subject
and a label, a group of labels, or any. docs/behaviour.md explains the columns."""

import argparse
from math import isnan

from mmma.files import tell, write_file
from mmma.reporting.table import Table

ARGUMENTS = """
annotation ROOT|PRED (path): see above
--out DIR (folder), required: for the tables
--per {subject,video,condition} = subject: whose rows: subjects (default), videos, or
  all persons of a condition
*annotation"""


def run(args: argparse.Namespace) -> int:
    """Write the tables, and print how long each is."""
    from mmma.evaluation import behaviour

    how = args.label_space, args.threshold, args.table
    recordings, space = behaviour.read_annotation(args.annotation, *how)
    if not recordings:
        raise ValueError(f'{args.annotation}: no video with annotations')
    simulated = any(own.simulated for own in recordings)
    if unknown := sum(isnan(own.duration_sec) for own in recordings):
        tell([f'{unknown} videos of unknown length are taken to end with an event'])
    for name, rows in behaviour.behaviour_tables(recordings, space, args.per).items():
        path = args.out / f'{name}.csv'
        cells = [[*map(_cell, row), str(simulated).lower()] for row in rows]
        columns = *behaviour.KEYS, *behaviour.TABLES[name].split(), 'simulated'
        table = Table(columns, cells)
        write_file(path, table.csv() + '\n')
        print(f'{path}: {len(rows)} rows{" (simulated data)" * simulated}')
    return 0


def _cell(value: object) -> object:
    """Six decimals of a number, nothing of NaN."""
    if isinstance(value, float):
        return '' if isnan(value) else round(value, 6)
    return value
