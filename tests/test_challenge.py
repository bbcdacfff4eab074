"""docs/challenge.md, command by command, on downloads of the released form."""

import csv
import io
import json
import shlex
import zipfile
from pathlib import Path

import numpy as np
import pose_backends
import pytest
from pages import commands
from video_files import make_video, moving_frames

from mmma.cli import main
from mmma.data.root import DataRoot
from mmma.evaluation.scores import ScoreTable, write_scores
from mmma.taxonomy import load_label_space

SMALL = {  # recipe of the page: one that two CPU cores train in seconds
    'configs/recog/videomae_mma82_indomain.py': 'recog/videomae-tiny_mma82_indomain',
    'configs/recog/posec3d_mma82_indomain.py': 'recog/skeletontcn-tiny_mma82_indomain',
    'configs/det/adatad_videomae-b_mma82.py': 'det/adatad_videomae-tiny_mma82',
}
QUICK = {
    'train': [
        'train_cfg.max_epochs=1',
        *(f'{subset}_dataloader.num_workers=0' for subset in ('train', 'val')),
    ],
    'test': ['test_dataloader.num_workers=0'],
}
TRAIN = [9, 9, 10, 24, 24, 48]
VAL = [9, 24, 48]
INSTANCES = {  # video: frames (10 per second), and what happens
    'train0000': (50, [(5, 20, 9), (12, 40, 21)]),
    'train0001': (60, [(30, 45, 48)]),
    'val0000': (50, [(8, 22, 9), (20, 40, 21)]),
}


def run(heading, capsys):
    """Run a chapter in the current folder; what each command tells, by its name.

    Names of tests end in the file that they dump.
    """
    told = {}
    for name, argv in commands('challenge.md', heading):
        small = [SMALL.get(a, a) for a in argv]
        small += ['--cfg-options', *QUICK[name]] if name in QUICK else []
        small += ['--no-pretrained'] if name == 'train' else []
        status = main(name, small)
        captured = capsys.readouterr()
        assert status == 0, f'{name} {shlex.join(argv)}\n{captured.err[-3000:]}'
        dump = Path(argv[-1]).stem if name == 'test' else ''
        told[f'{name} {dump}'.strip()] = captured.out + captured.err
    return told


def read_skeletons(root):
    """Names in the skeleton store."""
    with (Path(root) / 'skeletons' / 'rec_index.csv').open() as file:
        return [row['name'] for row in csv.DictReader(file)]


def rows_of(path):
    with zipfile.ZipFile(path) as archive:
        text = archive.read('prediction.csv').decode()
    return list(csv.reader(io.StringIO(text)))


def download_ma52(folder):
    """Three lists, as released, and a dozen videos."""
    names = {
        'train': [f'{i // 2:04}_01_{i:04}' for i in range(len(TRAIN))],
        'val': [f'{i:04}_01_{i + 90:04}' for i in range(len(VAL))],
        'test': [f'test{i:04}' for i in range(3)],
    }
    labels = {'train': TRAIN, 'val': VAL, 'test': [0, 0, 0]}
    for subset, own in names.items():
        lines = [f'{n}.mp4 {i}\n' for n, i in zip(own, labels[subset], strict=True)]
        path = folder / f'{subset}_list_videos.txt'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(''.join(lines).removesuffix('\n'))
        for seed, name in enumerate(own):
            frames = moving_frames(20, 96, 80, seed + 10 * len(subset))
            make_video(folder / subset / f'{name}.mp4', frames, 30)
    return names


def download_mma52(folder):
    header = 'id,video_id,start_frame,end_frame,class,total_frames,fps\n'
    tables = {'train': [], 'val': [], 'test': []}
    for name, (frames, found) in INSTANCES.items():
        rows = tables[name.rstrip('0123456789')]
        rows += [(name, *instance, frames, '10.0') for instance in found]
    tables['test'] = [(f'test{i:04}', 0, 20, i + 1, 40, 10) for i in range(4)]
    for subset, rows in tables.items():
        lines = [','.join(map(str, (i, *row))) for i, row in enumerate(rows)]
        (folder / subset).mkdir(parents=True)
        (folder / f'{subset}.csv').write_text(header + '\n'.join(lines))
        for name, frames in {row[0]: row[4] for row in rows}.items():
            made = moving_frames(frames, 96, 80, len(name))
            make_video(folder / subset / f'{name}.mp4', made, 10)


