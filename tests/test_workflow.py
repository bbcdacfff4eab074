import argparse
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from real_runs import make_table_root, real_args, use_fake

from mmma import workflow
from mmma.cli.arguments import arguments_of
from mmma.config import find_config
from mmma.workflow import PRESETS, Workflow, duration, only_run

MODEL = ['train', 'test', 'test', 'train', 'test', 'test']


@pytest.fixture
def calls(tmp_path, monkeypatch):
    return use_fake(tmp_path, monkeypatch)


def run(tmp_path, *words):
    args = real_args(tmp_path, *words)
    with only_run(args.out) as lock:
        return Workflow(args, lock).run()


def taken(calls):
    """Commands since the last look."""
    found = calls.read_text().split()
    calls.write_text('')
    return found


def make_plan(tmp_path, *words, **more):
    """Steps by name, what is left out, and the root."""
    flow = Workflow(real_args(tmp_path, *words, **more), None)
    return {step.name: step for step in flow.steps}, flow.left_out, flow.root


def keys(tmp_path, *words):
    return Workflow(real_args(tmp_path, *words), None).keys


def changed_groups(one, other):
    return {n.partition('-')[0] for n in one if n in other and one[n] != other[n]}


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def test_every_command_is_one_that_its_tool_takes(tmp_path):
    words = (
        '--runs 2 --workers 2 --epochs 3 --batch-size 4 --amp --skip-broken '
        f'--backend rtmlib --models {tmp_path}'
    ).split()
    wrong = []
    for preset in PRESETS:
        steps, _, _ = make_plan(tmp_path, *words, preset=preset)
        before = set()
        for step in steps.values():
            assert set(step.needs) <= before
            before.add(step.name)
            name, *arguments = step.command
            module = importlib.import_module(f'mmma.cli.{name.replace("/", "_")}')
            parser = argparse.ArgumentParser(exit_on_error=False, allow_abbrev=False)
            arguments_of(module)(parser)
            launcher = ['--launcher', 'pytorch'] if step.gpus > 1 else []
            wrong += parser.parse_known_args([*arguments, *launcher])[1]
            for word in arguments:
                if word.startswith('configs/'):
                    find_config(word)
        find_config(f'recog/{steps["probe-val"].command[1]}_mma82_indomain')
        assert len(steps) == 19
    assert not wrong


def test_a_line_can_be_typed(tmp_path):
    steps, _, _ = make_plan(tmp_path / 'my data', preset='8gpu')
    line = steps['gctsm-test'].line()
    assert "'" in line
    start = 'python -m torch.distributed.run --standalone --nproc-per-node 8 -m mmma'
    assert steps['gctsm-train'].line().startswith(f'{start} train configs/recog/gctsm_')
    assert steps['gctsm-train'].line().endswith(' --launcher pytorch')


def test_skipped_pose_takes_posec3d_with_it(tmp_path):
    steps, left_out, root = make_plan(tmp_path, '--skip', 'pose')
    assert root == tmp_path / 'out' / 'packed'
    assert not any(name.startswith(('pose', 'posec3d')) for name in steps)
    assert left_out['pose'] == 'skipped'
    assert left_out['posec3d-train'] == 'needs pose'
    assert left_out['posec3d-test'] == 'needs posec3d-train'
    assert not any('posec3d' in word for word in steps['table-text'].command)


def test_skeletons_of_the_data_need_no_pose(tmp_path):
    touch(make_table_root(tmp_path / 'data') / 'skeletons/rec.npy')
    _, left_out, _ = make_plan(tmp_path)
    assert left_out == {'pose': f'{tmp_path}/data has skeletons'}


def test_without_val_clips_nothing_is_chosen_on_them(tmp_path):
    table = make_table_root(tmp_path / 'data') / 'rec.csv'
    table.write_text(table.read_text().replace(',val,', ',train,'))
    steps, left_out, _ = make_plan(tmp_path)
    assert set(left_out) == {'probe-test', 'probe-val', 'gctsm-val', 'posec3d-val'}
    assert left_out['gctsm-val'] == f'{tmp_path}/data has no val clips'
    assert {'gctsm-train', 'gctsm-test', 'table-text'} <= set(steps)


