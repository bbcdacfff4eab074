import argparse
import importlib

import pytest
from real_runs import make_table_root, plan_options

from mmma.cli.real_plan import PRESETS, make_plan
from mmma.config import find_config

MODEL_STEPS = ('train', 'val', 'test', 'lab', 'zeroshot', 'fewshot')


def names(plan):
    return [step.name for step in plan.steps]


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def test_all_steps_in_order(tmp_path):
    plan = make_plan(plan_options(tmp_path))
    assert names(plan) == [
        *('check', 'pack', 'pose', 'probe-test', 'probe-val'),
        *(f'gctsm-{tag}' for tag in MODEL_STEPS),
        *(f'posec3d-{tag}' for tag in MODEL_STEPS),
        *('table-text', 'table-latex'),
    ]
    assert plan.root == tmp_path / 'out' / 'packed'
    for place, step in enumerate(plan.steps):
        assert set(step.needs) <= set(names(plan)[:place])


@pytest.mark.parametrize('preset', list(PRESETS))
def test_configs_of_presets_exist(tmp_path, preset):
    plan = make_plan(plan_options(tmp_path, preset=preset))
    configs = {w for s in plan.steps for w in s.command if w.startswith('configs/')}
    assert len(configs) == 6
    for config in configs:
        find_config(config)
    find_config(f'recog/{PRESETS[preset].probe}_mma82_indomain')


def test_one_and_eight_gpus(tmp_path):
    one = make_plan(plan_options(tmp_path, preset='1gpu')).find('gctsm-train')
    eight = make_plan(plan_options(tmp_path, preset='8gpu', amp=True))
    eight = eight.find('gctsm-train')
    assert one.line().startswith('python -m mmma train configs/recog/gctsm_mma82')
    assert one.line().endswith('--cfg-options train_dataloader.batch_size=32')
    start = 'python -m torch.distributed.run --standalone --nproc-per-node 8 -m mmma'
    assert eight.line().startswith(f'{start} train configs/recog/gctsm_mma82')
    end = '--amp --cfg-options train_dataloader.batch_size=16 --launcher pytorch'
    assert eight.line().endswith(end)


def test_a_line_quotes_all_but_stars(tmp_path):
    plan = make_plan(plan_options(tmp_path / 'my data'))
    line = plan.find('gctsm-test').line()
    assert "'" in line
    assert line.count('best_*.pth') == 1
    assert "best_*.pth'" not in line


def test_options_reach_their_commands(tmp_path):
    plan = make_plan(
        plan_options(
            tmp_path, preset='1gpu', probe='videomae', epochs=3, runs=7, batch_size=4,
            workers=2, backend='rtmlib', models=tmp_path, skip_broken=True,
        )
    )  # fmt: skip
    pose = plan.find('pose').line()
    assert '--backend rtmlib --tasks rec --workers 2' in pose
    assert f'--models {tmp_path} --device cuda --skip-broken' in pose
    assert '--allow-failures' in plan.find('pack').command
    assert '--runs 7' in plan.find('posec3d-fewshot').line()
    train = plan.find('posec3d-lab').command
    assert 'train_cfg.max_epochs=3' in train
    assert 'train_dataloader.num_workers=2' in train
    assert 'train_dataloader.batch_size=4' in train
    assert plan.find('probe-val').command[1] == 'videomae'
    assert '--no-pretrained' not in plan.find('probe-val').command


def test_skipped_pose_takes_posec3d_with_it(tmp_path):
    plan = make_plan(plan_options(tmp_path, skip=('pose',)))
    assert not any(name.startswith(('pose', 'posec3d')) for name in names(plan))
    assert plan.left_out['pose'] == 'skipped'
    assert plan.left_out['posec3d-train'] == 'needs pose'
    assert plan.left_out['posec3d-test'] == 'needs posec3d-train'
    assert not any('posec3d' in word for word in plan.find('table-text').command)


def test_skeletons_of_the_data_need_no_pose(tmp_path):
    make_table_root(tmp_path / 'data')
    touch(tmp_path / 'data/skeletons/rec.npy')
    plan = make_plan(plan_options(tmp_path))
    assert plan.left_out == {'pose': f'{tmp_path}/data has skeletons'}


@pytest.mark.parametrize(
    ('info', 'skip', 'why'),
    [
        ({'packed': {'crf': 18}}, (), 'is packed already'),
        ({}, ('pack',), 'skipped: models read'),
    ],
)
def test_without_packing_models_read_the_data(tmp_path, info, skip, why):
    make_table_root(tmp_path / 'data', **info)
    plan = make_plan(plan_options(tmp_path, skip=skip))
    assert why in plan.left_out['pack']
    assert plan.root == tmp_path / 'data'
    assert str(plan.root) in plan.find('posec3d-train').command


def test_what_was_made_before_a_skip_is_used(tmp_path):
    options = plan_options(tmp_path, skip=('pack', 'pose', 'gctsm-train', 'probe'))
    out = tmp_path / 'out'
    for name in ('packed/dataset.json', 'packed/skeletons/rec.npy',
                 'gctsm/train/best_2.pth'):  # fmt: skip
        touch(out / name)
    for tag in ('indomain', 'zeroshot', 'fewshot', 'indomain-val'):
        touch(out / f'probes/videomae-tiny_mma82/linear/{tag}/results.json')
    plan = make_plan(options)
    assert plan.root == out / 'packed'
    assert set(plan.left_out) == {
        'pack', 'pose', 'gctsm-train', 'probe-test', 'probe-val'
    }  # fmt: skip
    table = plan.find('table-text').command
    assert sum('probes/' in word for word in table) == 4


@pytest.mark.parametrize(
    ('more', 'message'),
    [
        ({'preset': '4gpu'}, "unknown preset '4gpu'.*Did you mean '.gpu'"),
        ({'epochs': 0}, '--epochs 0: must be 1 or more'),
        ({'batch_size': 0}, '--batch-size 0: must be 1 or more'),
        ({'skip': ('gctms',)}, "unknown step of --skip 'gctms'.*Did you mean 'gctsm'"),
        ({'skip': ('probe', 'gctsm', 'posec3d')}, 'nothing is left to make a table of'),
    ],
)
def test_bad_options(tmp_path, more, message):
    with pytest.raises(ValueError, match=message):
        make_plan(plan_options(tmp_path, **more))


def test_a_plan_may_have_no_table(tmp_path):
    skip = ('probe', 'gctsm', 'posec3d', 'table')
    assert names(make_plan(plan_options(tmp_path, skip=skip))) == [
        'check', 'pack', 'pose'
    ]  # fmt: skip


@pytest.mark.parametrize('preset', list(PRESETS))
def test_every_command_is_one_that_its_tool_takes(tmp_path, preset):
    options = plan_options(
        tmp_path, preset=preset, runs=2, workers=2, epochs=3, amp=True,
        skip_broken=True, backend='rtmlib', models=tmp_path,
    )  # fmt: skip
    for step in make_plan(options).steps:
        name, *arguments = step.command
        module = importlib.import_module(f'mmma.cli.{name.replace("/", "_")}')
        parser = argparse.ArgumentParser(exit_on_error=False, allow_abbrev=False)
        module.add_arguments(parser)
        launcher = ['--launcher', 'pytorch'] if step.gpus > 1 else []
        assert parser.parse_known_args([*arguments, *launcher])[1] == []
