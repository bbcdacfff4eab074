"""Ctrl-C and requests to end: a line, a status, and nothing left half or running."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from faults.commands import (
    COMMANDS,
    ENDING,
    REPOSITORY,
    request,
    start_folder,
)

pytestmark = pytest.mark.skipif(
    not Path('/proc/self/stat').exists(), reason='looks for processes in /proc'
)
WAYS = {signal.SIGINT: 130, signal.SIGTERM: 143}
POINTS = 1, 2, 3, 4, 6, 8, 11, 15, 20, 30, 50
ALL = os.environ.get('FAULTS') == 'all'
# What differs: processes of a pool, loaders, a store, plain files, another process.
FEW = {
    'pack': ((9, signal.SIGINT), (9, signal.SIGTERM)),
    'train': ((12, signal.SIGTERM),),
    'convert': ((12, signal.SIGINT),),
    'fuse': ((2, signal.SIGTERM),),
    'real': ((5, signal.SIGTERM),),
}
DRAFT = re.compile(r'(^|/)\.[^/]*\.(part|lock|tmp)$')


def wrong(name, answer, status, files):
    """What is not as it should be after an interrupt."""
    lines = [li for li in answer['err'].splitlines() if li.startswith('interrupted')]
    goes_on = COMMANDS[name].goes_on or 'the same command'
    yield from [f'status {answer["status"]}'] * (answer['status'] != status)
    yield from [f'lines {lines}'] * (len(lines) != 1 or goes_on not in lines[0])
    yield from [answer['err'][-500:]] * ('Traceback' in answer['err'])
    yield from answer['left']
    yield from (file for file in files if DRAFT.search(file))


def test_interrupts_where_files_change(warm, given, tmp_path):
    found, tried = [], 0
    every = [(at, way) for way in WAYS for at in POINTS]
    for name in ENDING if ALL else FEW:
        ended = set()
        for at, way in every if ALL else FEW[name]:
            if way in ended:
                continue
            out = start_folder(name, given, tmp_path / 'out')
            more = {'at': at, 'signal': way, 'under': str(out), 'again': at % 2 == 0}
            (answer,) = warm.run(request(name, given, out, **more))
            if answer['status'] == 0:  # it changes files less often
                ended.add(way)
                continue
            tried += 1
            files = warm.ask('list', str(out))
            odd = list(wrong(name, answer, WAYS[way], files))
            found += [f'{name}, {way.name} at {at}: {odd}'] * bool(odd)
    assert not found, '\n'.join(found)
    assert tried >= 6


def test_a_command_goes_on_after_an_interrupt(warm, given, tmp_path):
    resumed = [n for n, c in COMMANDS.items() if c.goes_on] if ALL else ['pack']
    for name in resumed:
        out = start_folder(name, given, tmp_path / 'out')
        asked = request(name, given, out)
        at = {'at': 12, 'signal': signal.SIGINT, 'under': str(out)}
        first, second = (warm.run({**asked, **more})[0] for more in (at, {}))
        assert (first['status'], second['status']) == (130, 0), (name, second['err'])


def test_interrupts_while_modules_are_imported(tmp_path):
    """From where our code begins; the start of Python ends by the signal itself."""
    for argv, way, wait_sec in (
        (['tools/train.py', 'videomae-tiny_mma82_indomain'], signal.SIGINT, 0.0),
        (['-m', 'mmma', 'test', 'a', 'b'], signal.SIGTERM, 0.3),
        (['tools/data/simulate.py', str(tmp_path / 'a')], signal.SIGTERM, 0.05),
    ):
        with subprocess.Popen(
            [sys.executable, *argv], cwd=REPOSITORY, stderr=subprocess.PIPE, text=True
        ) as process:
            state = Path(f'/proc/{process.pid}/status')
            until = time.monotonic() + 20
            caught = 0
            while not caught >> signal.SIGTERM - 1 & 1 and time.monotonic() < until:
                caught = int(re.search(r'SigCgt:\s*(\w+)', state.read_text())[1], 16)
                time.sleep(0.001)
            time.sleep(wait_sec)
            for _ in range(2):  # the second one counts for nothing
                process.send_signal(way)
            told = process.communicate(timeout=30)[1]
        assert re.fullmatch('interrupted: .*the same command .*\n', told), (argv, told)
        assert process.returncode == WAYS[way], argv
