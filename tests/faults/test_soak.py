"""Memory and open files do not grow while many clips are read."""

import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from video_files import make_video_root

from mmma.apis import build_dataset, load_config
from mmma.data.arrays import (
    FeaturesInfo,
    FeatureStore,
    FeatureWriter,
    SkeletonStore,
    SkeletonWriter,
)
from mmma.data.check import check_root
from mmma.data.clips import write_rec
from mmma.data.root import DataRoot

CLIPS = int(os.environ.get('SOAK', '500'))
EVERY = 1 if CLIPS > 500 else 8  # of which the pictures are read as well
GROWTH_MB = 30
RGB = 'configs/recog/videomae-tiny_mma82_indomain.py'
POSE = 'configs/recog/skeletontcn-tiny_mma82_indomain.py'


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    """Many rows over few videos, each with skeletons."""
    from mmma.simulation.corpus import JOINTS

    folder = make_video_root(tmp_path_factory.mktemp('soak') / 'root', clips=1)
    root = DataRoot(folder)
    few = [clip for clip in root.read_rec() if clip.subset == 'train']
    rows = [
        replace(few[i % len(few)], clip=f'clip{i:05d}', subject=f's{i % 40}')
        for i in range(CLIPS)
    ]
    rng = np.random.default_rng(0)
    with SkeletonWriter(folder, 'rec', JOINTS) as writer:
        for clip in rows:
            points = rng.uniform(1, 39, (1, 10, len(JOINTS.names), 2))
            scores = np.full((1, 10, len(JOINTS.names)), 0.5)
            writer.append(clip.clip, points, scores, 30, 56, 40)
    with FeatureWriter(folder, 'x', FeaturesInfo(0.5, 4), 'rec') as writer:
        for clip in rows:
            writer.append(clip.clip, np.ones((3, 4)))
    write_rec(folder / 'rec.csv', rows, root.label_space())
    return folder


def used():
    """Megabytes of its own in memory, and open files.

    Pages of skeletons and features that are mapped are the system's, which takes them
    back: all of what was read would count, 4 KB per clip here.
    """
    status = Path('/proc/self/status').read_text()
    own = int(re.search(r'RssAnon:\s*(\d+) kB', status)[1])
    return own / 1e3, len(os.listdir('/proc/self/fd'))


@pytest.mark.skipif(not Path('/proc/self/statm').exists(), reason='reads /proc')
def test_reading_many_clips_takes_no_more_memory(root, capsys):
    sets = [build_dataset(load_config(c, data_root=str(root))) for c in (RGB, POSE)]
    names = [clip.clip for clip in DataRoot(root).read_rec()]
    assert [len(found) for found in sets] == [CLIPS, CLIPS]
    told = []
    for i, name in enumerate(names, start=1):
        for found in sets if not i % EVERY else sets[1:]:
            assert found[i - 1] is not None
        if not i % 50:  # stores that are opened anew
            SkeletonStore(root, 'rec').get(name)
            FeatureStore(root, 'x', 'rec').get(name)
        if not i % (CLIPS // 5):
            told.append((i, *used()))
    for i in range(3):
        check_root(root)
        told.append((f'check {i + 1}', *used()))
    with capsys.disabled():
        print(*(f'\n{at}: {mb:.0f} MB, {files} files' for at, mb, files in told))
    (_, first, open_first), *_, (_, last, open_last) = told[:5]
    assert last - first < GROWTH_MB, told
    assert open_last <= open_first, told
    assert told[-1][1] - told[-2][1] < GROWTH_MB, told