def test_without_packing_models_read_the_data(tmp_path):
    for name, info, words, why in (
        ('a', {'packed': {'crf': 18}}, (), 'is packed already'),
        ('b', {}, ('--skip', 'pack'), 'skipped: models read'),
    ):
        data = make_table_root(tmp_path / name / 'data', **info)
        steps, left_out, root = make_plan(tmp_path / name, *words)
        assert why in left_out['pack']
        assert root == data
        assert str(root) in steps['posec3d-train'].command


def test_what_was_made_before_a_skip_is_used(tmp_path):
    out = tmp_path / 'out'
    for name in ('packed/dataset.json', 'packed/skeletons/rec.npy',
                 'gctsm/train/last_checkpoint'):  # fmt: skip
        touch(out / name)
    for tag in ('indomain', 'zeroshot', 'fewshot', 'indomain-val'):
        touch(out / f'probes/videomae-tiny_mma82/linear/{tag}/results.json')
    skipped = ('pack', 'pose', 'gctsm-train', 'probe')
    steps, left_out, root = make_plan(tmp_path, '--skip', *skipped)
    assert root == out / 'packed'
    assert set(left_out) == {*skipped[:3], 'probe-test', 'probe-val'}
    assert sum('probes/' in word for word in steps['table-text'].command) == 4


def test_bad_options(tmp_path):
    for words, message in (
        ('--preset 4gpu', "unknown preset '4gpu'.*Did you mean '.gpu'"),
        ('--epochs 0', '--epochs 0: must be 1 or more'),
        ('--batch-size 0', '--batch-size 0: must be 1 or more'),
        ('--skip gctms', "unknown step of --skip 'gctms'.*Did you mean 'gctsm'"),
        ('--skip probe gctsm posec3d', 'nothing is left to make a table of'),
    ):
        with pytest.raises(ValueError, match=message):
            make_plan(tmp_path, *words.split())


def test_a_plan_may_have_no_table(tmp_path):
    words = ('--skip', 'probe', 'gctsm', 'posec3d', 'table')
    assert list(make_plan(tmp_path, *words)[0]) == ['check', 'pack', 'pose']


def test_keys_change_with_what_a_step_builds_on(tmp_path):
    before = keys(tmp_path)
    assert not changed_groups(before, keys(tmp_path, '--workers', '3'))
    found = changed_groups(before, keys(tmp_path, '--probe', 'videomae'))
    assert found == {'probe', 'table'}
    found = changed_groups(before, keys(tmp_path, '--backend', 'rtmlib'))
    assert found == {'pose', 'posec3d', 'table'}
    rows = tmp_path / 'data/rec.csv'
    rows.write_text(rows.read_text() + 'd,videos/d.mp4,test,lab,s4,nodding,\n')
    assert len(changed_groups(before, keys(tmp_path))) == 7


def test_a_skipped_step_counts_as_it_was_done(tmp_path, calls):
    run(tmp_path)
    before = keys(tmp_path)
    skip = ('--skip', 'pack', 'pose')
    assert not changed_groups(before, keys(tmp_path, *skip))
    state = tmp_path / 'out/real.json'
    content = json.loads(state.read_text())
    content['steps']['pose']['status'] = 'started'  # what lies there is from elsewhere
    state.write_text(json.dumps(content))
    assert changed_groups(before, keys(tmp_path, *skip)) == {'posec3d', 'table'}


def test_all_steps_once(tmp_path, calls, capsys):
    assert run(tmp_path) == 0
    data = ['data/check', 'data/pack', 'data/pose', 'probe', 'probe']
    assert taken(calls) == [*data, *MODEL, *MODEL, 'table', 'table']
    assert '[19/19] table-latex: done in' in capsys.readouterr().out
    best = (tmp_path / 'out/gctsm/test/results.json').read_text()
    assert best.endswith('gctsm/train\n')  # its best checkpoint
    record = json.loads((tmp_path / 'out/real.json').read_text())['steps']['check']
    assert list(record) == ['status', 'key', 'command', 'seconds']
    assert run(tmp_path) == 0
    assert taken(calls) == []
    (tmp_path / 'out/check.json').unlink()
    assert run(tmp_path) == 0
    assert taken(calls) == ['data/check']


