"""Full disks, disks that are read only, and two processes in one place."""

import os
import re
import signal

import pytest
from faults.commands import COMMANDS, ENDING, request, start_folder

ALL = os.environ.get('FAULTS') == 'all'
DRAFT = re.compile(r'(^|/)\.[^/]*\.(part|lock|tmp)$')
FULL = tuple(ENDING) if ALL else ('pack', 'table')
READ_ONLY = (
    tuple(COMMANDS) if ALL else ('pack', 'fuse', 'publish', 'submit', 'annotate')
)
TWICE = ['pack', 'fuse', 'publish']
if ALL:
    TWICE += ['simulate', 'pose', 'face', 'convert', 'train', 'test', 'infer', 'real']


@pytest.fixture
def disk(warm, given, tmp_path):
    """Function that mounts a small disk for a command, with its input."""
    if not warm.mounts:
        pytest.skip('`unshare -rm` gives no view of the file system of its own here')
    out = tmp_path / 'out'
    out.mkdir()
    mounted = []

    def call(*words):
        status, told = warm.ask('call', [str(word) for word in words])
        assert status == 0, told

    def mount(name):
        while mounted:
            call('umount', mounted.pop())
        call('mount', '-t', 'tmpfs', '-o', 'size=64m', 'tmpfs', out)
        mounted.append(out)
        if COMMANDS[name].copy:
            call('cp', '-r', f'{given / COMMANDS[name].copy}/.', out)
        return out

    mount.call = call
    yield mount
    for folder in mounted:
        call('umount', folder)


def pages(files):
    return sum(-(-size // 4096) for size in files.values())


def test_a_full_disk(warm, given, disk):
    wrong, tried = [], 0
    for name in FULL:
        out = disk(name)
        before = pages(warm.ask('list', str(out)))
        (whole,) = warm.run(request(name, given, out))
        assert whole['status'] == 0, (name, whole['err'])
        files = warm.ask('list', str(out))
        for share in (0, 0.3, 0.7, 0.95) if ALL else (0, 0.6):
            left = int((pages(files) - before) * share)
            out = disk(name)
            filler = out / 'filler'
            fill = f'cat /dev/zero > {filler} 2> /dev/null; truncate -s -{left * 4096} '
            disk.call('sh', '-c', fill + str(filler))
            (full,) = warm.run(request(name, given, out))
            if full['status'] == 0:  # it had room
                continue
            tried += 1
            found = warm.ask('list', str(out))
            lines = [li for li in full['err'].splitlines() if li.startswith('error: ')]
            told = (
                len(lines) == 1
                and str(out) in lines[0]
                and 'Traceback' not in full['err']
            )
            odd = [file for file in found if DRAFT.search(file)]
            disk.call('rm', filler)
            (then,) = warm.run(request(name, given, out))
            if (full['status'], told, odd, full['left'], then['status']) != (
                *(2, True, []), *([], 0),
            ):  # fmt: skip
                told = then['status'], then['err'][-300:]
                wrong.append((name, left, full, odd, told))
    assert not wrong
    assert tried >= len(FULL)


def test_a_disk_that_is_read_only(warm, given, disk):
    wrong = []
    for name in READ_ONLY:
        out = disk(name)
        disk.call('mount', '-o', 'remount,ro', out)
        (done,) = warm.run(request(name, given, out))
        lines = [li for li in done['err'].splitlines() if 'Read-only file system' in li]
        if done['status'] != 2 or len(lines) != 1 or 'Traceback' in done['err']:
            wrong.append((name, done))
    assert not wrong


def test_one_of_two_works_and_the_other_says_so(warm, given, tmp_path):
    """The first one stops at a change of a file, ever later until it is at work."""
    wrong = []
    for name in TWICE:
        for at in (3, 5, 7, 9, 12, 15):
            out = start_folder(name, given, tmp_path / 'out')
            asked = request(name, given, out)
            stop = {'at': at, 'signal': signal.SIGSTOP, 'under': str(out)}
            first, second = warm.run({**asked, **stop}, asked)
            odd = [file for file in warm.ask('list', str(out)) if DRAFT.search(file)]
            busy = 'at work here' in second['err'] and 'Traceback' not in second['err']
            if (first['status'], second['status'], busy, odd) == (0, 2, True, []):
                break
        else:
            wrong.append((name, first, second, odd))
    assert not wrong
