"""Names for notebooks."""

import sys

import numpy as np
import pytest
import torch
from inference_models import make_checkpoint
from matplotlib import pyplot

import mmma
from mmma.apis import Results
from mmma.config import config_folders
from mmma.data.joints import WHOLEBODY65
from mmma.engine.findings import Answer, Finding, ModelCard
from mmma.evaluation.reports import read_results
from mmma.media.pose import Partial


def test_a_data_set_of_a_config(video_root):
    name = 'recog/gctsm-tiny_mma82_indomain.py'
    cfg = mmma.load_config(name, data_root=str(video_root))
    for subset in ('train', 'val', 'test'):
        dataset = mmma.build_dataset(cfg, subset)
        assert len(dataset)
        assert set(dataset[0]) == {'inputs', 'data_samples'}
    with pytest.raises(ValueError, match="unknown subset 'tset'"):
        mmma.build_dataset(cfg, 'tset')


def test_names_of_the_package_are_those_for_notebooks(video_root):
    assert mmma.read_root(video_root).has_rec
    names = {
        'load_config',
        'build_dataset',
        'recognize',
        'detect',
        'open_model',
        'train',
    }
    assert names | {'test', 'evaluate', 'from_pretrained'} <= set(dir(mmma))
    assert all(callable(getattr(mmma, name)) for name in mmma._NAMES)
    with pytest.raises(AttributeError, match="no attribute 'recognise'"):
        _ = mmma.recognise


RGB = 'gctsm-tiny_mma82_zeroshot-simulated'
SKELETON = 'skeletontcn-tiny_mma82_zeroshot-simulated'
DETECTOR = 'skeletondet-tiny_mma82-simulated'


def plain(name, **options):
    with pytest.warns(UserWarning, match='trained on simulated people'):
        return mmma.from_pretrained(name, **options)


def skeletons(frames, persons=1):
    joints = np.zeros((frames, persons, len(WHOLEBODY65.names), 3), np.int16)
    joints[..., :2] = np.arange(frames)[:, None, None, None] + 100
    joints[..., 2] = 100
    return Partial(joints, 25.0, 640, 480)


def test_a_plain_module_of_pictures(video_root):
    model = plain(RGB)
    assert type(model).__mro__[1] is torch.nn.Module
    video = next(video_root.glob('videos/**/lab*.mp4'))
    inputs = model.transform(video)  # (frames, channels, height, width)
    assert inputs.shape == (8, 3, 64, 64)
    scores = model(torch.stack([inputs, inputs]))
    assert scores.shape == (2, len(model.classes))
    scores.max().backward()
    assert model.model.backbone.conv1.conv.weight.grad is not None
    found = mmma.recognize(video, RGB, allow_simulated=True, device='cpu').answer
    assert model.classes[scores[0].argmax()] == found.action
    assert scores[0].max().item() == pytest.approx(found.score, abs=1e-5)
    with pytest.raises(ValueError, match='sees RGB: give a file, not skeletons'):
        model.transform(skeletons(9))
    with pytest.raises(FileNotFoundError, match=r'none\.mp4'):
        model.transform('none.mp4')


def test_plain_modules_of_joints_need_no_mediapipe(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'mediapipe', None)
    model = plain(SKELETON)
    inputs = model.transform(skeletons(30))
    assert inputs.shape == (1, 1, 48, 31, 4)  # views, persons, frames, joints, channels
    assert model(inputs[None]).sum().item() == pytest.approx(1)
    windows = plain(DETECTOR).transform(skeletons(2000))
    assert windows.shape[1:] == (1, 256, 31, 4)
    assert len(windows) > 1
    found = plain(DETECTOR)(windows)
    assert found['cls'].shape[:2] == (len(windows), 82)
    config = 'configs/recog/posec3d-tiny_mma82_indomain.py'
    heatmaps = mmma.from_pretrained(make_checkpoint(tmp_path / 'a.pth', config))
    assert heatmaps(heatmaps.transform(skeletons(30))[None]).shape == (1, 82)
    with pytest.raises(ValueError, match='names no actions'):
        mmma.from_pretrained('resnet50-0676ba61')


