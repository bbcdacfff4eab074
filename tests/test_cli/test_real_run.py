import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from real_runs import plan_options, use_fake

from mmma.cli import real_run
from mmma.cli.real_plan import make_plan
from mmma.cli.real_state import State, only_run, step_keys


@pytest.fixture
def calls(tmp_path, monkeypatch):
    return use_fake(tmp_path, monkeypatch)


def run(tmp_path, **more):
    options = plan_options(tmp_path, **more)
    plan = make_plan(options)
    state = State(options.out)
    keys = step_keys(plan, 'data', state.steps)
    with only_run(options.out) as lock:
        return real_run.Runner(plan, keys, state, options.out, lock).run()


def taken(calls):
    """Commands since the last look."""
    found = calls.read_text().split()
    calls.write_text('')
    return found


def test_all_steps_once(tmp_path, calls, capsys):
    assert run(tmp_path) == 0
    model = ['train', 'test', 'test', 'train', 'test', 'test']
    data = ['data/check', 'data/pack', 'data/pose', 'probe', 'probe']
    assert taken(calls) == [*data, *model, *model, 'table', 'table']
    assert '[19/19] table-latex: done in' in capsys.readouterr().out
    best = (tmp_path / 'out/gctsm/test/results.json').read_text()
    assert best.endswith('gctsm/train/best_1.pth\n')  # the star is gone
    assert run(tmp_path) == 0
    assert taken(calls) == []


def test_a_changed_option_reruns_what_depends_on_it(tmp_path, calls, capsys):
    run(tmp_path, skip=('pose', 'probe'))
    taken(calls)
    run(tmp_path, skip=('pose', 'probe'), epochs=9)
    model = ['train', 'test', 'test', 'train', 'test', 'test']
    assert taken(calls) == [*model, 'table', 'table']
    assert 'the old result is now' in capsys.readouterr().out
    assert (tmp_path / 'out/gctsm/train.old1/best_1.pth').exists()
    run(tmp_path, skip=('probe',), epochs=9)  # what was left out comes in
    assert taken(calls) == ['data/pose', *model, 'table', 'table']


def test_a_failing_step_stops_and_tells(tmp_path, calls, capsys, monkeypatch):
    monkeypatch.setenv('FAIL', 'data/pose')
    assert run(tmp_path) == 1
    assert taken(calls) == ['data/check', 'data/pack', 'data/pose']
    err = capsys.readouterr().err
    assert 'pose: FAILED, exit status 3; the last lines of' in err
    assert '    it broke\n' in err
    packed = tmp_path / 'out/packed'
    assert f'fake -m mmma data/pose {packed} --backend mediapipe' in err
    assert '--skip pose' in err
    monkeypatch.delenv('FAIL')
    assert run(tmp_path) == 0
    assert taken(calls)[0] == 'data/pose'


def test_a_step_that_makes_nothing_failed(tmp_path, calls, capsys, monkeypatch):
    monkeypatch.setenv('IDLE', 'data/pack')
    assert run(tmp_path) == 1
    assert 'FAILED, it did not write' in capsys.readouterr().err


def test_what_was_started_goes_on_in_place(tmp_path, calls):
    options = plan_options(tmp_path)
    plan = make_plan(options)
    step = plan.find('gctsm-train')
    key = step_keys(plan, 'data', {})['gctsm-train']
    State(options.out).note(step, key, 'started')
    step.output.mkdir(parents=True)
    (step.output / 'epoch_1.pth').touch()
    assert run(tmp_path) == 0
    assert (step.output / 'epoch_1.pth').exists()


def test_the_end_of_a_log(tmp_path):
    log = tmp_path / 'log'
    log.write_text('one\n\n10 %\r20 %\nlast\n\n')
    assert real_run.last_lines(log, 2) == ['20 %', 'last']


def test_the_newest_match(tmp_path):
    for number, name in enumerate(('best_b.pth', 'best_a.pth')):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (number, number))
    found = real_run.expand(['x', f'{tmp_path}/best_*.pth', f'{tmp_path}/no_*'])
    assert found == ['x', f'{tmp_path}/best_a.pth', f'{tmp_path}/no_*']


def test_a_step_ends_with_a_run_that_is_asked_to_end(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(real_run, '_SHOW_EVERY_SEC', 0.05)
    use_fake(tmp_path, monkeypatch)
    monkeypatch.setenv('SLOW', 'data/check')
    pids = []

    def end():
        lock = tmp_path / 'out/.real.lock'
        until = time.monotonic() + 20
        while time.monotonic() < until:
            if lock.exists() and 'process' in (text := lock.read_text()):
                pids.append(int(text.split()[-1]))
                break
            time.sleep(0.05)
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=end)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    thread.join()
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)
    assert '[1/19] check: working' in capsys.readouterr().out


def test_a_step_that_outlives_a_killed_run_keeps_the_folder(tmp_path):
    code = (
        'import sys, subprocess; from pathlib import Path\n'
        'from mmma.cli.real_state import only_run, holder\n'
        'with only_run(Path(sys.argv[1])) as lock:\n'
        '    child = subprocess.Popen(["sleep", "30"], pass_fds=(lock.fileno(),),'
        ' stdout=subprocess.DEVNULL)\n'
        '    holder(lock, f"pack, process {child.pid}")\n'
        '    print(child.pid, flush=True)\n'
        '    child.wait()\n'
    )
    command = [sys.executable, '-c', code, str(tmp_path)]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    child = int(first.stdout.readline())
    first.kill()
    first.communicate()
    with pytest.raises(ValueError, match=f'process {child}'), only_run(tmp_path):
        pass
    os.kill(child, signal.SIGTERM)
