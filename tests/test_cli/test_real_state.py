import json

import pytest
from real_runs import plan_options

from mmma.cli.real_plan import make_plan
from mmma.cli.real_state import State, holder, only_run, set_aside, step_keys


def keys(tmp_path, fingerprint='data', done=(), **more):
    return step_keys(make_plan(plan_options(tmp_path, **more)), fingerprint, dict(done))


def changed(one, other):
    return {name for name in one if name in other and one[name] != other[name]}


def test_keys_change_with_what_a_step_builds_on(tmp_path):
    before = keys(tmp_path)
    assert changed(before, keys(tmp_path, 'other data')) == set(before)
    assert not changed(before, keys(tmp_path, workers=3))
    found = changed(before, keys(tmp_path, probe='videomae'))
    assert found == {'probe-test', 'probe-val', 'table-text', 'table-latex'}
    pose = changed(before, keys(tmp_path, backend='rtmlib'))
    assert {name.partition('-')[0] for name in pose} == {'pose', 'posec3d', 'table'}


def test_a_skipped_step_counts_as_it_was_done(tmp_path):
    before = keys(tmp_path)
    done = {name: {'key': key, 'status': 'done'} for name, key in before.items()}
    (tmp_path / 'out/packed/skeletons').mkdir(parents=True)
    (tmp_path / 'out/packed/dataset.json').touch()
    (tmp_path / 'out/packed/skeletons/rec.npy').touch()
    assert not changed(before, keys(tmp_path, done=done, skip=('pack', 'pose')))
    done['pose']['status'] = 'started'  # what lies there is from elsewhere
    found = changed(before, keys(tmp_path, done=done, skip=('pack', 'pose')))
    assert {name.partition('-')[0] for name in found} == {'posec3d', 'table'}


def test_done_needs_key_and_files(tmp_path):
    out = tmp_path / 'out'
    step = make_plan(plan_options(tmp_path)).find('gctsm-train')
    state = State(out)
    state.note(step, 'k', 'done', seconds=1.0)
    assert not State(out).is_done(step, 'k')
    step.output.mkdir(parents=True)
    (step.output / 'best_top1_epoch_3.pth').touch()
    assert State(out).is_done(step, 'k')
    assert not State(out).is_done(step, 'other')
    state.note(step, 'k', 'started')
    assert not State(out).is_done(step, 'k')


def test_old_results_are_moved_never_deleted(tmp_path):
    out = tmp_path / 'out'
    step = make_plan(plan_options(tmp_path)).find('gctsm-train')
    state = State(out)
    for number in (1, 2):
        step.output.mkdir(parents=True)
        (step.output / 'log').write_text(str(number))
        state.note(step, 'old', 'done')
        assert set_aside(step, 'old', state, out) is None
        moved = set_aside(step, 'new', state, out)
        assert moved == out / 'gctsm' / f'train.old{number}'
        assert (moved / 'log').read_text() == str(number)


def test_what_lies_elsewhere_is_left_alone(tmp_path):
    options = plan_options(tmp_path, skip=('pack',))
    step = make_plan(options).find('pose')
    step.output.mkdir(parents=True)
    state = State(options.out)
    state.note(step, 'old', 'done')
    assert set_aside(step, 'new', state, options.out) is None
    assert step.output.is_dir()


def test_an_unknown_training_is_not_resumed(tmp_path):
    step = make_plan(plan_options(tmp_path)).find('gctsm-lab')
    step.output.mkdir(parents=True)
    assert set_aside(step, 'k', State(tmp_path / 'out'), tmp_path / 'out')


@pytest.mark.parametrize('text', ['{', '[]', '{"schema": 9, "steps": {}}'])
def test_a_strange_state_is_refused(tmp_path, text):
    (tmp_path / 'real.json').write_text(text)
    with pytest.raises(ValueError, match='not the state of a run'):
        State(tmp_path)


def test_the_state_says_what_ran(tmp_path):
    step = make_plan(plan_options(tmp_path)).find('check')
    State(tmp_path).note(step, 'k', 'failed', seconds=2.5, exit_status=1)
    record = json.loads((tmp_path / 'real.json').read_text())['steps']['check']
    assert record == {
        'status': 'failed', 'key': 'k', 'command': step.line(), 'seconds': 2.5,
        'exit_status': 1,
    }  # fmt: skip


def test_one_run_at_a_time(tmp_path):
    with only_run(tmp_path) as lock:
        holder(lock, 'pack, process 7')
        message = r'at work here \(pack, process 7\)'
        with pytest.raises(ValueError, match=message), only_run(tmp_path):
            pass
    with only_run(tmp_path):
        pass
