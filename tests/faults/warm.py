"""A process that has imported everything, and forks one for each command it is told.

A line of JSON on standard input asks, one on standard output answers. It runs alone, or
behind ``unshare -rm``, where file systems can be mounted that others do not see.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

_CHANGES = {
    *('os.rename', 'os.remove', 'os.mkdir', 'os.rmdir', 'os.link', 'os.truncate'),
    *('shutil.copyfile', 'tempfile.mkstemp'),
}


def watch(under: str, at: int, number: int, again: bool) -> None:
    """Send this process a signal when it does something to files for the nth time.

    Args:
        under: Folder whose files count: those opened for writing, made or removed;
            ``/`` counts every file that is opened.
        at: Which time.
        number: Of the signal.
        again: Send it once more each time thereafter.
    """
    seen, own = 0, os.getpid()

    def hook(event: str, args: tuple) -> None:
        nonlocal seen
        if event == 'open':
            path, _, flags = args
            written = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if not (written or under == '/'):
                return
        elif event in _CHANGES:
            path = args[0]
        else:
            return
        if not str(path).startswith(under) or os.getpid() != own:
            return
        seen += 1
        if seen == at or (again and seen > at):
            os.kill(own, number)

    sys.addaudithook(hook)


def run(command: dict) -> None:
    """Be the command; does not return."""
    status = 70
    try:
        os.setpgid(0, 0)
        signal.alarm(300)
        os.chdir(command.get('cwd') or '.')
        os.environ.update(command.get('env', {}))
        for target, name in (('stdout', 1), ('stderr', 2)):
            file = os.open(command[target], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(file, name)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.argv = ['-m', *command['argv']]
        sys.executable = command.get('executable', sys.executable)
        for name, module in command.get('backends', {}).items():
            from mmma.media import pose

            pose.BACKENDS[name] = module
            importlib.import_module('face_networks').use_fake()
        if command.get('at'):
            watch(
                command.get('under', '/'), command['at'], command['signal'],
                command.get('again', False),
            )  # fmt: skip
        from mmma.cli import main

        status = main(command['argv'][0], command['argv'][1:])
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
        status = 1
    finally:
        with contextlib.suppress(BaseException):
            leave()
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def leave() -> None:
    """What the end of an interpreter does to the processes of a command."""
    import gc
    import multiprocessing.util

    gc.collect()
    multiprocessing.util._exit_function()


def status_of(code: int) -> int:
    """As a shell tells it."""
    return os.waitstatus_to_exitcode(code) if os.WIFEXITED(code) else 128 + code


def group(pid: int) -> list[str]:
    """Processes that a command has left behind."""
    found = []
    for entry in Path('/proc').iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                stat = (entry / 'stat').read_text().rpartition(')')[2].split()
                if int(stat[2]) == pid and stat[0] != 'Z':
                    line = (entry / 'cmdline').read_bytes().replace(b'\0', b' ')
                    found.append(f'{entry.name} {line.decode()[:80]}')
    return found


def serve(commands: list[dict]) -> list[dict]:
    """Run commands one after the other; one that stops goes on at the end."""
    answers, stopped = [], []
    for command in commands:
        started = time.monotonic()
        pid = os.fork()
        if not pid:
            run(command)
        _, code = os.waitpid(pid, os.WUNTRACED)
        if os.WIFSTOPPED(code):
            stopped.append((pid, command, started))
            answers.append(pid)
            continue
        answers.append(answer(pid, command, code, started))
    for pid, command, started in stopped:
        os.kill(pid, signal.SIGCONT)
        _, code = os.waitpid(pid, 0)
        answers[answers.index(pid)] = answer(pid, command, code, started)
    return answers


def answer(pid: int, command: dict, code: int, started: float) -> dict:
    """What came of a command."""
    wanted = time.monotonic() + 1.5
    while (left := group(pid)) and time.monotonic() < wanted:
        time.sleep(0.02)
    if left:
        os.killpg(pid, signal.SIGKILL)
    return {
        'status': status_of(code),
        'left': left,
        'seconds': round(time.monotonic() - started, 2),
        'out': Path(command['stdout']).read_text(errors='replace'),
        'err': Path(command['stderr']).read_text(errors='replace'),
    }


def listing(folder: str) -> dict[str, int]:
    """Files of a folder and their sizes."""
    top = Path(folder)
    files = (file for file in top.rglob('*') if file.is_file() or file.is_symlink())
    return {str(file.relative_to(top)): file.lstat().st_size for file in files}


def main() -> None:
    """Answer until the input ends."""
    answers = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)
    for name in sys.argv[1:]:
        importlib.import_module(name)
    if config := sys.modules.get('mmengine.config.config'):
        config.FormatCode = lambda text, **_: (text, True)  # a second per checkpoint
    print(json.dumps('ready'), file=answers, flush=True)
    for line in sys.stdin:
        kind, content = json.loads(line)
        if kind == 'run':
            found = serve(content)
        elif kind == 'list':
            found = listing(content)
        else:
            done = subprocess.run(content, capture_output=True, text=True)
            found = [done.returncode, done.stderr]
        print(json.dumps(found), file=answers, flush=True)


if __name__ == '__main__':
    main()
