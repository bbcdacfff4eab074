"""The commands that are killed, each on a small input that meets all its writers."""

from __future__ import annotations

import functools
import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

NO_WORKERS = [
    f'{subset}_dataloader.{key}'
    for subset in ('train', 'val', 'test')
    for key in ('num_workers=0', 'persistent_workers=False')
]


FOLDS = '--folds', '2', '--resamples', '0'


@dataclass(frozen=True)
class Case:
    """A command with its input, run in a folder of its own, the current one.

    Attributes:
        name: Of the command, and what is special about it.
        argv: Its arguments; what it changes is below ``work``.
        prepare: Makes its input in ``inputs``, and in ``work`` what is there before;
            may give a context that lasts as long as the command is tried.
        around: Done in the process of the command before it runs.
        again: Further arguments when it is run after a kill.
        grows: Names, as a pattern, of files that change while a command runs.
        leaves: Names, as a pattern, of files that may be gone for a while.
        complete: What it says when it is given again and was killed when all was done;
            it is given ``--force`` then.
        sample: How many points the tests try; `make crash` tries all.
    """

    name: str
    argv: tuple[str, ...]
    prepare: Callable[[], Any]
    around: Callable[[], Any] = lambda: None
    again: tuple[str, ...] = ()
    grows: str = '(?!)'
    leaves: str = '(?!)'
    complete: str = ''
    sample: int = 12

    def run(self, *more: str) -> int:
        """Run the command in this process, with further arguments."""
        import cv2
        import torch
        from mmengine.config import config

        from mmma.cli import main

        torch.set_num_threads(1)  # those of a parent are not there after a fork
        cv2.setNumThreads(0)
        config.FormatCode = lambda text, **_: (text, True)  # it takes half of the time
        os.environ['MMMA_HOME'] = os.path.abspath('work/home')
        self.around()
        command = self.name.split()[0]
        status = main(command, [*self.argv, *more])
        Path('inputs/modules').write_text('\n'.join(sys.modules))
        return status


@functools.cache
def plan_of(seed: int = 0, count: int = 2, **options: Any) -> Any:
    """The shortest items of a plan, ``count`` of each task."""
    from mmma.simulation.plan import SimulationOptions
    from mmma.simulation.planner import make_plan

    plan = make_plan(SimulationOptions('tiny', seed=seed, **options))
    kept = {
        task: tuple(sorted(getattr(plan, task), key=lambda item: item.frames)[:count])
        for task in ('rec', 'det')
    }
    return replace(plan, **kept)


def small_plan() -> None:
    """Let the simulation plan little."""
    from mmma.simulation import planner

    plan = plan_of(modality='both', videos=1)
    planner.make_plan = lambda options: plan


def make_corpus(**options: Any) -> None:
    """A simulated corpus in ``work``."""
    from mmma.simulation.corpus import write_corpus

    write_corpus(plan_of(**options), Path('work'))


def make_videos() -> None:
    from pack_roots import make_pack_root

    make_pack_root(Path('inputs'), clips=2)


def make_lists() -> None:
    """Two clips of MA-52."""
    from video_files import make_video, moving_frames

    folder = Path('inputs')
    for subset in ('train', 'val'):
        name = f'0003_01_000{len(subset)}.mp4'
        make_video(folder / subset / name, moving_frames(4))
        (folder / f'{subset}_list_videos.txt').write_text(f'{name} 9\n')


def make_converted() -> None:
    """A root of other lists, in which lies what is not of the conversion."""
    from mmma.convert import convert

    make_lists()
    other = Path('inputs/other')
    other.mkdir()
    (other / 'train_list_videos.txt').write_text('0004_01_0001.mp4 3\n')
    convert('ma52', other, Path('work'))
    Path('work/mine.txt').write_text('mine')
    other.joinpath('train_list_videos.txt').unlink()
    other.rmdir()


def make_opentad() -> None:
    from det_roots import make_det_root

    from mmma.convert import export

    make_det_root(Path('inputs/root'))
    export('opentad', Path('inputs/root'), Path('inputs/theirs'))


