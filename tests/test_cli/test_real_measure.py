import pytest
import torch
from pose_backends import use_fake

from mmma.cli import real_measure
from mmma.data.root import DataRoot


@pytest.fixture(scope='module')
def sample(video_root, tmp_path_factory):
    folder = tmp_path_factory.mktemp('sample') / 'source'
    found = real_measure.make_sample(str(video_root), str(folder))
    assert found['clips'] == real_measure.SAMPLE
    return folder


def test_a_sample_is_a_root_of_few_clips(video_root, sample):
    clips = DataRoot(sample).read_rec()
    assert len({clip.domain for clip in clips}) > 1
    assert {clip.subset for clip in clips} == {'train'}
    for clip in clips:
        copy = DataRoot(sample).video_path(clip.path)
        assert copy.read_bytes() == (video_root / clip.path).read_bytes()


def test_looking_and_packing(sample, tmp_path):
    packed = tmp_path / 'packed'
    found = real_measure.measure_data(str(sample), str(packed), pack=True)
    assert DataRoot(packed).info.packed
    assert found['frames'] > 1
    assert min(found['look'], found['pack'], found['packed_bytes']) > 0
    found = real_measure.measure_data(str(sample), str(packed), pack=False)
    assert 'pack' not in found


def test_poses(sample, monkeypatch):
    use_fake(monkeypatch)
    assert real_measure.measure_pose(str(sample), 'mediapipe', None)['pose'] > 0
    assert not DataRoot(sample).has_skeletons('rec')


@pytest.mark.parametrize('recipe', ['gctsm-tiny', 'posec3d-tiny'])
def test_a_recipe(sample, recipe):
    torch.set_num_threads(1)
    options = ['train_cfg.max_epochs=3', 'train_dataloader.batch_size=2',
               'test_dataloader.batch_size=2']  # fmt: skip
    config = f'recog/{recipe}_mma82_indomain'
    found = real_measure.measure_recipe(config, str(sample), options)
    assert (found['epochs'], found['batch_size'], found['device']) == (3, 2, 'CPU')
    times = [found[key] for key in ('train', 'load', 'test', 'test_load')]
    assert min(times) > 0
    assert found['mib'] > 50
    assert found['params'] > 1000


def test_a_part_runs_in_a_process_of_its_own(video_root, tmp_path):
    request = {'part': 'sample', 'data': str(video_root), 'folder': str(tmp_path / 's')}
    assert real_measure.measure_part(request)['clips'] == real_measure.SAMPLE


def test_a_failure_is_told_in_one_line(tmp_path):
    (tmp_path / 'dataset.json').write_text(
        '{"name": "x", "label_space": "mma82", "simulated": true}'
    )
    row = 'clip,path,subset,domain,subject,action,body\na,videos/a.mp4,val,lab,s,0,\n'
    (tmp_path / 'rec.csv').write_text(row)
    request = {'part': 'sample', 'data': str(tmp_path), 'folder': str(tmp_path / 's')}
    found = real_measure.measure_part(request)
    expected = f'{tmp_path}: no clip of rec.csv has a video that is there'
    assert found == {'failure': expected}
    slow = real_measure.measure_part(request, timeout_sec=0.01)
    assert slow == {'failure': 'took longer than 0 s'}
