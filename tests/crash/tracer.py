"""Follows a function in a process of its own, up to a call that changes a file.

:func:`trace` forks, runs a function in the child, and stops the child, its threads and
the processes that it starts, before each system call that would change something below
a folder: each is a :class:`Point`. A function of the point decides: go on, kill all
with SIGKILL (the call is never made), or let the call fail with an errno:

    points = trace(run, folder).points  # none is stopped
    trace(run, folder, kill_at(7))  # dies in the place of the seventh
    trace(run, folder, fail_from(7, errno.ENOSPC))  # the disk is full from there on

Stopped at are: creating, truncating and writing files, at once or by offset; renaming,
linking, removing; folders made and removed. Calls that change nothing (a folder made
that is there, a file removed that is not) are no points. Cannot be seen: what is
written through shared memory maps, and io_uring. Rights and times are let alone.

It needs Linux on x86_64 and the right to ptrace one's own children;
:func:`why_not` says what is lacking. A seccomp filter stops at these calls alone, so
that all others run at full speed.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import gc
import os
import platform
import signal
import struct
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

KILL = -1
"""Answer of a ``decide``: kill the process and all that it started."""

# Where the arguments of a system call are in the registers, and the calls, by number:
# their name, and what they change: D a descriptor, P a path, A a folder's descriptor
# and a path in it, each with the place of the argument; the second must not be there.
_ARGUMENTS = ('rdi', 'rsi', 'rdx', 'r10', 'r8', 'r9')
_CALLS = {
    1: ('write', 'D0'),
    18: ('pwrite64', 'D0'),
    20: ('writev', 'D0'),
    40: ('sendfile', 'D0'),
    76: ('truncate', 'P0'),
    77: ('ftruncate', 'D0'),
    275: ('splice', 'D2'),
    285: ('fallocate', 'D0'),
    296: ('pwritev', 'D0'),
    326: ('copy_file_range', 'D2'),
    328: ('pwritev2', 'D0'),
    2: ('open', 'P0'),
    85: ('creat', 'P0'),
    257: ('openat', 'A0'),
    82: ('rename', 'P0 P1'),
    264: ('renameat', 'A0 A2'),
    316: ('renameat2', 'A0 A2'),
    86: ('link', 'P1'),
    265: ('linkat', 'A2'),
    88: ('symlink', 'P1'),
    266: ('symlinkat', 'A1'),
    83: ('mkdir', 'P0'),
    258: ('mkdirat', 'A0'),
    84: ('rmdir', 'P0'),
    87: ('unlink', 'P0'),
    263: ('unlinkat', 'A0'),
}
_FLAGS = {2: 1, 257: 2}  # which argument has the flags of a file that is opened
_CREATE, _TRUNCATE, _NAMELESS = os.O_CREAT, os.O_TRUNC, 0o20000000
_MAKES = ('mkdir', 'mkdirat')
_TAKES = ('rename', 'renameat', 'renameat2', 'rmdir', 'unlink', 'unlinkat')

_CONT, _GETREGS, _SETREGS, _SETOPTIONS, _TRACEME = 7, 12, 13, 0x4200, 0
_FORK, _VFORK, _CLONE, _EXEC, _SECCOMP = 1, 2, 3, 4, 7
_OPTIONS = sum(1 << e for e in (_FORK, _VFORK, _CLONE, _EXEC, _SECCOMP)) | 1 << 20
_WALL = 0x40000000
_REFUSED = 97  # exit status of a child that may not be traced

_libc = ctypes.CDLL(None, use_errno=True)


class _Registers(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_ulonglong)
        for name in (
            *('r15', 'r14', 'r13', 'r12', 'rbp', 'rbx', 'r11', 'r10', 'r9', 'r8'),
            *('rax', 'rcx', 'rdx', 'rsi', 'rdi', 'orig_rax', 'rip', 'cs', 'eflags'),
            *('rsp', 'ss', 'fs_base', 'gs_base', 'ds', 'es', 'fs', 'gs'),
        )
    ]


@dataclass(frozen=True)
class Point:
    """A system call that is about to change a file.

    Attributes:
        number: Counted from 1 in a run, over all of its processes.
        call: Name of the call, such as ``renameat``.
        path: What it changes, below the folder, ``.`` for the folder itself. Of a
            renaming, where it goes to.
        pid: The process or thread that calls; it stands still.
    """

    number: int
    call: str
    path: str
    pid: int


@dataclass
class Traced:
    """What came of a run.

    Attributes:
        points: All that were reached, in their order.
        status: Exit status, or minus the signal that ended it.
        output: What it wrote to standard output and standard error.
    """

    points: list[Point] = field(default_factory=list)
    status: int = 0
    output: str = ''


def kill_at(number: int) -> Callable[[Point], int]:
    """A ``decide`` that kills at the point of a number."""
    return lambda point: KILL if point.number == number else 0


def fail_from(number: int, code: int) -> Callable[[Point], int]:
    """A ``decide`` that lets fail what needs room or rights from a point on.

    Files can be closed, removed, and renamed within their disk, as on one that is full.
    """
    return lambda p: code if p.number >= number and p.call not in _TAKES else 0


def fail_at(number: int, code: int) -> Callable[[Point], int]:
    """A ``decide`` that lets the call of a point fail, and no other."""
    return lambda point: code if point.number == number else 0


@functools.cache
def why_not() -> str:
    """Why nothing can be traced here; empty where it can."""
    if not sys.platform.startswith('linux') or platform.machine() != 'x86_64':
        return 'system calls are followed on Linux x86_64 alone'
    with tempfile.TemporaryDirectory() as folder:
        traced = trace(Path(folder, 'x').touch, Path(folder))
    if [(p.call, p.path) for p in traced.points] != [('openat', 'x')]:
        return f'processes cannot be traced here: {traced.output or traced.points}'
    return ''


def trace(
    run: Callable[[], int | None],
    folder: Path,
    decide: Callable[[Point], int] = lambda point: 0,
    timeout_sec: float = 300,
) -> Traced:
    """Run a function in a child and ask at each point what is to be done.

    Args:
        run: What is called in the child, a fork of this process; its result is the
            exit status (None is 0). An exception is 1, with its traceback as output.
        folder: Changes of files in it are points.
        decide: Gives 0 to go on, :data:`KILL`, or an errno for the call to fail with.
            It may send a signal to ``point.pid``, which arrives when the call returns.
        timeout_sec: Time after which everything is killed.

    Raises:
        TimeoutError: It took longer than that.
    """
    with tempfile.TemporaryFile() as output:
        sys.stdout.flush()
        sys.stderr.flush()
        gc.freeze()
        if not (child := os.fork()):
            _be_traced(run, output.fileno())
        gc.unfreeze()
        late = threading.Event()
        timer = threading.Timer(timeout_sec, lambda: (late.set(), _kill(child)))
        timer.start()
        try:
            traced = _follow(child, Path(os.path.realpath(folder)), decide)
        finally:
            timer.cancel()
            _kill(child)
            with suppress(ChildProcessError):
                while True:
                    os.waitpid(-child, _WALL)
        output.seek(0)
        traced.output = output.read().decode(errors='replace')
    if late.is_set():
        raise TimeoutError(f'not done in {timeout_sec} s:\n{traced.output}')
    return traced


def _kill(group: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _be_traced(run: Callable[[], int | None], output: int) -> None:
    """The child: end with what ``run`` gives, as an own process would."""
    status = 1
    try:
        os.setpgid(0, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.stdout = os.fdopen(1, 'w', buffering=1, closefd=False)
        sys.stderr = os.fdopen(2, 'w', buffering=1, closefd=False)
        if _libc.ptrace(_TRACEME, 0, None, None):
            print(os.strerror(ctypes.get_errno()))
            os._exit(_REFUSED)
        os.kill(os.getpid(), signal.SIGSTOP)
        _install_filter()
        status = run() or 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
        os._exit(status)


def _install_filter() -> None:
    """Stop at the calls of the table, and at files opened so that they change."""

    def op(code: int, value: int, true: int = 0, false: int = 0) -> bytes:
        return struct.pack('HBBI', code, true, false, value)

    load, equal, anyof, answer = 0x20, 0x15, 0x45, 0x06
    allow, stop = op(answer, 0x7FFF0000), op(answer, 0x7FF00000)
    program = [op(load, 4), op(equal, 0xC000003E, 1), allow, op(load, 0)]
    for number in _CALLS:
        if number in _FLAGS:  # arguments are 64 bits each, from byte 16 on
            changing = _CREATE | _TRUNCATE | _NAMELESS
            flags = op(load, 16 + 8 * _FLAGS[number]), op(anyof, changing, 1)
            program += [op(equal, number, 0, 4), *flags, allow, stop]
        else:
            program += [op(equal, number, 0, 1), stop]
    code = ctypes.create_string_buffer(b''.join([*program, allow]))
    pointer = struct.pack('HxxxxxxP', len(program) + 1, ctypes.addressof(code))
    if _libc.prctl(38, 1, 0, 0, 0) or _libc.prctl(22, 2, pointer, 0, 0):
        raise OSError(ctypes.get_errno(), 'no seccomp filter')


def _ptrace(request: int, pid: int, data: object = None) -> bool:
    """Ask the kernel; False where the process is gone, as killed ones are at once."""
    if _libc.ptrace(ctypes.c_long(request), pid, None, data) == 0:
        return True
    if (code := ctypes.get_errno()) != errno.ESRCH:
        raise OSError(code, os.strerror(code))
    return False


def _follow(child: int, folder: Path, decide: Callable[[Point], int]) -> Traced:
    """Go from stop to stop of all processes until the first has ended."""
    traced, seen = Traced(), set()
    while True:
        # By its id at first: it may not have made its group yet.
        pid, status = os.waitpid(-child if seen else child, _WALL | os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            if pid == child:
                traced.status = os.waitstatus_to_exitcode(status)
                return traced
            continue
        sent, event = os.WSTOPSIG(status), status >> 16
        if pid not in seen:
            if not seen:
                _ptrace(_SETOPTIONS, pid, ctypes.c_void_p(_OPTIONS))
            seen.add(pid)
            sent = 0 if sent == signal.SIGSTOP else sent
        if event == _SECCOMP:
            registers = _Registers()
            if _ptrace(_GETREGS, pid, ctypes.byref(registers)):
                name, path = _changed(pid, registers, str(folder))
                if name:
                    point = Point(len(traced.points) + 1, name, path, pid)
                    traced.points.append(point)
                    if (answer := decide(point)) == KILL:
                        _kill(child)
                        continue
                    if answer:
                        registers.orig_rax = ctypes.c_ulonglong(-1).value
                        registers.rax = ctypes.c_ulonglong(-answer).value
                        _ptrace(_SETREGS, pid, ctypes.byref(registers))
        _ptrace(_CONT, pid, ctypes.c_void_p(0 if sent == signal.SIGTRAP else sent))


def _changed(pid: int, registers: _Registers, folder: str) -> tuple[str, str]:
    """Name of a call and what it changes below the folder; nothing where nothing."""
    name, changes = _CALLS[number := registers.orig_rax]
    found = []
    with suppress(FileNotFoundError, ProcessLookupError):
        for kind, place in changes.split():
            value = getattr(registers, _ARGUMENTS[int(place)])
            if kind == 'D':
                found.append(os.readlink(f'/proc/{pid}/fd/{ctypes.c_int(value).value}'))
                continue
            start = f'/proc/{pid}/cwd'
            if kind == 'A':
                at = ctypes.c_int(value).value
                start = start if at < 0 else f'/proc/{pid}/fd/{at}'
                value = getattr(registers, _ARGUMENTS[int(place) + 1])
            text = os.path.join(os.readlink(start), _string(pid, value))
            home, last = os.path.split(os.path.normpath(text))
            found.append(os.path.join(os.path.realpath(home), last))
    if not any(path == folder or path.startswith(folder + '/') for path in found):
        return '', ''
    there = os.path.lexists(found[0])
    idle = not there if name in _TAKES else not os.path.isdir(os.path.dirname(found[0]))
    if number in _FLAGS:
        flags = getattr(registers, _ARGUMENTS[_FLAGS[number]])
        idle |= there and not flags & (_TRUNCATE | _NAMELESS)
    idle |= there and name in _MAKES
    return ('', '') if idle else (name, os.path.relpath(found[-1], folder))


def _string(pid: int, address: int) -> str:
    """Text at an address of another process, up to its zero byte."""
    text = b''
    with open(f'/proc/{pid}/mem', 'rb', buffering=0) as memory:
        while b'\0' not in text:
            step = 4096 - (address + len(text)) % 4096  # the next page may be none
            memory.seek(address + len(text))
            text += memory.read(step)
    return os.fsdecode(text.partition(b'\0')[0])