def make_events() -> None:
    rows = (f'{v},{i},{i + 2},nod,P{i}\n' for v in 'ab' for i in range(3))
    text = 'video,start,end,label,subject\n' + ''.join(rows)
    Path('inputs/events.csv').write_text(text)


def make_moods() -> None:
    from emotion_roots import make_emotion_root

    make_emotion_root(Path('inputs/moods'), videos=30)


def make_detection_root() -> None:
    from det_roots import VIDEOS, make_det_root

    few = {name: VIDEOS[name] for name in ('lab_train_0', 'street_test_0')}
    make_det_root(Path('work'), few)


def make_results() -> None:
    """Results with three figures, which are drawn fast."""
    from result_files import write_emotions

    told = [{'input': 'both', 'subset': 'test'}]
    write_emotions(Path('inputs/m/results.json'), 'fuse', told)


def make_own_clips() -> None:
    """Clips of a few classes."""
    from own_roots import make_own_root

    make_own_root(Path('inputs/own'))
    Path('inputs/own/det.json').unlink()


def make_seen() -> None:
    """A video, and a detector of which nobody knows what it learnt."""
    from inference_models import RECIPES
    from inference_models import make_checkpoint as make
    from video_files import make_video, moving_frames

    make(Path('inputs/det.pth'), RECIPES['det', 'RGB'])
    make_video(Path('inputs/seen/a.mts'), moving_frames(9, 32, 40))


def fake_faces() -> None:
    """Let faces follow the brightness."""
    from face_networks import use_fake

    use_fake()


def make_training() -> None:
    """Skeletons of a dozen clips."""
    make_corpus(count=12, tasks=('rec',))
    Path('work').rename('inputs/root')


def make_checkpoint() -> None:
    from inference_models import make_checkpoint as make

    make_training()
    make(Path('inputs/weights.pth'), TCN[0])


def make_scores() -> None:
    import numpy as np

    from mmma.evaluation.scores import ScoreTable, write_scores
    from mmma.taxonomy import load_label_space

    space = load_label_space('mma82')
    scores = np.random.default_rng(0).dirichlet(np.ones(82), (2, 3))
    for name, rows in zip('ab', scores, strict=True):
        table = ScoreTable(('x', 'y', 'z'), rows, None)
        write_scores(f'inputs/{name}.npz', table, space)


def make_fused() -> None:
    """The same files, fused otherwise before."""
    from mmma.evaluation.reports import fuse_files

    make_scores()
    files = [Path('inputs/a.npz'), Path('inputs/b.npz')]
    fuse_files(files, Path('work/fused.npz'), weights=[3, 1])


def zoo_file() -> tuple[str, bytes]:
    """Name and content of a file of some blocks, in a zoo."""
    from zoo_metafiles import NAME

    content = bytes(range(256)) * 256
    return f'{NAME}-{hashlib.sha256(content).hexdigest()[:8]}.safetensors', content


@contextmanager
def serve_zoo() -> Iterator[None]:
    """A zoo, and the server that has its file, while it is killed."""
    from http_files import file_server
    from zoo_metafiles import NAME, ours, write_metafiles

    name, content = zoo_file()
    told = {'Weights': f'zoo/{NAME}/{name}', 'Weights Size': len(content)}
    told['Weights SHA256'] = hashlib.sha256(content).hexdigest()
    write_metafiles(Path('inputs'), ours(**told))
    with file_server(files={name: content}) as server:
        Path('inputs/url').write_text(server.url)
        yield


def use_zoo() -> None:
    """Let the index be that of the input."""
    from mmma.hub import zoo

    zoo.config_folders = lambda: [Path('inputs/configs').absolute()]
    os.environ['MMMA_ZOO_URL'] = Path('inputs/url').read_text()


def make_run() -> None:
    from zoo_runs import make_run as make

    make(Path('inputs'))


def make_published() -> None:
    """Other weights, published before."""
    from mmma.hub.publish import publish
    from mmma.hub.published import read_run

    make_run()
    run = read_run(Path('inputs'))
    other = {name: value + 1 for name, value in run.weights.items()}
    content = {**run.content, 'state_dict': other}
    publish(replace(run, content=content), Path('work/zoo'))