def test_recognition_from_the_download_to_a_zip(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    pose_backends.use_fake(monkeypatch)
    names = download_ma52(tmp_path / 'downloads' / 'ma52')
    told = run('Recognition', capsys)
    for root in ('ma52', 'ma52-person', 'ma52-hands'):
        clips = DataRoot(f'data/{root}').read_rec()
        assert [c.clip for c in clips if c.action is None] == names['test']
        assert {c.clip for c in clips} == set(read_skeletons(f'data/{root}'))
    assert [p.name for p in Path('work_dirs/mac').glob('*/best_*')] == [
        'best_F1_mean_epoch_1.pth',
        'best_F1_mean_epoch_1.pth',
    ]
    assert 'share all 186 subjects' in told['test person_val']
    assert 'F1_mean' in told['evaluate']
    submit = 'next: python tools/submit.py mac2026 work_dirs/mac/pose_test.npz'
    assert submit in told['test pose_test']
    assert 'metrics are of the val clips' in told['fuse']
    assert 'names as in downloads/ma52/test_list_videos.txt' in told['submit']
    header, *rows = rows_of('work_dirs/mac/submission.zip')
    assert header[:2] == ['vid', 'action_pred_1']
    assert [row[0] for row in rows] == [f'{name}.mp4' for name in names['test']]


def test_detection_from_the_download_to_a_zip(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    download_mma52(tmp_path / 'downloads' / 'mma52')
    told = run('Detection', capsys)
    assert 'the truth of its 4 videos is withheld' in told['data/convert']
    assert [p.name for p in Path('work_dirs/mac/det').glob('best_*')] == [
        'best_action_mAP_epoch_1.pth'
    ]
    assert '4 of 4 videos have no truth' in told['test det_test']
    header, *rows = rows_of('work_dirs/mac/submission_det.zip')
    assert header == ['ID', 'video-id', 't-start', 't-end', 'label', 'score']
    assert {row[1] for row in rows} == {f'test{i:04}' for i in range(4)}


def test_the_released_lists(shared_data, tmp_path, capsys):
    """No videos are there: what is converted has names, and a zip of them is taken."""
    if not (shared_data / 'mma52').is_dir():
        pytest.skip('no lists of MA-52 and MMA-52')
    for kind, count in (('ma52', 5586), ('mma52', 519)):
        root, zipped = tmp_path / kind, str(tmp_path / f'{kind}.zip')
        assert main('data/convert', [kind, str(shared_data / kind), str(root)]) == 0
        if kind == 'ma52':
            own, listed = DataRoot(root).read_rec(), 'test_list_videos.txt'
            names = [c.clip for c in own if c.subset == 'test' and c.action is None]
            pred = tmp_path / 's.npz'
            scores = np.random.default_rng(0).dirichlet(np.ones(52), len(names))
            write_scores(pred, ScoreTable(tuple(names), scores), load_label_space(kind))
        else:
            own, listed = DataRoot(root).read_det(), 'test.csv'
            names = [v.video for v in own if v.subset == 'test' and v.withheld]
            pred = tmp_path / 'd.json'
            one = [{'segment': [0, 1], 'label': 0, 'score': 0.5}]
            pred.write_text(json.dumps({'results': dict.fromkeys(names, one)}))
        expect = ['--expect', str(shared_data / kind / listed)]
        assert main('submit', ['mac2026', str(pred), zipped, *expect]) == 0
        assert len(names) == count == len(rows_of(zipped)) - 1
        assert 'warning' not in capsys.readouterr().err