def test_a_changed_option_reruns_what_depends_on_it(tmp_path, calls, capsys):
    skip = ('--skip', 'pose', 'probe')
    run(tmp_path, *skip)
    taken(calls)
    for number, epochs in enumerate('98', start=1):
        run(tmp_path, *skip, '--epochs', epochs)
        assert taken(calls) == [*MODEL, 'table', 'table']
        assert 'the old result is now' in capsys.readouterr().out
        assert (tmp_path / f'out/gctsm/train.old{number}/best_1.pth').exists()
    run(tmp_path, '--skip', 'probe', '--epochs', '8')  # what was left out comes in
    assert taken(calls) == ['data/pose', *MODEL, 'table', 'table']


def test_a_failing_step_stops_and_tells(tmp_path, calls, capsys, monkeypatch):
    monkeypatch.setenv('FAIL', 'data/pose')
    assert run(tmp_path) == 1
    assert taken(calls) == ['data/check', 'data/pack', 'data/pose']
    err = capsys.readouterr().err
    assert 'pose: FAILED, exit status 3; the last lines of' in err
    assert '    20 %\n    it broke\n' in err
    assert '10 %' not in err
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


def test_what_was_started_goes_on_in_place(tmp_path, calls, monkeypatch):
    monkeypatch.setenv('FAIL', 'train')
    assert run(tmp_path) == 1
    kept = tmp_path / 'out/gctsm/train/epoch_1.pth'
    touch(kept)
    unknown = tmp_path / 'out/gctsm/lab/epoch_1.pth'  # no run of ours began it
    touch(unknown)
    monkeypatch.delenv('FAIL')
    assert run(tmp_path) == 0
    assert kept.exists()
    assert not unknown.exists()
    assert (tmp_path / 'out/gctsm/lab.old1/epoch_1.pth').exists()


def test_what_lies_elsewhere_is_left_alone(tmp_path, calls):
    run(tmp_path, '--skip', 'pack')
    (tmp_path / 'data/skeletons').rename(tmp_path / 'kept')
    (tmp_path / 'data/skeletons').mkdir()
    (tmp_path / 'data/skeletons/mine').touch()
    run(tmp_path, '--skip', 'pack', '--backend', 'rtmlib')
    assert (tmp_path / 'data/skeletons/mine').exists()


def test_a_strange_state_is_refused(tmp_path):
    touch(tmp_path / 'out/real.json')
    for text in ('{', '[]', '{"schema": 9, "steps": {}}'):
        (tmp_path / 'out/real.json').write_text(text)
        with pytest.raises(ValueError, match='not the state of a run'):
            run(tmp_path)


def test_a_step_ends_with_a_run_that_is_asked_to_end(
    tmp_path, calls, monkeypatch, capsys
):
    monkeypatch.setattr(workflow, '_SHOW_EVERY_SEC', 0.05)
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
        os.kill(os.getpid(), signal.SIGINT)

    # A shell starts what it runs in the background with this signal ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    thread = threading.Thread(target=end)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    thread.join()
    signal.signal(signal.SIGINT, before)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)
    assert '[1/19] check: working' in capsys.readouterr().out


def test_a_step_that_outlives_a_killed_run_keeps_the_folder(tmp_path):
    code = (
        f'import sys; sys.path.insert(0, {os.path.dirname(__file__)!r})\n'
        'from pathlib import Path\n'
        'import pytest, os, real_runs\n'
        'from mmma.workflow import Workflow, only_run\n'
        'path = Path(sys.argv[1])\n'
        'real_runs.use_fake(path, pytest.MonkeyPatch())\n'
        'os.environ["SLOW"] = "data/check"\n'
        'args = real_runs.real_args(path)\n'
        'with only_run(args.out) as lock:\n'
        '    Workflow(args, lock).run()\n'
    )
    command = [sys.executable, '-c', code, str(tmp_path)]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    lock, text = tmp_path / 'out/.real.lock', ''
    until = time.monotonic() + 30
    while 'process' not in text and time.monotonic() < until:
        time.sleep(0.05)
        text = lock.read_text() if lock.exists() else ''
    first.kill()
    first.wait()
    child = int(text.split()[-1])
    message = rf'at work here \(check, process {child}\)'
    with pytest.raises(ValueError, match=message), only_run(tmp_path / 'out'):
        pass
    os.kill(child, signal.SIGTERM)


def test_durations():
    found = [duration(seconds) for seconds in (5.4, 200, 9000)]
    assert found == ['5 s', '3 min', '2 h 30 min']