def test_train_test_and_evaluate(video_root, tmp_path, capsys):
    place = {'data_root': str(video_root), 'work_dir': str(tmp_path / 'run')}
    name = 'gctsm-tiny_mma82_indomain'
    small = ['train_dataloader.batch_size=2', 'train_dataloader.num_workers=0']
    small += [f'{s}_dataloader.num_workers=0' for s in ('val', 'test')]
    run = mmma.train(name, cfg_options=small, fast_dev_run=True, **place)
    cfg = mmma.load_config(name, 'indomain', place['data_root'], small)
    dump = tmp_path / 'scores.npz'
    results = mmma.test(cfg, run, dump=str(dump), work_dir=place['work_dir'])
    assert 'written to ' in capsys.readouterr().out
    told = results['runs'][0]['metrics']
    report = mmma.evaluate('rec', video_root, dump, subset='test', resamples=0)
    assert report['action/top1'] == pytest.approx(told['action/top1'])
    with pytest.raises(ValueError, match='this config is loaded: give its options to'):
        mmma.test(cfg, run, protocol='zeroshot')
    with pytest.raises(ValueError, match=r"'subst'.* Did you mean 'subset'"):
        mmma.test(cfg, run, subst='val')
    with pytest.raises(ValueError, match=r"'fast_dev'.* Did you mean 'fast_dev_run'"):
        mmma.train(cfg, fast_dev=True)
    with pytest.raises(ValueError, match=r"'resample'.* Did you mean 'resamples'"):
        mmma.evaluate('rec', video_root, dump, resample=0)
    with pytest.raises(ValueError, match="unknown task 'emotion'"):
        mmma.evaluate('emotion', video_root, dump)
    assert len(mmma.build_dataset(cfg, 'test')) == results['runs'][0]['counts']['clips']


def test_a_command_is_run_or_raises(video_root, tmp_path, capfd):
    sheet = tmp_path / 'sheet.png'
    mmma.command('data/preview', mmma.read_root(video_root), '--out', sheet)
    assert capfd.readouterr().out.startswith(f'{sheet}: ')
    with pytest.raises(ValueError, match='mmma report failed: it says why above'):
        mmma.command('report', tmp_path / 'none.json', '--out', tmp_path / 'a.html')
    assert 'none.json' in capfd.readouterr().out


def bars_of(shown, *metrics):
    """Lanes and texts of what is drawn, and the label of its axis."""
    ax = shown.plot(*metrics)
    lanes = [label.get_text() for label in ax.get_yticklabels()]
    texts = [text.get_text().strip() for text in ax.texts]
    pyplot.close('all')
    return lanes, texts, ax.get_xlabel()


def test_results_as_tables_and_pictures(monkeypatch):
    file = config_folders()[0].parent / 'zoo' / DETECTOR / 'results.json'
    results = Results(read_results(file))
    lanes, texts, label = bars_of(results)
    assert lanes == ['all', 'lab', 'psychiatric', 'street', 'emotion']
    values = [row['metrics']['action/mAP'] for row in results['runs']]
    assert texts == [f'{value:.1f}' for value in values]
    assert label == 'action/mAP (%), simulated data'
    two = 'AVG', 'body/mAP'
    lanes_of_two, texts, label = bars_of(results, *two)
    assert label == 'AVG, body/mAP (%), simulated data'
    assert lanes_of_two[:3] == ['all, AVG', 'all, body/mAP', 'lab, AVG']
    assert texts[1] == f'{results["runs"][0]["metrics"]["body/mAP"]:.1f}'
    with pytest.raises(ValueError, match=r"unknown metric 'AVH'.* Did you mean 'AVG'"):
        results.plot('AVH')
    pytest.importorskip('pandas')
    table = results.to_frame()
    assert table['domain'].tolist() == lanes
    assert table['simulated'].all()
    low, high = results['runs'][0]['intervals']['bounds']['AVG']
    assert (table['AVG low'][0], table['AVG high'][0]) == (low, high)
    groups = results.to_frame('body')
    assert groups['domain'].unique().tolist() == lanes
    told = results['runs'][0]['per_class']['body']
    assert groups[groups.domain == 'all']['AP'].tolist() == told['AP']
    with pytest.raises(ValueError, match=r"unknown level 'bodi'.* Did you mean 'body'"):
        results.to_frame('bodi')
    assert table['action/mAP'].tolist() == values
    assert {'videos', 'instances', 'body/mAP@0.50'} <= set(table)
    monkeypatch.setitem(sys.modules, 'pandas', None)
    with pytest.raises(ValueError, match='needs pandas: pip install pandas'):
        results.to_frame()


@pytest.mark.parametrize('task', ['rec', 'det'])
def test_answers_as_tables_and_pictures(task):
    card = ModelCard('m', task, 'RGB', '', '', '', 'mma82', 'toy', True, None)
    found = [
        Finding(1.0, 2.5, 'a $x$', 'head', 0.75),
        Finding(2.0, 3.0, 'b', 'head', 0.5),
    ]
    answer = Answer(card, {}, tuple(found), (), False, 0.1)
    lanes, texts, label = bars_of(answer)
    assert (lanes, texts) == ([r'a \$x\$', 'b'], ['0.75', '0.50'])
    assert 'by simulated weights' in label
    pytest.importorskip('pandas')
    table = answer.to_frame()
    assert table['score'].tolist() == [0.75, 0.5]
    assert table['simulated'].all()