TCN = ('configs/recog/skeletontcn-tiny_mma82_indomain.py', '--data-root', 'inputs/root')
SMALL = ('--cfg-options', *NO_WORKERS)
SIMULATE = ('work', '--scale', 'tiny', '--modality', 'both', '--videos', '1')
SIMULATE += ('--workers', '1')
PACK = ('inputs', 'work', '--short-side', '32', '--gop', '4', '--workers', '0')
FUSE = ('inputs/a.npz', 'inputs/b.npz', '--out', 'work/fused.npz')
PUBLISH = ('inputs', '--out', 'work/zoo', '--hub', 'work/hub')
EPOCHS = ('train_cfg.max_epochs=2', 'train_cfg.val_interval=1')
ZOO_NAME = 'tiny_mma82_zeroshot-simulated'
FILLED = 'is not empty: give --force'
CASES = (
    Case('data/simulate', SIMULATE, lambda: None, small_plan),
    Case(
        'data/simulate --force',
        (*SIMULATE, '--force'),
        lambda: make_corpus(seed=1),
        small_plan,
        leaves='.*',
    ),
    Case('data/pack', PACK, make_videos, grows='packing.jsonl'),
    Case('data/convert ma52', ('ma52', 'inputs', 'work'), make_lists, complete=FILLED),
    Case(
        'data/convert ma52 --force',
        ('ma52', 'inputs', 'work', '--force'),
        make_converted,
        leaves=r'dataset\.json|rec\.csv',
    ),
    Case(
        'data/convert opentad',
        ('opentad', 'inputs/theirs', 'work'),
        make_opentad,
        complete=FILLED,
    ),
    Case(
        'data/convert csv',
        ('csv', 'inputs/events.csv', 'work'),
        make_events,
        complete=FILLED,
        sample=4,
    ),
    Case(
        'emotion',
        (*('associate', 'inputs/moods', '--out', 'work', '--shuffles', '1'), *FOLDS),
        make_moods,
        sample=2,
    ),
    Case(
        'report',
        ('inputs/m/results.json', '--out', 'work/r.html', '--figures', 'work/figures'),
        make_results,
        sample=1,
    ),
    Case(
        'data/stats',
        ('inputs/own', '--out', 'work/new', '--workers', '0'),
        make_own_clips,
        sample=1,
    ),
    Case(
        'data/browse',
        (*TCN, '--out', 'work/sheet.png', '--samples', '2', '--subset', 'test'),
        make_training,
        sample=1,
    ),
    Case(
        'infer --page',
        ('inputs/seen', '--det', 'inputs/det.pth', '--out', 'work', '--page'),
        make_seen,
        sample=4,
    ),
    Case('summarize', ('inputs/events.csv', '--out', 'work'), make_events, sample=4),
    Case(
        'export',
        ('boris', 'inputs/events.csv', 'work'),
        make_events,
        complete=FILLED,
        sample=4,
    ),
    Case(
        'data/features',
        ('work', 'videomae-tiny', '--no-pretrained', *SMALL[:1], *NO_WORKERS[4:]),
        make_detection_root,
        sample=6,
    ),
    Case('data/face', ('work', '--workers', '0'), make_detection_root, fake_faces),
    Case(
        'train',
        (*TCN, '--work-dir', 'work', *SMALL, *EPOCHS, 'train_dataloader.batch_size=4'),
        make_training,
        again=('--resume',),
        grows=r'last_checkpoint|.*\.(py|pth)',
        sample=6,
    ),
    Case(
        'test',
        (TCN[0], 'inputs/weights.pth', *TCN[1:], '--work-dir', 'work', *SMALL),
        make_checkpoint,
        sample=6,
    ),
    Case('fuse', FUSE, make_scores),
    Case('fuse again', FUSE, make_fused, leaves='fused.json'),
    Case('publish_model', PUBLISH, make_run),
    Case('download', (ZOO_NAME, '--dest', 'work'), serve_zoo, use_zoo),
    Case('publish_model --force', (*PUBLISH, '--force'), make_published),
)
