import pytest
import torch
from pose_backends import use_fake
from real_runs import make_table_root, real_args

from mmma import estimates
from mmma.data.root import DataRoot
from mmma.estimates import estimate, estimate_steps, measure_part, plan_table
from mmma.workflow import Workflow, only_run

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
COUNTS = {
    ('train', True): 100, ('train', False): 20, ('val', True): 30,
    ('val', False): 10, ('test', True): 30, ('test', False): 10,
}  # fmt: skip


def workflow(tmp_path, *words, **more):
    with only_run(tmp_path / 'out') as lock:
        return Workflow(real_args(tmp_path, *words, **more), lock)


def of(tmp_path, name, measured=MEASURED, cores=2, **more):
    steps = workflow(tmp_path, **more).steps
    step = next(step for step in steps if step.name == name)
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
    assert found[0] == size
    assert found[1] == pytest.approx(seconds)


def test_gpus_load_beside_and_share_the_work(tmp_path):
    part = {**RECIPE, 'device': 'A GPU', 'val_interval': 10}
    measured = {**MEASURED, 'gctsm': part}
    found = of(tmp_path, 'gctsm-train', measured, 64, preset='8gpu')
    per_clip = max(0.3 / 8, 0.4 / 32)
    assert found[1] == pytest.approx(1200 * per_clip + 40 * 0.1 / 8)
    assert found[2:] == (512, 'steps of 8 clips on A GPU, 10 epochs')


def test_what_is_unknown_says_why(tmp_path):
    without = {**MEASURED, 'pose': {'failure': 'not installed'}}
    assert of(tmp_path, 'pose', without) == (None, None, None, 'not installed')
    assert of(tmp_path, 'pack', {'data': {'failure': 'no videos'}})[3] == 'no videos'
    assert of(tmp_path, 'pack', {})[3] == 'not measured'
    assert of(tmp_path, 'table-text') == (0, None, None, 'seconds')


def test_the_table(tmp_path):
    flow = workflow(tmp_path, '--skip', 'pose')
    text = plan_table(flow, {'pack': (2.5e9, 7200, 1024, 'measured')}, flow.steps[1:])
    lines = [' '.join(line.split()) for line in text.splitlines()]
    assert '| 1 | check | – | – | – | done before |' in lines
    assert '| 2 | pack | 2.5 GB | 2 h 0 min | 1.0 GiB | measured |' in lines
    assert '| 3 | probe-test | – | – | – | |' in lines
    assert '| | known in all | 2.5 GB | 2 h 0 min | | |' in lines
    assert 'left out: pose (skipped)' in lines
    assert any(line.startswith('2 python -m mmma data/pack') for line in lines)


def test_measured_once_and_again_where_it_failed(tmp_path, monkeypatch):
    asked = []

    def measure(request):
        asked.append(request['part'])
        bad = request['part'] == 'pose' and asked.count('pose') == 1
        found = {'data': MEASURED['data'], 'pose': {'pose': 1}, 'recipe': RECIPE}
        return {'failure': 'x'} if bad else found[request['part']]

    monkeypatch.setattr(estimates, 'measure_part', measure)
    flow = workflow(tmp_path)
    found = estimate_steps(flow, flow.steps)
    assert asked == ['data', 'pose', 'recipe', 'recipe', 'recipe']
    assert found['pose'][3] == 'x'
    again = estimate_steps(flow, flow.steps)
    assert asked[5:] == ['data', 'pose']
    assert again['gctsm-train'] == found['gctsm-train']
    assert again['pose'][1] > 0
    estimate_steps(flow, flow.steps)
    assert len(asked) == 7
    assert estimate_steps(flow, flow.steps[-2:]) == {}


@pytest.fixture(scope='module')
def measured(video_root, tmp_path_factory):
    """Folder of a sample and of the packed sample, and what was measured of it."""
    folder = tmp_path_factory.mktemp('sample')
    places = {'sample': str(folder / 'source'), 'packed': str(folder / 'packed')}
    return folder, measure_part({'part': 'data', 'data': str(video_root), **places})


@pytest.fixture
def sample(measured):
    return measured[0] / 'source'


def test_a_sample_is_a_root_of_few_clips(video_root, sample):
    clips = DataRoot(sample).read_rec()
    assert len(clips) == estimates.SAMPLE
    assert len({clip.domain for clip in clips}) > 1
    assert {clip.subset for clip in clips} == {'train'}
    for clip in clips:
        copy = DataRoot(sample).video_path(clip.path)
        assert copy.read_bytes() == (video_root / clip.path).read_bytes()


def test_looking_and_packing(measured, video_root, tmp_path):
    folder, found = measured
    assert DataRoot(folder / 'packed').info.packed
    assert (found['clips'], found['frames'] > 1) == (estimates.SAMPLE, True)
    assert min(found['look'], found['pack'], found['packed_bytes']) > 0
    found = estimates.measure_data(str(video_root), str(tmp_path / 'a'), packed=False)
    assert 'pack' not in found


def test_poses(sample, monkeypatch):
    use_fake(monkeypatch)
    assert estimates.measure_pose(str(sample), 'mediapipe', None)['pose'] > 0
    assert not DataRoot(sample).has_skeletons('rec')


def test_recipes(sample):
    torch.set_num_threads(1)
    options = ['train_cfg.max_epochs=3', 'train_dataloader.batch_size=2',
               'test_dataloader.batch_size=2']  # fmt: skip
    for recipe in ('gctsm-tiny', 'posec3d-tiny'):
        config = f'recog/{recipe}_mma82_indomain'
        found = estimates.measure_recipe(config, str(sample), options)
        assert (found['epochs'], found['batch_size'], found['device']) == (3, 2, 'CPU')
        assert min(found[key] for key in ('train', 'load', 'test', 'test_load')) > 0
        assert found['mib'] > 50
        assert found['params'] > 1000


def test_a_failure_is_told_in_one_line(tmp_path):
    data = str(make_table_root(tmp_path / 'data'))
    request = {'part': 'data', 'data': data, 'sample': str(tmp_path / 's')}
    request['packed'] = False
    expected = f'{data}: no clip of rec.csv has a video that is there'
    assert measure_part(request) == {'failure': expected}
    slow = measure_part(request, timeout_sec=0.01)
    assert slow == {'failure': 'took longer than 0 s'}
