"""A data root and an interpreter that plays all commands, for tests of ``real``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytest

from mmma.cli import real
from mmma.cli.arguments import arguments_of
from mmma.data.root import DatasetInfo, write_info

# Called as `FAKE -m mmma COMMAND ...`: notes the command, and makes what it would make.
FAKE = """#!/bin/sh
command=$3 first=$4 second=$5
echo "$command" >> "$CALLS"
if [ "$command" = "$FAIL" ]; then printf '10 %%\\r20 %%\\n\\nit broke\\n'; exit 3; fi
if [ "$command" = "$IDLE" ]; then exit 0; fi
if [ "$command" = "$SLOW" ]; then echo working; exec sleep 60; fi
while [ $# -gt 0 ]; do
  case $1 in --work-dir) dir=$2;; --json|--out) out=$2;; esac
  shift
done
case $command in
  data/check) : > "$out";;
  data/pack) mkdir -p "$second"; cp "$first"/* "$second";;
  data/pose) mkdir -p "$first/skeletons"; : > "$first/skeletons/rec.npy";;
  probe)
    for tag in indomain zeroshot fewshot indomain-val; do
      mkdir -p "$out/${first}_mma82/linear/$tag"
      : > "$out/${first}_mma82/linear/$tag/results.json"
    done;;
  train)
    mkdir -p "$dir"; : > "$dir/best_1.pth"; : > "$dir/last_checkpoint";;
  test) mkdir -p "$dir"; echo "$first $second" > "$dir/results.json";;
  table) echo "the table" > "$out";;
esac
"""
_ROWS = """clip,path,subset,domain,subject,action,body
a,videos/a.mp4,train,lab,s1,nodding,
b,videos/b.mp4,val,lab,s2,nodding,
c,videos/c.mp4,test,street,s3,nodding,
"""


def make_table_root(folder: Path, **info: object) -> Path:
    """A data root of three rows without videos.

    Args:
        folder: Where; made.
        info: Of ``DatasetInfo``.
    """
    values = {'name': 'three', 'label_space': 'mma82', 'simulated': True, **info}
    write_info(folder, DatasetInfo(**values))
    (folder / 'rec.csv').write_text(_ROWS)
    return folder


def real_args(tmp_path: Path, *words: str, preset: str = 'cpu-small') -> object:
    """Arguments over a root at ``tmp_path/data``, into ``tmp_path/out``."""
    if not (tmp_path / 'data').exists():
        make_table_root(tmp_path / 'data')
    parser = argparse.ArgumentParser()
    arguments_of(real)(parser)
    argv = [str(tmp_path / 'data'), '--out', str(tmp_path / 'out'), '--preset', preset]
    return parser.parse_args([*argv, *words])


def use_fake(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let steps run the fake interpreter.

    Args:
        folder: Where it lies.
        monkeypatch: Of the test.

    Returns:
        The file in which it notes each command.
    """
    fake, calls = folder / 'fake', folder / 'calls'
    fake.write_text(FAKE)
    fake.chmod(0o755)
    calls.write_text('')
    monkeypatch.setenv('CALLS', str(calls))
    monkeypatch.setattr(sys, 'executable', str(fake))
    return calls
