"""Every command that works long or writes: how it is called, on what, and what it says.

``{given}`` is a folder of inputs that no command changes, ``{out}`` one of its own.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
PATH = os.pathsep.join(map(str, (REPOSITORY, HERE.parent)))
HEAVY = (
    *('mmma.engine.train', 'mmma.engine.test', 'mmma.engine.features'),
    *('mmma.engine.infer', 'mmma.hub.publish', 'mmma.media.pack', 'mmma.media.pose'),
    *('mmma.media.face', 'face_networks'),
    *('mmma.simulation.corpus', 'mmma.simulation.planner', 'mmma.convert'),
    *('mmma.data.leakage', 'mmma.evaluation.reports', 'mmma.reporting.submission'),
    *('mmma.reporting.paper', 'mmma.datasets.windows', 'mmma.models.detector'),
    *('mmma.reporting.report', 'mmma.reporting.pages', 'matplotlib.figure'),
    *('mmma.cli.train', 'mmma.cli.real', 'pose_backends', 'cv2', 'av', 'scipy.stats'),
)
LEAF = 'configs/recog/skeletontcn-tiny_mma82_indomain.py'
FEW = [
    'train_dataloader.batch_size=32',
    'train_cfg.max_epochs=1',
    'train_cfg.val_interval=1',
]
LOADERS = [
    f'{part}_dataloader.{key}'
    for part in ('train', 'val', 'test')
    for key in ('num_workers=1', 'persistent_workers=True')
]
MODEL = 'skeletontcn-tiny_mma82_zeroshot-simulated'
SAME = 'the same command goes on'


@dataclass(frozen=True)
class Command:
    """A command that is tried.

    Attributes:
        words: Its name and arguments.
        goes_on: What it says about going on when it is interrupted.
        copy: Folder of the inputs that ``{out}`` starts as.
        env: Of its process.
        serves: It does not end by itself: tests/faults/test_annotate.py ends it.
    """

    words: tuple[str, ...]
    goes_on: str = ''
    copy: str = ''
    env: tuple[tuple[str, str], ...] = ()
    serves: bool = False


def _command(line: str, goes_on: str = '', copy: str = '', **env: str) -> Command:
    return Command(tuple(line.split()), goes_on, copy, tuple(env.items()))


_CFG = ['--cfg-options', *FEW, *LOADERS]
COMMANDS = {
    'simulate': _command(
        'data/simulate {out}/new --scale tiny --tasks rec --modality both --videos 8 '
        '--workers 2', SAME,
    ),
    'pack': _command('data/pack {given}/videos {out}/new --workers 2', SAME),
    'pose': _command('data/pose {out} --backend mediapipe --workers 2', SAME, 'videos'),
    'face': _command('data/face {out} --workers 0', SAME, 'videos'),
    'convert': _command('data/convert ma52 {given}/ma52 {out}/new --videos copy', SAME),
    'annotations': _command('data/convert csv {given}/events.csv {out}/new', SAME),
    'export': _command('export textgrid {given}/events.csv {out}/new'),
    'summarize': _command('summarize {given}/events.csv --out {out}/new'),
    'features': _command(
        'data/features {out} videomae-tiny --no-pretrained --task rec --cfg-options '
        'test_dataloader.num_workers=0 test_dataloader.persistent_workers=False',
        SAME, 'videos',
    ),
    'train': _command(
        f'train {LEAF} --data-root {{given}}/root --work-dir {{out}}/new '
        + ' '.join(_CFG), '--resume',
    ),
    'test': _command(
        f'test {LEAF} ' '{given}/run/best_action_top1_epoch_1.pth '
        '--data-root {given}/root --work-dir {out}/new --out {out}/r.json '
        '--dump {out}/s.npz ' + ' '.join(_CFG),
    ),
    'infer': _command(
        'infer {given}/seen --det {given}/det.pth --out {out}/new --allow-simulated '
        '--page --draw',
        SAME,
    ),
    'report': _command(
        'report {given}/a/results.json --out {out}/r.html --figures {out}/new '
        '--data-root {given}/tables'
    ),
    'stats': _command('data/stats {given}/videos --out {out}/new --workers 2'),
    'browse': _command(
        f'data/browse {LEAF} ' '--data-root {given}/root --out {out}/s.png'
    ),
    'fuse': _command(
        'fuse {given}/a/scores.npz {given}/b/scores.npz --out {out}/fused.npz --gt '
        '{given}/tables',
    ),
    'evaluate': _command(
        'evaluate rec --pred {given}/a/scores.npz --gt {given}/tables --confusions '
        '{out}/c.png',
    ),
    'publish': _command('publish_model {given}/run --out {out}/zoo --force'),
    'download': _command(
        f'download {MODEL} --dest {{out}}/new', SAME, MMMA_ZOO_URL='{given}/zoo'
    ),
    'real': _command(
        'real {given}/tables --out {out}/new --preset cpu-small --no-estimate', SAME,
        CALLS='{out}/calls',
    ),
    'submit': _command('submit mac2025 {given}/ma52.npz {out}/s.zip'),
    'table': _command('table {given}/a/results.json --out {out}/t.txt'),
    'check': _command(
        'data/check {given}/videos --decode --leakage --json {out}/c.json --workers 2',
        MMMA_HOME='{out}/home',
    ),
    'annotate': Command(('annotate', '{out}'), copy='videos', serves=True),
}  # fmt: skip
ENDING = [name for name, command in COMMANDS.items() if not command.serves]


class Warm:
    """A process that has imported everything.

    Args:
        folder: For what commands print.
        mounts: Give it a view of the file system of its own.
    """

    def __init__(self, folder: Path, mounts: bool = False) -> None:
        self.folder, self.mounts = folder, mounts
        ahead = ['unshare', '-rm'] if mounts else []
        self._process = subprocess.Popen(
            [*ahead, sys.executable, str(HERE / 'warm.py'), *HEAVY],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY,
            env={**os.environ, 'PYTHONPATH': PATH, 'OMP_NUM_THREADS': '1'},
        )  # fmt: skip
        if not self._read():
            raise OSError('it did not start')

    def _read(self) -> Any:
        line = self._process.stdout.readline()
        return json.loads(line) if line else None

    def ask(self, kind: str, content: Any) -> Any:
        """Answer of the process."""
        print(json.dumps([kind, content]), file=self._process.stdin, flush=True)
        return self._read()

    def run(self, *requests: dict) -> list[dict]:
        """Run commands made by :func:`request`."""
        told = [
            {**one, **{n: str(self.folder / f'{n}{i}') for n in ('stdout', 'stderr')}}
            for i, one in enumerate(requests)
        ]
        return self.ask('run', told)

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()


def request(name: str, given: Path, out: Path, **more: Any) -> dict:
    """A command as ``Warm`` takes it."""
    command = COMMANDS[name]
    places = {'given': str(given), 'out': str(out)}
    return {
        'argv': [word.format(**places) for word in command.words],
        'env': {k: v.format(**places) for k, v in command.env},
        'backends': {'mediapipe': 'pose_backends'},
        'executable': str(given / 'fake') if name == 'real' else sys.executable,
        **more,
    }


def start_folder(name: str, given: Path, out: Path) -> Path:
    """Make ``{out}`` as the command finds it."""
    shutil.rmtree(out, ignore_errors=True)
    if COMMANDS[name].copy:
        shutil.copytree(given / COMMANDS[name].copy, out)
    else:
        out.mkdir(parents=True)
    return out


def make_given(folder: Path, warm: Warm) -> Path:
    """Inputs of all commands."""
    import numpy as np
    import real_runs
    import zoo_runs
    from inference_models import RECIPES, make_checkpoint
    from result_files import make_rec_root, write_model
    from video_files import make_video, make_video_root, moving_frames

    from mmma.evaluation.scores import ScoreTable, write_scores
    from mmma.taxonomy import load_label_space

    make_video_root(folder / 'videos', clips=2)
    (folder / 'ma52').mkdir()
    names = [f'0003_01_{i:04d}.mp4' for i in range(20)]
    lines = ''.join(f'{name} {i}\n' for i, name in enumerate(names))
    (folder / 'ma52/train_list_videos.txt').write_text(lines)
    for i, name in enumerate(names):
        make_video(folder / 'ma52/train' / name, moving_frames(8, 32, 40, i))
    for i in range(3):
        make_video(folder / f'seen/{i}.mp4', moving_frames(40, 32, 40, i))
    with contextlib.redirect_stderr(io.StringIO()):  # how each weight began
        make_checkpoint(folder / 'det.pth', RECIPES['det', 'RGB'])
    scores = np.full((20, 52), 0.25 / 51)
    scores[np.arange(20), np.arange(20)] = 0.75
    space = load_label_space('ma52')
    write_scores(folder / 'ma52.npz', ScoreTable(tuple(names), scores), space)
    rows = (f'{v},{i},{i + 2},nod,P{i}\n' for v in 'ab' for i in range(3))
    text = 'video,start,end,label,subject\n' + ''.join(rows)
    (folder / 'events.csv').write_text(text)
    shutil.copytree(REPOSITORY / 'zoo', folder / 'zoo')
    for file in list((folder / 'zoo').rglob('*.safetensors')):
        shutil.copy(file, folder / 'zoo')
    (folder / 'fake').write_text(real_runs.FAKE)
    (folder / 'fake').chmod(0o755)
    tables = make_rec_root(folder / 'tables')
    for name in 'ab':
        write_model(folder / name, tables, name, 0.5)
    zoo_runs.make_run(folder / 'run')
    made = f'data/simulate {folder}/root --scale tiny --tasks rec --workers 2'
    (done,) = warm.run({'argv': made.split()})
    assert done['status'] == 0, done['err'][-2000:]
    head, *rows = (folder / 'root/rec.csv').read_text().splitlines(keepends=True)
    (folder / 'root/rec.csv').write_text(''.join([head, *rows[::8]]))
    return folder
