import pytest
from real_runs import make_table_root, plan_options

from mmma.cli import real_estimate
from mmma.cli.real_estimate import Counts, Estimate, check_disk, estimate, plan_table
from mmma.cli.real_plan import make_plan
from mmma.data.root import DataRoot

RECIPE = {
    'device': 'CPU', 'epochs': 10, 'val_interval': 4, 'loaders': 4, 'batch_size': 8,
    'params': 1000, 'features': 16, 'load': 0.4, 'test_load': 0.2, 'train': 0.3,
    'test': 0.1, 'mib': 512.0,
}  # fmt: skip
MEASURED = {
    'data': {'clips': 4, 'frames': 50, 'look': 2.0, 'pack': 3.0, 'packed_bytes': 1000},
    'pose': {'pose': 0.1},
    'gctsm-tiny': RECIPE,
    'videomae-tiny': RECIPE,
}
COUNTS = Counts({
    ('train', 'lab'): 100, ('train', 'street'): 20, ('val', 'lab'): 30,
    ('val', 'street'): 10, ('test', 'lab'): 30, ('test', 'street'): 10,
})  # fmt: skip


def of(tmp_path, name, measured=MEASURED, cores=2, **more):
    step = make_plan(plan_options(tmp_path, **more)).find(name)
    return estimate(step, COUNTS, measured, cores)


@pytest.mark.parametrize(
    ('name', 'size', 'seconds'),
    [
        ('check', 0, 200 * 2 / 2),
        ('pack', 200 * 1000, 200 * 3 / 2),
        ('pose', 2 * 200 * 50 * 390, 200 * 50 * 0.1 / 2),
        # A clip is computed and loaded in turns, by two loaders; val in 3 epochs of 10.
        ('gctsm-train', 16000, 10 * 120 * (0.3 + 0.2) + 3 * 40 * (0.1 + 0.1)),
        ('gctsm-lab', 16000, 10 * 100 * (0.3 + 0.2) + 3 * 30 * (0.1 + 0.1)),
        ('gctsm-val', 0, 40 * 0.2),
        ('gctsm-zeroshot', 0, 10 * 0.2),
        ('gctsm-fewshot', 0, (20 + 10) * 0.2),
        ('probe-test', 200 * 16 * 4, 200 * 0.2),
        ('probe-val', 0, 0),
    ],
)
def test_by_hand(tmp_path, name, size, seconds):
    found = of(tmp_path, name)
    assert found.bytes == size
    assert found.seconds == pytest.approx(seconds)


def test_gpus_load_beside_and_share_the_work(tmp_path):
    part = {**RECIPE, 'device': 'A GPU', 'val_interval': 10}
    measured = {**MEASURED, 'gctsm': part}
    found = of(tmp_path, 'gctsm-train', measured, 64, preset='8gpu')
    per_clip = max(0.3 / 8, 0.4 / 32)
    assert found.seconds == pytest.approx(1200 * per_clip + 40 * 0.1 / 8)
    assert found.how == 'steps of 8 clips on A GPU, 10 epochs'
    assert found.mib == 512


def test_what_is_unknown_says_why(tmp_path):
    without = {**MEASURED, 'pose': {'failure': 'not installed'}}
    found = of(tmp_path, 'pose', without)
    assert found == Estimate(how='not installed')
    assert of(tmp_path, 'pack', {'data': {'failure': 'no videos'}}).how == 'no videos'
    assert of(tmp_path, 'pack', {}).how == 'not measured'


def test_counts_of_a_table(tmp_path):
    clips = DataRoot(make_table_root(tmp_path)).read_rec()
    counts = Counts.read(clips)
    found = counts.number(), counts.number('train'), counts.number(None, ['street'])
    assert found == (3, 1, 1)


def test_the_table(tmp_path):
    plan = make_plan(plan_options(tmp_path, skip=('pose',)))
    known = {'pack': Estimate(2.5e9, 7200, 1024, 'measured')}
    text = plan_table(plan, known, ['check'])
    lines = [' '.join(line.split()) for line in text.splitlines()]
    assert '| 1 | check | – | – | – | done before |' in lines
    assert '| 2 | pack | 2.5 GB | 2 h 0 min | 1.0 GiB | measured |' in lines
    assert '| 3 | probe-test | – | – | – | |' in lines
    assert '| | known in all | 2.5 GB | 2 h 0 min | | |' in lines
    assert 'left out: pose (skipped)' in lines
    assert any(line.startswith('2 python -m mmma data/pack') for line in lines)


def test_a_small_disk(tmp_path):
    check_disk(tmp_path, 1000)
    with pytest.raises(ValueError, match=r'about 1,000,000,000.0 GB are needed'):
        check_disk(tmp_path, 1e18)


def test_measured_once_and_again_where_it_failed(tmp_path, monkeypatch):
    asked = []

    def measure_part(request):
        asked.append(request['part'])
        bad = request['part'] == 'pose' and asked.count('pose') == 1
        return {'failure': 'x'} if bad else {'found': len(asked)}

    monkeypatch.setattr(real_estimate, 'measure_part', measure_part)
    options = plan_options(tmp_path)
    plan = make_plan(options)
    found = real_estimate.measure(plan, options)
    assert asked == ['sample', 'data', 'pose', 'recipe', 'recipe', 'recipe']
    assert set(found) == {
        'sample', 'data', 'pose', 'videomae-tiny', 'gctsm-tiny', 'posec3d-tiny'
    }  # fmt: skip
    again = real_estimate.measure(plan, options)
    assert asked[6:] == ['sample', 'data', 'pose']
    assert again['gctsm-tiny'] == found['gctsm-tiny']
    real_estimate.measure(plan, options)
    assert len(asked) == 9
